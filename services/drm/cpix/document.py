"""What a CPIX document says, as values. Keys print without themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class VideoFilter:
    """Which video tracks a key is for; None where there is no bound. Pixels are width times height."""

    min_pixels: int | None = None
    max_pixels: int | None = None
    hdr: bool | None = None
    wcg: bool | None = None
    min_fps: int | None = None
    max_fps: int | None = None


@dataclass(frozen=True, slots=True)
class AudioFilter:
    """Which audio tracks a key is for; None where there is no bound."""

    min_channels: int | None = None
    max_channels: int | None = None


@dataclass(frozen=True, slots=True)
class BitrateFilter:
    """Which tracks a key is for, in bits a second; None where there is no bound."""

    min_bitrate: int | None = None
    max_bitrate: int | None = None


@dataclass(frozen=True, slots=True)
class UsageRule:
    """Which tracks are encrypted with a key.

    Attributes:
        key_id: of the key, 16 bytes.
        track_type: `intendedTrackType`; empty when it is not said.
        periods: ids of the periods in which it is; empty means always.
        labels: of tracks.
    """

    key_id: bytes
    track_type: str = ""
    periods: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    video: tuple[VideoFilter, ...] = ()
    audio: tuple[AudioFilter, ...] = ()
    bitrates: tuple[BitrateFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    """A span of time in which a key is used: known by its number, or by its begin and end."""

    period_id: str
    index: int | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class DrmSystem:
    """What a protection system is told about a key. All values are bytes, as they are without base64; None where it is told nothing.

    Attributes:
        system_id: UUID, lower case.
        hls: what stands in playlists, by `media` or `master`.
        smooth_streaming: text; it is not in base64 in the document.
    """

    system_id: str
    key_id: bytes
    pssh: bytes | None = None
    content_protection: bytes | None = None
    hls: tuple[tuple[str, bytes], ...] = ()
    smooth_streaming: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A content key.

    Attributes:
        key_id: 16 bytes.
        value: 16 bytes; None when the document does not say it, or not in the clear.
        scheme: `cenc`, `cbcs`, `cens` or `cbc1`; empty when it is not said.
        explicit_iv: 16 bytes; None when it is not said.
    """

    key_id: bytes
    value: bytes | None = field(default=None, repr=False)
    scheme: str = ""
    explicit_iv: bytes | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A CPIX document.

    Attributes:
        recipients: certificates (DER) that keys are, or are to be, encrypted to.
    """

    content_id: str = ""
    version: str = ""
    name: str = ""
    recipients: tuple[bytes, ...] = ()
    keys: tuple[Key, ...] = ()
    systems: tuple[DrmSystem, ...] = ()
    periods: tuple[KeyPeriod, ...] = ()
    rules: tuple[UsageRule, ...] = ()
