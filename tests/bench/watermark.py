"""Watermarks: how long a piece names one session among a million after each attack, how many bits are misread, and what marking costs.

One film is generated, of scenes that nothing was tuned on, another is of what cameras saw; one session leaks its mixture, which is encoded again, cut, scaled and so on. The
time until it is named is that of the shortest beginning of the copy by which it is accused with a chance of 10^-6 at most that anybody among a million
innocents would be. Where the copy is too short for that the time is projected from how the score grows.
"""

from __future__ import annotations

import asyncio
import json
import math
import resource
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
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
from tests.bench import inputs, natural, watermark_colluders
from tests.bench.harness import SCRATCH, Measurement, take_turns
from tests.bench.watermark_attacks import FROM_1080P_TO_480P, attacks
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
LARGE_SECONDS: Final = 120
_FINE: Final = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "16")


@dataclass(frozen=True, slots=True)
class Material:
    """A film that is leaked.

    Attributes:
        prefix: of the names of attacks on it; empty for what is generated.
        what: for notes.
        title: the film, marked.
        rung: the rendition that leaks.
        filmed: the rendition that is played before a screen is filmed.
    """

    prefix: str
    what: str
    title: MarkedFilm
    rung: str
    filmed: str = "480p"


async def measure() -> AsyncIterator[list[Measurement]]:
    """Takes two hours on two cores."""
    with tempfile.TemporaryDirectory(prefix="watermark-", dir=SCRATCH) as folder:
        yield await _costs(Path(folder))
        for made in (generated, photographed):
            material = await made(Path(folder))
            async for measured in attacked_in_all_ways(material):
                yield measured
            if made is photographed:
                async for measured in colluding(material):
                    yield measured
            await asyncio.to_thread(shutil.rmtree, material.title.folder)
        yield await scaled_down(Path(folder))
        async for measured in colluders(Path(folder)):
            yield measured


async def generated(folder: Path) -> Material:
    """180 s of 854 x 480 that nothing was tuned on."""
    place = _place(folder, "generated")
    master = await asyncio.to_thread(film, place / "master.mp4", SECONDS, 20261128, SIZE, 25)
    return Material("", f"generated, {SIZE}", await marked(place, master), RUNG)


async def photographed(folder: Path) -> Material:
    """147 s of 1920 x 1080 of what cameras saw."""
    place = _place(folder, "natural")
    master = await asyncio.to_thread(natural.film, place / "master.mp4")
    return Material("natural_", f"camera clips, {natural.SIZE}", await marked(place, master), "1080p")


async def attacked_in_all_ways(material: Material) -> AsyncIterator[list[Measurement]]:
    """Each attack on a film, and the film itself, which nobody marked."""
    title, copy = material.title, material.title.folder / "copy.mp4"
    leak = await asyncio.to_thread(title.leak, LEAKED_BY, material.rung)
    media = await probe(leak)
    every = dict(attacks(media.video.width, media.video.height))
    if material.rung == "1080p":
        every["1080p_to_480p"] = FROM_1080P_TO_480P
    for name, attack in every.items():
        await asyncio.to_thread(attacked, leak, copy, *attack)
        started = _processor_time()
        reading = await _read(title, copy)
        spent = _processor_time() - started
        yield _measured(material, name, reading, inputs.seconds(copy))
        if name == "crf_28":
            yield [_cost_of_reading(material, spent, inputs.seconds(copy))]
    yield await screen_capture(material)
    yield [_accused_by_nothing(material, await _read(title, title.master))]


async def scaled_down(folder: Path) -> list[Measurement]:
    """1080p to 480p on generated film, which is larger for this than for the other attacks."""
    place = _place(folder, "large")
    small = await asyncio.to_thread(film, place / "small.mp4", LARGE_SECONDS, 20261129, "960x540", 25)
    master, grain = place / "master.mp4", "scale=1920:1080:flags=bicubic,noise=c0s=3:c0f=t:all_seed=5"
    await asyncio.to_thread(ffmpeg, "-i", small, "-vf", grain, *_FINE, master)
    material = Material("", f"generated, 1920x1080, {LARGE_SECONDS} s", await marked(place, master), "1080p")
    leak = await asyncio.to_thread(material.title.leak, LEAKED_BY, "1080p")
    copy = await asyncio.to_thread(attacked, leak, place / "copy.mp4", *FROM_1080P_TO_480P)
    measured = _measured(material, "1080p_to_480p", await _read(material.title, copy), inputs.seconds(copy))
    await asyncio.to_thread(shutil.rmtree, place)
    return measured


