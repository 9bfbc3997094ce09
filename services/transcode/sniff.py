"""What a file is, by its first bytes, before any media library has seen it.

ffmpeg guesses by content, and some of its guesses are programs in disguise: playlists and manifests make it open other
files and URLs. So only containers that we know by their own signature are taken, and the demuxer is named to ffmpeg
instead of guessed. Two formats state their length, which tells a truncated upload.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from services.transcode.refusals import Reason, refused, truncated

_HEAD: Final = 64 * 1024
_MOST_BOXES: Final = 200_000


class Container(StrEnum):
    """A container we take. The value is the name of the demuxer that ffmpeg is held to."""

    MP4 = "mov"
    MATROSKA = "matroska"
    MPEGTS = "mpegts"
    MPEGPS = "mpeg"
    AVI = "avi"
    FLV = "flv"
    MXF = "mxf"
    ASF = "asf"
    OGG = "ogg"
    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"


@dataclass(frozen=True, slots=True)
class Sniffed:
    """A file that may be given to a demuxer.

    Attributes:
        container: what it is.
        size_bytes: its length.
    """

    container: Container
    size_bytes: int

    @property
    def demuxer(self) -> str:
        """What to give to ffmpeg's `-f` and `-format_whitelist`."""
        return self.container.value


def sniff(master: Path) -> Sniffed:
    """Decides what a file is.

    Raises:
        Refusal: MASTER_EMPTY, MASTER_PLAYLIST, MASTER_NOT_MEDIA or MASTER_TRUNCATED.
    """
    with master.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise refused(Reason.EMPTY, "the file is empty; upload it again")
        head = file.read(_HEAD)
        container = next((container for container, is_it in _SIGNATURES if is_it(head)), None)
        if container is None:
            raise _not_media(head)
        if container is Container.MP4:
            _check_boxes(file, size)
        elif container is Container.MATROSKA:
            _check_segment(head, size)
        elif container is Container.AVI:
            _check_riff(head, size)
    return Sniffed(container, size)


# --- signatures ------------------------------------------------------------------------------------------------------

_STILL_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"crx ", b"jxl "})
_FIRST_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"})


def _is_mp4(head: bytes) -> bool:
    kind = head[4:8]
    size = int.from_bytes(head[:4], "big")
    plausible = kind in _FIRST_BOXES and (size in {0, 1} or size >= 8)
    return plausible and not (kind == b"ftyp" and head[8:12] in _STILL_BRANDS)


def _is_transport_stream(head: bytes) -> bool:
    """Sync bytes at each packet's start: plain (188), with a timestamp before each (192) or checksum after it (204)."""
    for packet, first in ((188, 0), (192, 4), (204, 0)):
        places = range(first, min(len(head), first + 8 * packet), packet)
        if len(places) >= 4 and all(head[place] == 0x47 for place in places):
            return True
    return False


def _is_mp3(head: bytes) -> bool:
    """An ID3 tag, or a frame header of MPEG audio layer III with a bit rate and a sampling rate."""
    if head[:3] == b"ID3":
        return True
    return len(head) > 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] >> 4 != 15 and head[2] & 12 != 12


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _is_riff(kind: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] in {b"RIFF", b"RF64"} and head[8:12] == kind


