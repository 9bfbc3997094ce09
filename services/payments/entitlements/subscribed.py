"""Entitlements by subscriptions, shown beside the others. They are kept with their subscriptions, whose periods move their ends."""

from __future__ import annotations

from reelmesh.payments.v1.events_pb2 import ENTITLEMENT_KIND_SUBSCRIPTION

from services.payments.entitlements.domain import Entitlement
from services.payments.subscriptions.domain import State, Subscription


def entitlement_of(one: Subscription) -> Entitlement:
    """What somebody may watch by a subscription: everything of the organisation, until what they paid ends, or ended before its time."""
    until = one.entitled_until
    taken_back = until is None and one.state is State.EXPIRED and one.end_time is not None
    return Entitlement(
        entitlement_id=one.entitlement_id,
        organisation_id=one.organisation_id,
        viewer_id=one.viewer_id,
        asset_id="",
        kind=ENTITLEMENT_KIND_SUBSCRIPTION,
        create_time=one.create_time,
        change_time=one.change_time,
        start_time=one.create_time,
        end_time=min(one.period.end, one.end_time) if taken_back and one.end_time else until or one.period.end,
        subscription_id=one.subscription_id,
    )
