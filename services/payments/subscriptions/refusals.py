"""Refusals about subscriptions; see `services.payments.refusals`."""

from __future__ import annotations

from services.kit.errors import Refusal
from services.payments.refusals import not_found, wrong_state


def subscription_not_found(subscription_id: str) -> Refusal:
    """There is no such subscription, or it is another's."""
    return not_found("SUBSCRIPTION_NOT_FOUND", "you can reach no such subscription", subscription_id=subscription_id)


def subscription_exists(subscription_id: str) -> Refusal:
    """One at a time."""
    return wrong_state(
        "SUBSCRIPTION_EXISTS",
        "the viewer has a subscription already; change its plan, or wait until it is over",
        subscription_id=subscription_id,
    )


def subscription_state_wrong(state: str, message: str) -> Refusal:
    """Not as it stands."""
    return wrong_state("SUBSCRIPTION_STATE_WRONG", message, state=state)


def charge_pending() -> Refusal:
    """First the outcome."""
    return wrong_state(
        "CHARGE_PENDING", "a charge of this subscription is under way; try again when its outcome is known"
    )


def processor_renews(processor: str) -> Refusal:
    """Only the processor can."""
    return wrong_state(
        "PROCESSOR_RENEWS",
        f"{processor} renews this subscription by itself, and only there can this be done; cancel it and subscribe anew instead",
        processor=processor,
    )
