"""What the packager is given and what it gives back: tracks, keys and the finished set. Values only, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LABEL: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_MOST_SD_PIXELS: Final = 589_824
_MOST_HD_PIXELS: Final = 2_073_600
_MOST_UHD1_PIXELS: Final = 8_847_360
AUDIO_LABEL: Final = "AUDIO"
MOST_KEY_PERIODS: Final = 24
"""Key periods in one package; each costs a run of the packager."""


class Scheme(StrEnum):
    """How samples are encrypted (ISO/IEC 23001-7)."""

    CBCS = "cbcs"
    CENC = "cenc"
    NONE = "none"


class System(StrEnum):
    """A protection system to signal.

    `CLEARKEY`: key lines in HLS (KEYFORMAT "org.w3.clearkey" and "identity"), the DASH-IF ClearKey descriptor in the MPD,
    and the common PSSH in the init segments, which its players read; whoever wants a licensed system alone leaves it out,
    because players may take it for the easier way. `COMMON`: the W3C common PSSH, in the init segments and, where
    ClearKey's descriptor does not stand in its place, in the MPD. `FAIRPLAY` exists in HLS with cbcs only.
    """

    CLEARKEY = "ClearKey"
    COMMON = "CommonSystem"
    WIDEVINE = "Widevine"
    PLAYREADY = "PlayReady"
    FAIRPLAY = "FairPlay"


def key_label(width: int, height: int) -> str:
    """The kind of key for a picture of so many pixels, by SPEKE v2's limits (its HD1 and HD2 share one key here)."""
    pixels = width * height
    if pixels <= _MOST_SD_PIXELS:
        return "SD"
    if pixels <= _MOST_HD_PIXELS:
        return "HD"
    return "UHD1" if pixels <= _MOST_UHD1_PIXELS else "UHD2"


def init_name(period: int) -> str:
    """File name of a track's init segment in a key period, counted from 1."""
    return "init.mp4" if period == 1 else f"init-{period}.mp4"


def period_label(label: str, period: int) -> str:
    """The label of a kind's key in a key period, counted from 1: `HD`, then `HD_P2`, `HD_P3` and so on."""
    return label if period == 1 else f"{label}_P{period}"


