"""Rules as data: a kind, the decisions that it is asked for, and what an organisation sets about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

import grpc

from services.kit.errors import Refusal
from services.policy import refusals
from services.policy.decision.facts import Kind
from services.policy.signals.kinds import WEIGHTS, SignalKind


class RuleKind(IntEnum):
    """What a rule looks at; the numbers are those of the contract."""

    STANDING = 1
    ACCOUNT = 2
    WINDOW = 3
    NETWORK = 4
    TERRITORY = 5
    CONSENT = 6
    AGE = 7
    MATURITY = 8
    ENTITLEMENT = 9
    DEVICE = 10
    CONCURRENCY = 11
    RISK = 12
    DOWNLOAD = 13


_STARTS: Final = (Kind.PLAYBACK, Kind.DOWNLOAD)
_WITH_SESSION: Final = (*_STARTS, Kind.MANIFEST, Kind.LICENCE)
_ALL: Final = tuple(Kind)

BELONGS_TO: Final[Mapping[RuleKind, tuple[Kind, ...]]] = {
    RuleKind.STANDING: _ALL,
    RuleKind.ACCOUNT: _WITH_SESSION,
    RuleKind.WINDOW: (*_WITH_SESSION, Kind.PREVIEW),
    RuleKind.NETWORK: (*_WITH_SESSION, Kind.PREVIEW),
    RuleKind.TERRITORY: _WITH_SESSION,
    RuleKind.CONSENT: (*_WITH_SESSION, Kind.PREVIEW),
    RuleKind.AGE: _WITH_SESSION,
    RuleKind.MATURITY: _WITH_SESSION,
    RuleKind.ENTITLEMENT: _WITH_SESSION,
    RuleKind.DEVICE: _WITH_SESSION,
    RuleKind.CONCURRENCY: (Kind.PLAYBACK, Kind.MANIFEST, Kind.LICENCE),
    RuleKind.RISK: _WITH_SESSION,
    RuleKind.DOWNLOAD: (Kind.DOWNLOAD,),
}
"""The decisions that each kind can be asked for. Segments are asked about standing alone: whoever is refused anything else loses the
session, and with it the standing, within a second."""

EVERY_OTHER_TIER: Final = "*"
PROVED_FROM: Final = 18
REFUSED_FROM: Final = 100
WARN_FROM: Final = 30
STEP_UP_FROM: Final = 60
THROTTLE_FROM: Final = 80
HALF_LIFE: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        kind: what it looks at; the other fields belong to some kinds only, see the contract.
        applies_to: decisions that it is asked for.
    """

    kind: RuleKind
    applies_to: tuple[Kind, ...]
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    refused_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    proof_by_territory: Mapping[str, int] = field(default_factory=dict)
    proof_from: int = PROVED_FROM
    streams_by_tier: Mapping[str, int] = field(default_factory=dict)
    registered_only: bool = False
    refused_from: int = REFUSED_FROM
    warn_from: int = WARN_FROM
    step_up_from: int = STEP_UP_FROM
    throttle_from: int = THROTTLE_FROM
    half_life: timedelta = HALF_LIFE
    signal_weights: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def plain(cls, kind: RuleKind) -> Rule:
        """The rule of a kind about which nothing is set."""
        return cls(kind, BELONGS_TO[kind])

    def streams(self, tier: str | None) -> int | None:
        """How many streams at a time a tier has; None for any number."""
        limit = self.streams_by_tier.get(tier) if tier else None
        return limit if limit is not None else self.streams_by_tier.get(EVERY_OTHER_TIER)

    def weight(self, kind: SignalKind) -> int:
        """What a signal adds to a score."""
        return self.signal_weights.get(kind.name, WEIGHTS[kind])


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of an organisation at one time, in the order in which they are asked."""

    version: int
    rules: tuple[Rule, ...]

    def rule(self, kind: RuleKind) -> Rule | None:
        """The rule of a kind; None when the organisation does not ask for it."""
        return next((rule for rule in self.rules if rule.kind is kind), None)


FIRST_RULES: Final = RuleSet(0, tuple(Rule.plain(kind) for kind in RuleKind))
"""What every organisation begins with: each kind, with nothing set."""


def networks(path: str, texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks as people write them.

    Raises:
        Refusal: INVALID_ARGUMENT `RULE_SET_INVALID`.
    """
    read = []
    for text in texts:
        try:
            read.append(ip_network(text, strict=False))
        except ValueError:
            raise invalid(path, f"{text!r} is no network; write it like 192.0.2.0/24 or 2001:db8::/32") from None
    return tuple(read)


def checked(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Rules that make sense together.

    Raises:
        Refusal: INVALID_ARGUMENT `RULE_SET_INVALID`.
    """
    if not rules or rules[0].kind is not RuleKind.STANDING or set(rules[0].applies_to) != set(_ALL):
        raise invalid(
            "rules[0]", "the first rule must be STANDING, for all decisions: without it nothing could be revoked"
        )
    seen: set[RuleKind] = set()
    for number, rule in enumerate(rules):
        path = f"rules[{number}]"
        if rule.kind in seen:
            raise invalid(f"{path}.kind", f"there are two rules of the kind {rule.kind.name}; put them into one")
        seen.add(rule.kind)
        for kind in rule.applies_to:
            if kind not in BELONGS_TO[rule.kind]:
                raise invalid(
                    f"{path}.applies_to", f"{rule.kind.name} cannot be asked for {kind.name}; leave that decision out"
                )
        if any(limit < 1 for limit in rule.streams_by_tier.values()):
            raise invalid(f"{path}.streams_by_tier", "a tier has at least 1 stream; leave the tier out for no limit")
        if any(not 1 <= age <= 99 for age in rule.proof_by_territory.values()):
            raise invalid(f"{path}.proof_by_territory", "an age is 1 to 99")
        _weighed(f"{path}.signal_weights", rule.signal_weights)
    return tuple(rules)


def _weighed(path: str, weights: Mapping[str, int]) -> None:
    for name, weight in weights.items():
        if name not in SignalKind.__members__:
            raise invalid(path, f"there is no signal {name!r}; there are {', '.join(SignalKind.__members__)}")
        if not 0 <= weight <= 100:
            raise invalid(path, "a weight is 0 to 100")


def invalid(path: str, why: str) -> Refusal:
    """The rules contradict each other, or say nothing."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "RULE_SET_INVALID",
        f"{path}: {why}",
        domain=refusals.DOMAIN,
        fields=[(path, why)],
    )
