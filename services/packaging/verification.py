"""Looks at a finished set with other eyes than those that made it, before anybody may play it.

Every file that a manifest names exists; nothing points outside the package; renditions have the same segments;
manifests and boxes agree on number and length; every sample is encrypted, from the first segment on, with the key that
was asked for.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from services.packaging import manifest, playlists
from services.packaging.boxes import BoxError, InitSegment, MediaSegment, read_init, read_segment
from services.packaging.protection import NATIVE_PATH
from services.packaging.tracks import Measured, Scheme, UsedKey, init_name

_SAFE_URI: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_DATA_URI: Final = re.compile(r"(data:text/plain[;,]|skd://)")
_KEY_URI: Final = re.compile(r"(\.\./)*key/[0-9a-f]{32}")
# A manifest rounds to milliseconds and counts without the encoder's priming samples, at most two AAC frames at 16 kHz.
_ROUNDING: Final = 0.150
_FRAME_SLACK: Final = 0.001


class Unsound(Exception):
    """The set is not what it should be. The message says in what."""


def measured(root: Path, folder: str, scheme: Scheme, key_ids: Sequence[str], segments_per_period: int = 0) -> Measured:
    """Measures one CMAF track and checks that it is whole and encrypted as asked.

    Args:
        root: folder of the package.
        folder: the track's, below it.
        scheme: that was asked for.
        key_ids: of the key periods, 32 lower-case hex digits each; ignored for `Scheme.NONE`.
        segments_per_period: after which the next key is in use; 0 when there is one period only.
    """
    try:
        paths = _segment_paths(root / folder)
        inits = [read_init(path) for path in _init_paths(root / folder, len(paths), segments_per_period, len(key_ids))]
        first = inits[0]
        for init, key_id in zip(inits, key_ids[: len(inits)] or [""], strict=True):
            _check_protection(folder, init, scheme, key_id)
            if (init.timescale, init.default_duration) != (first.timescale, first.default_duration):
                raise Unsound(f"the init segments of {folder} count time differently")
        periods = [_period(number, segments_per_period, len(inits)) for number in range(1, len(paths) + 1)]
        segments = [read_segment(path, inits[period]) for path, period in zip(paths, periods, strict=True)]
    except (BoxError, OSError) as error:
        raise Unsound(f"{folder} cannot be read: {error}") from error
    _check_segments(folder, segments, scheme)
    sizes = [path.stat().st_size for path in paths]
    seconds = [segment.duration / first.timescale for segment in segments]
    total = sum(seconds)
    average = round(sum(sizes) * 8 / total)
    return Measured(
        folder=folder,
        segments=len(segments),
        seconds=total,
        peak_bits=max(average, *(round(size * 8 / length) for size, length in _weighty(sizes, seconds))),
        average_bits=average,
        size=sum(sizes) + sum(path.stat().st_size for path in (root / folder).glob("init*.mp4")),
        keys=()
        if scheme is Scheme.NONE
        else tuple(
            UsedKey(init.key_id.hex(), init.constant_iv.hex(), 1 + periods.index(period), init.headers)
            for period, init in enumerate(inits)
        ),
        segment_seconds=tuple(seconds),
        starts_at=segments[0].start / first.timescale,
    )


def check_alike(tracks: Sequence[Measured]) -> None:
    """Tracks between which players switch must have the same segments, boundary for boundary."""
    for track in tracks[1:]:
        first = tracks[0]
        if track.segments != first.segments:
            raise Unsound(f"{track.folder} has {track.segments} segments but {first.folder} has {first.segments}")
        if abs(track.starts_at - first.starts_at) > _FRAME_SLACK:
            raise Unsound(
                f"{track.folder} begins at {track.starts_at:.3f} s but {first.folder} at {first.starts_at:.3f} s"
            )
        for index, (ours, theirs) in enumerate(zip(track.segment_seconds, first.segment_seconds, strict=True), start=1):
            if abs(ours - theirs) > _FRAME_SLACK:
                raise Unsound(
                    f"segment {index} lasts {ours:.3f} s in {track.folder} but {theirs:.3f} s in {first.folder}"
                )


def check_manifests(root: Path, dash_path: str, hls_path: str, tracks: Iterable[Measured]) -> None:
    """Checks that both manifests name what is there, all of it relative and inside, and agree with the boxes."""
    by_folder = {track.folder: track for track in tracks}
    try:
        mpd = manifest.parse((root / dash_path).read_bytes())
        for uri in manifest.files(mpd):
            _check_file(root, PurePosixPath("."), uri)
        _check_against_mpd(manifest.described(mpd), by_folder)
        _check_playlists(root, hls_path, by_folder)
        if (root / NATIVE_PATH).exists():
            _check_playlists(root, NATIVE_PATH, by_folder)
    except (manifest.ManifestError, playlists.PlaylistError, OSError, ValueError) as error:
        raise Unsound(f"a manifest cannot be read: {error}") from error


def _check_protection(folder: str, init: InitSegment, scheme: Scheme, key_id: str) -> None:
    if scheme is Scheme.NONE:
        if init.scheme:
            raise Unsound(f"{folder} is encrypted though it was to be in the clear")
        return
    if init.scheme != scheme.value or init.entries != 1:
        found = init.scheme or "none"
        raise Unsound(
            f"{folder} allows scheme {found} and {init.entries} sample entries instead of {scheme.value} alone"
        )
    if init.key_id.hex() != key_id:
        raise Unsound(f"{folder} is encrypted with key {init.key_id.hex()} instead of {key_id}")
    if (scheme is Scheme.CBCS) != bool(init.constant_iv):
        raise Unsound(
            f"{folder} has {'a' if init.constant_iv else 'no'} constant iv, which {scheme.value} does not go with"
        )


def _check_segments(folder: str, segments: Sequence[MediaSegment], scheme: Scheme) -> None:
    """Each segment is encrypted as asked and begins where the one before ends."""
    expected = segments[0].start
    for index, segment in enumerate(segments, start=1):
        if segment.encrypted != (scheme is not Scheme.NONE):
            raise Unsound(f"segment {index} of {folder} is {'encrypted' if segment.encrypted else 'in the clear'}")
        if segment.start != expected:
            raise Unsound(
                f"segment {index} of {folder} begins at {segment.start} where the one before ends at {expected}"
            )
        expected = segment.start + segment.duration


def _period(number: int, segments_per_period: int, periods: int) -> int:
    """The key period of a segment, counted from 0. The last one has no end."""
    return min((number - 1) // segments_per_period, periods - 1) if segments_per_period else 0


def _init_paths(folder: Path, segments: int, segments_per_period: int, keys: int) -> list[Path]:
    """The init segments of the key periods that a track of so many segments lasts into, of which there are no others."""
    periods = 1 + _period(segments, segments_per_period, max(keys, 1))
    paths = [folder / init_name(period) for period in range(1, periods + 1)]
    if strange := set(folder.glob("*.mp4")) - set(paths):
        raise BoxError(f"{min(strange).name} belongs to no key period")
    return paths


def _segment_paths(folder: Path) -> list[Path]:
    """The media segments, 1 to n without a gap."""
    paths = sorted(folder.glob("*.m4s"), key=lambda path: int(path.stem))
    if not paths or [path.stem for path in paths] != [str(number) for number in range(1, len(paths) + 1)]:
        raise BoxError(f"the segments of {folder.name} are not numbered 1 to n")
    return paths


def _weighty(sizes: Sequence[int], seconds: Sequence[float]) -> list[tuple[int, float]]:
    """Segments of at least half the usual length: the last scrap of a film tells no bit rate (RFC 8216 §4.1)."""
    usual = max(seconds)
    return [(size, length) for size, length in zip(sizes, seconds, strict=True) if length >= usual / 2]


def _check_against_mpd(described: Mapping[str, manifest.Described], tracks: Mapping[str, Measured]) -> None:
    if set(described) != set(tracks):
        raise Unsound(f"the MPD names {sorted(described)} where {sorted(tracks)} were packaged")
    for folder, track in tracks.items():
        said = described[folder]
        if (said.segments, said.key_ids) != (track.segments, tuple(key.key_id for key in track.keys)):
            keys = ", ".join(said.key_ids) or "none"
            raise Unsound(f"the MPD says {said.segments} segments and key {keys} for {folder}, but its boxes do not")


def _check_playlists(root: Path, hls_path: str, tracks: Mapping[str, Measured]) -> None:
    children = [uri for uri in playlists.uris((root / hls_path).read_text()) if uri.endswith(".m3u8")]
    for playlist in [hls_path, *children]:
        text = (root / playlist).read_text()
        folder = PurePosixPath(playlist).parent
        for uri in playlists.uris(text):
            if _KEY_URI.fullmatch(uri):
                _check_key(folder, uri, tracks)
            elif not _DATA_URI.match(uri):
                _check_file(root, folder, uri)
        track = tracks.get(str(folder))
        if track is None or "#EXT-X-I-FRAMES-ONLY" in text:
            continue
        said = playlists.segment_seconds(text)
        if len(said) != track.segments or any(
            abs(ours - theirs) > _ROUNDING for ours, theirs in zip(said, track.segment_seconds, strict=True)
        ):
            raise Unsound(f"{playlist} and the boxes of its segments tell different durations")
    missing = set(tracks) - {str(PurePosixPath(child).parent) for child in children}
    if missing:
        raise Unsound(f"the multivariant playlist does not lead to {', '.join(sorted(missing))}")


def _check_key(folder: PurePosixPath, uri: str, tracks: Mapping[str, Measured]) -> None:
    """A key's URI must lead to `key/<key id>` of the package, seen from the playlist, and to a key that is used."""
    known = {f"key/{key.key_id}" for track in tracks.values() for key in track.keys}
    if posixpath.normpath(str(folder / uri)) not in known:
        raise Unsound(f"a playlist in {folder} sends players to {uri} for a key, where there is none")


def _check_file(root: Path, folder: PurePosixPath, uri: str) -> None:
    if not _SAFE_URI.fullmatch(uri):
        raise Unsound(f"a manifest names {uri!r}, which is no plain relative path")
    path = root / folder / uri
    if not path.is_file() or path.stat().st_size == 0:
        raise Unsound(f"a manifest names {folder / uri}, which is not there or is empty")
