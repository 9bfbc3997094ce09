"""WebVTT (W3C) cut to a part of the film."""

from __future__ import annotations

import re
from typing import Final

_TIMING: Final = re.compile(
    r"(?P<begin>(?:\d{2,}:)?\d\d:\d\d\.\d{3})[ \t]+-->[ \t]+(?P<end>(?:\d{2,}:)?\d\d:\d\d\.\d{3})(?P<settings>[^\n]*)"
)


def part(text: str, start: float, end: float | None) -> str:
    """The cues that show between two moments of the film, their times counted from the first.

    Whatever is no cue, such as styles and regions, stays.

    Args:
        text: WebVTT with plain line ends.
        start: seconds.
        end: seconds; None for the end of the film.
    """
    kept = []
    for block in re.split(r"\n{2,}", text.strip("\n")):
        timing = _TIMING.search(block)
        if timing is None:
            kept.append(block)
            continue
        begins, ends = _seconds(timing["begin"]) - start, _seconds(timing["end"]) - start
        length = None if end is None else end - start
        if ends <= 0 or (length is not None and begins >= length):
            continue
        shown = f"{clock(max(begins, 0))} --> {clock(ends if length is None else min(ends, length))}"
        kept.append(block[: timing.start()] + shown + timing["settings"] + block[timing.end() :])
    return "\n\n".join(kept) + "\n"


def clock(seconds: float) -> str:
    """Seconds as WebVTT writes them."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{milliseconds:03}"


def _seconds(timestamp: str) -> float:
    hours, minutes, seconds = ("0:" + timestamp if timestamp.count(":") == 1 else timestamp).split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
