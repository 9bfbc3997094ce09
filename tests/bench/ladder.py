"""The ladder: a master of 1080p to segments and manifests, beside shaka-streamer and beside one plain ffmpeg, on one film.

All make the same sizes with the same preset of x264 at (after a first run that finds it) the same bit rates. Each lane is a
process of its own at our workers' niceness; its processor time is what the kernel says of it and its children. VMAF is that
of each rung brought back to the master's size, on every fifth frame.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import imageio_ffmpeg

from services.transcode.encode import NICENESS
from services.transcode.ladder import Profile
from tests.bench import inputs, streamer
from tests.bench.harness import ROOT, SCRATCH, Measurement, median, take_turns
from tests.bench.streamer import Rung

ROUNDS: Final = 3
_TRIALS: Final = 2
_PEER: Final = f"shaka-streamer {streamer.VERSION}"


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a lane.

    Attributes:
        wall: seconds.
        cpu: seconds of processor time.
        files: rung → one file with its pictures.
        kbps: rung → bit rate of the pictures.
        told: what our lane says about itself; empty for peers.
    """

    wall: float
    cpu: float
    files: Mapping[str, Path]
    kbps: Mapping[str, float]
    told: Mapping[str, Any] = field(default_factory=dict)


async def measure(master: Path | None = None, rounds: int = ROUNDS) -> list[Measurement]:
    """Takes about ten minutes on two cores."""
    film = await asyncio.to_thread(inputs.film) if master is None else master
    with tempfile.TemporaryDirectory(prefix="ladder-", dir=SCRATCH) as folder:
        bench = _Bench(film, Path(folder), Profile().preset)
        await bench.agree_on_rates()
        lanes = {"ours": bench.ours, "streamer": bench.streamer, "ffmpeg": bench.plain_ffmpeg}
        seen = await take_turns(lanes, rounds)
        quality = await asyncio.to_thread(_qualities, film, seen)
    return _measurements(bench, seen, quality)


@dataclass
class _Bench:
    """The lanes."""

    film: Path
    folder: Path
    preset: str
    rungs: Sequence[Rung] = ()
    _runs: int = 0

    async def agree_on_rates(self) -> None:
        """Finds the bit rates to give to the streamer, whose rates come out a little different from what it is told."""
        ours = await self.ours()
        self.rungs = [
            Rung(one["name"], one["width"], one["height"], round(ours.kbps[one["name"]])) for one in ours.told["rungs"]
        ]
        self._plan = ours.told
        for _ in range(_TRIALS):
            trial = await self.streamer()
            self.rungs = [
                Rung(
                    rung.name, rung.width, rung.height, round(rung.kbps * ours.kbps[rung.name] / trial.kbps[rung.name])
                )
                for rung in self.rungs
            ]

    async def ours(self) -> Ran:
        """Our engine."""
        folder = self._fresh("ours")
        command = [sys.executable, "-m", "tests.bench.ladder_lane", str(self.film), str(folder), self.preset]
        wall, cpu, said = await asyncio.to_thread(_run, command)
        told = json.loads(said)
        return _ran(wall, cpu, {name: Path(path) for name, path in told["files"].items()}, told)

    async def streamer(self) -> Ran:
        """shaka-streamer."""
        folder = self._fresh("streamer")
        command = streamer.command(self.film, folder, self.rungs, self.preset, self._plan["gop_seconds"])
        wall, cpu, _ = await asyncio.to_thread(_run, command)
        return _ran(wall, cpu, {rung.name: streamer.joined(folder, rung) for rung in self.rungs})

    async def plain_ffmpeg(self) -> Ran:
        """One ffmpeg, as one would write it: the same encoders, each scaling for itself; no manifests."""
        folder = self._fresh("ffmpeg")
        rungs = self._plan["rungs"]
        split = f"[0:v]split={len(rungs)}" + "".join(f"[c{index}]" for index in range(len(rungs)))
        scales = [
            f"[c{index}]scale={one['width']}:{one['height']}:flags=bicubic,setsar=1[v{index}]"
            for index, one in enumerate(rungs)
        ]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin", "-i", str(self.film)]
        command += ["-filter_complex", ";".join([split, *scales])]
        for index, one in enumerate(rungs):
            gop = str(one["gop_frames"])
            command += [
                *("-map", f"[v{index}]", "-c:v", "libx264", "-preset", self.preset, "-profile:v", "high"),
                *("-crf", str(one["rate_factor"]), "-g", gop, "-keyint_min", gop, "-sc_threshold", "0"),
                *("-maxrate", f"{one['max_kbps']}k", "-bufsize", f"{one['buffer_kbits']}k"),
                str(folder / f"{one['name']}.mp4"),
            ]
        command += ["-map", "0:a", "-c:a", "aac", "-b:a", "128k", str(folder / "sound.mp4")]
        wall, cpu, _ = await asyncio.to_thread(_run, command)
        return _ran(wall, cpu, {rung.name: folder / f"{rung.name}.mp4" for rung in self.rungs})

    def _fresh(self, lane: str) -> Path:
        """An empty folder; of each lane only the last run is kept."""
        for old in self.folder.glob(f"{lane}-*"):
            shutil.rmtree(old)
        self._runs += 1
        folder = self.folder / f"{lane}-{self._runs}"
        folder.mkdir()
        return folder


