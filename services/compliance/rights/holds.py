"""Legal holds: what they are on must not be erased, whoever asks (GDPR article 17(3), illegal content that is to be preserved, a case in court).

For other parts of this service: `standing` tells before something is removed, `place` puts a hold on something.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from reelmesh.compliance.v1 import events_pb2

from services.compliance.rights import refusals
from services.compliance.rights.store import Subjects
from services.kit.clock import timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.pagination import Page
from services.kit.personal import DataSubject

holds: Final = sa.Table(
    "legal_holds",
    sa.MetaData(),
    sa.Column("hold_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("subject_digest", sa.LargeBinary),
    sa.Column("sealed_subject", sa.LargeBinary),
    sa.Column("asset_id", sa.Text),
    sa.Column("ground", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("place_time", sa.DateTime(timezone=True)),
    sa.Column("release_time", sa.DateTime(timezone=True)),
    sa.Column("release_reason", sa.Text),
)
_SERIAL: Final = 0x686F6C6473  # "holds"


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold.

    Attributes:
        hold_id: `hld_…`.
        organisation_id: who placed it.
        subject: the person it is on; None for a hold on an asset.
        asset_id: the asset it is on; empty for a hold on a person.
        ground: why.
        actor: who placed it.
        place_time: when.
        release_time: None while it stands.
        release_reason: empty while it stands.
    """

    hold_id: str
    organisation_id: str
    subject: DataSubject | None
    asset_id: str
    ground: str
    actor: str
    place_time: datetime
    release_time: datetime | None = None
    release_reason: str = ""


async def place(tx: Tx, subjects: Subjects, hold: Hold) -> None:
    """Places a hold, and waits for whoever is about to erase something at this moment."""
    await settled(tx)
    subject = hold.subject
    await tx.execute(
        sa.insert(holds).values(
            hold_id=hold.hold_id,
            organisation_id=hold.organisation_id,
            subject_digest=None if subject is None else subjects.digest(subject),
            sealed_subject=None if subject is None else subjects.sealed(subject, hold.hold_id),
            asset_id=hold.asset_id,
            ground=hold.ground,
            actor=hold.actor,
            place_time=hold.place_time,
            release_reason="",
        )
    )
    await announce(
        tx,
        events_pb2.LegalHoldPlaced(
            hold_id=hold.hold_id,
            organisation_id=hold.organisation_id,
            asset_id=hold.asset_id,
            place_time=timestamp(hold.place_time),
        ),
    )


async def release(
    tx: Tx, subjects: Subjects, organisation_id: str, hold_id: str, *, reason: str, now: datetime
) -> Hold:
    """Releases a hold. One that was released stays as it is.

    Raises:
        Refusal: `HOLD_NOT_FOUND`.
    """
    query = sa.select(holds).where(holds.c.hold_id == hold_id, holds.c.organisation_id == organisation_id)
    row = (await tx.execute(query.with_for_update())).one_or_none()
    if row is None:
        raise refusals.hold_not_found(hold_id)
    if row.release_time is None:
        change = {"release_time": now, "release_reason": reason}
        await tx.execute(sa.update(holds).where(holds.c.hold_id == hold_id).values(**change))
        told = events_pb2.LegalHoldReleased(
            hold_id=hold_id, organisation_id=organisation_id, asset_id=row.asset_id, release_time=timestamp(now)
        )
        await announce(tx, told)
        row = (await tx.execute(sa.select(holds).where(holds.c.hold_id == hold_id))).one()
    return _hold(row, subjects)


async def settled(tx: Tx) -> None:
    """Waits for those who place holds or are about to erase: of the two, whoever comes later sees what the other did."""
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_SERIAL)))


async def standing(tx: Tx, *, subject_digest: bytes | None = None, asset_ids: Collection[str] = ()) -> list[str]:
    """Ids of the holds that stand on a person or on any of some assets, oldest first."""
    on = []
    if subject_digest is not None:
        on.append(holds.c.subject_digest == subject_digest)
    if asset_ids:
        on.append(holds.c.asset_id.in_(sorted(asset_ids)))
    if not on:
        return []
    query = sa.select(holds.c.hold_id).where(holds.c.release_time.is_(None), sa.or_(*on)).order_by(holds.c.hold_id)
    return list((await tx.execute(query)).scalars())


async def covered(tx: Tx, subjects: Subjects, people: Collection[DataSubject], asset_ids: Collection[str] = ()) -> bool:
    """Whether a hold stands on any of some people or assets. Whoever erases because of a term asks here first, and then keeps what it is on."""
    await settled(tx)
    digests = [subjects.digest(one) for one in people]
    named = [asset_id for asset_id in asset_ids if asset_id]  # holds on people have none
    on = sa.or_(holds.c.subject_digest.in_(digests), holds.c.asset_id.in_(named))
    query = sa.select(holds.c.hold_id).where(holds.c.release_time.is_(None), on).limit(1)
    return (await tx.execute(query)).one_or_none() is not None


def people_of(*principals: str) -> list[DataSubject]:
    """Those of some principals that are people's accounts."""
    return [DataSubject("", name.removeprefix("user/")) for name in principals if name.startswith("user/")]


async def held_assets(tx: Tx) -> frozenset[str]:
    """All assets that a hold is on."""
    query = sa.select(holds.c.asset_id).where(holds.c.release_time.is_(None), holds.c.asset_id != "").distinct()
    return frozenset((await tx.execute(query)).scalars())


async def forget_subject(tx: Tx, subject_digest: bytes) -> None:
    """Takes somebody who was erased out of the holds that were on them, all of which are released by then."""
    await tx.execute(
        sa.update(holds)
        .where(holds.c.subject_digest == subject_digest, holds.c.release_time.is_not(None))
        .values(sealed_subject=None)
    )


async def page(tx: Tx, subjects: Subjects, organisation_id: str, part: Page, *, standing_only: bool) -> Sequence[Hold]:
    """One page of an organisation's holds, newest first, and one more to tell whether there is another page."""
    query = sa.select(holds).where(holds.c.organisation_id == organisation_id)
    if standing_only:
        query = query.where(holds.c.release_time.is_(None))
    if part.after:
        query = query.where(holds.c.hold_id < part.after)
    rows = await tx.execute(query.order_by(holds.c.hold_id.desc()).limit(part.size + 1))
    return [_hold(row, subjects) for row in rows]


def new_hold(organisation_id: str, *, on: DataSubject | str, ground: str, actor: str, now: datetime) -> Hold:
    """A hold on a person or, by its id, on an asset; it is not placed yet."""
    subject, asset_id = (None, on) if isinstance(on, str) else (on, "")
    return Hold(new_id("hld"), organisation_id, subject, asset_id, ground, actor, now)


def _hold(row: sa.Row[Any], subjects: Subjects) -> Hold:
    return Hold(
        hold_id=row.hold_id,
        organisation_id=row.organisation_id,
        subject=subjects.opened(row.sealed_subject, row.hold_id),
        asset_id=row.asset_id,
        ground=row.ground,
        actor=row.actor,
        place_time=row.place_time,
        release_time=row.release_time,
        release_reason=row.release_reason,
    )
