"""The licence policy in the words of PlayReady: security levels, output protection levels and explicit output protections.

https://learn.microsoft.com/playready/overview/output-protection-levels and the Compliance Rules that it refers to.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from services.drm.licences.policy import Hdcp, SecurityLevel, TrackRule

LEVELS: Final = {SecurityLevel.SOFTWARE: 2000, SecurityLevel.HARDWARE: 3000}
HDCP_TYPE: Final = "ABB2C6F1-E663-4625-A945-972D17B231E7"
"""Explicit digital video output protection: HDCP type restriction; with 1, content of type 1 (HDCP 2.2 and later)."""
DIGITAL_ONLY: Final = "760AE755-682A-41E0-B1B3-DCDF836A7306"
"""Explicit analogue video output protection: digital video only."""
_UNPROTECTED: Final = 100
_HDCP_ENGAGED: Final = 300
_COMPRESSED_FREE: Final = 400
_COMPRESSED_NEVER: Final = 500
_ANALOGUE_PROTECTED: Final = 200


def level_of(text: str) -> SecurityLevel:
    """A security level as PlayReady counts it; what is not said is software."""
    return (
        SecurityLevel.HARDWARE
        if text.isascii() and text.isdecimal() and int(text[:9]) >= 3000
        else SecurityLevel.SOFTWARE
    )


def of(rule: TrackRule) -> dict[str, Any]:
    """What a licence says of outputs and of the client, for keys under a rule. PlayReady knows no HDCP 2.0 by itself; 2.2 takes its place."""
    held = rule.hdcp != Hdcp.NONE
    said: dict[str, Any] = {
        "minimum_security_level": LEVELS[rule.least_security],
        "uncompressed_digital_video_opl": _HDCP_ENGAGED if held else _UNPROTECTED,
        "compressed_digital_video_opl": _COMPRESSED_NEVER if held else _COMPRESSED_FREE,
        "analog_video_opl": _UNPROTECTED if rule.analogue_allowed else _ANALOGUE_PROTECTED,
    }
    if rule.hdcp >= Hdcp.V2_0:
        said["digital_video_output_protections"] = [_explicit(HDCP_TYPE, 1)]
    if not rule.analogue_allowed:
        said["analog_video_output_protections"] = [_explicit(DIGITAL_ONLY, 0)]
    return said


def _explicit(guid: str, value: int) -> dict[str, str]:
    return {"id": guid, "config_data": base64.b64encode(value.to_bytes(4, "big")).decode()}
