"""Small films with sound that resemble nothing but themselves: cuts between moving clouds, and notes that hardly repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.protection.leaks import ffmpeg

SCENE: Final = 4
"""Seconds between cuts."""
_X264: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "20")


def scenes(target: Path, seconds: int, seed: int, *, size: str = "320x180", rate: int = 8) -> Path:
    """A film of scenes of four seconds, no two of which are alike."""
    clouds = [
        f"perlin=s=112x63:r={rate}:octaves=4:persistence=0.7:xscale={2 + number % 3}:yscale={2 + number % 2}"
        f":tscale={0.2 + 0.2 * (number % 3)}:random_mode=seed:seed={seed * 1000 + number},format=yuv420p,scale={size.replace('x', ':')}"
        f",eq=contrast={1 + 0.2 * (number % 4)}:brightness={0.1 * (number % 3 - 1):.1f}"
        f",trim=end={SCENE},setpts=PTS-STARTPTS,setsar=1[s{number}]"
        for number in range(-(-seconds // SCENE))
    ]
    joined = "".join(f"[s{number}]" for number in range(len(clouds)))
    notes = f"mod(floor(t*2.5)*floor(t*1.3+{seed})*7+floor(t*0.7)*{seed + 2},37)"
    chord = "+".join(f"0.2*sin(2*PI*t*{base}*pow(2,{notes}/12))" for base in (110, 165, 277))
    graph = ";".join([*clouds, f"{joined}concat=n={len(clouds)}[v]", f"aevalsrc='{chord}':s=22050:d={seconds}[a]"])
    ffmpeg("-filter_complex", graph, "-map", "[v]", "-map", "[a]", *_X264, "-t", str(seconds), "-c:a", "aac", target)
    return target


def copied(film: Path, target: Path, *arguments: str, start: float = 0.0, seconds: float = 600.0) -> Path:
    """A copy of a piece of a film, after ffmpeg had its way with it."""
    coding = () if "-c:v" in arguments or "-vn" in arguments else ("-c:v", "libx264", "-preset", "ultrafast")
    ffmpeg("-ss", str(start), "-i", film, "-t", str(seconds), *coding, *arguments, target)
    return target
