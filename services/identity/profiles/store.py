"""The table of profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa

from services.identity.profiles.domain import Profile
from services.kit.database import Tx
from services.kit.pagination import Page

profiles: Final = sa.Table(
    "profiles",
    sa.MetaData(),
    sa.Column("profile_id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("display_name", sa.Text),
    sa.Column("avatar_colour", sa.Text),
    sa.Column("maturity_rating", sa.SmallInteger),
    sa.Column("language", sa.Text),
    sa.Column("kids", sa.Boolean),
    sa.Column("pin_digest", sa.LargeBinary),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


def _profile(row: sa.Row[tuple[Any, ...]]) -> Profile:
    return Profile(**row._asdict())


async def add(tx: Tx, profile: Profile) -> None:
    """Keeps a new profile."""
    await tx.execute(sa.insert(profiles).values(**asdict(profile)))


async def put(tx: Tx, profile: Profile) -> None:
    """Keeps the next state of a profile."""
    await tx.execute(sa.update(profiles).where(profiles.c.profile_id == profile.profile_id).values(**asdict(profile)))


async def remove(tx: Tx, profile_id: str) -> None:
    """Removes a profile."""
    await tx.execute(sa.delete(profiles).where(profiles.c.profile_id == profile_id))


async def find(tx: Tx, profile_id: str) -> Profile | None:
    """One profile; None when there is none."""
    row = (await tx.execute(sa.select(profiles).where(profiles.c.profile_id == profile_id))).one_or_none()
    return None if row is None else _profile(row)


async def of_account(tx: Tx, account_id: str) -> Sequence[Profile]:
    """All profiles of an account, the oldest first. They are few."""
    query = sa.select(profiles).where(profiles.c.account_id == account_id).order_by(profiles.c.profile_id)
    return [_profile(row) for row in await tx.execute(query)]


async def page(tx: Tx, account_id: str, part: Page) -> Sequence[Profile]:
    """One page of an account's profiles, the oldest first, and one more to tell whether there is another page."""
    query = (
        sa.select(profiles)
        .where(profiles.c.account_id == account_id, profiles.c.profile_id > part.after)
        .order_by(profiles.c.profile_id)
        .limit(part.size + 1)
    )
    return [_profile(row) for row in await tx.execute(query)]
