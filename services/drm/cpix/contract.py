"""SPEKE's encryption contract: which tracks each key is for, as `ContentKeyUsageRuleList` says.

Source: AWS, "SPEKE API v2 - Encryption contract" and "Customizations and constraints". A contract is never changed here, only taken or refused. Names of track types are free but for
`ALL`, so a rule that bears the name of a preset is not held to that preset's bounds; the presets say which kind of track a key is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.drm.cpix.document import AudioFilter, Document, UsageRule, VideoFilter
from services.drm.cpix.faults import Refused

MALFORMED: Final = "Malformed encryption contract"
NOT_SUPPORTED: Final = "Requested CPIX encryption contract not supported"
MISSING: Final = "Missing CPIX encryption contract"
ALL: Final = "ALL"
LONGEST_TRACK_TYPE: Final = 64

SD_PIXELS: Final = 589_824
HD1_PIXELS: Final = 921_600
HD_PIXELS: Final = 2_073_600
UHD1_PIXELS: Final = 8_847_360

VIDEO_PRESETS: Final = {
    "PRESET-VIDEO-1": ("VIDEO",),
    "PRESET-VIDEO-2": ("SD", "HD"),
    "PRESET-VIDEO-3": ("SD", "HD", "UHD"),
    "PRESET-VIDEO-4": ("SD", "HD", "UHD1", "UHD2"),
    "PRESET-VIDEO-5": ("SD", "HD1", "HD2", "UHD1", "UHD2"),
    "PRESET-VIDEO-6": ("SD", "HD1", "HD2", "UHD"),
    "PRESET-VIDEO-7": ("SD+HD1", "HD2", "UHD"),
    "PRESET-VIDEO-8": ("SD+HD1", "HD2", "UHD1", "UHD2"),
}
"""Track types of Amazon's video presets."""
AUDIO_PRESETS: Final = {
    "PRESET-AUDIO-1": ("AUDIO",),
    "PRESET-AUDIO-2": ("STEREO_AUDIO", "MULTICHANNEL_AUDIO"),
    "PRESET-AUDIO-3": ("STEREO_AUDIO", "MULTICHANNEL_AUDIO_3_6", "MULTICHANNEL_AUDIO_7"),
}
"""Track types of Amazon's audio presets."""
SHARED: Final = "SHARED"
UNENCRYPTED: Final = "UNENCRYPTED"


def check(document: Document) -> None:
    """Refuses a contract that SPEKE refuses.

    Raises:
        Refused: with the specification's words.
    """
    rules = document.rules
    if not any(rule.video or rule.audio for rule in rules):
        raise Refused(MISSING)
    if sorted(rule.key_id for rule in rules) != sorted(key.key_id for key in document.keys):
        raise Refused(MALFORMED)  # each key has one rule, and each rule a key
    periods = {period.period_id for period in document.periods}
    for rule in rules:
        if not set(rule.periods) <= periods:
            raise Refused(MALFORMED)
        _check_rule(rule)
    for number, rule in enumerate(rules):
        for other in rules[number + 1 :]:
            if _meet(rule, other) and (
                rule.track_type == other.track_type or ALL in (rule.track_type, other.track_type)
            ):
                raise Refused(MALFORMED)


def _meet(one: UsageRule, other: UsageRule) -> bool:
    """Whether there is a period in which both apply."""
    return not one.periods or not other.periods or bool(set(one.periods) & set(other.periods))


def _check_rule(rule: UsageRule) -> None:
    if not rule.track_type or len(rule.track_type) > LONGEST_TRACK_TYPE or rule.labels:
        raise Refused(MALFORMED)
    if rule.track_type == ALL:
        if rule.video != (VideoFilter(),) or rule.audio != (AudioFilter(),):
            raise Refused(MALFORMED)
        return
    # The text of the specification wants a filter for each part of the name; Amazon's own encryptors send one for `SD+HD1`, which is as clear.
    parts = rule.track_type.split("+")
    if not all(parts) or not 0 < len(rule.video) + len(rule.audio) <= len(parts) or len(set(parts)) != len(parts):
        raise Refused(MALFORMED)
    if not all(_possible(low, high) for low, high in _bounds(rule)):
        raise Refused(MALFORMED)
    if rule.audio and rule.video:
        _check_shared(rule.video)


def _check_shared(video: Sequence[VideoFilter]) -> None:
    """One key for sound and pictures: for all of both it must be called `ALL`, and for pictures beyond HD there is none, because sound goes to players
    that may not have such a key (its licence asks for hardware)."""
    if VideoFilter() in video:
        raise Refused(MALFORMED)
    if any(found.max_pixels is None or found.max_pixels > HD_PIXELS for found in video):
        raise Refused(NOT_SUPPORTED)


def _bounds(rule: UsageRule) -> list[tuple[int | None, int | None]]:
    return [
        *((found.min_pixels, found.max_pixels) for found in rule.video),
        *((found.min_fps, found.max_fps) for found in rule.video),
        *((found.min_channels, found.max_channels) for found in rule.audio),
    ]


def _possible(low: int | None, high: int | None) -> bool:
    return (low is None or low >= 0) and (high is None or high >= (low or 0))


def presets(document: Document) -> tuple[str, str]:
    """Names of the video and of the audio preset that a contract follows; empty where it follows none."""
    found = {rule.track_type for rule in document.rules}
    if found == {ALL}:
        return SHARED, SHARED
    video = {rule.track_type for rule in document.rules if rule.video}
    audio = {rule.track_type for rule in document.rules if rule.audio}

    def named(types: set[str], known: dict[str, tuple[str, ...]]) -> str:
        if not types:
            return UNENCRYPTED
        return next((name for name, needed in known.items() if types == set(needed)), "")

    return named(video, VIDEO_PRESETS), named(audio, AUDIO_PRESETS)


def kind_of(rule: UsageRule) -> str:
    """The kind of track that a key is for, as licences judge it: `AUDIO`, `SD`, `HD`, `UHD1` or `UHD2`, the most demanding that the rule lets in."""
    if not rule.video:
        return "AUDIO"
    return max((_kind_of_video(found, rule.track_type) for found in rule.video), key=_KINDS.index)


_KINDS: Final = ("AUDIO", "SD", "HD", "UHD1", "UHD2")
_NAMED: Final = {"SD": "SD", "HD": "HD", "HD1": "HD", "HD2": "HD", "SD+HD1": "HD", "UHD": "UHD1", "UHD1": "UHD1"}


def _kind_of_video(found: VideoFilter, track_type: str) -> str:
    if found.max_pixels is None:
        # `VIDEO` and `ALL` are whatever the encryptor has; as the one key of a film it counts as HD, which every player with a screen may have.
        if found.min_pixels is None:
            return "HD"
        return _NAMED.get(track_type, "UHD2" if found.min_pixels > HD_PIXELS else "HD")
    for kind, most in (("SD", SD_PIXELS), ("HD", HD_PIXELS), ("UHD1", UHD1_PIXELS)):
        if found.max_pixels <= most:
            return kind
    return "UHD2"
