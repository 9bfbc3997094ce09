"""The evidence as one picture for people: what the copy shows beside what the title shows, and every session's score."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from services.protection.detection.detecting import Detection

Floats = NDArray[np.float64]

_WIDTH: Final = 780
_FRAME: Final = (250, 141)
_GAP: Final = 10
_CHART: Final = 240
_LINE: Final = 18
_BINS: Final = 60
_INK, _PAPER, _GREY, _RED, _BLUE = (20, 20, 20), (255, 255, 255), (150, 150, 150), (200, 30, 30), (70, 110, 180)


def drawn(detection: Detection) -> bytes:
    """A PNG: aligned frames, then the scores of all sessions with the threshold and those who are accused."""
    lines = _told(detection)
    frames = detection.reading.shown if detection.reading else []
    height = _GAP * 4 + _LINE * len(lines) + (2 * (_FRAME[1] + _LINE) + _GAP if frames else 0) + _CHART
    canvas = Image.new("RGB", (_WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(canvas)
    top = _GAP
    for line in lines:
        pen.text((_GAP, top), line, fill=_INK)
        top += _LINE
    for place, shown in enumerate(frames[:3]):
        left = _GAP + place * (_FRAME[0] + _GAP)
        for row, (name, image) in enumerate((("copy", shown.copy), ("title", shown.title))):
            at = top + _GAP + row * (_FRAME[1] + _LINE)
            pen.text((left, at), f"{name}, segment {shown.segment + 1}", fill=_INK)
            canvas.paste(_picture(image), (left, at + _LINE))
    if frames:
        top += 2 * (_FRAME[1] + _LINE) + _GAP
    if detection.verdict is not None and len(detection.verdict.scores):
        _chart(pen, top + _GAP, detection)
    out = io.BytesIO()
    canvas.save(out, "PNG", optimize=True)
    return out.getvalue()


def _told(detection: Detection) -> list[str]:
    lines = [f"Outcome: {detection.outcome.replace('_', ' ').lower()}"]
    if detection.title and detection.alignment:
        where = detection.alignment
        mirrored = ", mirrored" if where.mirrored else ""
        lines.append(
            f"Title {detection.title.asset_id} from {where.offset:.1f} s on, speed {where.speed:.4f}{mirrored}"
        )
    if detection.reading and detection.verdict:
        read, needed = len(detection.reading.bits), detection.verdict.threshold
        lines.append(
            f"{read} segments read; {detection.sessions} sessions looked at; accused from a score of {needed:.2f}"
        )
    lines += [
        f"{one.session_id}: score {one.score:.2f}, chance of anybody innocent at most {one.false_positive:.1e}"
        for one in detection.suspects[:10]
    ]
    return lines


def _picture(image: Floats) -> Image.Image:
    grey = np.clip(np.nan_to_num(image, nan=255), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).resize(_FRAME).convert("RGB")


def _chart(pen: ImageDraw.ImageDraw, top: int, detection: Detection) -> None:
    """How many sessions have which score, on a logarithmic scale, so that one among a million is seen."""
    assert detection.verdict is not None
    scores, threshold = detection.verdict.scores, min(detection.verdict.threshold, 1e6)
    low, high = min(-4.0, float(scores.min())), max(threshold, float(scores.max())) + 1
    counts, _ = np.histogram(scores, _BINS, (low, high))
    width, bottom = (_WIDTH - 2 * _GAP) / _BINS, top + _CHART - 2 * _LINE
    tallest = np.log1p(max(1, int(counts.max())))
    edge = _GAP + (threshold - low) / (high - low) * (_WIDTH - 2 * _GAP)
    for place, count in enumerate(counts):
        left = _GAP + place * width
        if count:
            peak = bottom - (bottom - top - _LINE) * float(np.log1p(count) / tallest)
            pen.rectangle((left, peak, left + width - 1, bottom), fill=_RED if left + width / 2 >= edge else _BLUE)
    pen.line((_GAP, bottom, _WIDTH - _GAP, bottom), fill=_GREY)
    pen.line((edge, top, edge, bottom), fill=_RED)
    pen.text((max(_GAP, edge - 70), top - 2), "accused ->", fill=_RED)
    pen.text(
        (_GAP, bottom + 3),
        f"score {low:.0f} … {high:.0f}, in deviations of an innocent's; height: log of sessions",
        fill=_INK,
    )
