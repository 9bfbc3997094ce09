"""What can be seen, and what it counts. No input, no output."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class SignalKind(IntEnum):
    """What can be seen; the numbers are those of the contract."""

    IMPOSSIBLE_TRAVEL = 1
    TOKEN_SHARING = 2
    KEY_SCRAPING = 3
    SEGMENT_SCRAPING = 4
    TOO_MANY_DEVICES = 5
    OVERLAY_TAMPERED = 6


WEIGHTS: Final[Mapping[SignalKind, int]] = {
    SignalKind.IMPOSSIBLE_TRAVEL: 30,
    SignalKind.TOKEN_SHARING: 40,
    SignalKind.KEY_SCRAPING: 40,
    SignalKind.SEGMENT_SCRAPING: 40,
    SignalKind.TOO_MANY_DEVICES: 20,
    SignalKind.OVERLAY_TAMPERED: 40,
}
"""What each adds to a score where the organisation has not said otherwise, as the contract tells."""
