"""Events of subscriptions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from google.protobuf.message import Message
from reelmesh.payments.v1 import events_pb2

from services.kit.clock import timestamp
from services.payments.subscriptions.domain import Subscription


def told(before: Subscription | None, after: Subscription, now: datetime) -> Iterator[Message]:
    """What others are to hear of a change: nothing where it is no matter of theirs, such as a charge under way.

    The entitlement is announced whenever its end moves; it is taken back when it ends before its time.
    """
    if before is not None and _public(before) == _public(after):
        return
    was = before.entitled_until if before else None
    until = after.entitled_until
    if until is not None and until != was:
        yield granted(after, until)
    elif until is None and was is not None and was > now:
        yield events_pb2.EntitlementRevoked(
            entitlement_id=after.entitlement_id,
            organisation_id=after.organisation_id,
            viewer_id=after.viewer_id,
            change_time=timestamp(after.change_time),
        )
    yield changed(after)


def _public(one: Subscription) -> tuple[object, ...]:
    return one.state, one.deal, one.period, one.end, one.entitled_until, one.next_plan_id


def granted(one: Subscription, until: datetime) -> events_pb2.EntitlementGranted:
    """The event that tells what the viewer may watch."""
    return events_pb2.EntitlementGranted(
        entitlement_id=one.entitlement_id,
        organisation_id=one.organisation_id,
        viewer_id=one.viewer_id,
        kind=events_pb2.ENTITLEMENT_KIND_SUBSCRIPTION,
        end_time=timestamp(until),
        change_time=timestamp(one.change_time),
    )


def changed(one: Subscription) -> events_pb2.SubscriptionChanged:
    """The event that tells how a subscription stands."""
    until = one.entitled_until
    return events_pb2.SubscriptionChanged(
        subscription_id=one.subscription_id,
        organisation_id=one.organisation_id,
        viewer_id=one.viewer_id,
        plan_id=one.deal.plan_id,
        state=events_pb2.SubscriptionState.ValueType(one.state),
        tier=one.deal.tier if until is not None else "",
        tier_end_time=timestamp(until),
        period_end_time=timestamp(one.period.end),
        end_reason=events_pb2.SubscriptionEndReason.ValueType(one.end),
        change_time=timestamp(one.change_time),
    )
