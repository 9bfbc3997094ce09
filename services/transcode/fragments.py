"""Reads the fragmented MP4 of one video track: what is in each fragment, and where its clock and number stand.

Sources: ISO/IEC 14496-12, §8.8. The file comes out of the sandbox, so each length is checked against its parent's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_LARGEST_HEADER: Final = 64 << 20
_NOT_SYNC: Final = 0x00010000


class Malformed(ValueError):
    """The file is not what our encoder writes."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """One movie fragment and its media data.

    Attributes:
        header: the `moof` box.
        number_at: place in `header` of its sequence number (4 bytes).
        clock_at: place in `header` of its decode time, 8 bytes.
        data_start: place in the file of the `mdat` box.
        data_size: length of the `mdat` box.
        base_time: decode time of its first sample, ticks.
        durations: of each sample, ticks.
        offsets: from each sample's decode time to when it is shown, ticks.
        sync: whether each sample is a keyframe.
    """

    header: bytes
    number_at: int
    clock_at: int
    data_start: int
    data_size: int
    base_time: int
    durations: tuple[int, ...]
    offsets: tuple[int, ...]
    sync: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Track:
    """A fragmented file.

    Attributes:
        header: `ftyp` and `moov`.
        sample_description: the `stsd` box, which tells the decoder all about the samples.
        timescale: ticks per second.
        presentation_start: decode time plus offset of what is shown at time 0, ticks (the edit list's `media_time`).
        fragments: in the file's order.
    """

    header: bytes
    sample_description: bytes
    timescale: int
    presentation_start: int
    fragments: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True)
class _Defaults:
    duration: int
    flags: int


def read(path: Path) -> Track:
    """Reads all but the media data.

    Raises:
        Malformed: when it is no fragmented MP4 with one track.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size)
    except (struct.error, IndexError) as error:
        raise Malformed("a box is cut off") from error


def _read(file: BinaryIO, size: int) -> Track:
    header, moov, moof = b"", b"", b""
    fragments: list[Fragment] = []
    defaults = _Defaults(0, 0)
    for kind, start, length in _top_level(file, size):
        if kind == b"ftyp":
            header = _bytes(file, start, length)
        elif kind == b"moov":
            moov = _bytes(file, start, length)
            header += moov
            defaults = _track_defaults(moov)
        elif kind == b"moof":
            moof = _bytes(file, start, length)
        elif kind == b"mdat":
            if not moof:
                raise Malformed("media data before its fragment")
            fragments.append(_fragment(moof, start, length, defaults))
            moof = b""
    if not moov:
        raise Malformed("no moov box")
    timescale, description = _track(moov)
    return Track(header, description, timescale, _presentation_start(moov), tuple(fragments))


def _top_level(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, 8)
        if length < 8 or position + length > size:
            raise Malformed(f"a box of {length} bytes at {position} of {size}")
        yield kind, position, length
        position += length


def _bytes(file: BinaryIO, start: int, length: int) -> bytes:
    if length > _LARGEST_HEADER:
        raise Malformed(f"a header of {length} bytes")
    file.seek(start)
    return file.read(length)


