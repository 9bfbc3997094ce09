"""The whole way from a suspicious file to bits: find where in the title it lies, lay it over both variants, read segment by segment."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from services.kit.codewords import PERIOD
from services.protection.detection import alignment, decoding
from services.protection.detection.alignment import Alignment
from services.protection.detection.decoding import WHOLE, Inside
from services.protection.detection.reading import Bit, Segment, read
from services.protection.detection.registration import Placement, placed

Floats = NDArray[np.float64]
Frames = NDArray[np.uint8]

RATE: Final = 10.0
"""Pictures of the copy that are read in each second."""
_LONG: Final = 240
_WINDOW: Final = 40.0
_AND_MORE: Final = 1.2
_STRAY: Final = 1.5
"""Seconds by which a copy may be ahead or behind within a window of where its thumbnails say it is."""
_SLACK: Final = 2
_MISFIT: Final = 2.0
"""A frame that is so many times less like what it should show than like another moment is left out."""
_UNLIKE: Final = 1e-3
_PAIRS: Final = 10
_LEAST_FRAMES: Final = 5
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Title:
    """Both variants of a title, as files of one rendition.

    Attributes:
        variant_a: file.
        variant_b: file.
        width: of the rendition, pixels.
        height: of the rendition, pixels.
        frame_rate: frames a second.
        segment_seconds: length of a segment.
    """

    variant_a: Path
    variant_b: Path
    width: int
    height: int
    frame_rate: float
    segment_seconds: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in which it is compared: 240 pixels along the longer side."""
        longer = max(self.width, self.height)
        return max(16, round(self.width * _LONG / longer)), max(16, round(self.height * _LONG / longer))

    @property
    def telling_seconds(self) -> float:
        """How much of a copy is read at most: a codeword once, and something for what is not the title's. What follows says the same again."""
        return PERIOD * self.segment_seconds * _AND_MORE

    @property
    def frames_per_segment(self) -> int:
        """Frames of a segment."""
        return max(1, round(self.segment_seconds * self.frame_rate))


@dataclass(frozen=True, slots=True)
class Shown:
    """Mean pictures of one segment, to be looked at: the copy's, in the title's geometry, and the title's."""

    segment: int
    copy: Floats
    title: Floats


@dataclass(slots=True)
class Reading:
    """What was read.

    Attributes:
        alignment: where the copy lies.
        placement: how its picture lies over the title's; None when the title was not found in it.
        bits: number of the segment, from 0 → what was read.
        shown: some segments to look at.
    """

    alignment: Alignment
    placement: Placement | None = None
    bits: dict[int, Bit] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)

    def evidence(self) -> tuple[NDArray[np.intp], Floats]:
        """Segments and how much each counts."""
        segments = sorted(self.bits)
        return np.array(segments, np.intp), np.array([self.bits[segment].evidence for segment in segments])


async def thumbnails(film: Path, inside: Inside = WHOLE) -> Frames:
    """What a film is found by, of the whole of its picture or of a part of it."""
    return await decoding.sampled(film, (alignment.WIDTH, alignment.HEIGHT), alignment.RATE, inside=inside)


async def found(seen: Sequence[Frames], title: Title) -> list[Alignment]:
    """Where in a title a copy lies, by the copy's `thumbnails`, of each part of its picture that is tried."""
    known = await thumbnails(title.variant_a)
    return [await asyncio.to_thread(_aligned, one, known) for one in seen]


def _aligned(seen: Frames, known: Frames) -> Alignment:
    if not len(seen) or not len(known):
        return Alignment(0.0, 1.0, mirrored=False, likeness=0.0)
    return alignment.aligned(seen, known)


