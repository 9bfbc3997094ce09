"""Envoy's own contract for counting calls (`envoy.service.ratelimit.v3`), put in terms of the ledger."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import grpc
import structlog
from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.service.ratelimit.v3 import rls_pb2_grpc
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from prometheus_client import Counter

from services.kit import telemetry
from services.kit.access import Rule as AccessRule
from services.kit.clock import Clock
from services.limits import answers
from services.limits.answers import Counted
from services.limits.callers import Callers
from services.limits.domain import Ask
from services.limits.ledger import Ledger
from services.limits.rules import Call, Rule, RulesFile

log = structlog.stdlib.get_logger()

SHOULD_RATE_LIMIT: Final = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
RULES: Final = {SHOULD_RATE_LIMIT: AccessRule(callers=frozenset({"envoy"}))}
"""Who may ask: another contract's method cannot carry our own option."""

MOST_DESCRIPTORS: Final = 4
_LONGEST_METHOD: Final = 256
_TOLD_AGAIN: Final = timedelta(minutes=1)
_TOLD_REMEMBERED: Final = 10_000
_Code = RateLimitResponse.Code

CHECKS: Final = Counter(
    "reelmesh_limits_checks_total", "Calls counted, by limit and what became of them.", ["limit", "outcome"]
)


class RateLimitServicer(rls_pb2_grpc.RateLimitServiceServicer):  # type: ignore[misc]  # the wheel brings no types
    """Serves `envoy.service.ratelimit.v3.RateLimitService`."""

    def __init__(self, rules: RulesFile, ledger: Ledger, callers: Callers, clock: Clock) -> None:
        self._rules = rules
        self._ledger = ledger
        self._callers = callers
        self._clock = clock
        # There are few enough addresses to try them all: what is logged of a bucket must not tell whose it is.
        self._salt = secrets.token_bytes(32)
        self._told: OrderedDict[bytes, datetime] = OrderedDict()

    async def ShouldRateLimit(  # the contract's name
        self, request: RateLimitRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> RateLimitResponse:
        """Counts one call and says whether it may pass."""
        rules, correlation_id, form = self._rules.current(), "", ""
        asks: dict[bytes, tuple[Rule, Ask, Call]] = {}
        for descriptor in request.descriptors[:MOST_DESCRIPTORS]:
            entries = {entry.key: entry.value for entry in descriptor.entries}
            correlation_id = entries.get("correlation_id", correlation_id)
            form = entries.get("form", form)
            call = _unsigned(entries)
            apply = rules.asks(call)
            # Who is known to have had enough at this address is not worth finding out more about.
            if not self._ledger.exhausted([ask for _, ask in apply]):
                call = await self._signed(call, entries.get("authorization", ""))
                apply = rules.asks(call)
            asks |= {ask.key: (rule, ask, call) for rule, ask in apply}
        outcomes = await self._ledger.take([ask for _, ask, _ in asks.values()])
        counted = [
            Counted(rule, ask.limit.count, ask.limit.seconds, ask.limit.burst, ask.limit.window, outcome)
            for (rule, ask, _), outcome in zip(asks.values(), outcomes, strict=True)
        ]
        if all(one.outcome.allowed for one in counted):
            for one in counted:
                CHECKS.labels(one.rule.name, "allowed").inc()
            return _answer(_Code.OK, len(request.descriptors), answers.headers(counted) if counted else ())
        for (rule, ask, call), outcome in zip(asks.values(), outcomes, strict=True):
            if not outcome.allowed:
                CHECKS.labels(rule.name, "refused").inc()
                self._tell(rule, ask.key, call)
        return _refused(counted, len(request.descriptors), telemetry.accepted_correlation_id(correlation_id), form)

    async def _signed(self, call: Call, authorization: str) -> Call:
        caller = await self._callers.of(authorization)
        if caller is None:
            return call
        return replace(call, caller=caller.key, tier=caller.tier, organisation=caller.organisation)

    def _tell(self, rule: Rule, key: bytes, call: Call) -> None:
        """Logs the first refusal of each bucket in a minute. Nobody can be found by what is written."""
        now = self._clock.now()
        last = self._told.get(key)
        if last is not None and last <= now < last + _TOLD_AGAIN:
            return
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > _TOLD_REMEMBERED:
            self._told.popitem(last=False)
        log.warning(
            "limit reached",
            limit=rule.name,
            method=call.method[:128],
            bucket=hmac.digest(self._salt, key, "sha256").hex()[:12],
            network=_network(call.address),
            tier=call.tier,
        )


def _unsigned(entries: dict[str, str]) -> Call:
    """A call as the edge tells of it, by whomever."""
    method = entries.get("method", "").removeprefix("/")
    return Call(
        method=method if len(method) <= _LONGEST_METHOD else "",
        address=_address(entries.get("masked_remote_address", "")),
    )


def _address(text: str) -> str:
    """The address that is counted by: an IPv4 address, or the /64 of an IPv6 address, which is what one household gets."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        # Not an address. It may still tell one caller from another.
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""
    if network.version == 6 and network.prefixlen > 64:
        network = network.supernet(new_prefix=64)
    return str(network)


def _network(address: str) -> str:
    """The part of an address that may be written down: a /24, or a /48."""
    try:
        network = ipaddress.ip_network(address)
    except ValueError:
        return ""
    kept = 24 if network.version == 4 else 48
    return str(network.supernet(new_prefix=kept) if network.prefixlen > kept else network)


def _answer(
    code: RateLimitResponse.Code, descriptors: int, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> RateLimitResponse:
    return RateLimitResponse(
        overall_code=code,
        statuses=[RateLimitResponse.DescriptorStatus(code=code)] * descriptors,
        response_headers_to_add=[HeaderValue(key=key, value=value) for key, value in headers],
        raw_body=body,
    )


def _refused(counted: Sequence[Counted], descriptors: int, correlation_id: str, form: str) -> RateLimitResponse:
    refusal = answers.refusal(counted)
    refusing = [one for one in counted if not one.outcome.allowed]
    words, body = answers.in_form(form, refusal, correlation_id)
    answer = _answer(_Code.OVER_LIMIT, descriptors, [*answers.headers(refusing), *words], body)
    # By this the edge knows that the answer has its words already.
    answer.dynamic_metadata.update({"spoken": True})
    return answer
