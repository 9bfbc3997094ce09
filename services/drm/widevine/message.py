"""The licence policy in the words of Widevine's licence service: `content_key_specs` and `policy_overrides`."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from services.drm.domain import ContentKey
from services.drm.licences.granting import Grant
from services.drm.licences.policy import Hdcp, LicencePolicy, SecurityLevel, TrackKind
from services.drm.widevine.challenge import Challenge, Wish

HDCP: Final = {
    Hdcp.NONE: "HDCP_NONE",
    Hdcp.V1: "HDCP_V1",
    Hdcp.V2_0: "HDCP_V2",
    Hdcp.V2_2: "HDCP_V2_2",
}
SOFTWARE_CRYPTO: Final = 1
HARDWARE_CRYPTO: Final = 3
HARDWARE_ALL: Final = 5
_RETRY_RENEWAL: Final = 10
"""Seconds between two tries of a renewal that failed."""
_ALLOWED: Final = {TrackKind.SD: "SD_ONLY", TrackKind.HD: "SD_HD", TrackKind.UHD1: "SD_UHD1", TrackKind.UHD2: "SD_UHD2"}


def asking_for_certificate(challenge: Challenge) -> bytes:
    """The message that asks for the service certificate."""
    return _json({"payload": _b64(challenge.payload)})


def asking_what_it_is(challenge: Challenge, provider: str) -> bytes:
    """The message by which the service reads a challenge and makes no licence."""
    return _json({"payload": _b64(challenge.payload), "provider": provider, "parse_only": True})


def asking_for_licence(challenge: Challenge, provider: str, grant: Grant) -> bytes:
    """The message that orders a licence. One that is given back needs neither keys nor policy; a renewal gets the keys too, since the
    service takes them from each request."""
    message: dict[str, Any] = {
        "payload": _b64(challenge.payload),
        "provider": provider,
        "content_id": _b64(grant.package_id.encode()),
    }
    if challenge.wish != Wish.RELEASE:
        message |= {
            "allowed_track_types": allowed_track_types(key.label for key in grant.keys),
            "content_key_specs": [key_spec(key, grant.policy) for key in grant.keys],
            "policy_overrides": policy_overrides(grant),
        }
    return _json(message)


def allowed_track_types(labels: Iterable[str]) -> str:
    """The name of the greatest kind of pictures. Which keys there are is said by `content_key_specs`; this only must not contradict it."""
    kinds = [TrackKind.of(label) for label in labels]
    greatest = max((TrackKind.UHD2 if kind is None else kind for kind in kinds), default=TrackKind.SD)
    return _ALLOWED[max(greatest, TrackKind.SD)]


def key_spec(key: ContentKey, policy: LicencePolicy) -> dict[str, Any]:
    """A key, and what it needs of the player."""
    kind, rule = TrackKind.of(key.label), policy.rule(key.label)
    level = SOFTWARE_CRYPTO
    if rule.least_security == SecurityLevel.HARDWARE:
        # Sound is decoded outside of the trusted environment on most devices that have one.
        level = HARDWARE_CRYPTO if kind == TrackKind.AUDIO else HARDWARE_ALL
    outputs: dict[str, Any] = {"hdcp": HDCP[rule.hdcp], "cgms_flags": "CGMS_NONE"}
    if not rule.analogue_allowed:
        outputs |= {"cgms_flags": "COPY_NEVER", "disable_analog_output": True}
    return {
        "track_type": key.label if kind is None else kind.name,
        "key_id": _b64(key.key_id),
        "key": _b64(key.key),
        "security_level": level,
        "required_output_protection": outputs,
    }


def policy_overrides(grant: Grant) -> dict[str, Any]:
    """How long the licence lasts, and what may be done with it. 0 would mean for ever, so nothing is shorter than a second."""
    policy = grant.policy
    overrides: dict[str, Any] = {
        "can_play": True,
        "can_persist": grant.offline,
        "can_renew": policy.renew_after is not None,
        "license_duration_seconds": _seconds(grant.expire_time - grant.issue_time),
    }
    if grant.offline:
        overrides["rental_duration_seconds"] = _seconds(grant.expire_time - grant.issue_time)
    if policy.playback_duration is not None:
        overrides["playback_duration_seconds"] = _seconds(policy.playback_duration)
    if policy.renew_after is not None:
        overrides |= {
            "renewal_delay_seconds": _seconds(policy.renew_after),
            "renewal_retry_interval_seconds": _RETRY_RENEWAL,
            # A renewal that does not come off leaves the licence as it is, until it ends.
            "renewal_recovery_duration_seconds": _seconds(grant.expire_time - grant.issue_time - policy.renew_after),
            "renew_with_usage": False,
        }
    return overrides


def _seconds(span: timedelta) -> int:
    return max(1, int(span.total_seconds()))


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _json(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
