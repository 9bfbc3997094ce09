"""Does each kind of task with the engine, and says what came of it in terms of object keys and the contract's renditions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import structlog
from google.protobuf.json_format import MessageToDict
from pydantic import TypeAdapter
from reelmesh.transcode.v1 import events_pb2, transcode_pb2

from services.kit.clock import duration
from services.transcode.captions import extract
from services.transcode.domain import TaskKind, renditions_prefix, work_prefix
from services.transcode.encode import Chunk, chunks, encode_audio, encode_chunk, indexed, needs_index
from services.transcode.jobs import NewTask, Outcome, Planned
from services.transcode.ladder import OTHER_VARIANT, AudioRendition, Plan, VideoRendition, plan
from services.transcode.media import Hdr, MediaInfo, SubtitleKind
from services.transcode.probe import probe
from services.transcode.stills import make_poster, make_sprites, sprite_source
from services.transcode.stitch import Stitched, check_aligned, check_chunk, stitch
from services.transcode.watermark import patterns
from services.transcode.workbench import Workbench

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Script:
    """What the probe leaves to all tasks after it.

    Attributes:
        master: what the master holds.
        film_key: object that pictures and sound are read from: the master, or a copy that can be entered in the middle.
        film: what that holds.
        plan: what is made of it.
        chunks: the parts that it is encoded in.
    """

    master: MediaInfo
    film_key: str
    film: MediaInfo
    plan: Plan
    chunks: tuple[Chunk, ...]

    @property
    def sounds(self) -> list[tuple[AudioRendition, ...]]:
        """Sound renditions, track by track."""
        return [tuple(group) for _, group in groupby(self.plan.audio, key=lambda one: one.source_index)]


_SCRIPT: Final = TypeAdapter(Script)


async def done(bench: Workbench) -> Outcome:
    """Does the task.

    Raises:
        Refusal: the master cannot be taken, or the encode failed; see `reelmesh.transcode.v1.ErrorReason`.
    """
    if bench.task.kind is TaskKind.PROBE:
        return await _probe(bench)
    return await _DOERS[bench.task.kind](bench, _SCRIPT.validate_python((bench.job.plan or {})["script"]))


async def _probe(bench: Workbench) -> Planned:
    film_key, files = bench.job.object_key, dict[str, Path]()
    async with bench.film(film_key) as master:
        media = film = await probe(master, bench.making.limits)
        if needs_index(media):
            copy = await indexed(master, media, bench.folder)
            film = await probe(copy, bench.making.limits)
            film_key = f"{work_prefix(bench.job.job_id)}/master.mkv"
            files[film_key] = copy
    planned = plan(film, bench.making.profile, colluders=bench.job.colluders)
    script = Script(media, film_key, film, planned, chunks(planned, bench.making.chunk_seconds))
    rate = float(planned.frame_rate)
    encode = [NewTask(TaskKind.CHUNK, chunk.index, chunk.frame_count / rate) for chunk in script.chunks]
    encode += [NewTask(TaskKind.AUDIO, position) for position in range(len(script.sounds))]
    finish = [NewTask(TaskKind.JOIN)]
    if any(track.kind is SubtitleKind.TEXT for track in media.subtitles):
        finish.append(NewTask(TaskKind.CAPTIONS))
    return Planned(
        files=files,
        facts=_facts(media),
        plan={"script": _SCRIPT.dump_python(script, mode="json")},
        renditions=[
            *(_video(planned, rendition) for rendition in planned.video),
            # The track that the master marks comes first: it is what a player takes when nobody chooses.
            *(_audio(planned, rendition) for rendition in sorted(planned.audio, key=lambda one: not one.is_default)),
        ],
        encode=encode,
        finish=finish,
        segment_seconds=float(planned.gop_seconds),
    )


async def _chunk(bench: Workbench, script: Script) -> Outcome:
    part = script.chunks[bench.task.position]
    drawn = _patterns(bench, script.plan, part)
    async with bench.film(script.film_key) as film:
        made = await encode_chunk(
            film, script.film, script.plan, part, bench.folder, on_seconds=bench.advance, patterns=drawn
        )
    for variant in script.plan.variants:
        for rendition in script.plan.video:
            await asyncio.to_thread(check_chunk, script.plan, rendition, part, made[rendition.name + variant])
    prefix = f"{work_prefix(bench.job.job_id)}/chunks/{part.index}"
    keys = {name: f"{prefix}/{name}.mp4" for name in made}
    return Outcome({"files": keys}, {keys[name]: path for name, path in made.items()})


def _patterns(bench: Workbench, planned: Plan, part: Chunk) -> bytes:
    """The patterns of a chunk's segments; none unless the film is watermarked."""
    if not planned.colluders:
        return b""
    first, count = part.start_frame // planned.gop_frames, -(-part.frame_count // planned.gop_frames)
    return patterns(bench.making.watermark_key, bench.job.asset_id, first, count)


async def _sound(bench: Workbench, script: Script) -> Outcome:
    renditions = script.sounds[bench.task.position]
    async with bench.film(script.film_key) as film:
        made = await encode_audio(film, script.film, script.plan, renditions, bench.folder)
    return _made(bench, [(_audio(script.plan, rendition), made[rendition.name]) for rendition in renditions])


async def _join(bench: Workbench, script: Script) -> Outcome:
    parts = [result["files"] for result in await bench.results(TaskKind.CHUNK)]
    stitched: dict[str, Stitched] = {}
    for variant in script.plan.variants:
        for rendition in script.plan.video:
            name = rendition.name + variant
            async with bench.files([part[name] for part in parts]) as files:
                target = bench.folder / f"video-{name}.mp4"
                stitched[name] = await stitch(script.plan, rendition, script.chunks, files, target)
    check_aligned(list(stitched.values()))
    made = [(_video(script.plan, rendition), stitched[rendition.name].path) for rendition in script.plan.video]
    outcome = _made(bench, made + await _stills(bench.folder, script.plan, stitched))
    others = {one.name: stitched[one.name + OTHER_VARIANT] for one in script.plan.video if script.plan.colluders}
    return _with_other_variants(bench, outcome, others)


