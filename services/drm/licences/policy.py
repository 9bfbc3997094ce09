"""The licence policy: what licences allow, and to what kind of player keys go at all. Pure: no input, no output.

One policy for all key systems. Each maps it to its own words (EME, TLLVs of a CKC, `policy_overrides`, PlayReady's restrictions); keys that
need what a key system cannot see to are left out, whoever asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

_KEY_PERIOD: Final = re.compile(r"_P[1-9][0-9]*$")
OFFLINE_RENTAL: Final = timedelta(days=30)
"""How long an offline licence lasts where the policy does not say."""


class SecurityLevel(IntEnum):
    """How well a decryption module keeps keys and pictures to itself; the numbers are those of the contract."""

    SOFTWARE = 1
    HARDWARE = 2


class Hdcp(IntEnum):
    """Protection of digital outputs; the numbers are those of the contract."""

    NONE = 1
    V1 = 2
    V2_0 = 3
    V2_2 = 4


class TrackKind(IntEnum):
    """Kinds of track that have keys of their own; the numbers are those of the contract."""

    AUDIO = 1
    SD = 2
    HD = 3
    UHD1 = 4
    UHD2 = 5

    @classmethod
    def of(cls, label: str) -> TrackKind | None:
        """The kind that a key's label names, in whichever key period; None for a label of no kind."""
        label = _KEY_PERIOD.sub("", label)
        if label == "AUDIO" or label.endswith("_AUDIO"):
            return cls.AUDIO
        if label in {"HD1", "HD2"}:  # SPEKE v2 tells them apart
            return cls.HD
        return cls.__members__.get(label)


class DropReason(StrEnum):
    """Why a key is left out of a licence."""

    SECURITY_LEVEL_TOO_LOW = "SECURITY_LEVEL_TOO_LOW"
    OUTPUT_UNPROTECTED = "OUTPUT_UNPROTECTED"


@dataclass(frozen=True, slots=True)
class TrackRule:
    """What the keys of one kind of track need of whoever gets them.

    Attributes:
        least_security: least level of the decryption module.
        hdcp: least version on digital outputs.
        analogue_allowed: whether pictures may leave by analogue outputs.
    """

    least_security: SecurityLevel = SecurityLevel.SOFTWARE
    hdcp: Hdcp = Hdcp.NONE
    analogue_allowed: bool = True

    def refusal_of(self, security_level: SecurityLevel, hdcp: Hdcp) -> DropReason | None:
        """Why a player does not get keys under this rule; None when it does.

        Args:
            security_level: of the player's decryption module.
            hdcp: greatest version that the player can be held to.
        """
        if security_level < self.least_security:
            return DropReason.SECURITY_LEVEL_TOO_LOW
        return DropReason.OUTPUT_UNPROTECTED if hdcp < self.hdcp else None

    def with_(self, other: TrackRule) -> TrackRule:
        """The rule that asks for what either asks for."""
        return TrackRule(
            max(self.least_security, other.least_security),
            max(self.hdcp, other.hdcp),
            self.analogue_allowed and other.analogue_allowed,
        )


FIRST_RULES: Final[Mapping[TrackKind, TrackRule]] = MappingProxyType(
    {
        TrackKind.AUDIO: TrackRule(),
        TrackKind.SD: TrackRule(),
        TrackKind.HD: TrackRule(),
        TrackKind.UHD1: TrackRule(SecurityLevel.HARDWARE, Hdcp.V2_2, analogue_allowed=False),
        TrackKind.UHD2: TrackRule(SecurityLevel.HARDWARE, Hdcp.V2_2, analogue_allowed=False),
    }
)
"""What every organisation begins with: no UHD for decryption in software."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """Which keys go into a licence.

    Attributes:
        kept: key ids, in the order given.
        dropped: key id → why it is left out.
    """

    kept: tuple[bytes, ...]
    dropped: Mapping[bytes, DropReason]


@dataclass(frozen=True, slots=True)
class LicencePolicy:
    """What licences of an organisation allow.

    Attributes:
        version: counts the organisation's policies from 1; 0 is the one that every organisation begins with.
        licence_duration: of a licence for watching at once; None: until its playback ends, beyond which it never lasts.
        rental_duration: of an offline licence until it is first played; None: `OFFLINE_RENTAL`.
        playback_duration: of a licence once it has been played; None: as long as it lasts anyway.
        renew_after: when players are told to ask again; None: never.
        offline: whether licences may be kept.
        device_required: whether only registered devices that prove their key get licences.
        tracks: a rule for every kind.
    """

    version: int = 0
    licence_duration: timedelta | None = None
    rental_duration: timedelta | None = None
    playback_duration: timedelta | None = None
    renew_after: timedelta | None = None
    offline: bool = False
    device_required: bool = False
    tracks: Mapping[TrackKind, TrackRule] = field(default_factory=lambda: FIRST_RULES)

    def rule(self, label: str) -> TrackRule:
        """The rule for keys of a label. One of no kind follows the strictest of all rules: what it is for is not known."""
        kind = TrackKind.of(label)
        if kind is not None:
            return self.tracks[kind]
        strictest = TrackRule()
        for rule in self.tracks.values():
            strictest = strictest.with_(rule)
        return strictest

    def strictest(self, labels: Iterable[str]) -> TrackRule:
        """One rule for a licence that can only say one thing about all its keys."""
        rule = TrackRule()
        for label in labels:
            rule = rule.with_(self.rule(label))
        return rule

    def loosest(self, labels: Iterable[str]) -> TrackRule:
        """The rule of some keys that asks for least: what a player lacks that gets none of them."""
        return min((self.rule(label) for label in labels), key=lambda rule: (rule.least_security, rule.hdcp))

    def sorted_out(self, labels: Mapping[bytes, str], security_level: SecurityLevel, hdcp: Hdcp) -> Sorted:
        """Which of some keys a player gets.

        Args:
            labels: key id → label.
            security_level: of the player's decryption module.
            hdcp: greatest version that the key system can hold the player to; NONE where it cannot (Clear Key).
        """
        kept, dropped = [], {}
        for key_id, label in labels.items():
            why = self.rule(label).refusal_of(security_level, hdcp)
            if why is None:
                kept.append(key_id)
            else:
                dropped[key_id] = why
        return Sorted(tuple(kept), dropped)

    def expire_time(self, now: datetime, session_expire_time: datetime, *, offline: bool) -> datetime:
        """When a licence that is issued now ends at the latest: an offline one outlasts the playback it was asked in."""
        if offline:
            return now + (self.rental_duration or OFFLINE_RENTAL)
        if self.licence_duration is None:
            return session_expire_time
        return min(now + self.licence_duration, session_expire_time)

    def contradiction(self) -> tuple[str, str] | None:
        """Field path of the contract and what is wrong with it; None when nothing is."""
        if self.renew_after and self.licence_duration and self.renew_after >= self.licence_duration:
            return "policy.renew_after", "a licence must be renewed before it ends: take less than licence_duration"
        return None


FIRST_POLICY: Final = LicencePolicy()
"""Of an organisation that set nothing."""
