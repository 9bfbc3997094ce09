"""What a caller is told of limits: the headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), `Retry-After`
(RFC 9110, 10.2.3), and the refusal itself."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import grpc

from services.kit.errors import RPC_DOMAIN, STATUS_METADATA_KEY, Refusal
from services.limits.domain import MICROSECONDS, Outcome
from services.limits.rules import Rule

Header = tuple[str, str]

_OF: Final = {
    "address": "this address",
    "caller": "this caller",
    "organisation": "this organisation",
    "method": "this method",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """One limit that was applied to a call, with its numbers for the caller's tier."""

    rule: Rule
    count: int
    seconds: int
    burst: int
    window: int
    outcome: Outcome


def _seconds(microseconds: int) -> int:
    """Whole seconds, rounded up: whoever waits that long does not come too soon."""
    return -(-microseconds // MICROSECONDS)


def headers(counted: Sequence[Counted]) -> list[Header]:
    """What applies, as structured fields (RFC 9651): `q` calls may come at once and are refilled in `w` seconds; `r` are left, and all of
    them are back in `t` seconds."""
    policy = (f'"{one.rule.name}";q={one.burst};w={_seconds(one.window)}' for one in counted)
    state = (f'"{one.rule.name}";r={one.outcome.remaining};t={_seconds(one.outcome.full_in)}' for one in counted)
    return [("ratelimit-policy", ", ".join(policy)), ("ratelimit", ", ".join(state))]


def longest_wait(counted: Sequence[Counted]) -> Counted:
    """The limit that refuses for longest."""
    return max((one for one in counted if not one.outcome.allowed), key=lambda one: one.outcome.retry_in)


def refusal(counted: Sequence[Counted]) -> Refusal:
    """Why a call is refused, and when to come again."""
    worst = longest_wait(counted)
    of = " and ".join(_OF[part] for part in worst.rule.per)
    wait = timedelta(microseconds=worst.outcome.retry_in)
    span = "second" if worst.seconds == 1 else f"{worst.seconds} seconds"
    calls = "call" if worst.count == 1 else "calls"
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        f"more than {worst.count} {calls} per {span} for {of}; try again in {_seconds(worst.outcome.retry_in)} s",
        domain=RPC_DOMAIN,
        metadata={"limit": worst.rule.name, "per": " ".join(worst.rule.per)},
        retry_after=wait,
    )


def in_form(form: str, refused: Refusal, correlation_id: str) -> tuple[list[Header], bytes]:
    """Headers and body with which Envoy's answer becomes the refusal.

    Args:
        form: how the caller called: `http`, `grpc-web`, or `grpc`, of which Envoy makes the body the message.
        refused: the refusal.
        correlation_id: the call's.
    """
    wait = refused.retry_after or timedelta()
    said = [("retry-after", str(-(-wait // timedelta(seconds=1)))), ("x-reelmesh-reason", refused.reason)]
    if form == "http":
        body = json.dumps(refused.as_json(correlation_id), separators=(",", ":")).encode()
        return [*said, ("content-type", "application/json")], body
    code, _ = refused.code.value
    details = b64encode(refused.status(correlation_id).SerializeToString(deterministic=True)).decode().rstrip("=")
    said += [("grpc-status", str(code)), (STATUS_METADATA_KEY, details)]
    if form == "grpc-web":
        return [*said, ("grpc-message", refused.message)], b""
    return said, refused.message.encode()
