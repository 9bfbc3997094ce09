"""From the renditions that transcoding announced to a request for the packaging engine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from reelmesh.drm.v1 import drm_pb2
from reelmesh.transcode.v1 import transcode_pb2 as transcode
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted

from services.packaging.tracks import (
    AUDIO_LABEL,
    MOST_KEY_PERIODS,
    AudioTrack,
    ContentKey,
    PackageRequest,
    Scheme,
    System,
    TextTrack,
    Thumbnails,
    VideoTrack,
    key_label,
)

# The sprite index is not taken over: it is written anew, for where the sheets lie in the package.
_TAKEN: Final = frozenset(
    {
        transcode.TRACK_KIND_VIDEO,
        transcode.TRACK_KIND_AUDIO,
        transcode.TRACK_KIND_TEXT,
        transcode.TRACK_KIND_POSTER,
        transcode.TRACK_KIND_SPRITE,
    }
)
_UNKNOWN_LANGUAGE: Final = "und"


def files_of(event: TranscodeCompleted) -> list[str]:
    """Object keys of the renditions that go into the package."""
    taken = [rendition for rendition in event.renditions if rendition.kind in _TAKEN]
    return [key for one in taken for key in (one.object_key, one.variant_object_key) if key]


def labels_of(event: TranscodeCompleted) -> list[str]:
    """The kinds of key that the renditions need, sorted."""
    labels = {key_label(rendition.width, rendition.height) for rendition in _all(event, transcode.TRACK_KIND_VIDEO)}
    if _all(event, transcode.TRACK_KIND_AUDIO):
        labels.add(AUDIO_LABEL)
    return sorted(labels)


def key_period_of(event: TranscodeCompleted, wanted: float) -> tuple[float, int]:
    """Seconds that a key period of the film lasts, and how many there are; long films have longer ones.

    Args:
        event: what was transcoded.
        wanted: seconds; 0 for one key for the whole film.
    """
    seconds = max(film.duration.ToNanoseconds() for film in _all(event, transcode.TRACK_KIND_VIDEO)) / 1e9
    if not wanted or seconds <= wanted:
        return 0.0, 1
    period = max(wanted, seconds / MOST_KEY_PERIODS)
    return period, min(MOST_KEY_PERIODS, math.ceil(seconds / period))


def request_of(
    event: TranscodeCompleted,
    files: Mapping[str, Path],
    output: Path,
    *,
    keys: Sequence[Mapping[str, ContentKey]],
    key_period: float = 0.0,
    scheme: Scheme,
    systems: frozenset[System],
    playready_la_url: str = "",
    paced: bool = False,
) -> PackageRequest:
    """The request.

    Args:
        event: what was transcoded.
        files: object key → where the file lies.
        output: folder for the set.
        keys: label → key, for each of `labels_of`, and that for each key period.
        key_period: seconds that one lasts.
        scheme: how samples are encrypted.
        systems: protection systems to signal.
        playready_la_url: where PlayReady clients ask for licences that their player gives no address.
        paced: whether a watermarked film gets sidecars, see `pace`.
    """
    posters = _all(event, transcode.TRACK_KIND_POSTER)
    return PackageRequest(
        output=output,
        video=_pictures(event, files),
        audio=tuple(
            AudioTrack(
                files[rendition.object_key],
                rendition.language or _UNKNOWN_LANGUAGE,
                rendition.channels,
                rendition.title,
            )
            for rendition in _all(event, transcode.TRACK_KIND_AUDIO)
        ),
        text=tuple(
            TextTrack(
                files[rendition.object_key],
                rendition.language or _UNKNOWN_LANGUAGE,
                rendition.title,
                forced=rendition.forced,
            )
            for rendition in _all(event, transcode.TRACK_KIND_TEXT)
        ),
        thumbnails=_thumbnails(event, files),
        poster=files[posters[0].object_key] if posters else None,
        keys=keys[0],
        later_keys=tuple(keys[1:]),
        key_period=key_period,
        scheme=scheme,
        systems=systems,
        playready_la_url=playready_la_url,
        paced=paced,
        segment_duration=event.segment_duration.ToNanoseconds() / 1e9,
    )


def _pictures(event: TranscodeCompleted, files: Mapping[str, Path]) -> tuple[VideoTrack, ...]:
    """The rungs of the ladder, each with variant b of its watermark if it has one."""
    return tuple(
        VideoTrack(
            rendition.name.removeprefix("video-"),
            files[rendition.object_key],
            rendition.width,
            rendition.height,
            other=files[rendition.variant_object_key] if rendition.variant_object_key else None,
        )
        for rendition in _all(event, transcode.TRACK_KIND_VIDEO)
    )


def content_keys(labels: Sequence[str], keys: Sequence[drm_pb2.ContentKey]) -> dict[str, ContentKey]:
    """Keys as the DRM service gives them, by the labels of their tracks, which are in the same order."""
    return {label: ContentKey(key.key_id, key.key, key.iv or None) for label, key in zip(labels, keys, strict=True)}


def _thumbnails(event: TranscodeCompleted, files: Mapping[str, Path]) -> Thumbnails | None:
    sheets = _all(event, transcode.TRACK_KIND_SPRITE)
    if not sheets:
        return None
    first = sheets[0]
    return Thumbnails(
        sheets=tuple(files[sheet.object_key] for sheet in sheets),
        columns=first.sprite_columns,
        rows=first.sprite_rows,
        tile_width=first.width // first.sprite_columns,
        tile_height=first.height // first.sprite_rows,
        interval=first.thumbnail_interval.ToNanoseconds() / 1e9,
    )


def _all(event: TranscodeCompleted, kind: transcode.TrackKind.ValueType) -> list[transcode.Rendition]:
    return [rendition for rendition in event.renditions if rendition.kind == kind]
