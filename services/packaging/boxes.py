"""A reader for the few ISO base media boxes that tell whether a CMAF set is what it should be.

Sources: ISO/IEC 14496-12 (boxes, fragments), ISO/IEC 23001-7 (common encryption). Every length is checked against the
box around it, so a damaged file raises `BoxError` and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MOST_METADATA: Final = 64 * 1024 * 1024
_SAMPLE_ENTRY_HEADER: Final = {"video": 78, "audio": 28}
_VIDEO_ENTRIES: Final = frozenset({b"encv", b"avc1", b"avc3", b"hvc1", b"hev1", b"av01", b"vp09", b"dvh1", b"dvhe"})


class BoxError(ValueError):
    """The bytes are no well-formed sequence of boxes, or a box that must be there is not."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box within `data`: its four-character type, where it begins, and where its payload begins and ends."""

    kind: bytes
    data: memoryview
    begin: int
    start: int
    end: int

    @property
    def whole(self) -> memoryview:
        """The box, header and all."""
        return self.data[self.begin : self.end]

    @property
    def payload(self) -> memoryview:
        """What is in the box, after its header."""
        return self.data[self.start : self.end]

    def children(self, skip: int = 0) -> Iterator[Box]:
        """The boxes inside, after `skip` bytes of the box's own fields."""
        return boxes(self.data, self.start + skip, self.end)

    def child(self, *path: bytes) -> Box:
        """The first box down this path of types."""
        box = self
        for kind in path:
            found = next((inner for inner in box.children() if inner.kind == kind), None)
            if found is None:
                raise BoxError(f"there is no {kind.decode('latin-1')} box in {box.kind.decode('latin-1')}")
            box = found
        return box

    def numbers(self, layout: str, offset: int = 0) -> tuple[int, ...]:
        """Big-endian integers at `offset` of the payload, by a `struct` layout."""
        if self.start + offset + struct.calcsize(">" + layout) > self.end:
            raise BoxError(f"the {self.kind.decode('latin-1')} box is cut off")
        return struct.unpack_from(">" + layout, self.data, self.start + offset)


