"""The table of revocations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

import sqlalchemy as sa

from services.kit.database import Tx, any_of
from services.kit.pagination import Page
from services.policy import store
from services.policy.domain import Session


class Target(IntEnum):
    """What can be revoked; the numbers are those of the contract."""

    VIEWER = 1
    DEVICE = 2
    ASSET = 3
    KEY = 4

    @property
    def word(self) -> str:
        """As refusals and events name it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation.

    Attributes:
        target: a `Target`.
        target_id: which.
        lift_time: None while it stands.
    """

    revocation_id: str
    organisation_id: str
    target: int
    target_id: str
    comment: str
    actor: str
    create_time: datetime
    lift_time: datetime | None = None

    def lifted(self, now: datetime) -> Revocation:
        """As it is once it is lifted; one that was stays as it was."""
        return self if self.lift_time else replace(self, lift_time=now)


revocations: Final = sa.Table(
    "revocations",
    sa.MetaData(),
    sa.Column("revocation_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("target", sa.SmallInteger),
    sa.Column("target_id", sa.Text),
    sa.Column("comment", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("lift_time", sa.DateTime(timezone=True)),
)
_ALL: Final = [revocations.c[field.name] for field in fields(Revocation)]
_OPENED_FOR: Final = frozenset({Target.VIEWER, Target.DEVICE})
"""What sessions are opened for. Packages of assets and keys are held besides, whoever plays them."""
_ALONE: Final = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_TOGETHER: Final = sa.text(
    "SELECT pg_advisory_xact_lock_shared(hashtextextended(name, 0)) FROM unnest(CAST(:names AS text[])) AS name"
)
_BARRED: Final = sa.select(revocations.c.organisation_id, revocations.c.target, revocations.c.target_id).where(
    revocations.c.organisation_id == any_of("organisation_ids"),
    revocations.c.lift_time.is_(None),
    sa.or_(
        *(
            sa.and_(revocations.c.target == int(target), revocations.c.target_id == any_of(target.word))
            for target in Target
        )
    ),
)


async def add(tx: Tx, revocation: Revocation) -> None:
    """Keeps a new revocation. Of a viewer or a device it first waits for the playbacks that are being opened for them: whoever ends their sessions
    next finds those as well, and those that are opened later find the revocation."""
    if revocation.target in _OPENED_FOR:
        name = _name(revocation.organisation_id, Target(revocation.target), revocation.target_id)
        await tx.execute(_ALONE, {"name": name})
    await tx.execute(sa.insert(revocations).values(**asdict(revocation)))


async def while_opening(tx: Tx, organisation_id: str, *, viewer_id: str, device_id: str) -> None:
    """Lets no revocation of a viewer or a device in between until the transaction ends, in which a playback is opened for them."""
    who = {Target.VIEWER: viewer_id, Target.DEVICE: device_id}
    names = [_name(organisation_id, target, target_id) for target, target_id in who.items() if target_id]
    if names:
        await tx.execute(_TOGETHER, {"names": names})


def _name(organisation_id: str, target: Target, target_id: str) -> str:
    return f"{target.word}:{organisation_id}:{target_id}"


async def lift(tx: Tx, revocation: Revocation) -> None:
    """Keeps that a revocation is lifted."""
    await tx.execute(
        sa.update(revocations)
        .where(revocations.c.revocation_id == revocation.revocation_id)
        .values(lift_time=revocation.lift_time)
    )


async def find(tx: Tx, organisation_id: str, revocation_id: str) -> Revocation | None:
    """One revocation of an organisation, locked; None when there is none."""
    query = sa.select(*_ALL).where(
        revocations.c.organisation_id == organisation_id, revocations.c.revocation_id == revocation_id
    )
    row = (await tx.execute(query.with_for_update())).one_or_none()
    return None if row is None else Revocation(**row._asdict())


async def page(tx: Tx, organisation_id: str, part: Page, *, standing_only: bool) -> Sequence[Revocation]:
    """One page of an organisation's revocations, newest first, and one more to tell whether there is another page."""
    query = sa.select(*_ALL).where(revocations.c.organisation_id == organisation_id)
    if standing_only:
        query = query.where(revocations.c.lift_time.is_(None))
    if part.after:
        query = query.where(revocations.c.revocation_id < part.after)
    rows = await tx.execute(query.order_by(revocations.c.revocation_id.desc()).limit(part.size + 1))
    return [Revocation(**row._asdict()) for row in rows]


class Barred:
    """What of the things that were asked about is revoked."""

    def __init__(self, revoked: Collection[tuple[str, int, str]]) -> None:
        self._revoked = revoked

    def first(self, organisation_id: str, things: Mapping[Target, Iterable[str]]) -> str:
        """What of several things is revoked, such as `viewer`; of more than one the first kind of `Target`. Empty when none is."""
        if not self._revoked:
            return ""
        for target in sorted(things):
            if any((organisation_id, int(target), name) in self._revoked for name in things[target]):
                return target.word
        return ""


async def barred(tx: Tx, organisation_ids: Sequence[str], things: Mapping[Target, Sequence[str]]) -> Barred:
    """Looks up what of many things is revoked, by any of the organisations."""
    asked = {target.word: list(things.get(target, ())) for target in Target}
    rows = await tx.execute(_BARRED, {"organisation_ids": list(organisation_ids), **asked})
    return Barred({(row.organisation_id, row.target, row.target_id) for row in rows})


async def held_packages(tx: Tx) -> Mapping[str, str]:
    """Packages that must not be played because their asset or one of their keys is revoked, each with which of the two."""
    held = sa.and_(revocations.c.lift_time.is_(None), revocations.c.organisation_id == store.packages.c.organisation_id)
    query = sa.select(store.packages.c.package_id, revocations.c.target).where(
        held,
        sa.or_(
            sa.and_(revocations.c.target == int(Target.ASSET), revocations.c.target_id == store.packages.c.asset_id),
            sa.and_(
                revocations.c.target == int(Target.KEY),
                sa.func.array_position(store.packages.c.key_ids, revocations.c.target_id).is_not(None),
            ),
        ),
    )
    return {row.package_id: Target(row.target).word for row in await tx.execute(query)}


async def end_sessions(tx: Tx, revocation: Revocation) -> Sequence[Session]:
    """Revokes every running session of a viewer or a device, and returns them as they are then."""
    table = store.sessions
    column = {int(Target.VIEWER): table.c.viewer_id, int(Target.DEVICE): table.c.device_id}.get(revocation.target)
    if column is None:
        return []
    statement = (
        sa.update(table)
        .where(
            table.c.organisation_id == revocation.organisation_id,
            column == revocation.target_id,
            table.c.revoke_time.is_(None),
            table.c.expire_time > revocation.create_time,
        )
        .values(
            revoke_time=revocation.create_time,
            revoke_comment=f"the {Target(revocation.target).word} was revoked",
            change_time=sa.func.now(),
        )
        .returning(*store.SESSION)
    )
    return [store.session_of(row) for row in await tx.execute(statement)]
