"""HLS playlists (RFC 8216 and its bis draft): the packager's media playlists made playable, and a multivariant playlist
of our own.

The packager's key lines are thrown away; `protection` writes those that belong there. Every URI is relative: children
inherit the ticket in the path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.packaging.protection import KeySignal
from services.packaging.tracks import Thumbnails

_HEAD: Final = "#EXTM3U\n#EXT-X-VERSION:6\n"
_ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s][^,]*)(?:,|$)')
_UNQUOTABLE: Final = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_FIRST_VARIANT_BITS: Final = 2_500_000


class PlaylistError(ValueError):
    """The text is no playlist that we can read."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A video rendition as a variant sees it. Bits are per second; `playlist` is relative to the package."""

    playlist: str
    codecs: str
    width: int
    height: int
    frame_rate: float
    peak_bits: int
    average_bits: int
    video_range: str = ""


@dataclass(frozen=True, slots=True)
class Sound:
    """An audio rendition: one encoding, member `name` of the group `group`."""

    playlist: str
    codecs: str
    group: str
    name: str
    language: str
    channels: int
    default: bool
    chosen_by_language: bool
    peak_bits: int
    average_bits: int


@dataclass(frozen=True, slots=True)
class Subtitle:
    """A text rendition."""

    playlist: str
    name: str
    language: str
    forced: bool


@dataclass(frozen=True, slots=True)
class IFrames:
    """A playlist of keyframes alone, for scrubbing."""

    playlist: str
    codecs: str
    width: int
    height: int
    peak_bits: int
    average_bits: int


def attributes(line: str) -> dict[str, str]:
    """The attribute list after a tag's colon, values as written, quotes included (RFC 8216 §4.2)."""
    text = line.partition(":")[2]
    found, end = {}, 0
    for match in _ATTRIBUTE.finditer(text):
        if match.start() != end:
            break
        found[match[1]], end = match[2], match.end()
    if end != len(text):
        raise PlaylistError(f"attribute list cannot be read: {text[end : end + 40]!r}")
    return found


def uris(text: str) -> list[str]:
    """Every URI that a playlist names, those of keys included."""
    named = []
    for line in _lines(text):
        if not line.startswith("#"):
            named.append(line)
        elif (match := re.search(r'[:,]URI="([^"]*)"', line)) is not None:
            named.append(match[1])
    return named


def segment_seconds(text: str) -> list[float]:
    """The durations that a media playlist gives its segments."""
    return [
        float(line.removeprefix("#EXTINF:").partition(",")[0]) for line in _lines(text) if line.startswith("#EXTINF:")
    ]


@dataclass(frozen=True, slots=True)
class KeyFrom:
    """The key of a key period and where that begins.

    Args:
        first_segment: number of the period's first segment, from 1.
        init: its init segment, beside the playlist.
        signal: how the key is signalled.
    """

    first_segment: int
    init: str
    signal: KeySignal


def protected(text: str, keys: Sequence[KeyFrom], to_root: str, *, native: bool = False) -> str:
    """A media playlist of the packager with the right key lines; without any when `keys` are none.

    With `native` they are those for Apple's player, see `KeySignal.native_lines`.

    Segments are `<number>.m4s`. A key period begins with its init segment: of the packager's playlist only the first is
    taken over. Nothing else changes there, so there is no discontinuity.
    """
    out: list[str] = []
    entry: list[str] = []
    begun, reached = False, 0
    for line in _lines(text):
        if line.startswith(("##", "#EXT-X-KEY:")):
            continue
        begun = begun or line.startswith(("#EXTINF:", "#EXT-X-BYTERANGE:"))
        if not begun or line == "#EXT-X-ENDLIST":
            out.append(line)
        elif line.startswith("#"):
            entry.append(line)
        else:
            number = _number(line)
            for key in [key for key in keys if reached < key.first_segment <= number][-1:]:
                out += [f'#EXT-X-MAP:URI="{key.init}"'] if key.first_segment > 1 else []
                out += (key.signal.native_lines if native else key.signal.lines)("#EXT-X-KEY", to_root)
            out += [*entry, line]
            reached, entry = number, []
    if not reached:
        raise PlaylistError("the packager wrote a media playlist without segments")
    return "\n".join(out) + "\n"


def _number(uri: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]*)\.m4s", uri)
    if found is None:
        raise PlaylistError(f"{uri!r} is no segment of the packager's")
    return int(found[1])


def variant_attributes(text: str) -> dict[str, Mapping[str, str]]:
    """URI → attributes of each variant and keyframe playlist in the packager's multivariant playlist."""
    found: dict[str, Mapping[str, str]] = {}
    waiting: dict[str, str] | None = None
    for line in _lines(text):
        if line.startswith("#EXT-X-STREAM-INF:"):
            waiting = attributes(line)
        elif line.startswith("#EXT-X-I-FRAME-STREAM-INF:"):
            named = attributes(line)
            found[named["URI"].strip('"')] = named
        elif not line.startswith("#") and waiting is not None:
            found.setdefault(line, waiting)
            waiting = None
    return found


def native_path(playlist: str) -> str:
    """The playlist for Apple's player beside a track's, see `KeySignal.native_lines`."""
    return playlist.removesuffix("main.m3u8") + "native.m3u8"


