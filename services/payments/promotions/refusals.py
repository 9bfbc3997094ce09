"""Refusals about promotions; see `services.payments.refusals`."""

from __future__ import annotations

from datetime import datetime, timedelta

import grpc

from services.kit.errors import Refusal
from services.payments.refusals import DOMAIN, invalid, not_found, wrong_state


def promotion_not_found(promotion_id: str) -> Refusal:
    """There is no such promotion."""
    message = "there is no such promotion in your organisation"
    return not_found("PROMOTION_NOT_FOUND", message, promotion_id=promotion_id)


def promotion_invalid(field: str, message: str) -> Refusal:
    """Nobody could use this."""
    return invalid("PROMOTION_INVALID", f"{field}: {message}", field=field)


def promotion_code_taken() -> Refusal:
    """Two promotions would have one code."""
    return Refusal(
        grpc.StatusCode.ALREADY_EXISTS,
        "PROMOTION_CODE_TAKEN",
        "another promotion has this code; end it first, or take another code",
        domain=DOMAIN,
    )


def promotion_code_unknown() -> Refusal:
    """There is none with this code, or it has ended: which of them is not told."""
    return not_found("PROMOTION_CODE_UNKNOWN", "this code is not known, or not good any more; check how it is written")


def promotion_not_yet(start_time: datetime) -> Refusal:
    """Its time has not come."""
    moment = start_time.isoformat()
    return wrong_state("PROMOTION_NOT_YET", f"this code is good from {moment} on; try again then", start_time=moment)


def promotion_used_up() -> Refusal:
    """Others were quicker."""
    return wrong_state("PROMOTION_USED_UP", "this code was used as often as it may be; ask for another one")


def promotion_redeemed(uses_per_viewer: int) -> Refusal:
    """The viewer had it."""
    return wrong_state(
        "PROMOTION_REDEEMED",
        f"you have used this code already, and nobody may more than {uses_per_viewer} times; what you got by it stands in ListMyEntitlements",
        uses_per_viewer=str(uses_per_viewer),
    )


def too_many_attempts(wait: timedelta) -> Refusal:
    """Guessing."""
    seconds = max(1, round(wait.total_seconds()))
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_ATTEMPTS",
        f"there were too many wrong codes; try again in {seconds} s",
        domain=DOMAIN,
        retry_after=timedelta(seconds=seconds),
    )