def _run(command: Sequence[str]) -> tuple[float, float, str]:
    """Wall clock and processor time of a command with all its children, and what it printed."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'gen/python'}"}
    started = time.perf_counter()
    child = subprocess.Popen(
        ["nice", "-n", str(NICENESS), *command], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    assert child.stdout is not None
    with child.stdout as pipe:
        said = pipe.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if child.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {child.returncode}: {said}")
    return wall, used.ru_utime + used.ru_stime, said


def _ran(wall: float, cpu: float, files: Mapping[str, Path], told: Mapping[str, Any] | None = None) -> Ran:
    kbps = {name: path.stat().st_size * 8 / 1000 / inputs.seconds(path) for name, path in files.items()}
    return Ran(wall, cpu, files, kbps, told or {})


def _qualities(film: Path, seen: Mapping[str, Sequence[Ran]]) -> dict[str, dict[str, float]]:
    """Lane → rung → VMAF, of the last round."""
    return {
        lane: {name: _vmaf(path, film) for name, path in seen[lane][-1].files.items()} for lane in ("ours", "streamer")
    }


def _vmaf(path: Path, film: Path) -> float:
    log = path.with_suffix(".vmaf.json")
    # Ours say that they are BT.709 and the film says nothing: unless told that both are the same, ffmpeg converts one for the other
    # and VMAF measures that.
    same_colours = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    same_clock = f"{same_colours},settb=1/30,setpts=N,format=yuv420p"
    inputs.ffmpeg(
        *("-i", path, "-i", film, "-filter_complex"),
        f"[0:v]{same_clock},scale=1920:1080:flags=bicubic[a];[1:v]{same_clock}[b];"
        f"[a][b]libvmaf=n_threads={os.cpu_count()}:n_subsample=5:log_fmt=json:log_path={log}",
        *("-f", "null", "-"),
    )
    return float(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])


def _measurements(
    bench: _Bench, seen: Mapping[str, Sequence[Ran]], quality: Mapping[str, Mapping[str, float]]
) -> list[Measurement]:
    wall = {lane: median(ran.wall for ran in runs) for lane, runs in seen.items()}
    cpu = {lane: median(ran.cpu for ran in runs) for lane, runs in seen.items()}
    encode_wall = median(ran.told["encode_wall"] for ran in seen["ours"])
    encode_cpu = median(ran.told["encode_cpu"] for ran in seen["ours"])
    ours, theirs = seen["ours"][-1], seen["streamer"][-1]
    rounds = f"{inputs.seconds(bench.film):.0f} s of 1080p to {len(bench.rungs)} rungs, {bench.preset}, median of {len(seen['ours'])} alternating rounds"
    whole = f"{rounds}; probe, encode, join, package"
    deltas = {name: quality["ours"][name] - quality["streamer"][name] for name in quality["ours"]}
    table = ", ".join(
        f"{name} {delta:+.2f} (ours {quality['ours'][name]:.1f} at {ours.kbps[name]:.0f} kbit/s, "
        f"theirs {quality['streamer'][name]:.1f} at {theirs.kbps[name]:.0f})"
        for name, delta in deltas.items()
    )
    rate = sum(ours.kbps.values()) / sum(theirs.kbps.values())
    alone = f"{rounds}; encode and join only"
    return [
        Measurement(
            "ladder.wall_vs_shaka_streamer",
            wall["ours"] / wall["streamer"],
            "ratio",
            _PEER,
            f"{whole}; {wall['ours']:.1f} s against {wall['streamer']:.1f} s",
        ),
        Measurement(
            "ladder.cpu_vs_shaka_streamer",
            cpu["ours"] / cpu["streamer"],
            "ratio",
            _PEER,
            f"{whole}; {cpu['ours']:.1f} s of processor time against {cpu['streamer']:.1f} s",
        ),
        Measurement("ladder.vmaf_delta", sum(deltas.values()) / len(deltas), "VMAF", _PEER, f"mean of rungs: {table}"),
        Measurement("ladder.bitrate_vs_shaka_streamer", rate, "ratio", _PEER, "all rungs together, of the VMAF's runs"),
        Measurement(
            "ladder.wall_vs_plain_ffmpeg",
            encode_wall / wall["ffmpeg"],
            "ratio",
            "one ffmpeg, the same build",
            f"{alone}; {encode_wall:.1f} s against {wall['ffmpeg']:.1f} s",
        ),
        Measurement(
            "ladder.cpu_vs_plain_ffmpeg",
            encode_cpu / cpu["ffmpeg"],
            "ratio",
            "one ffmpeg, the same build",
            f"{alone}; {encode_cpu:.1f} s of processor time against {cpu['ffmpeg']:.1f} s",
        ),
    ]