@dataclass(frozen=True, slots=True)
class Multivariant:
    """Everything that the multivariant playlist names."""

    pictures: Sequence[Picture]
    sounds: Sequence[Sound] = ()
    subtitles: Sequence[Subtitle] = ()
    iframes: Sequence[IFrames] = ()
    session_keys: Sequence[str] = ()
    thumbnails: Thumbnails | None = None
    thumbnails_playlist: str = ""
    thumbnails_bits: int = 0

    def native(self) -> Multivariant:
        """The same film for Apple's player, see `KeySignal.native_lines`."""
        return replace(
            self,
            pictures=[replace(picture, playlist=native_path(picture.playlist)) for picture in self.pictures],
            sounds=[replace(sound, playlist=native_path(sound.playlist)) for sound in self.sounds],
            iframes=(),
            session_keys=(),
        )

    def text(self) -> str:
        """The playlist."""
        lines = ["#EXT-X-INDEPENDENT-SEGMENTS", *self.session_keys]
        lines += [_sound_line(sound) for sound in self.sounds]
        lines += [_subtitle_line(subtitle) for subtitle in self.subtitles]
        groups = list(dict.fromkeys(sound.group for sound in self.sounds)) or [""]
        for group in groups:
            for picture in _first_choice_first(self.pictures):
                lines += self._variant(picture, group)
        lines += [_iframes_line(iframes) for iframes in self.iframes]
        if self.thumbnails is not None:
            tile = f"{self.thumbnails.tile_width}x{self.thumbnails.tile_height}"
            lines.append(
                f"#EXT-X-IMAGE-STREAM-INF:BANDWIDTH={self.thumbnails_bits},RESOLUTION={tile},"
                f'CODECS="jpeg",URI="{self.thumbnails_playlist}"'
            )
        return _HEAD + "\n".join(lines) + "\n"

    def _variant(self, picture: Picture, group: str) -> list[str]:
        members = [sound for sound in self.sounds if sound.group == group]
        codecs = ",".join(dict.fromkeys([picture.codecs, *(sound.codecs for sound in members)]))
        parts = [
            f"BANDWIDTH={picture.peak_bits + max((sound.peak_bits for sound in members), default=0)}",
            f"AVERAGE-BANDWIDTH={picture.average_bits + max((sound.average_bits for sound in members), default=0)}",
            f'CODECS="{codecs}"',
            f"RESOLUTION={picture.width}x{picture.height}",
            f"FRAME-RATE={picture.frame_rate:.3f}",
        ]
        if picture.video_range:
            parts.append(f"VIDEO-RANGE={picture.video_range}")
        if group:
            parts.append(f'AUDIO="{group}"')
        if self.subtitles:
            parts.append('SUBTITLES="text"')
        return ["#EXT-X-STREAM-INF:" + ",".join([*parts, "CLOSED-CAPTIONS=NONE"]), picture.playlist]


def text_playlist(file: str, seconds: float) -> str:
    """A media playlist of one WebVTT file as long as the film. Cue times count from the film's start (§3.5)."""
    head = f"{_HEAD}#EXT-X-TARGETDURATION:{math.ceil(seconds)}\n#EXT-X-PLAYLIST-TYPE:VOD\n"
    return f"{head}#EXTINF:{seconds:.3f},\n{file}\n#EXT-X-ENDLIST\n"


def image_playlist(thumbnails: Thumbnails, files: Sequence[str], seconds: float) -> str:
    """A playlist of sprite sheets, by the image media playlist extension that Roku, Shaka Player and others read."""
    sheet_seconds = thumbnails.interval * thumbnails.columns * thumbnails.rows
    lines = [f"#EXT-X-TARGETDURATION:{math.ceil(sheet_seconds)}", "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-IMAGES-ONLY"]
    size = f"{thumbnails.tile_width}x{thumbnails.tile_height}"
    layout = f"{thumbnails.columns}x{thumbnails.rows}"
    for index, file in enumerate(files):
        left = max(seconds - index * sheet_seconds, 0.001)
        lines += [
            f"#EXTINF:{min(sheet_seconds, left):.3f},",
            f"#EXT-X-TILES:RESOLUTION={size},LAYOUT={layout},DURATION={thumbnails.interval:.3f}",
            file,
        ]
    return _HEAD + "\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n"


def quoted(text: str) -> str:
    """A quoted string: titles come from people's files and may hold what would end the string or the line (§4.2)."""
    return '"' + _UNQUOTABLE.sub(" ", text.replace('"', "'")).strip() + '"'


def _sound_line(sound: Sound) -> str:
    language = f",LANGUAGE={quoted(sound.language)}" if sound.language != "und" else ""
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{sound.group}",NAME={quoted(sound.name)}{language},DEFAULT={_yes(sound.default)},'
        f'AUTOSELECT={_yes(sound.chosen_by_language)},CHANNELS="{sound.channels}",URI="{sound.playlist}"'
    )


def _subtitle_line(subtitle: Subtitle) -> str:
    language = f",LANGUAGE={quoted(subtitle.language)}" if subtitle.language != "und" else ""
    return (
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text",NAME={quoted(subtitle.name)}{language},DEFAULT=NO,AUTOSELECT=YES,'
        f'FORCED={_yes(subtitle.forced)},URI="{subtitle.playlist}"'
    )


def _iframes_line(iframes: IFrames) -> str:
    return (
        f"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={iframes.peak_bits},AVERAGE-BANDWIDTH={iframes.average_bits},"
        f'CODECS="{iframes.codecs}",RESOLUTION={iframes.width}x{iframes.height},URI="{iframes.playlist}"'
    )


def _first_choice_first(pictures: Sequence[Picture]) -> list[Picture]:
    """Players begin with the first variant: the best that an ordinary line carries, then the others from the top."""
    falling = sorted(pictures, key=lambda picture: picture.average_bits, reverse=True)
    first = next((picture for picture in falling if picture.average_bits <= _FIRST_VARIANT_BITS), falling[-1])
    return [first, *(picture for picture in falling if picture is not first)]


def _yes(value: bool) -> str:
    return "YES" if value else "NO"


def _lines(text: str) -> list[str]:
    if not text.startswith("#EXTM3U"):
        raise PlaylistError("a playlist begins with #EXTM3U")
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
