"""What a licence asks of the device, and how FairPlay says it. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.drm.fairplay.ckc import KeyDuration, Terms
from services.drm.fairplay.tags import HdcpType, KeyType
from services.drm.licences.asked import Grant
from services.drm.licences.policy import Hdcp

_MOST_SECONDS: Final = 0xFFFFFFFF
_HDCP: Final = {
    Hdcp.NONE: HdcpType.NOT_REQUIRED,
    Hdcp.V1: HdcpType.TYPE_0,
    # FairPlay knows no version between; never looser than it is meant.
    Hdcp.V2_0: HdcpType.TYPE_1,
    Hdcp.V2_2: HdcpType.TYPE_1,
}


class CannotEnforce(Exception):
    """The device does not understand what it must hold to.

    Attributes:
        condition: `duration`, `offline` or `hdcp`.
    """

    def __init__(self, condition: str) -> None:
        super().__init__(f"the device does not understand {condition}")
        self.condition = condition


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a device is to hold to. None: no such limit.

    Attributes:
        licence: after this time since the licence was asked for, nothing plays unless the licence is renewed.
        rental: within this time playback must begin.
        playback: once begun, playback goes on for this long.
        offline: the device may keep the licence and play without a connection.
        hdcp: what outer screens must offer.
    """

    licence: timedelta | None = None
    rental: timedelta | None = None
    playback: timedelta | None = None
    offline: bool = False
    hdcp: HdcpType = HdcpType.NOT_REQUIRED


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a device says that it understands.

    Attributes:
        durations: leases, rentals and kept keys.
        hdcp: the HDCP enforcement TLLV.
    """

    durations: bool
    hdcp: bool


def conditions_of(grant: Grant, label: str) -> Conditions:
    """What the licence policy asks of a device that gets a key of this label.

    FairPlay has no word for when to renew but the lease, shortly before whose end devices ask anew: so a lease is no longer than that.
    """
    policy, hdcp = grant.policy, _HDCP[grant.policy.rule(label).hdcp]
    whole = grant.expire_time - grant.issue_time
    if grant.offline:
        return Conditions(rental=whole, playback=policy.playback_duration, offline=True, hdcp=hdcp)
    lease = whole if policy.renew_after is None else min(whole, policy.renew_after)
    return Conditions(licence=lease, playback=policy.playback_duration, hdcp=hdcp)


def terms_of(conditions: Conditions, abilities: Abilities) -> Terms:
    """Says the conditions in a CKC's terms. Nothing is ever said more loosely than it is meant.

    Raises:
        CannotEnforce: the device would not hold to them.
    """
    duration = kept_for(conditions) if conditions.offline else played_for(conditions)
    if duration is not None and not abilities.durations:
        raise CannotEnforce("offline" if conditions.offline else "duration")
    if not abilities.hdcp:
        # A device that is told nothing demands HDCP of any version by itself.
        if conditions.hdcp is HdcpType.TYPE_1:
            raise CannotEnforce("hdcp")
        return Terms(duration)
    return Terms(duration, conditions.hdcp)


def played_for(conditions: Conditions) -> KeyDuration | None:
    """Durations of a key that is not kept. A lease is the only thing that ends playback, so a length of playback is one too."""
    lease, rental = _shortest(conditions.licence, conditions.playback), _shortest(conditions.rental)
    match lease, rental:
        case None, None:
            return None
        case int(), None:
            return KeyDuration(lease, 0, KeyType.LEASE)
        case None, int():
            return KeyDuration(0, rental, KeyType.RENTAL)
        case _:
            assert lease is not None
            assert rental is not None
            return KeyDuration(lease, rental, KeyType.LEASE_AND_RENTAL)


def kept_for(conditions: Conditions) -> KeyDuration:
    """Durations of a key that the device keeps. It counts from when the key was asked for and knows one limit only: the shortest."""
    limit = _shortest(conditions.licence, conditions.rental, conditions.playback)
    return KeyDuration(0, 0, KeyType.PERSIST) if limit is None else KeyDuration(0, limit, KeyType.PERSIST_LIMITED)


def _shortest(*limits: timedelta | None) -> int | None:
    """Whole seconds, at least one: to a device, none means no limit."""
    given = [limit for limit in limits if limit is not None]
    return min(max(int(min(given).total_seconds()), 1), _MOST_SECONDS) if given else None