@dataclass(frozen=True, slots=True)
class ContentKey:
    """One content key. Its repr shows no secret.

    Args:
        key_id: 16 bytes.
        key: 16 bytes.
        iv: constant initialization vector for cbcs, 16 bytes; None leaves the choice to the packager. Never used for
            cenc, where renditions that share a key must not share a counter.
    """

    key_id: bytes
    key: bytes = field(repr=False)
    iv: bytes | None = None

    def __post_init__(self) -> None:
        if len(self.key_id) != 16 or len(self.key) != 16 or (self.iv is not None and len(self.iv) != 16):
            raise ValueError("a content key has a key id, a key and an iv of 16 bytes each")


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """One rung of the ladder.

    Args:
        name: unique among the rungs and part of URLs, such as `1080p`.
        path: MP4 file with one video stream and a keyframe at each multiple of the segment duration.
        width: pixels.
        height: pixels.
        label: which of the keys encrypts it; empty for the one that its size calls for, see `key_label`.
        other: the same with variant b of its watermark; None when the film has no watermark.
    """

    name: str
    path: Path
    width: int
    height: int
    label: str = ""
    other: Path | None = None

    def __post_init__(self) -> None:
        _check(_NAME, self.name, "name of a rendition")
        object.__setattr__(self, "label", self.label or key_label(self.width, self.height))
        _check(_LABEL, self.label, "label of a key")


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One encoding of one sound track. A sound track that comes in stereo and in 5.1 is two of these.

    Args:
        path: MP4 file with one audio stream.
        language: BCP 47 tag, `und` when unknown.
        channels: number of channels.
        title: name for people; empty when there is none.
        label: which of the keys encrypts it.
    """

    path: Path
    language: str
    channels: int
    title: str = ""
    label: str = AUDIO_LABEL

    def __post_init__(self) -> None:
        _check(_LANGUAGE, self.language, "language tag")
        _check(_LABEL, self.label, "label of a key")


@dataclass(frozen=True, slots=True)
class TextTrack:
    """Subtitles as one WebVTT file.

    Args:
        path: WebVTT in UTF-8.
        language: BCP 47 tag, `und` when unknown.
        title: name for people; empty when there is none.
        forced: to be shown even when the viewer asks for no subtitles, such as foreign dialogue.
    """

    path: Path
    language: str
    title: str = ""
    forced: bool = False

    def __post_init__(self) -> None:
        _check(_LANGUAGE, self.language, "language tag")


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Sprite sheets for the seek bar: JPEG files of columns × rows tiles each, filled row by row.

    Args:
        sheets: the files in order; the last may be cut off or padded.
        columns: tiles in a row.
        rows: rows in a sheet.
        tile_width: pixels.
        tile_height: pixels.
        interval: seconds from one tile to the next.
    """

    sheets: tuple[Path, ...]
    columns: int
    rows: int
    tile_width: int
    tile_height: int
    interval: float

    def __post_init__(self) -> None:
        if not self.sheets or min(self.columns, self.rows, self.tile_width, self.tile_height) < 1 or self.interval <= 0:
            raise ValueError("thumbnails need at least one sheet, one tile, and an interval above 0 seconds")


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """Everything about one package.

    Args:
        output: folder for the set; it must be empty or not exist yet.
        video: the ladder, at least one rung; names are unique.
        audio: in the order of the master; the first one's language is the default unless `default_language` tells.
        text: subtitles.
        thumbnails: sprite sheets, or None.
        poster: a JPEG, or None.
        scheme: how samples are encrypted.
        keys: label → key; each label that a track names must be there.
        later_keys: the same for the second key period and those after it. The last given lasts until the end.
        key_period: seconds after which the next key period begins, to the nearest whole segment.
        systems: what to signal. Ignored for `Scheme.NONE`.
        playready_la_url: where PlayReady clients ask for licences unless they are told otherwise; empty for nowhere.
        segment_duration: seconds. The whole number of frames nearest to what is wanted: 2.002 for 60 frames at 29.97
            per second.
        default_language: BCP 47 tag of the sound to play when the viewer has no preference; empty for the first
            track's.
        has_iframes: whether HLS gets playlists of I-frames. A watermarked film has none: they name ranges of bytes, which are others
            in each variant.
        paced: whether the segments of a watermarked film get sidecars by which the edges of others choose.
    """

    output: Path
    video: tuple[VideoTrack, ...]
    audio: tuple[AudioTrack, ...] = ()
    text: tuple[TextTrack, ...] = ()
    thumbnails: Thumbnails | None = None
    poster: Path | None = None
    scheme: Scheme = Scheme.CBCS
    keys: Mapping[str, ContentKey] = field(default_factory=dict)
    later_keys: tuple[Mapping[str, ContentKey], ...] = ()
    key_period: float = 0.0
    systems: frozenset[System] = frozenset({System.CLEARKEY})
    playready_la_url: str = ""
    segment_duration: float = 2.0
    default_language: str = ""
    has_iframes: bool = True
    paced: bool = False

    def __post_init__(self) -> None:
        names = [track.name for track in self.video]
        if not names or len(set(names)) != len(names):
            raise ValueError("a package needs at least one video rendition, and no two of the same name")
        if not 0.5 <= self.segment_duration <= 30:
            raise ValueError(f"a segment lasts 0.5 to 30 seconds, not {self.segment_duration}")
        if len({track.other is None for track in self.video}) > 1:
            raise ValueError("either all renditions of a film have two variants, or none has")
        if self.scheme is not Scheme.NONE:
            self._check_protection()

    @property
    def watermarked(self) -> bool:
        """Whether its pictures come in two variants."""
        return self.video[0].other is not None

    @property
    def key_periods(self) -> tuple[Mapping[str, ContentKey], ...]:
        """Label → key, for each key period."""
        return (self.keys, *self.later_keys)

    @property
    def segments_per_period(self) -> int:
        """Segments in a key period; 0 when there is one period only."""
        return max(1, round(self.key_period / self.segment_duration)) if self.later_keys else 0

    def _check_protection(self) -> None:
        labels = {track.label for track in self.video} | {track.label for track in self.audio}
        for keys in self.key_periods:
            if missing := sorted(labels - set(keys)):
                raise ValueError(f"no key is given for {', '.join(missing)}")
        key_ids = [key.key_id for keys in self.key_periods for key in keys.values()]
        if len(set(key_ids)) != len(key_ids):
            raise ValueError("two keys have the same key id")
        if self.later_keys and (self.key_period <= 0 or len(self.key_periods) > MOST_KEY_PERIODS):
            raise ValueError(f"key periods last longer than 0 seconds, and there are at most {MOST_KEY_PERIODS}")
        if not self.systems:
            raise ValueError("an encrypted package needs at least one protection system, or nobody can play it")
        if System.FAIRPLAY in self.systems and self.scheme is not Scheme.CBCS:
            raise ValueError("FairPlay plays cbcs only: package with cbcs, or leave FairPlay out")