async def read_copy(
    copy: Path,
    title: Title,
    where: Alignment,
    *,
    inside: Inside = WHOLE,
    length: float = math.inf,
    on_fraction: Callable[[float], None] = lambda _: None,
) -> Reading:
    """Reads a copy.

    Args:
        copy: the suspicious file.
        title: what it was found to show.
        where: as `found` says.
        inside: the part of its picture by which it was found.
        length: of the copy in seconds, where it is known; only for telling how far it is.
        on_fraction: told what share is done.

    Raises:
        Refusal: COPY_UNDECODABLE.
    """
    seconds = title.telling_seconds
    reader = _Reader(title, Reading(where))
    async for start, frames in _windows(copy, title, seconds, inside):
        await reader.take(start, frames)
        on_fraction(min(1.0, (start + _WINDOW) / min(seconds, length)))
    reader.end()
    return reader.reading


async def _windows(copy: Path, title: Title, seconds: float, inside: Inside) -> AsyncIterator[tuple[float, Frames]]:
    start = 0.0
    while start < seconds:
        frames = await decoding.sampled(copy, title.size, RATE, start, min(_WINDOW, seconds - start), inside=inside)
        if not len(frames):
            return
        yield start, frames
        if len(frames) < _WINDOW * RATE - 1:
            return
        start += _WINDOW


class _Sums:
    """Sums of the pictures of one segment."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.count = 0
        self.sums = np.zeros((5, *shape))

    def add(self, copy: Floats, a: Floats, b: Floats) -> None:
        common = (a + b) / 2
        self.count += 1
        self.sums += (copy, a, b, common**2, common**3)

    def segment(self) -> Segment:
        return Segment(*(self.sums / self.count))


class _Reader:
    """Reads window after window."""

    def __init__(self, title: Title, reading: Reading) -> None:
        self._title = title
        self.reading = reading
        self._lag = 0
        self._open: dict[int, _Sums] = {}

    async def take(self, start: float, frames: Frames) -> None:
        """Reads one window of the copy that begins at `start`."""
        title, where = self._title, self.reading.alignment
        moments = where.moment(start + np.arange(len(frames)) / RATE)
        wanted = np.rint(moments * title.frame_rate).astype(int) + self._lag
        stray = round(_STRAY * title.frame_rate)
        first, last = max(0, int(wanted.min()) - stray), int(wanted.max()) + stray
        if last < first:
            return
        ask = (title.size, first, last - first + 1, title.frame_rate)
        a, b = await asyncio.gather(decoding.exact(title.variant_a, *ask), decoding.exact(title.variant_b, *ask))
        count = min(len(a), len(b))
        inside = (wanted >= first) & (wanted < first + count)
        if inside.any():
            seen = frames[inside, :, ::-1] if where.mirrored else frames[inside]
            await asyncio.to_thread(self._read, seen, wanted[inside] - first, first, a[:count], b[:count])

    def _read(self, seen: Frames, wanted: NDArray[np.intp], first: int, a: Frames, b: Frames) -> None:
        stray = round(_STRAY * self._title.frame_rate)
        if self.reading.placement is None:
            rough = _followed(_reduced(seen) @ _reduced(a).T, wanted, stray)
            placement = _placement(seen, rough.places, a, b)
            # Once it lies over the title the moments can be told better, and by these the placement.
            better = _followed(_likenesses(_over(placement, seen), a), wanted, stray)
            self.reading.placement = _placement(seen, better.places, a, b)
        copies = _over(self.reading.placement, seen)
        followed = _followed(_likenesses(copies, a), wanted, stray)
        self._lag += int(followed.places[-1] - wanted[-1])
        for copy, place, fits in zip(copies, followed.places, followed.fits, strict=True):
            if fits:
                segment = (first + place) // self._title.frames_per_segment
                sums = self._open.setdefault(int(segment), _Sums(copy.shape))
                sums.add(copy, a[place].astype(np.float64), b[place].astype(np.float64))
        for segment in sorted(self._open)[:-1]:
            self._close(segment)

    def end(self) -> None:
        """Reads what is left."""
        for segment in sorted(self._open):
            self._close(segment)

    def _close(self, number: int) -> None:
        sums = self._open.pop(number)
        if sums.count < _LEAST_FRAMES:
            return
        segment = sums.segment()
        self.reading.bits[number] = read(segment)
        if len(self.reading.shown) < _SHOWN:
            self.reading.shown.append(Shown(number, segment.copy, (segment.variant_a + segment.variant_b) / 2))


@dataclass(frozen=True, slots=True)
class _Followed:
    """Which frame of the title each frame of a copy shows.

    Attributes:
        places: numbers of frames of the title.
        fits: whether that is what the frame shows; a screen that stood still shows another moment.
    """

    places: NDArray[np.intp]
    fits: NDArray[np.bool_]


def _followed(alike: NDArray[np.float32], wanted: NDArray[np.intp], stray: int) -> _Followed:
    """Follows a copy through a window.

    Args:
        alike: correlation of each frame of the copy with each of the title, (copy, title).
        wanted: which frame each should show.
        stray: by how many frames it may be ahead or behind.
    """
    places = wanted[:, None] + np.arange(-stray, stray + 1)
    inside = (places >= 0) & (places < alike.shape[1])
    places = np.clip(places, 0, alike.shape[1] - 1)
    near = np.where(inside, np.take_along_axis(alike, places, axis=1), -1).astype(np.float32)
    way = alignment.followed(near)
    # Screens and cameras are a frame early or late all the time.
    slack = np.clip(way[:, None] + np.arange(-_SLACK, _SLACK + 1), 0, near.shape[1] - 1)
    order = [_SLACK, *(_SLACK + side * step for step in range(1, _SLACK + 1) for side in (-1, 1))]
    slack = slack[:, order]  # of frames that are alike the one where it should be counts
    rows = np.arange(len(near))
    best = slack[rows, np.argmax(np.take_along_axis(near, slack, axis=1), axis=1)]
    unlike, least = 1 - near[rows, best] + _UNLIKE, 1 - near.max(axis=1) + _UNLIKE
    return _Followed(places[rows, best], unlike <= _MISFIT * least)


def _over(placement: Placement, frames: Frames) -> NDArray[np.float32]:
    """Frames of a copy in the title's geometry; NaN where they show nothing."""
    return np.stack([placement.over(frame.astype(np.float64)).astype(np.float32) for frame in frames])


