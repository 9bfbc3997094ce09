"""Watermarks: how long a piece names one session among a million after each attack, how many bits are misread, and what marking costs.

The film is made anew, of scenes that nothing was tuned on; one session leaks its mixture, which is encoded again, cut, scaled and so on. The
time until it is named is that of the shortest beginning of the copy by which it is accused with a chance of 10^-6 at most that anybody among a million
innocents would be. Where the copy is too short for that the time is projected from how the score grows.
"""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.kit.codewords import PERIOD, Code
from services.protection.code.accusation import Floats, accuse, folded
from services.protection.detection.decoding import WHOLE, within_bars
from services.protection.detection.pipeline import Reading, Title, found, read_copy, thumbnails
from services.transcode import ladder, watermark
from services.transcode.encode import Chunk, encode_chunk
from services.transcode.ladder import Plan, Profile
from services.transcode.media import MediaInfo
from services.transcode.probe import probe
from tests.bench import inputs, watermark_colluders
from tests.bench.harness import SCRATCH, Measurement, take_turns
from tests.protection.leaks import ASSET, ROOT, MarkedFilm, attacked, ffmpeg, film, marked
from tests.support.chromium import running_chromium
from tests.support.screen import filmed

SECONDS: Final = 180
SIZE: Final = "854x480"
RUNG: Final = "480p"
LEAKED_BY: Final = "pbs_leaked"
MILLION: Final = 1_000_000
_CROWD: Final = [LEAKED_BY, *(f"pbs_{number}" for number in range(999))]
"""Against whom the unmarked master is held."""
_ROUNDS: Final = 2

ATTACKS: Final[Mapping[str, tuple[str, ...]]] = {
    "same_quality": ("-crf", "20"),
    "crf_28": ("-crf", "28"),
    "crf_35": ("-crf", "35"),
    "crop_5_percent": ("-vf", "crop=iw*0.95:ih*0.95:iw*0.04:ih*0.01,scale=854:480", "-crf", "28"),
    "brightness_gamma": ("-vf", "eq=brightness=0.06:contrast=1.1:gamma=1.2", "-crf", "28"),
    "25_to_30_fps": ("-vf", "fps=30", "-crf", "28"),
    # Of 150 s, from somewhere.
    "excerpt": ("-ss", "17.3", "-t", "150", "-crf", "28"),
    # A camera before a screen, as far as filters can say it: a slight turn, other edges, less light, blur, noise, another pace.
    "simulated_recapture": (
        "-vf",
        (
            "rotate=0.012:ow=iw:oh=ih,scale=iw*0.97:ih*0.96,pad=854:480:9:12:0x101010,eq=brightness=-0.04:contrast=0.9:gamma=0.92,gblur=0.8,"
            "noise=c0s=7:c0f=t,fps=24"
        ),
        "-crf",
        "27",
    ),
    "360p_crf_30": ("-vf", "scale=640:360", "-crf", "30"),
    "360p_crf_35": ("-vf", "scale=640:360", "-crf", "35"),
    "denoise_hevc": (
        "-vf",
        "hqdn3d=4,scale=640:360",
        "-c:v",
        "libx265",
        "-crf",
        "30",
        "-x265-params",
        "log-level=error",
    ),
    "flip_crop_gamma_fps_360p": (
        "-vf",
        "hflip,crop=iw*0.94:ih*0.95,scale=640:360,eq=gamma=1.15,unsharp,fps=30",
        "-crf",
        "30",
    ),
}


async def measure() -> AsyncIterator[list[Measurement]]:
    """Takes the better part of an hour on two cores."""
    with tempfile.TemporaryDirectory(prefix="watermark-", dir=SCRATCH) as folder:
        yield await _costs(Path(folder))
        master = await asyncio.to_thread(film, Path(folder) / "master.mp4", SECONDS, 20261128, SIZE, 25)
        title = await marked(Path(folder), master)
        for name, attack in ATTACKS.items():
            copy = Path(folder) / f"{name}.mp4"
            await asyncio.to_thread(attacked, title.leak(LEAKED_BY, RUNG), copy, *attack)
            yield _measured(name, await _read(title, copy))
            copy.unlink()
        yield await screen_capture(title, Path(folder))
        yield [_accused_by_nothing(await _read(title, master))]
        async for measured in _colluders(Path(folder)):
            yield measured


async def screen_capture(title: MarkedFilm, folder: Path) -> list[Measurement]:
    """The leak is played in a browser and filmed from its screen; that is encoded again."""
    screen, copy = folder / "screen.mp4", folder / "screen_capture.mp4"
    width, height = map(int, SIZE.split("x"))
    async with running_chromium() as browser:
        recording = await filmed(browser, title.leak(LEAKED_BY, RUNG), screen, (width, height))
    await asyncio.to_thread(attacked, screen, copy, "-crf", "28")
    measured = _measured("screen_capture", await _read(title, copy))
    return [replace(one, note=f"{one.note}; from Chromium's screen, {recording.told()}, CRF 28") for one in measured]


async def _colluders(folder: Path) -> AsyncIterator[list[Measurement]]:
    place = folder / "long"
    place.mkdir()
    size, seconds = watermark_colluders.SIZE, watermark_colluders.SECONDS
    title = await marked(place, await asyncio.to_thread(film, place / "master.mp4", seconds, 4711, size, 25))
    for collusion in watermark_colluders.COLLUSIONS:
        copy = await watermark_colluders.copy_of(title, collusion, place / "copy.mp4")
        segments, evidence = (await _read(title, copy)).evidence()
        minutes, how = _minutes(collusion.code, segments, evidence, collusion.leakers)
        note = f"{size}, CRF 28, {len(collusion.leakers)} mix by {collusion.how}, {len(segments)} segments of 2 s read; {how}"
        yield [Measurement(f"watermark.{collusion.name}.minutes_to_name_1e6", minutes, "min", "", note)]
        copy.unlink()


