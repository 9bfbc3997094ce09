"""WMPaceInfo: what the edge of somebody else needs to know of a segment to choose its variant by a token (ETSI TS 104 002 §5.5).

A sidecar lies beside each segment, in `WMPaceInfo/<segment>`: a `sidecar-discrete` of §5.5.3.2, deterministically encoded CBOR with integer keys. Nobody but that edge may fetch it.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import cbor2

from services.kit.codewords import PERIOD

FOLDER: Final = "WMPaceInfo"
_VERSION: Final = 1


class Label(IntEnum):
    """Keys of the maps."""

    VERSION = 1
    SEGMENTS = 2
    POSITION = 6
    FIRSTPART = 7
    LASTPART = 8


def pace_info(position: int) -> bytes:
    """The sidecar of a segment, which both variants have alike.

    Args:
        position: of the pattern, from 0; -1 for a segment that is not marked, which all get alike. A segment is a position of its own here, so
            it is both the first and the last part of it.
    """
    segment = {Label.POSITION: position, Label.FIRSTPART: True, Label.LASTPART: True}
    whole = {Label.VERSION: _VERSION, Label.SEGMENTS: [_plain(segment)]}
    return cbor2.dumps(_plain(whole), canonical=True)


def _plain(labelled: dict[Label, Any]) -> dict[int, Any]:
    return {int(label): value for label, value in labelled.items()}


def position_of(number: int) -> int:
    """The position of a segment, by its number from 1: a pattern begins anew after its last one."""
    return (number - 1) % PERIOD


def write_sidecar(segment: Path, position: int) -> None:
    """Writes the sidecar of a segment beside it."""
    folder = segment.parent / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / segment.name).write_bytes(pace_info(position))
