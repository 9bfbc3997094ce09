"""Subscriptions as the contract writes them."""

from __future__ import annotations

from reelmesh.payments.v1 import events_pb2, payments_pb2, subscriptions_pb2

from services.kit.clock import timestamp
from services.payments.subscriptions.domain import Subscription
from services.payments.subscriptions.proration import Change


def resource(one: Subscription) -> subscriptions_pb2.Subscription:
    """A subscription. What the processor charges it by stays here."""
    return subscriptions_pb2.Subscription(
        subscription_id=one.subscription_id,
        organisation_id=one.organisation_id,
        viewer_id=one.viewer_id,
        plan_id=one.deal.plan_id,
        plan_version=one.deal.version,
        tier=one.deal.tier,
        price=payments_pb2.Money(minor_units=one.deal.price, currency=one.currency),
        territory=one.territory,
        state=events_pb2.SubscriptionState.ValueType(one.state),
        processor=one.payer.processor,
        period_start_time=timestamp(one.period.start),
        period_end_time=timestamp(one.period.end),
        entitled_until_time=timestamp(one.entitled_until),
        entitlement_id=one.entitlement_id,
        trial_end_time=timestamp(one.trial_end),
        next_plan_id=one.next_plan_id,
        charge_pending=bool(one.open_charge_id),
        end_reason=events_pb2.SubscriptionEndReason.ValueType(one.end),
        end_time=timestamp(one.end_time),
        create_time=timestamp(one.create_time),
    )


def change(wanted: Change, currency: str) -> subscriptions_pb2.PlanChange:
    """What a change of plan does."""
    return subscriptions_pb2.PlanChange(
        at_once=wanted.at_once,
        effect_time=timestamp(wanted.effect_time),
        credit=payments_pb2.Money(minor_units=wanted.credit, currency=currency),
        cost=payments_pb2.Money(minor_units=wanted.cost, currency=currency),
        due_now=payments_pb2.Money(minor_units=wanted.due_now, currency=currency),
        period_end_time=timestamp(wanted.period.end),
        price=payments_pb2.Money(minor_units=wanted.deal.price, currency=currency),
    )