@dataclass(frozen=True, slots=True)
class UsedKey:
    """A key as the boxes of a track tell.

    Args:
        key_id: 32 lower-case hex digits.
        constant_iv: 32 lower-case hex digits; empty unless every sample uses the same one (cbcs).
        first_segment: number of the first segment that it encrypts, from 1.
        headers: the PSSH boxes of the init segment of its key period, one after the other.
    """

    key_id: str
    constant_iv: str
    first_segment: int
    headers: bytes


@dataclass(frozen=True, slots=True)
class Measured:
    """One packaged CMAF track, as measured from its own boxes.

    Args:
        folder: where its init segment and segments lie below the package, such as `video/1080p`.
        segments: number of media segments.
        seconds: sum of their durations.
        peak_bits: bits per second of the most demanding segment.
        average_bits: bits per second over all.
        size: bytes, init segment included.
        keys: of the key periods that the track lasts into, in order; empty when unencrypted.
        segment_seconds: duration of each segment.
        starts_at: decode time of the first sample in seconds.
    """

    folder: str
    segments: int
    seconds: float
    peak_bits: int
    average_bits: int
    size: int
    keys: tuple[UsedKey, ...]
    segment_seconds: tuple[float, ...]
    starts_at: float

    @property
    def key_id(self) -> str:
        """Key id of the first key period; empty when unencrypted."""
        return self.keys[0].key_id if self.keys else ""

    def key_id_in(self, period: int) -> str:
        """Key id of a key period, counted from 0; empty when unencrypted."""
        return self.keys[period].key_id if self.keys else ""

    @property
    def constant_iv(self) -> str:
        """Constant IV of the first key period; empty when samples carry their own or are in the clear."""
        return self.keys[0].constant_iv if self.keys else ""


@dataclass(frozen=True, slots=True)
class PackageResult:
    """A finished set. Paths are relative to the package and use `/`.

    Args:
        dash_path: the MPD.
        hls_path: the multivariant playlist.
        poster_path: empty when there is none.
        thumbnails_path: WebVTT index of thumbnails; empty when there is none.
        seconds: length of the film, that of the longest video track.
        size: bytes of all files.
        key_ids: label → key id as 32 lower-case hex digits, for the labels used, those of later key periods as
            `period_label` names them; empty when unencrypted.
        tracks: the CMAF tracks, video first, in the order of the request.
        files: every file of the set, sorted.
    """

    dash_path: str
    hls_path: str
    poster_path: str
    thumbnails_path: str
    seconds: float
    size: int
    key_ids: Mapping[str, str]
    tracks: tuple[Measured, ...]
    files: tuple[str, ...]


def _check(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{value!r} is no {what}: it must match {pattern.pattern}")