def boxes(data: memoryview, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes that lie side by side from `start` to `end`. A size of 0 means up to the end (14496-12 §4.2)."""
    end = len(data) if end is None else end
    while start < end:
        if end - start < 8:
            raise BoxError(f"{end - start} bytes are left over where a box should begin")
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            if end - start < 16:
                raise BoxError("a box with a 64-bit size is cut off")
            size, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        elif size == 0:
            size = end - start
        if size < header or size > end - start:
            raise BoxError(f"a {kind.decode('latin-1')} box says {size} bytes where {end - start} are left")
        yield Box(kind, data, start, start + header, start + size)
        start += size


@dataclass(frozen=True, slots=True)
class InitSegment:
    """What a CMAF header says.

    Args:
        timescale: units per second.
        scheme: `cbcs` or `cenc`; empty when the samples are in the clear.
        key_id: 16 bytes of `tenc`; empty when in the clear.
        constant_iv: of `tenc`; empty when each sample carries its own.
        entries: number of sample entries; more than one would let segments switch to an unencrypted one.
        default_duration: of a sample, in timescale units, when neither fragment nor sample tells.
        headers: the protection systems' PSSH boxes, one after the other.
    """

    timescale: int
    scheme: str
    key_id: bytes
    constant_iv: bytes
    entries: int
    default_duration: int
    headers: bytes


def sample_description(path: Path) -> bytes:
    """The `stsd` box of a CMAF header, which tells all that a decoder must know, without what only tells of bit rates (`btrt`)."""
    movie = next(boxes(memoryview(_metadata(path, b"moov"))))
    table = movie.child(b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    told = bytearray()
    for entry in table.children(skip=8):
        told += bytes(_part(entry, 0, _SAMPLE_ENTRY_HEADER["video"]))
        told += b"".join(bytes(b.whole) for b in entry.children(_SAMPLE_ENTRY_HEADER["video"]) if b.kind != b"btrt")
    return bytes(told)


def read_init(path: Path) -> InitSegment:
    """Reads a CMAF header of one track."""
    data = memoryview(_metadata(path, b"moov"))
    movie = next(boxes(data))
    media = movie.child(b"trak", b"mdia")
    header = media.child(b"mdhd")
    (timescale,) = header.numbers("I", 20 if header.numbers("B")[0] == 1 else 12)
    table = media.child(b"minf", b"stbl", b"stsd")
    entries = tuple(table.children(skip=8))
    if not entries or timescale == 0:
        raise BoxError("the track has no sample entry or no timescale")
    scheme, key_id, constant_iv = _protection(entries[0])
    (default_duration,) = movie.child(b"mvex", b"trex").numbers("I", 12)
    headers = b"".join(bytes(box.whole) for box in movie.children() if box.kind == b"pssh")
    return InitSegment(timescale, scheme, key_id, constant_iv, len(entries), default_duration, headers)


def with_headers(init: bytes, headers: Sequence[bytes]) -> bytes:
    """A CMAF header with these PSSH boxes in place of those that it had. Nothing in it is addressed by offset."""
    out = []
    for box in boxes(memoryview(init)):
        if box.kind != b"moov":
            out.append(bytes(box.whole))
            continue
        kept = [bytes(inner.whole) for inner in box.children() if inner.kind != b"pssh"]
        payload = b"".join([*kept, *headers])
        out.append(struct.pack(">I4s", 8 + len(payload), b"moov") + payload)
    return b"".join(out)


@dataclass(frozen=True, slots=True)
class MediaSegment:
    """What a media segment's fragments say: times in timescale units, and whether all samples are encrypted."""

    start: int
    duration: int
    samples: int
    encrypted: bool


def read_segment(path: Path, init: InitSegment) -> MediaSegment:
    """Reads a CMAF segment; of the media itself nothing is read.

    It counts as encrypted when no fragment turns to another sample entry or declares a group of clear samples, and each
    names its samples' auxiliary data, unless one constant IV makes that superfluous.
    """
    start, duration, samples, encrypted = -1, 0, 0, bool(init.scheme)
    for fragment in boxes(memoryview(_metadata(path, b"moof"))):
        track = fragment.child(b"traf")
        parts = {box.kind: box for box in track.children()}
        if b"tfdt" not in parts or b"tfhd" not in parts:
            raise BoxError("a fragment has no tfdt or no tfhd box")
        if start < 0:
            (start,) = parts[b"tfdt"].numbers("Q" if parts[b"tfdt"].numbers("B")[0] == 1 else "I", 4)
        entry, default_duration = _fragment_defaults(parts[b"tfhd"], init)
        for run in (box for box in track.children() if box.kind == b"trun"):
            count, length = _run(run, default_duration)
            samples, duration = samples + count, duration + length
        clear_group = any(box.kind == b"sgpd" and bytes(_part(box, 4, 4)) == b"seig" for box in track.children())
        named = b"senc" in parts or bool(init.constant_iv)
        encrypted = encrypted and named and entry == 1 and not clear_group
    if samples == 0:
        raise BoxError("there is no sample in the segment")
    return MediaSegment(start, duration, samples, encrypted)


def _protection(entry: Box) -> tuple[str, bytes, bytes]:
    """Scheme, key id and constant IV of a sample entry; all empty when it is in the clear."""
    if entry.kind not in {b"encv", b"enca"}:
        return "", b"", b""
    skip = _SAMPLE_ENTRY_HEADER["video" if entry.kind in _VIDEO_ENTRIES else "audio"]
    sinf = next((box for box in entry.children(skip) if box.kind == b"sinf"), None)
    if sinf is None:
        raise BoxError("an encrypted sample entry has no sinf box")
    scheme = bytes(_part(sinf.child(b"schm"), 4, 4)).decode("latin-1")
    tenc = sinf.child(b"schi", b"tenc")
    protected, iv_size = tenc.numbers("BB", 6)
    if not protected:
        return "", b"", b""
    constant_iv = b""
    if iv_size == 0:
        (size,) = tenc.numbers("B", 24)
        constant_iv = bytes(_part(tenc, 25, size))
    return scheme, bytes(_part(tenc, 8, 16)), constant_iv


def _fragment_defaults(header: Box, init: InitSegment) -> tuple[int, int]:
    """Number of the sample entry and default sample duration of a fragment (14496-12 §8.8.7)."""
    flags, offset = header.numbers("I")[0] & 0xFFFFFF, 8
    entry, duration = 1, init.default_duration
    if flags & 0x1:
        offset += 8
    if flags & 0x2:
        (entry,) = header.numbers("I", offset)
        offset += 4
    if flags & 0x8:
        (duration,) = header.numbers("I", offset)
    return entry, duration


def _run(run: Box, default_duration: int) -> tuple[int, int]:
    """Number of samples of a track run and their durations' sum (14496-12 §8.8.8)."""
    flags, count = run.numbers("II")
    if not flags & 0x100:
        return count, count * default_duration
    offset = 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    stride = 4 * sum(1 for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit)
    table = _part(run, offset, count * stride)
    return count, sum(struct.unpack_from(">I", table, index * stride)[0] for index in range(count))


def _part(box: Box, offset: int, size: int) -> memoryview:
    if box.start + offset + size > box.end:
        raise BoxError(f"the {box.kind.decode('latin-1')} box is cut off")
    return box.data[box.start + offset : box.start + offset + size]


def _metadata(path: Path, wanted: bytes) -> bytes:
    """The boxes of this type at the top of a file, header and all, one after the other."""
    found = bytearray()
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position < size:
            head = file.read(16)
            if len(head) < 8:
                raise BoxError("bytes are left over where a box should begin")
            length, kind = struct.unpack_from(">I4s", head)
            if length == 1 and len(head) == 16:
                (length,) = struct.unpack_from(">Q", head, 8)
            length = size - position if length == 0 else length
            if length < 8 or position + length > size:
                raise BoxError(f"a {kind.decode('latin-1')} box says {length} bytes where {size - position} are left")
            if kind == wanted:
                if length + len(found) > _MOST_METADATA:
                    raise BoxError(f"more than {_MOST_METADATA} bytes of {kind.decode('latin-1')} boxes")
                file.seek(position)
                found += file.read(length)
            position += length
            file.seek(position)
    if not found:
        raise BoxError(f"there is no {wanted.decode('latin-1')} box in {path.name}")
    return bytes(found)
