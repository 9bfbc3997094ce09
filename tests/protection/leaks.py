"""A small watermarked title, and copies of it that sessions leaked: encoded again, cut, scaled, mixed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted
from reelmesh.transcode.v1.transcode_pb2 import TRACK_KIND_VIDEO, Rendition

from services.kit.clock import duration
from services.kit.codewords import Code, bit_of
from services.kit.settings import ProcessSettings
from services.transcode import binaries, ladder, watermark
from services.transcode.encode import chunks, encode_chunk
from services.transcode.ladder import Profile
from services.transcode.probe import probe
from services.transcode.stitch import stitch
from tests.support.shared import made_once

ROOT: Final = bytes(range(32))
ASSET: Final = "ast_01jd0000000000000000000000"
RATE: Final = 10
SECONDS: Final = 60
"""Of the title that tests share."""
_X264: Final = ("-c:v", "libx264", "-preset", "veryfast")


def ffmpeg(*arguments: str | Path) -> None:
    """Runs the bundled ffmpeg."""
    command = [str(binaries.ffmpeg()), "-v", "error", "-y", "-nostdin", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def film(target: Path, seconds: int, seed: int = 1, size: str = "320x180", rate: int = RATE) -> Path:
    """Clouds, a dark flat scene, graphics and slow colours, with grain on all: each a quarter of it."""
    part = seconds / 4
    clouds = (
        f"perlin=s={size}:r={rate}:octaves=6:persistence=0.6:tscale=0.6:random_mode=seed:seed={seed},format=yuv420p"
    )
    scenes = [
        f"{clouds},eq=contrast=1.5",
        f"{clouds.replace(f'seed={seed}', f'seed={seed + 50}')},eq=contrast=0.5:brightness=-0.3",
        f"testsrc2=s={size}:r={rate},format=yuv420p,hue=s=0.5",
        f"gradients=s={size}:r={rate}:speed=0.02:seed={seed},format=yuv420p",
    ]
    graph = ";".join(f"{scene},setsar=1,trim=end={part},setpts=PTS-STARTPTS[s{n}]" for n, scene in enumerate(scenes))
    joined = "".join(f"[s{n}]" for n in range(len(scenes)))
    graph += f";{joined}concat=n={len(scenes)},noise=c0s=4:c0f=t:all_seed={seed},format=yuv420p[v]"
    ffmpeg("-filter_complex", graph, "-map", "[v]", *_X264, "-crf", "16", target)
    return target


@dataclass(frozen=True)
class MarkedFilm:
    """A title in two variants.

    Attributes:
        master: what it was made from.
        files: rendition → variant a and variant b.
        segments: how many there are.
    """

    master: Path
    folder: Path
    files: dict[str, tuple[Path, Path]]
    segments: int
    frames_per_segment: int
    root: bytes

    def leak(self, holder: str, rendition: str) -> Path:
        """What a session got to see."""
        target = self.folder / f"leak-{holder}-{rendition}.mp4"
        if not target.exists():
            codeword = Code.of(self.root, ASSET).codeword(holder, self.segments)
            made = self.folder / f"leak-{holder}-{rendition}-{os.getpid()}.mp4"  # others may make it, too
            self.mixed(made, rendition, [bit_of(codeword, number) for number in range(1, self.segments + 1)])
            made.rename(target)
        return target

    def mixed(self, target: Path, rendition: str, bits: Sequence[int]) -> None:
        """A copy that shows variant b of each segment whose bit is 1."""
        a, b = self.files[rendition]
        every = self.frames_per_segment
        shown = [f"between(n,{every * n},{every * n + every - 1})" for n, bit in enumerate(bits) if bit]
        graph = f"[0:v][1:v]overlay=enable='{_sum(shown)}':format=yuv420[v]"
        ffmpeg("-i", a, "-i", b, "-filter_complex", graph, "-map", "[v]", *_X264, "-crf", "14", target)


def _sum(terms: Sequence[str]) -> str:
    """A sum in halves of halves: ffmpeg evaluates no expression that is more than a hundred operations deep."""
    if len(terms) <= 1:
        return "".join(terms) or "0"
    middle = len(terms) // 2
    return f"({_sum(terms[:middle])}+{_sum(terms[middle:])})"


def transcoded(settings: ProcessSettings, title: MarkedFilm, organisation_id: str) -> TranscodeCompleted:
    """Puts a title's files into the object store, and returns the event with which the transcode service tells of them."""
    renditions = []
    for name, (a, b) in title.files.items():
        for file in (a, b):
            target = settings.data_dir / "objects/renditions/leaks" / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        height = int(name.removesuffix("p"))
        renditions.append(
            Rendition(
                name=f"video-{name}",
                kind=TRACK_KIND_VIDEO,
                width=height * 16 // 9,
                height=height,
                frame_rate=RATE,
                object_key=f"renditions/leaks/{a.name}",
                variant_object_key=f"renditions/leaks/{b.name}",
            )
        )
    return TranscodeCompleted(
        asset_id=ASSET,
        organisation_id=organisation_id,
        renditions=renditions,
        segment_duration=duration(2),
        watermark_colluders=2,
    )


async def marked(folder: Path, master: Path, preset: str = "veryfast", root: bytes = ROOT) -> MarkedFilm:
    """Marks a film by the real encode."""
    media = await probe(master)
    plan = ladder.plan(media, Profile(preset=preset), colluders=2)
    segments, parts, made = -(-plan.frame_count // plan.gop_frames), chunks(plan, 3600), []
    for part in parts:
        place = folder / str(part.index)
        place.mkdir()
        first, count = part.start_frame // plan.gop_frames, -(-part.frame_count // plan.gop_frames)
        patterns = watermark.patterns(root, ASSET, first, count)
        made.append(await encode_chunk(master, media, plan, part, place, patterns=patterns))
    files: dict[str, tuple[Path, Path]] = {}
    for one in plan.video:
        whole = []
        for variant in plan.variants:
            target, name = folder / f"{one.name}{variant}.mp4", one.name + variant
            await stitch(plan, one, parts, [outcome[name] for outcome in made], target)
            whole.append(target)
        files[one.name] = whole[0], whole[1]
    return MarkedFilm(master, folder, files, segments, plan.gop_frames, root)


def shared_title() -> MarkedFilm:
    """A title marked by `ROOT`, made once in a test run."""
    folder = made_once("marked-title", _make_title)
    files = {f"{height}p": (folder / f"{height}p.mp4", folder / f"{height}p-b.mp4") for height in (180, 144)}
    return MarkedFilm(folder / "master.mp4", folder, files, SECONDS // 2, 2 * RATE, ROOT)


def _make_title(folder: Path) -> None:
    folder.mkdir()
    made = asyncio.run(marked(folder, film(folder / "master.mp4", SECONDS)))
    assert (list(made.files), made.segments, made.frames_per_segment) == (["180p", "144p"], SECONDS // 2, 2 * RATE)


def attacked(copy: Path, target: Path, *arguments: str, before: Sequence[str] = ()) -> Path:
    """A copy after ffmpeg had its way with it."""
    coding = () if "-c:v" in arguments else _X264
    ffmpeg(*before, "-i", copy, "-an", *coding, *arguments, target)
    return target
