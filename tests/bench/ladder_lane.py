"""`python -m tests.bench.ladder_lane FILM FOLDER PRESET`: our engine, from a master to segments and manifests, as the workers do it.

In a process of its own, so that its processor time can be told from that of others. Prints a JSON object.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import resource
import sys
import time
from pathlib import Path

from services.packaging.engine import package
from services.packaging.tracks import AudioTrack, PackageRequest, Scheme, VideoTrack
from services.transcode.encode import chunks, encode_audio, encode_chunk
from services.transcode.ladder import Plan, Profile, plan
from services.transcode.media import MediaInfo
from services.transcode.probe import probe
from services.transcode.stitch import check_aligned, check_chunk, stitch
from services.transcode.worker import TranscodeWorkerSettings


def cpu_seconds() -> float:
    """Processor time of this process and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def encoded(master: Path, media: MediaInfo, planned: Plan, folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """All renditions, joined and checked: the pictures by name, and the sounds."""
    seconds = float(TranscodeWorkerSettings.model_fields["transcode_chunk_seconds"].default)
    parts = chunks(planned, seconds)
    made = []
    for part in parts:
        place = folder / f"chunk-{part.index}"
        place.mkdir()
        made.append(await encode_chunk(master, media, planned, part, place))
        for rendition in planned.video:
            check_chunk(planned, rendition, part, made[-1][rendition.name])
    sounds = list((await encode_audio(master, media, planned, planned.audio, folder)).values())
    stitched = [
        await stitch(planned, one, parts, [files[one.name] for files in made], folder / f"{one.name}.mp4")
        for one in planned.video
    ]
    check_aligned(stitched)
    return {one.name: one.path for one in stitched}, sounds


async def main(master: Path, folder: Path, preset: str) -> None:
    """Encodes, packages, and tells what that took."""
    started = time.perf_counter()
    media = await probe(master)
    planned = plan(media, Profile(preset=preset))
    pictures, sounds = await encoded(master, media, planned, folder)
    encode_wall, encode_cpu = time.perf_counter() - started, cpu_seconds()
    request = PackageRequest(
        output=folder / "package",
        video=tuple(VideoTrack(one.name, pictures[one.name], one.width, one.height) for one in planned.video),
        audio=tuple(AudioTrack(path, "en", 2) for path in sounds),
        scheme=Scheme.NONE,
        segment_duration=float(planned.gop_seconds),
    )
    await package(request)
    answer = {
        "encode_wall": encode_wall,
        "encode_cpu": encode_cpu,
        "rungs": [dataclasses.asdict(one) | {"frame_rate": float(one.frame_rate)} for one in planned.video],
        "gop_seconds": float(planned.gop_seconds),
        "files": {name: str(path) for name, path in pictures.items()},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
