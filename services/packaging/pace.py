"""WMPaceInfo: what the edge of somebody else needs to know of a segment to choose its variant by a token (ETSI TS 104 002 §7).

A sidecar lies beside each segment, in `WMPaceInfo/<segment>`, as CBOR. Nobody but that edge may fetch it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cbor2

FOLDER: Final = "WMPaceInfo"


def pace_info(variant: int, position: int) -> bytes:
    """The sidecar of a segment.

    Args:
        variant: 0 for a, 1 for b.
        position: of the pattern, from 0; -1 for a segment that is not marked, which all get alike. A segment is a position of its own here, so
            it is both the first and the last part of it.
    """
    return cbor2.dumps({"variant": variant, "position": position, "firstpart": True, "lastpart": True})


def write_sidecar(segment: Path, variant: int, position: int) -> None:
    """Writes the sidecar of a segment beside it."""
    folder = segment.parent / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / segment.name).write_bytes(pace_info(variant, position))