def _with_other_variants(bench: Workbench, outcome: Outcome, others: Mapping[str, Stitched]) -> Outcome:
    """The outcome with variant b of each watermarked rendition, by the rendition's name in the plan."""
    entries, files = list(outcome.result["renditions"]), dict(outcome.files)
    for place, entry in enumerate(entries):
        other = others.get(entry["name"].removeprefix("video-"))
        if other is not None:
            key = f"{renditions_prefix(bench.job.job_id)}/{other.path.name}"
            entries[place], files[key] = {**entry, "variant_object_key": key}, other.path
    return Outcome({"renditions": entries}, files)


async def _stills(folder: Path, planned: Plan, stitched: dict[str, Stitched]) -> list[tuple[dict[str, Any], Path]]:
    largest, small = planned.video[0], sprite_source(planned)
    poster = await make_poster(planned, largest, stitched[largest.name].path, folder)
    sprites = await make_sprites(planned, small, stitched[small.name], folder)
    made = [
        (
            transcode_pb2.Rendition(
                name=poster.path.stem,
                kind=transcode_pb2.TRACK_KIND_POSTER,
                codec="jpeg",
                width=poster.width,
                height=poster.height,
            ),
            poster.path,
        ),
        (
            transcode_pb2.Rendition(
                name=sprites.index.stem, kind=transcode_pb2.TRACK_KIND_SPRITE_INDEX, codec="webvtt"
            ),
            sprites.index,
        ),
    ]
    made += [
        (
            transcode_pb2.Rendition(
                name=sheet.stem,
                kind=transcode_pb2.TRACK_KIND_SPRITE,
                codec="jpeg",
                width=sprites.columns * sprites.tile_width,
                height=sprites.rows * sprites.tile_height,
                thumbnail_interval=duration(float(sprites.interval)),
                sprite_columns=sprites.columns,
                sprite_rows=sprites.rows,
            ),
            sheet,
        )
        for sheet in sprites.sheets
    ]
    return [(_json(rendition), path) for rendition, path in made]


async def _captions(bench: Workbench, script: Script) -> Outcome:
    async with bench.film(bench.job.object_key) as master:
        made, skipped = await extract(master, script.master, bench.folder)
    for track in skipped:
        log.info("subtitles left out", stream=track.index, codec=track.codec, language=track.language, why=track.why)
    return _made(
        bench,
        [
            (
                _json(
                    transcode_pb2.Rendition(
                        name=f"text-{captions.name}",
                        kind=transcode_pb2.TRACK_KIND_TEXT,
                        codec="webvtt",
                        language=captions.language,
                        title=captions.title,
                        forced=captions.is_forced,
                        duration=duration(float(script.plan.duration)),
                    )
                ),
                captions.path,
            )
            for captions in made
        ],
    )


def _made(bench: Workbench, renditions: Sequence[tuple[dict[str, Any], Path]]) -> Outcome:
    """Finished renditions with the files that hold them."""
    prefix, entries, files = renditions_prefix(bench.job.job_id), list[dict[str, Any]](), dict[str, Path]()
    for rendition, path in renditions:
        key = f"{prefix}/{rendition['name']}{path.suffix}"
        entries.append({**rendition, "object_key": key})
        files[key] = path
    return Outcome({"renditions": entries}, files)


def _facts(media: MediaInfo) -> events_pb2.MasterProbed:
    video = media.video
    return events_pb2.MasterProbed(
        duration=duration(media.duration),
        width=video.width,
        height=video.height,
        frame_rate=float(video.average_frame_rate),
        container=media.container.name.lower(),
        video_codec=video.codec,
        dynamic_range="SDR" if video.hdr is Hdr.NONE else video.hdr.name,
        audio_tracks=[
            events_pb2.ProbedTrack(codec=track.codec, channels=track.channels, language=track.language, used=True)
            for track in media.audio
        ],
        subtitle_tracks=[
            events_pb2.ProbedTrack(codec=track.codec, language=track.language, used=track.kind is SubtitleKind.TEXT)
            for track in media.subtitles
        ],
    )


def _video(planned: Plan, rendition: VideoRendition) -> dict[str, Any]:
    return _json(
        transcode_pb2.Rendition(
            name=f"video-{rendition.name}",
            kind=transcode_pb2.TRACK_KIND_VIDEO,
            codec=rendition.codec.value,
            width=rendition.width,
            height=rendition.height,
            frame_rate=float(rendition.frame_rate),
            duration=duration(float(planned.duration)),
        )
    )


def _audio(planned: Plan, rendition: AudioRendition) -> dict[str, Any]:
    return _json(
        transcode_pb2.Rendition(
            name=f"audio-{rendition.name}",
            kind=transcode_pb2.TRACK_KIND_AUDIO,
            codec="aac",
            channels=rendition.channels,
            language=rendition.language,
            title=rendition.title,
            duration=duration(float(planned.duration)),
        )
    )


def _json(rendition: transcode_pb2.Rendition) -> dict[str, Any]:
    return MessageToDict(rendition, preserving_proto_field_name=True)


_DOERS: Final[dict[TaskKind, Callable[[Workbench, Script], Awaitable[Outcome]]]] = {
    TaskKind.CHUNK: _chunk,
    TaskKind.AUDIO: _sound,
    TaskKind.JOIN: _join,
    TaskKind.CAPTIONS: _captions,
}
