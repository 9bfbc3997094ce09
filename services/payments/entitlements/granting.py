"""Everything that is written about entitlements goes through here: each change is kept and announced in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.payments.v1 import events_pb2, payments_pb2

from services.kit.clock import duration, timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.entitlements import store
from services.payments.entitlements.domain import Entitlement


@dataclass(frozen=True, slots=True)
class Source:
    """For whom an entitlement is, and by what it comes; what is empty has nothing to do with it.

    Attributes:
        viewer_id: who may watch, unless the grant names somebody in their place.
        buyer_id: who paid.
        comment: why, for people.
    """

    organisation_id: str
    viewer_id: str
    buyer_id: str = ""
    sale_id: str = ""
    offer_id: str = ""
    promotion_id: str = ""
    comment: str = ""


async def grant(tx: Tx, granted: payments_pb2.Grant, source: Source, now: datetime) -> Entitlement:
    """Lets somebody watch something.

    Raises:
        Refusal: INVALID_ARGUMENT `GRANT_INVALID`.
    """
    who = granted.viewer_id or source.viewer_id
    if not who:
        raise refusals.grant_invalid("viewer_id", "say who may watch what is granted")
    entitlement = Entitlement(
        entitlement_id=new_id("ent"),
        organisation_id=source.organisation_id,
        viewer_id=who,
        buyer_id=source.buyer_id if source.buyer_id != who else "",
        asset_id=granted.asset_id,
        kind=granted.kind,
        start_time=_moment(granted.start_time) if granted.HasField("start_time") else None,
        end_time=_moment(granted.end_time) if granted.HasField("end_time") else None,
        territories=tuple(granted.territories),
        max_plays=granted.max_plays,
        begin_by_time=_moment(granted.begin_by_time) if granted.HasField("begin_by_time") else None,
        watch=granted.watch_duration.ToTimedelta() if granted.HasField("watch_duration") else None,
        sale_id=source.sale_id,
        offer_id=source.offer_id or granted.offer_id,
        promotion_id=source.promotion_id,
        comment=source.comment,
        change_time=now,
        create_time=now,
    )
    await store.add(tx, entitlement)
    await _announce(tx, entitlement)
    return entitlement


async def money(tx: Tx, organisation_id: str, entitlement_id: str, now: datetime, *, stands: bool) -> None:
    """The money for an entitlement went back, or came again. What somebody revoked stays revoked."""
    before = await store.find(tx, organisation_id, entitlement_id, for_update=True)
    if before is None:
        raise LookupError(f"{entitlement_id} was sold and is not there")
    await _kept(tx, before, before.with_money(now, stands=stands))


async def revoke(tx: Tx, organisation_id: str, entitlement_id: str, comment: str, now: datetime) -> Entitlement:
    """Ends an entitlement for good.

    Raises:
        Refusal: NOT_FOUND `ENTITLEMENT_NOT_FOUND`.
    """
    before = await store.find(tx, organisation_id, entitlement_id, for_update=True)
    if before is None:
        raise refusals.entitlement_not_found(entitlement_id)
    return await _kept(tx, before, before.revoked(now, comment))


async def use(tx: Tx, organisation_id: str, entitlement_id: str, plays: int, begin_time: datetime) -> None:
    """Keeps what `policy` told of the use of an entitlement; of one that is not there, nothing."""
    before = await store.find(tx, organisation_id, entitlement_id, for_update=True)
    if before is not None:
        await store.put(tx, before.used(plays, begin_time))


async def _kept(tx: Tx, before: Entitlement, after: Entitlement) -> Entitlement:
    if after != before:
        await store.put(tx, after)
    if after.stands != before.stands:
        await _announce(tx, after)
    return after


async def _announce(tx: Tx, entitlement: Entitlement) -> None:
    """Says what the viewer may watch now."""
    kind = events_pb2.EntitlementKind.ValueType(entitlement.kind)
    if not entitlement.stands:
        await announce(
            tx,
            events_pb2.EntitlementRevoked(
                entitlement_id=entitlement.entitlement_id,
                organisation_id=entitlement.organisation_id,
                viewer_id=entitlement.viewer_id,
                change_time=timestamp(entitlement.change_time),
                asset_id=entitlement.asset_id,
                kind=kind,
            ),
        )
        return
    await announce(
        tx,
        events_pb2.EntitlementGranted(
            entitlement_id=entitlement.entitlement_id,
            organisation_id=entitlement.organisation_id,
            viewer_id=entitlement.viewer_id,
            asset_id=entitlement.asset_id,
            kind=kind,
            start_time=timestamp(entitlement.start_time),
            end_time=timestamp(entitlement.end_time),
            territories=entitlement.territories,
            change_time=timestamp(entitlement.change_time),
            max_plays=entitlement.max_plays,
            begin_by_time=timestamp(entitlement.begin_by_time),
            watch_duration=duration(entitlement.watch.total_seconds()) if entitlement.watch else None,
            buyer_id=entitlement.buyer_id,
        ),
    )


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
