"""Refusals about plans; see `services.payments.refusals`."""

from __future__ import annotations

from services.kit.errors import Refusal
from services.payments.refusals import invalid, not_found, wrong_state


def plan_not_found(plan_id: str) -> Refusal:
    """There is no such plan."""
    return not_found("PLAN_NOT_FOUND", "there is no such plan in your organisation", plan_id=plan_id)


def plan_retired(plan_id: str) -> Refusal:
    """Nobody new may have it."""
    return wrong_state("PLAN_RETIRED", "this plan is not offered any more; choose another", plan_id=plan_id)


def plan_terms_invalid(field: str, message: str) -> Refusal:
    """The terms contradict themselves."""
    return invalid("PLAN_TERMS_INVALID", message, field=field)


def price_not_offered(territory: str, currency: str) -> Refusal:
    """The plan has no such price."""
    place = territory or "every territory"
    return wrong_state(
        "PRICE_NOT_OFFERED",
        f"the plan has no price in {currency} for {place}; choose another currency, or give the plan such a price",
        territory=territory,
        currency=currency,
    )
