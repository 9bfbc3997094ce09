"""Entitlements in the words of the contract."""

from __future__ import annotations

from datetime import datetime

from reelmesh.payments.v1 import entitlements_service_pb2 as api
from reelmesh.payments.v1 import events_pb2

from services.kit.clock import duration, timestamp
from services.payments.entitlements.domain import Entitlement


def entitlement_message(entitlement: Entitlement, now: datetime) -> api.Entitlement:
    """An entitlement as it is shown to those who answer for it."""
    left = max(entitlement.max_plays - entitlement.plays, 0)
    return api.Entitlement(
        entitlement_id=entitlement.entitlement_id,
        organisation_id=entitlement.organisation_id,
        viewer_id=entitlement.viewer_id,
        asset_id=entitlement.asset_id,
        kind=events_pb2.EntitlementKind.ValueType(entitlement.kind),
        state=api.EntitlementState.ValueType(entitlement.state(now)),
        start_time=timestamp(entitlement.start_time),
        end_time=timestamp(entitlement.end_time),
        territories=entitlement.territories,
        max_plays=entitlement.max_plays,
        begin_by_time=timestamp(entitlement.begin_by_time),
        watch_duration=duration(entitlement.watch.total_seconds()) if entitlement.watch else None,
        plays=entitlement.plays,
        plays_left=left,
        begin_time=timestamp(entitlement.begin_time),
        window_end_time=timestamp(entitlement.window_end),
        buyer_id=entitlement.buyer_id,
        sale_id=entitlement.sale_id,
        offer_id=entitlement.offer_id,
        promotion_id=entitlement.promotion_id,
        comment=entitlement.comment,
        revoke_time=timestamp(entitlement.revoke_time),
        revoke_comment=entitlement.revoke_comment,
        create_time=timestamp(entitlement.create_time),
        subscription_id=entitlement.subscription_id,
    )


def own_entitlement(entitlement: Entitlement, now: datetime) -> api.Entitlement:
    """An entitlement as its viewer sees it: without who paid for it, and without what others wrote about it."""
    shown = entitlement_message(entitlement, now)
    for field in ("buyer_id", "sale_id", "comment", "revoke_comment"):
        shown.ClearField(field)
    return shown