_SIGNATURES: Final[tuple[tuple[Container, Callable[[bytes], bool]], ...]] = (
    (Container.MP4, _is_mp4),
    (Container.MATROSKA, _starts(b"\x1a\x45\xdf\xa3")),
    (Container.AVI, _is_riff(b"AVI ")),
    (Container.WAV, _is_riff(b"WAVE")),
    (Container.FLV, _starts(b"FLV\x01")),
    (Container.MXF, _starts(bytes.fromhex("060e2b34020501010d0102"))),
    (Container.ASF, _starts(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
    (Container.MPEGPS, _starts(b"\x00\x00\x01\xba")),
    (Container.OGG, _starts(b"OggS\x00")),
    (Container.FLAC, _starts(b"fLaC")),
    (Container.MPEGTS, _is_transport_stream),
    (Container.MP3, _is_mp3),
)

_PLAYLISTS: Final = (
    (b"#extm3u", "HLS playlist"),
    (b"<mpd", "DASH manifest"),
    (b"ffconcat", "concat script"),
    (b"[playlist]", "PLS playlist"),
    (b"<asx", "ASX playlist"),
    (b"<smoothstreamingmedia", "Smooth Streaming manifest"),
    (b"<compositionplaylist", "IMF composition"),
    (b"<assetmap", "IMF asset map"),
    (b"<playlist", "XSPF playlist"),
    (b"<smil", "SMIL playlist"),
    (b"v=0\n", "SDP session"),
    (b"v=0\r\n", "SDP session"),
    (b"rtsptext", "RTSP link"),
)

_OTHERS: Final = (
    (b"PK\x03\x04", "ZIP archive"),
    (b"PK\x05\x06", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (b"Rar!", "RAR archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ", "xz archive"),
    (b"(\xb5/\xfd", "zstd archive"),
    (b"%PDF", "PDF document"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"\x89PNG", "PNG picture"),
    (b"\xff\xd8\xff", "JPEG picture"),
    (b"GIF8", "GIF picture"),
    (b"BM", "BMP picture"),
    (b"II*\x00", "TIFF picture"),
    (b"MM\x00*", "TIFF picture"),
    (b"8BPS", "Photoshop picture"),
    (b"\x00\x00\x01\x00", "icon"),
)


def _not_media(head: bytes) -> Exception:
    text = head[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for sign, name in _PLAYLISTS:
        if text.startswith(sign) or (text.startswith(b"<?xml") and sign[:1] == b"<" and sign in text):
            return _playlist(name)
    if text.startswith(b"file ") and b"\x00" not in text:
        return _playlist("concat script")
    name = _name_of(head, text)
    return refused(
        Reason.NOT_MEDIA,
        f"this is no video file that we know ({name}); upload MP4, MOV, MKV, WebM, MXF, MPEG-TS, AVI or FLV",
        looks_like=name,
    )


def _playlist(name: str) -> Exception:
    message = f"this is a list of other files ({name}), not a video; upload the video file itself"
    return refused(Reason.PLAYLIST, message, looks_like=name)


def _name_of(head: bytes, text: bytes) -> str:
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "still picture"
    for sign, name in _OTHERS:
        if head.startswith(sign):
            return name
    if b"<svg" in text:
        return "SVG picture"
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        return "web page"
    if head[257:262] == b"ustar":
        return "tar archive"
    return "text" if _is_text(head[:4096]) else "unknown"


def _is_text(head: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)


# --- formats that state their length ---------------------------------------------------------------------------------


def _check_boxes(file: BinaryIO, size: int) -> None:
    """ISO/IEC 14496-12: each box states its length, and nothing can be played without `moov`."""
    position, has_index = 0, False
    for _ in range(_MOST_BOXES):
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            break
        length, kind = struct.unpack_from(">I4s", header)
        if length == 1 and len(header) == 16:
            (length,) = struct.unpack_from(">Q", header, 8)
        has_index = has_index or kind == b"moov"
        if length == 0:
            break
        known = kind.isalnum() or kind in _FIRST_BOXES
        if length < 8 or not known:
            break  # padding, or rubbish after the last box: what came before decides
        if position + length > size:
            raise truncated(f"{position + length - size} bytes are missing at least")
        position += length
    else:
        return
    if not has_index:
        raise truncated("its index (the moov box) is missing")


def _check_segment(head: bytes, size: int) -> None:
    """RFC 8794 and RFC 9559: the segment states its length, unless it was written live."""
    position = 4
    length, position, _ = _ebml_size(head, position)
    position += length
    if head[position : position + 4] != b"\x18\x53\x80\x67":
        return
    length, position, unknown = _ebml_size(head, position + 4)
    if not unknown and position + length > size:
        raise truncated(f"{position + length - size} bytes are missing at least")


def _ebml_size(data: bytes, position: int) -> tuple[int, int, bool]:
    """A variable-size integer: (value, position after it, whether it means "unknown")."""
    if position >= len(data) or data[position] == 0:
        raise truncated("its header is cut off")
    width = 9 - data[position].bit_length()
    mask = (1 << (7 * width)) - 1
    value = int.from_bytes(data[position : position + width], "big") & mask
    return value, position + width, value == mask


def _check_riff(head: bytes, size: int) -> None:
    """RIFF: the first chunk states its length; 0 and all ones are left by recorders that were stopped."""
    if len(head) < 12:
        raise truncated("its header is cut off")
    (length,) = struct.unpack_from("<I", head, 4)
    if length not in {0, 0xFFFFFFFF} and length + 8 > size + 1:
        raise truncated(f"{length + 8 - size} bytes are missing at least")
