"""A frame counter that tests burn into their clips and read back from pictures, however much these were encoded.

Beside a number for people it is a row of squares across the top of the picture: a white one, the bits of the frame's
number from the highest down in white and black, and a black one. The outer two tell a picture with a counter from any
other.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

BITS: Final = 10
_SQUARES: Final = BITS + 2
_BRIGHT: Final = 150
_DARK: Final = 105


def counter_filter() -> str:
    """An ffmpeg filter chain that burns the counter in. It needs only `drawbox`."""
    width = f"iw/{_SQUARES}"
    height = "ih/8"
    chain = [
        f"drawbox=x=0:y=0:w=iw:h={height}:color=black:t=fill",
        f"drawbox=x=0:y=0:w={width}:h={height}:color=white:t=fill",
    ]
    for square in range(1, BITS + 1):
        bit = BITS - square
        chain.append(
            f"drawbox=x={square}*{width}:y=0:w={width}:h={height}:color=white:t=fill:enable='bitand(n,{1 << bit})'"
        )
    return ",".join(chain)


def read_counter(picture: bytes) -> int:
    """The number of the frame in a picture.

    Raises:
        ValueError: when there is no counter in it.
    """
    with Image.open(io.BytesIO(picture)) as opened:
        grey = opened.convert("L")
    width, height = grey.width / _SQUARES, grey.height / 8
    samples = []
    for square in range(_SQUARES):
        patch = grey.crop(
            (
                int((square + 0.3) * width),
                int(0.3 * height),
                int((square + 0.7) * width) + 1,
                int(0.7 * height) + 1,
            )
        )
        values = patch.tobytes()
        samples.append(sum(values) / len(values))
    if samples[0] < _BRIGHT or samples[-1] > _DARK or any(_DARK < sample < _BRIGHT for sample in samples):
        raise ValueError(
            f"there is no counter in the picture: brightness of its squares is {[round(s) for s in samples]}"
        )
    return sum(1 << (BITS - square) for square in range(1, BITS + 1) if samples[square] > _BRIGHT)
