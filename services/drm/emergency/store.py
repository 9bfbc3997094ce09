"""The table of packages that an emergency changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.drm.rotation.domain import TitleState
from services.drm.store import content_keys
from services.kit.database import Tx
from services.kit.pagination import Page


@dataclass(frozen=True, slots=True)
class Title:
    """One package of an emergency.

    Attributes:
        state: a `TitleState`.
        new_package_id: its successor; empty while there is none.
        ask_time: when packaging was asked; None before.
    """

    rotation_id: str
    package_id: str
    state: int
    new_package_id: str
    failure_message: str
    change_time: datetime
    ask_time: datetime | None = None


emergency_titles: Final = sa.Table(
    "emergency_titles",
    sa.MetaData(),
    sa.Column("rotation_id", sa.Text, primary_key=True),
    sa.Column("package_id", sa.Text, primary_key=True),
    sa.Column("state", sa.SmallInteger),
    sa.Column("new_package_id", sa.Text),
    sa.Column("failure_message", sa.Text),
    sa.Column("change_time", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
)
_ALL: Final = [emergency_titles.c[field.name] for field in fields(Title)]
_WAITING: Final = emergency_titles.c.state == int(TitleState.WAITING)


async def affected(tx: Tx, organisation_id: str, package_ids: Sequence[str]) -> Sequence[str]:
    """Packages of an organisation whose content keys are in force; of those that are named, if any are."""
    query = (
        sa.select(content_keys.c.package_id)
        .distinct()
        .where(
            content_keys.c.organisation_id == organisation_id,
            content_keys.c.revoke_time.is_(None),
            # What others package, and their own keys, nobody here can make anew.
            content_keys.c.package_id.startswith("pkg_", autoescape=True),
        )
    )
    if package_ids:
        query = query.where(content_keys.c.package_id.in_(package_ids))
    # The newest first: that is what most people watch.
    return list((await tx.execute(query.order_by(content_keys.c.package_id.desc()))).scalars())


async def waiting_elsewhere(tx: Tx, organisation_packages: Sequence[str]) -> dict[str, str]:
    """Packages that another emergency has in hand, each with which."""
    query = sa.select(emergency_titles.c.package_id, emergency_titles.c.rotation_id).where(
        _WAITING, emergency_titles.c.package_id.in_(organisation_packages)
    )
    return {row.package_id: row.rotation_id for row in await tx.execute(query)}


async def add(tx: Tx, rotation_id: str, package_ids: Sequence[str], now: datetime) -> None:
    """Keeps the packages of a new emergency."""
    rows = [asdict(Title(rotation_id, package_id, int(TitleState.WAITING), "", "", now)) for package_id in package_ids]
    await tx.execute(insert(emergency_titles), rows)


async def unasked(tx: Tx, limit: int) -> Sequence[Title]:
    """Packages that packaging was not asked for yet, locked; those that another replica asks for are left out."""
    query = sa.select(*_ALL).where(_WAITING, emergency_titles.c.ask_time.is_(None))
    query = query.order_by(emergency_titles.c.rotation_id, emergency_titles.c.package_id.desc()).limit(limit)
    return [Title(**row._asdict()) for row in await tx.execute(query.with_for_update(skip_locked=True))]


async def rotations_of(tx: Tx, package_id: str) -> Sequence[str]:
    """Emergencies that wait for the successor of a package."""
    query = sa.select(emergency_titles.c.rotation_id).where(_WAITING, emergency_titles.c.package_id == package_id)
    return list((await tx.execute(query.order_by(emergency_titles.c.rotation_id))).scalars())


async def put(
    tx: Tx,
    rotation_id: str,
    package_ids: Sequence[str],
    **changed: object,
) -> None:
    """Keeps what changed of packages of an emergency."""
    await tx.execute(
        sa.update(emergency_titles)
        .where(emergency_titles.c.rotation_id == rotation_id, emergency_titles.c.package_id.in_(package_ids))
        .values(**changed)
    )


async def waiting(tx: Tx, rotation_id: str) -> int:
    """How many packages of an emergency wait for their successor."""
    query = sa.select(sa.func.count()).where(emergency_titles.c.rotation_id == rotation_id, _WAITING)
    return int((await tx.execute(query)).scalar_one())


async def counts(tx: Tx, rotation_ids: Sequence[str]) -> dict[tuple[str, int], int]:
    """How many packages of each emergency are in which state."""
    query = (
        sa.select(emergency_titles.c.rotation_id, emergency_titles.c.state, sa.func.count().label("number"))
        .where(emergency_titles.c.rotation_id.in_(rotation_ids))
        .group_by(emergency_titles.c.rotation_id, emergency_titles.c.state)
    )
    return {(row.rotation_id, row.state): row.number for row in await tx.execute(query)}


async def page(tx: Tx, rotation_id: str, part: Page) -> Sequence[Title]:
    """One page of an emergency's packages, in order of ids, and one more to tell whether there is another page."""
    query = sa.select(*_ALL).where(
        emergency_titles.c.rotation_id == rotation_id, emergency_titles.c.package_id > part.after
    )
    rows = await tx.execute(query.order_by(emergency_titles.c.package_id).limit(part.size + 1))
    return [Title(**row._asdict()) for row in rows]
