"""The two variants of a watermarked film: a faint coarse pattern is added to the picture for one, and taken from it for the other.

After ETSI TS 104 002 (DASH-IF A/B watermarking): each segment has its own pattern, which a key decides; whoever plays the film gets one
variant of each segment. The pattern is one luma level high, as coarse as a twentieth of the picture, and as often above as below the
picture's own brightness. ffmpeg does all that has to be done for each frame; this makes one tiny picture for each segment.
"""

from __future__ import annotations

import hashlib
from typing import Final

from services.kit.codewords import title_key
from services.transcode.ladder import Plan

PATTERN_FILE: Final = "pattern.yuv"
_LONG, _SHORT = 20, 12
"""Cells of the pattern along the picture's longer and its shorter side, both even as YUV 4:2:0 wants."""

_CELLS: Final = _LONG * _SHORT
_SWING: Final = 64
_GREY: Final = 128


def cells(plan: Plan) -> tuple[int, int]:
    """Columns and rows of the pattern: so that its cells are about as high as wide."""
    largest = plan.video[0]
    return (_LONG, _SHORT) if largest.width >= largest.height else (_SHORT, _LONG)


def patterns(root: bytes, asset_id: str, first: int, count: int) -> bytes:
    """The patterns of so many segments from `first` (counted from 0) on, as raw YUV 4:2:0 pictures of `cells`, one after the other.

    Half of all cells are light and half are dark, in an order that nobody knows who has no key.
    """
    key, made = title_key(root, asset_id, "pattern"), bytearray()
    for segment in range(first, first + count):
        drawn = hashlib.shake_256(key + segment.to_bytes(4, "big")).digest(_CELLS * 4)
        order = sorted(range(_CELLS), key=lambda cell: drawn[4 * cell : 4 * cell + 4])
        light = set(order[: _CELLS // 2])
        made += bytes(_GREY + (_SWING if cell in light else -_SWING) for cell in range(_CELLS))
        made += bytes([_GREY]) * (_CELLS // 2)
    return bytes(made)


def marked(plan: Plan, picture: str, pattern: str, width: int, height: int) -> tuple[str, str, str]:
    """Filters that make both variants of a picture.

    Args:
        plan: of the film.
        picture: label of the frames, numbered from the beginning of a segment on, at the rate of the timeline.
        pattern: label of the patterns, beginning with that of the first segment.
        width: of the picture.
        height: of the picture.

    Returns:
        The filters, and the labels of variants a and b.
    """
    rate = plan.frame_rate
    raised = f"lut=y='{_GREY}+round((val-{_GREY})/{_SWING})'"
    chroma = "c1_mode=normal:c2_mode=normal"
    timed = f"settb={rate.denominator}/{rate.numerator},setpts=N*{plan.gop_frames}"
    steps = [
        f"{picture}split=2[m0][m1]",
        f"{pattern}{timed},scale={width}:{height}:flags=bicubic,setsar=1,{raised},split=2[p0][p1]",
        f"[m0][p0]blend=c0_mode=grainmerge:{chroma}[va]",
        f"[m1][p1]blend=c0_mode=grainextract:{chroma}[vb]",
    ]
    return ";".join(steps), "[va]", "[vb]"


def pattern_input(plan: Plan) -> list[str]:
    """Arguments that come before the file of patterns to have ffmpeg read it, a picture for each segment."""
    columns, rows = cells(plan)
    return ["-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", f"{columns}x{rows}", "-framerate", "1"]