def _likenesses(copies: NDArray[np.float32], title: Frames) -> NDArray[np.float32]:
    """Correlation of each frame of a copy, in the title's geometry, with each of the title."""
    seen, known = copies[:, ::2, ::2], title[:, ::2, ::2]  # every fourth pixel tells frames apart as well
    there = np.isfinite(seen[0])
    return np.asarray(_standard(seen[:, there]) @ _standard(known[:, there].astype(np.float32)).T, np.float32)


def _standard(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row with zero mean and unit length."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6), np.float32)


def _reduced(frames: Frames) -> NDArray[np.float32]:
    """Pictures an eighth of the size, as rows: they hardly care how a copy is cut."""
    small = ndimage.uniform_filter(frames.astype(np.float32), (0, 8, 8))[:, 4::8, 4::8]
    return _standard(np.asarray(small.reshape(len(frames), -1), np.float32))


def _placement(seen: Frames, wanted: NDArray[np.intp], a: Frames, b: Frames) -> Placement:
    """The placement by the frames with the most to hold on to, spread over the window."""
    parts = np.array_split(np.arange(len(seen)), min(_PAIRS, len(seen)))
    chosen = [int(part[np.argmax([_detail(seen[index]) for index in part])]) for part in parts]
    chosen = sorted(chosen, key=lambda index: -_detail(seen[index]))[: max(3, len(chosen) // 2)]
    titles = (a[wanted[chosen]].astype(np.float64) + b[wanted[chosen]]) / 2
    return placed(seen[chosen].astype(np.float64), titles)


def _detail(frame: Frames) -> float:
    return float(np.abs(np.diff(frame.astype(np.int16), axis=0)).mean())
