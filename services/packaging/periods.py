"""Key periods in the MPD: each is a Period of its own, whose init segments and descriptors name its keys (23009-1 §5.3.2).

Players take the keys of a Period from what the MPD says of it. A Period's media goes on counting where the one before
ends, so `presentationTimeOffset` tells where it begins; its text, in files of its own, counts from its beginning.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

from lxml import etree

from services.packaging import protection
from services.packaging.protection import KeySignal
from services.packaging.tracks import init_name

_MP4_PROTECTION: Final = "urn:mpeg:dash:mp4protection:2011"
_DEFAULT_KID: Final = f"{{{protection.CENC}}}default_KID"


@dataclass(frozen=True, slots=True)
class TextFile:
    """A WebVTT file beside the MPD."""

    path: str
    language: str
    label: str
    forced: bool


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    """One key period of a set.

    Args:
        first_segment: number of its first segment, from 1.
        segments: their number in the track that has most; 0 for all that are left.
        signals: folder → how its key is signalled; empty for sets in the clear.
        texts: WebVTT files, whose times count from the beginning of the period; as many in each period.
    """

    first_segment: int
    segments: int
    signals: Mapping[str, KeySignal]
    texts: Sequence[TextFile] = ()


def split(whole: etree._Element, periods: Sequence[KeyPeriod]) -> None:
    """Puts one Period for each key period in the place of the only one of an MPD, unless there is one alone.

    Args:
        whole: the Period, finished with what the first key period needs.
        periods: at least one.
    """
    if len(periods) == 1:
        return
    copies = [copy.deepcopy(whole) for _ in periods]
    starts = [_start(whole, period) for period in periods]
    ends = [*starts[1:], _length(whole)]
    for number, (element, period) in enumerate(zip(copies, periods, strict=True), start=1):
        element.attrib.pop("duration", "")
        element.set("id", str(number))
        element.set("start", f"PT{float(starts[number - 1]):.6f}S")
        texts = iter(period.texts)
        for adaptation_set in element.findall(_name("AdaptationSet")):
            match adaptation_set.get("contentType"):
                case "text":
                    _base_url(adaptation_set).text = next(texts).path
                case "image":
                    _cut_sheets(adaptation_set, starts[number - 1], ends[number - 1])
                case _:
                    _cut(adaptation_set, number, period, starts[number - 1])
        whole.addprevious(element)
    parent = whole.getparent()
    assert parent is not None
    parent.remove(whole)


def _start(whole: etree._Element, period: KeyPeriod) -> Fraction:
    """Seconds at which a period begins: where its first segment of the picture does."""
    for template in whole.iter(_name("SegmentTemplate")):
        if template.get("initialization") is not None:
            times = _times(template)
            return Fraction(times[period.first_segment - 1][0] - _offset(template), _timescale(template))
    raise ValueError("the MPD has no segments")


def _cut(adaptation_set: etree._Element, number: int, period: KeyPeriod, start: Fraction) -> None:
    """Leaves the segments of the period, and names its keys. A track that ended before goes."""
    signal = None
    for representation in adaptation_set.findall(_name("Representation")):
        template = representation.find(_name("SegmentTemplate"))
        assert template is not None
        folder = PurePosixPath(template.get("initialization", "")).parent
        first = period.first_segment - 1
        times = _times(template)[first : first + period.segments if period.segments else None]
        if not times:
            adaptation_set.remove(representation)
            continue
        signal = period.signals[str(folder)]
        template.set("initialization", str(folder / init_name(number)))
        template.set("startNumber", str(period.first_segment))
        template.set("presentationTimeOffset", str(_offset(template) + round(start * _timescale(template))))
        _describe(template, times)
    if signal is None:
        parent = adaptation_set.getparent()
        assert parent is not None
        parent.remove(adaptation_set)
        return
    for element in adaptation_set.findall(_name("ContentProtection")):
        if element.get("schemeIdUri", "").lower() == _MP4_PROTECTION:
            element.set(_DEFAULT_KID, str(UUID(signal.key_id)))
            for descriptor in reversed(signal.descriptors()):
                element.addnext(descriptor)
        else:
            adaptation_set.remove(element)


def _cut_sheets(adaptation_set: etree._Element, start: Fraction, end: Fraction) -> None:
    """Leaves the sheets of thumbnails that a period shows. The first may begin before it does."""
    template = adaptation_set.find(_name("SegmentTemplate"))
    assert template is not None
    length, scale = int(template.attrib.pop("duration")), _timescale(template)
    first = math.floor(start * scale / length)
    last = math.ceil(end * scale / length)
    template.set("startNumber", str(first + 1))
    template.set("presentationTimeOffset", str(round(start * scale)))
    _describe(template, [(number * length, length) for number in range(first, last)])


def _length(whole: etree._Element) -> Fraction:
    """Seconds of the whole film."""
    text = whole.getroottree().getroot().get("mediaPresentationDuration", "")
    if not text.startswith("PT") or not text.endswith("S"):
        raise ValueError(f"the MPD gives its length as {text!r}, which the packager never did")
    return Fraction(text[2:-1])


def _times(template: etree._Element) -> list[tuple[int, int]]:
    """Begin and duration of each segment in the template's timeline, in its timescale (23009-1 §5.3.9.6)."""
    times: list[tuple[int, int]] = []
    at = 0
    for element in template.iter(_name("S")):
        at = int(element.get("t", str(at)))
        for _ in range(int(element.get("r", "0")) + 1):
            times.append((at, int(element.get("d", "0"))))
            at += int(element.get("d", "0"))
    return times


def _describe(template: etree._Element, times: Sequence[tuple[int, int]]) -> None:
    for timeline in template.findall(_name("SegmentTimeline")):
        template.remove(timeline)
    timeline = etree.SubElement(template, _name("SegmentTimeline"))
    expected = -1
    for at, length in times:
        last = timeline[-1] if len(timeline) else None
        if last is not None and at == expected and last.get("d") == str(length):
            last.set("r", str(int(last.get("r", "0")) + 1))
        else:
            etree.SubElement(timeline, _name("S"), {"t": str(at), "d": str(length)})
        expected = at + length


def _base_url(adaptation_set: etree._Element) -> etree._Element:
    element = adaptation_set.find(f"{_name('Representation')}/{_name('BaseURL')}")
    assert element is not None
    return element


def _offset(template: etree._Element) -> int:
    return int(template.get("presentationTimeOffset", "0"))


def _timescale(template: etree._Element) -> int:
    return int(template.get("timescale", "1"))


def _name(local: str) -> str:
    return f"{{{protection.DASH}}}{local}"