async def screen_capture(material: Material) -> list[Measurement]:
    """The leak is played in a browser and filmed from its screen; that is encoded again."""
    folder = material.title.folder
    screen, copy = folder / "screen.mp4", folder / "screen_capture.mp4"
    leak = await asyncio.to_thread(material.title.leak, LEAKED_BY, material.filmed)
    media = await probe(leak)
    async with running_chromium() as browser:
        recording = await filmed(browser, leak, screen, (media.video.width, media.video.height))
    await asyncio.to_thread(attacked, screen, copy, "-crf", "28")
    measured = _measured(material, "screen_capture", await _read(material.title, copy), inputs.seconds(copy))
    how = f"{material.filmed} from Chromium's screen, {recording.told()}, CRF 28"
    return [replace(one, note=f"{one.note}; {how}") for one in measured]


def _place(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place


def _processor_time() -> float:
    """Seconds of this process and of those that it started and that ended."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _cost_of_reading(material: Material, spent: float, seconds: float) -> Measurement:
    note = f"{material.what}, CRF 28, {seconds:.0f} s: finding, following and reading, decoding included"
    name = f"watermark.{material.prefix}read_cpu_s_per_minute"
    return Measurement(name, spent / (seconds / 60), "s", "", note)


async def colluders(folder: Path) -> AsyncIterator[list[Measurement]]:
    """Two and three who mix their copies of a film that is long enough for both."""
    place = _place(folder, "long")
    size, seconds = watermark_colluders.SIZE, watermark_colluders.SECONDS
    title = await marked(place, await asyncio.to_thread(film, place / "master.mp4", seconds, 4711, size, 25))
    async for measured in colluding(Material("", f"generated, {size}", title, watermark_colluders.RUNG)):
        yield measured


async def colluding(material: Material) -> AsyncIterator[list[Measurement]]:
    """Each way to mix copies of a film."""
    for collusion in watermark_colluders.COLLUSIONS:
        copy = await watermark_colluders.copy_of(material.title, collusion, material.title.folder / "copy.mp4")
        segments, evidence = (await _read(material.title, copy)).evidence()
        minutes, how = _minutes(collusion.code, segments, evidence, collusion.leakers)
        note = f"{material.what}, {watermark_colluders.RUNG}, CRF 28, {len(collusion.leakers)} mix by {collusion.how}, {len(segments)} segments of 2 s read; {how}"
        name = f"watermark.{material.prefix}{collusion.name}.minutes_to_name_1e6"
        yield [Measurement(name, minutes, "min", "", note)]
        copy.unlink()


async def _read(title: MarkedFilm, copy: Path) -> Reading:
    a, b = title.files["360p"]
    known = Title(a, b, 640, 360, 25.0, title.frames_per_segment / 25)
    parts = list(dict.fromkeys((WHOLE, await within_bars(copy))))
    tried = await found([await thumbnails(copy, part) for part in parts], known)
    where, inside = max(zip(tried, parts, strict=True), key=lambda one: one[0].likeness)
    return await read_copy(copy, known, where, inside=inside)


def _measured(material: Material, name: str, reading: Reading, seconds: float) -> list[Measurement]:
    segments, evidence = reading.evidence()
    code = Code.of(ROOT, ASSET)
    drawn = np.frombuffer(code.drawn(LEAKED_BY), np.uint8)
    truth = np.where(drawn < np.frombuffer(code.chances, np.uint8), 1, -1)[segments % PERIOD]
    errors = float(np.mean(np.sign(evidence) != truth)) if len(segments) else 1.0
    minutes, how = _minutes(code, segments, evidence)
    bits = len(segments) * (1 - _entropy(errors))
    note = f"{material.what}, one leaker, {len(segments)} segments of 2 s read"
    attack = f"watermark.{material.prefix}{name}"
    return [
        Measurement(f"{attack}.minutes_to_name_1e6", minutes, "min", "", f"{note}; {how}"),
        Measurement(f"{attack}.bit_error_rate", errors, "ratio", "", note),
        Measurement(f"{attack}.bits_per_minute", bits / (seconds / 60), "bit/min", "", _said_of_bits(note)),
    ]


def _entropy(errors: float) -> float:
    """Of a bit that is wrong so often: what reading it leaves unknown."""
    return sum(-share * math.log2(share) for share in (errors, 1 - errors) if share)


def _said_of_bits(note: str) -> str:
    return f"{note}; each counts one bit, less the entropy of its errors"


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


def _accused_by_nothing(material: Material, reading: Reading) -> Measurement:
    segments, evidence = reading.evidence()
    verdict = accuse(Code.of(ROOT, ASSET), folded(segments, evidence), _CROWD)
    note = f"of {len(_CROWD)} sessions, by the unmarked master; {material.what}; {len(segments)} segments read"
    return Measurement(
        f"watermark.{material.prefix}unmarked.accused", float(len(verdict.accused)), "sessions", "", note
    )


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
