"""Rules of devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import grpc

from services.identity.accounts.domain import FIRST_TIER
from services.identity.refusals import refusal
from services.kit.errors import Refusal

LIMITS: Final[Mapping[str, int]] = {"free": 2, "basic": 3, "standard": 5, "premium": 10}
"""Devices of an account by its tier."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Attributes:
        device_id: `dev_…`.
        account_id: whose it is.
        display_name, platform, model: how it looks.
        key_thumbprint: of its public key (RFC 7638).
        create_time, use_time: when it was registered, and when a session on it was last opened or refreshed.
        revoke_time: when it was revoked; None unless it was.
    """

    device_id: str
    account_id: str
    display_name: str
    platform: str
    model: str
    key_thumbprint: str
    create_time: datetime
    use_time: datetime
    revoke_time: datetime | None = None

    def renamed(self, display_name: str) -> Device:
        """With another name."""
        return replace(self, display_name=display_name)

    def seen(self, now: datetime) -> Device:
        """In use."""
        return replace(self, use_time=now)

    def revoked(self, now: datetime) -> Device:
        """Revoked."""
        return replace(self, revoke_time=now)


def checked_number(limits: Mapping[str, int], tier: str, devices: int) -> None:
    """Lets an account have one device more. A tier that nothing is said of has what the first tier has.

    Raises:
        Refusal: FAILED_PRECONDITION `DEVICE_LIMIT_REACHED`.
    """
    limit = limits.get(tier, limits.get(FIRST_TIER, LIMITS[FIRST_TIER]))
    if devices < limit:
        return
    message = f"this account may have {limit} devices and has {devices}; revoke one first, or choose another tier"
    raise refusal(grpc.StatusCode.FAILED_PRECONDITION, "DEVICE_LIMIT_REACHED", message, limit=str(limit), tier=tier)


def device_not_found(device_id: str) -> Refusal:
    """None, or none of the caller's."""
    message = f"you have no device {device_id}"
    return refusal(grpc.StatusCode.NOT_FOUND, "DEVICE_NOT_FOUND", message, device_id=device_id)


def session_bound(device_id: str) -> Refusal:
    """To another device or key."""
    message = "this session is bound to another device or key already; sign in anew on this one"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "SESSION_BOUND", message, device_id=device_id)