async def _read(title: MarkedFilm, copy: Path) -> Reading:
    a, b = title.files["360p"]
    known = Title(a, b, 640, 360, 25.0, title.frames_per_segment / 25)
    parts = list(dict.fromkeys((WHOLE, await within_bars(copy))))
    tried = await found([await thumbnails(copy, part) for part in parts], known)
    where, inside = max(zip(tried, parts, strict=True), key=lambda one: one[0].likeness)
    return await read_copy(copy, known, where, inside=inside)


def _measured(name: str, reading: Reading) -> list[Measurement]:
    segments, evidence = reading.evidence()
    code = Code.of(ROOT, ASSET)
    drawn = np.frombuffer(code.drawn(LEAKED_BY), np.uint8)
    truth = np.where(drawn < np.frombuffer(code.chances, np.uint8), 1, -1)[segments % PERIOD]
    errors = float(np.mean(np.sign(evidence) != truth)) if len(segments) else 1.0
    minutes, how = _minutes(code, segments, evidence)
    note = f"{SIZE}, one leaker, {len(segments)} segments of 2 s read"
    return [
        Measurement(f"watermark.{name}.minutes_to_name_1e6", minutes, "min", "", f"{note}; {how}"),
        Measurement(f"watermark.{name}.bit_error_rate", errors, "ratio", "", note),
    ]


def _minutes(
    code: Code, segments: NDArray[np.intp], evidence: Floats, leakers: tuple[str, ...] = (LEAKED_BY,)
) -> tuple[float, str]:
    """Minutes until one of the leakers is accused, and never anybody else.

    Raises:
        AssertionError: somebody else was.
    """
    crowd = [*leakers, *(f"pbs_{number}" for number in range(1000 - len(leakers)))]
    tries = MILLION // len(crowd)
    for count in range(30, len(segments) + 1):
        verdict = accuse(code, folded(segments[:count], evidence[:count]), crowd, tries=tries)
        assert {one.holder for one in verdict.accused} <= set(leakers), verdict.accused
        if verdict.accused:
            return count * 2 / 60, "measured"
    if not len(segments):
        return 999.0, "the title was not found"
    verdict = accuse(code, folded(segments, evidence), crowd, tries=tries)
    grown = max(float(verdict.scores[: len(leakers)].max()), 0.1)
    return len(segments) * 2 / 60 * (verdict.threshold / grown) ** 2, "projected, the copy is too short"


def _accused_by_nothing(reading: Reading) -> Measurement:
    segments, evidence = reading.evidence()
    verdict = accuse(Code.of(ROOT, ASSET), folded(segments, evidence), _CROWD)
    note = f"of {len(_CROWD)} sessions, by the unmarked master; {len(segments)} segments read"
    return Measurement("watermark.unmarked.accused", float(len(verdict.accused)), "sessions", "", note)


async def _costs(folder: Path) -> list[Measurement]:
    """Processor time of both variants beside one, and what VMAF makes of them."""
    master = await asyncio.to_thread(inputs.film)
    media = await probe(master)
    plans = {name: ladder.plan(media, Profile(), colluders=number) for name, number in (("plain", 0), ("both", 2))}
    made: dict[str, dict[str, Path]] = {}

    async def encoded(name: str) -> float:
        place = Path(tempfile.mkdtemp(dir=folder))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        made[name] = await _encoded(master, media, plans[name], place)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    seen = await take_turns({name: lambda name=name: encoded(name) for name in plans}, _ROUNDS)  # type: ignore[misc]
    cost = float(np.median(seen["both"]) / np.median(seen["plain"]))
    largest = plans["plain"].video[0].name
    marks = {name: _vmaf(made[kind][file], master) for name, kind, file in _files(largest)}
    means = {name: float(np.mean(mark)) for name, mark in marks.items()}
    lows = {name: float(np.percentile(mark, 5)) for name, mark in marks.items()}
    note = "1080p rung of the bench film, every fifth frame, worse of a and b"
    return [
        Measurement(
            "watermark.encode_cost", cost, "ratio", "one variant", "CPU of a whole ladder in both variants, veryfast"
        ),
        Measurement("watermark.vmaf_delta", means["plain"] - min(means["a"], means["b"]), "VMAF", "unmarked", note),
        Measurement("watermark.vmaf_delta_p5", lows["plain"] - min(lows["a"], lows["b"]), "VMAF", "unmarked", note),
    ]


def _files(largest: str) -> list[tuple[str, str, str]]:
    return [("plain", "plain", largest), ("a", "both", largest), ("b", "both", f"{largest}-b")]


async def _encoded(master: Path, media: MediaInfo, plan: Plan, place: Path) -> dict[str, Path]:
    whole = Chunk(0, 0, plan.frame_count)
    drawn = watermark.patterns(ROOT, ASSET, 0, -(-plan.frame_count // plan.gop_frames)) if plan.colluders else b""
    return await encode_chunk(master, media, plan, whole, place, patterns=drawn)


def _vmaf(made: Path, master: Path) -> list[float]:
    """VMAF of every fifth frame."""
    log = made.with_suffix(".json")
    compared = f"[0:v]setpts=PTS-STARTPTS[a];[1:v]setpts=PTS-STARTPTS[b];[a][b]libvmaf=log_fmt=json:log_path={log}:n_subsample=5:n_threads=2"
    ffmpeg("-i", made, "-i", master, "-lavfi", compared, "-f", "null", "-")
    return [frame["metrics"]["vmaf"] for frame in json.loads(log.read_text())["frames"]]
