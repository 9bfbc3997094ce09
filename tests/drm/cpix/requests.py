"""What encryptors send: requests for every preset of SPEKE v2, as Amazon's own suite makes them (awslabs/speke-reference-server)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from lxml import etree

from services.drm.cpix import writing
from services.drm.cpix.document import AudioFilter, Document, DrmSystem, Key, KeyPeriod, UsageRule, VideoFilter
from services.drm.cpix.signalling import COMMON, FAIRPLAY, PLAYREADY, WIDEVINE

FILTERS: dict[str, VideoFilter | AudioFilter] = {
    "VIDEO": VideoFilter(),
    "SD": VideoFilter(max_pixels=589_824),
    "HD": VideoFilter(min_pixels=589_825),
    "HD1": VideoFilter(min_pixels=589_825, max_pixels=921_600),
    "HD2": VideoFilter(min_pixels=921_601, max_pixels=2_073_600),
    "UHD": VideoFilter(min_pixels=2_073_601),
    "UHD1": VideoFilter(min_pixels=2_073_601, max_pixels=8_847_360),
    "UHD2": VideoFilter(min_pixels=8_847_361),
    "AUDIO": AudioFilter(),
    "STEREO_AUDIO": AudioFilter(max_channels=2),
    "MULTICHANNEL_AUDIO": AudioFilter(min_channels=3),
    "MULTICHANNEL_AUDIO_3_6": AudioFilter(min_channels=3, max_channels=6),
    "MULTICHANNEL_AUDIO_7": AudioFilter(min_channels=7),
}


def key_id(number: int) -> bytes:
    """A key id that is the same in every run."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"key {number}").bytes


def rule(number: int, track_type: str, periods: tuple[str, ...] = ()) -> UsageRule:
    """The rule of a track type."""
    if track_type == "ALL":
        return UsageRule(key_id(number), "ALL", periods, video=(VideoFilter(),), audio=(AudioFilter(),))
    found = [FILTERS[part] for part in track_type.split("+")]
    return UsageRule(
        key_id(number),
        track_type,
        periods,
        video=tuple(one for one in found if isinstance(one, VideoFilter)),
        audio=tuple(one for one in found if isinstance(one, AudioFilter)),
    )


def asked(
    track_types: Sequence[str] = ("VIDEO", "AUDIO"),
    systems: Sequence[str] = (WIDEVINE, PLAYREADY),
    scheme: str = "cenc",
    *,
    content_id: str = "film-1",
    recipients: tuple[bytes, ...] = (),
    period: str = "",
) -> Document:
    """A request; its systems ask for all that Amazon's suite asks of them."""
    return Document(
        content_id=content_id,
        version="2.3",
        recipients=recipients,
        keys=tuple(Key(key_id(number), scheme=scheme) for number, _ in enumerate(track_types)),
        systems=tuple(
            DrmSystem(
                system,
                key_id(number),
                pssh=b"",
                content_protection=None if system == FAIRPLAY else b"",
                hls=() if system == COMMON else (("media", b""), ("master", b"")),
            )
            for system in systems
            for number, _ in enumerate(track_types)
        ),
        periods=(KeyPeriod(period, index=0),) if period else (),
        rules=tuple(
            rule(number, track_type, (period,) if period else ()) for number, track_type in enumerate(track_types)
        ),
    )


def tree(document: Document | None = None) -> etree._Element:
    """A request as a tree."""
    return writing.tree_of(document or asked())


def request(document: Document | None = None) -> bytes:
    """A request as bytes; empty elements are written as encryptors write them."""
    return writing.written(document or asked()).replace(b"<cpix:PSSH></cpix:PSSH>", b"<cpix:PSSH />")
