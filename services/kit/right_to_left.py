"""Texts that are written from right to left, turned round and joined as they are seen: a page only knows glyphs from left to right.

What is done of Unicode's bidirectional algorithm (UAX #9) is what names and addresses need: one line, runs of letters and of numbers, no
embeddings. Arabic letters take the forms that they have beside their neighbours, from Unicode's presentation forms.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby
from typing import Final

_FORMS: Final = (*range(0xFB50, 0xFDC8), *range(0xFE70, 0xFEFD))
_MIRRORED: Final = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_LAM: Final = "ل"
_RIGHT: Final = {"R", "AL"}
_NUMBERS: Final = {"EN", "AN"}


def as_seen(text: str) -> str:
    """A line as its glyphs stand from left to right."""
    if not any(unicodedata.bidirectional(letter) in _RIGHT for letter in text):
        return text
    return _ordered(_joined(text))


@cache
def _shapes() -> dict[str, dict[str, str]]:
    """Form (`isolated`, `final`, `initial`, `medial`) of each letter, and of lam with alef, to the character that has it."""
    shapes: dict[str, dict[str, str]] = {}
    for code in _FORMS:
        decomposed = unicodedata.decomposition(chr(code)).split()
        if not decomposed or not decomposed[0].startswith("<"):
            continue
        letters = "".join(chr(int(part, 16)) for part in decomposed[1:])
        if len(letters) == 1 or (len(letters) == 2 and letters[0] == _LAM and code >= 0xFEF5):
            shapes.setdefault(letters, {})[decomposed[0].strip("<>")] = chr(code)
    return shapes


def _joined(text: str) -> str:
    shapes = _shapes()
    units: list[str] = []
    for letter in text:
        if units and units[-1] == _LAM and _LAM + letter in shapes:
            units[-1] = _LAM + letter
        else:
            units.append(letter)
    seen = []
    for place, unit in enumerate(units):
        forms = shapes.get(unit, {})
        before = _neighbour(units, place, -1)
        after = _neighbour(units, place, 1)
        to_right = bool(forms.get("final")) and "initial" in shapes.get(before, {})
        to_left = "initial" in forms and bool(shapes.get(after, {}).get("final"))
        form = {(True, True): "medial", (True, False): "final", (False, True): "initial"}.get(
            (to_right, to_left), "isolated"
        )
        seen.append(forms.get(form, unit))
    return "".join(seen)


def _neighbour(units: list[str], place: int, step: int) -> str:
    """The next letter on one side, marks left out."""
    place += step
    while 0 <= place < len(units):
        if unicodedata.category(units[place][0]) != "Mn":
            return units[place]
        place += step
    return ""


def _ordered(text: str) -> str:
    """Turns runs round. The line reads as its first letter with a direction does."""
    ways = [_way(letter) for letter in text]
    base = next((way for way in ways if way), "L")
    resolved: list[str] = []
    for place, way in enumerate(ways):
        if way:
            resolved.append(way)
            continue
        before = resolved[-1] if resolved else base
        after = next((later for later in ways[place:] if later), base)
        resolved.append(before if before == after else base)
    runs = [
        (way, "".join(letter for letter, _ in run))
        for way, run in groupby(zip(text, resolved, strict=True), key=lambda pair: pair[1])
    ]
    turned = [_turned(run) if way == "R" else run for way, run in runs]
    return "".join(reversed(turned) if base == "R" else turned)


def _way(letter: str) -> str:
    kind = unicodedata.bidirectional(letter)
    return "R" if kind in _RIGHT else "L" if kind == "L" or kind in _NUMBERS else ""


def _turned(run: str) -> str:
    clusters: list[str] = []
    for letter in run:
        if clusters and unicodedata.category(letter) == "Mn":
            clusters[-1] += letter
        else:
            clusters.append(letter.translate(_MIRRORED))
    return "".join(reversed(clusters))