def _children(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of its payload, end) of each box between two places."""
    position = start
    while position < end:
        length, kind = struct.unpack_from(">I4s", data, position)
        if length < 8 or position + length > end:
            raise Malformed(f"a {kind!r} box of {length} bytes where {end - position} are left")
        yield kind, position + 8, position + length
        position += length


def _find(data: bytes, start: int, end: int, *path: bytes) -> tuple[int, int]:
    """Payload of the only box at a path."""
    for name in path:
        found = [(inner, stop) for kind, inner, stop in _children(data, start, end) if kind == name]
        if len(found) != 1:
            raise Malformed(f"{len(found)} {name!r} boxes")
        ((start, end),) = found
    return start, end


def _track(moov: bytes) -> tuple[int, bytes]:
    """Timescale and sample description."""
    media = _find(moov, 8, len(moov), b"trak", b"mdia")
    clock, _ = _find(moov, *media, b"mdhd")
    (timescale,) = struct.unpack_from(">I", moov, clock + (20 if moov[clock] == 1 else 12))
    start, end = _find(moov, *media, b"minf", b"stbl", b"stsd")
    return timescale, moov[start:end]


def _presentation_start(moov: bytes) -> int:
    """Where the only entry of the edit list (§8.6.6) begins; 0 without a list."""
    start, end = _find(moov, 8, len(moov), b"trak")
    if all(kind != b"edts" for kind, _, _ in _children(moov, start, end)):
        return 0
    start, _ = _find(moov, start, end, b"edts", b"elst")
    version, count = moov[start], int.from_bytes(moov[start + 4 : start + 8], "big")
    if count != 1:
        raise Malformed(f"an edit list of {count} entries")
    (media_time,) = (
        struct.unpack_from(">q", moov, start + 16) if version == 1 else struct.unpack_from(">i", moov, start + 12)
    )
    return int(media_time)


def _track_defaults(moov: bytes) -> _Defaults:
    start, _ = _find(moov, 8, len(moov), b"mvex", b"trex")
    _, duration, _, flags = struct.unpack_from(">IIII", moov, start + 8)
    return _Defaults(duration, flags)


def _fragment(moof: bytes, data_start: int, data_size: int, defaults: _Defaults) -> Fragment:
    number, _ = _find(moof, 8, len(moof), b"mfhd")
    track = _find(moof, 8, len(moof), b"traf")
    header, _ = _find(moof, *track, b"tfhd")
    defaults = _fragment_defaults(moof, header, defaults)
    clock, _ = _find(moof, *track, b"tfdt")
    if moof[clock] != 1:
        raise Malformed("a decode time of 32 bits")
    (base_time,) = struct.unpack_from(">Q", moof, clock + 4)
    durations: list[int] = []
    offsets: list[int] = []
    sync: list[bool] = []
    for kind, start, end in _children(moof, *track):
        if kind == b"trun":
            for duration, flags, offset in _samples(moof, start, end, defaults):
                durations.append(duration)
                offsets.append(offset)
                sync.append(not flags & _NOT_SYNC)
    return Fragment(
        header=moof,
        number_at=number + 4,
        clock_at=clock + 4,
        data_start=data_start,
        data_size=data_size,
        base_time=base_time,
        durations=tuple(durations),
        offsets=tuple(offsets),
        sync=tuple(sync),
    )


def _fragment_defaults(moof: bytes, header: int, defaults: _Defaults) -> _Defaults:
    """`tfhd` (§8.8.7): fields that are there only if their flag is."""
    flags = int.from_bytes(moof[header + 1 : header + 4], "big")
    position = header + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    duration, sample_flags = defaults.duration, defaults.flags
    if flags & 0x8:
        (duration,) = struct.unpack_from(">I", moof, position)
        position += 4
    if flags & 0x10:
        position += 4
    if flags & 0x20:
        (sample_flags,) = struct.unpack_from(">I", moof, position)
    return _Defaults(duration, sample_flags)


def _samples(moof: bytes, start: int, end: int, defaults: _Defaults) -> Iterator[tuple[int, int, int]]:
    """`trun` (§8.8.8): (duration, flags, composition offset) of each sample."""
    flags = int.from_bytes(moof[start + 1 : start + 4], "big")
    (count,) = struct.unpack_from(">I", moof, start + 4)
    position = start + 8 + (4 if flags & 0x1 else 0)
    first_flags = defaults.flags
    if flags & 0x4:
        (first_flags,) = struct.unpack_from(">I", moof, position)
        position += 4
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    if position + 4 * len(fields) * count > end:
        raise Malformed(f"{count} samples in {end - position} bytes")
    for index in range(count):
        values = dict(zip(fields, struct.unpack_from(f">{len(fields)}I", moof, position), strict=True))
        position += 4 * len(fields)
        offset = values.get(0x800, 0)
        yield (
            values.get(0x100, defaults.duration),
            values.get(0x400, first_flags if index == 0 else defaults.flags),
            offset - (1 << 32) if offset >= 1 << 31 else offset,
        )
