"""The filter graph of an encode: frames on the common timeline, in BT.709, in all sizes of the ladder.

Each size is scaled from the next larger one: the picture is read once, and small sizes cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from services.transcode import watermark
from services.transcode.ladder import Plan, VideoRendition
from services.transcode.media import Hdr, MediaInfo, VideoStream

TONE_MAPPING: Final = frozenset({"zscale", "tonemap"})
_STEADY_PREROLL_FRAMES: Final = 2
_VARIABLE_PREROLL_SECONDS: Final = 1
# Names of the `scale` filter for the matrices that ffprobe names.
_MATRICES: Final = {
    "smpte170m": "smpte170m",
    "bt470bg": "bt601",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_HIGH_DEFINITION: Final = 720


@dataclass(frozen=True, slots=True)
class Span:
    """Frames of the timeline, from `start` up to but not including `end`."""

    start: int
    end: int


def preroll_frames(media: MediaInfo, plan: Plan) -> int:
    """Frames before a span that are decoded too, so that its first moments show what came before them."""
    variable = media.video.is_vfr
    return max(_STEADY_PREROLL_FRAMES, round(plan.frame_rate * _VARIABLE_PREROLL_SECONDS) if variable else 0)


def seek_seconds(media: MediaInfo, plan: Plan, span: Span) -> float | None:
    """Where to begin to read for a span: half a frame before its preroll, or at the very beginning (None)."""
    first = span.start - preroll_frames(media, plan)
    return float((first - Fraction(1, 2)) / plan.frame_rate) if first > 0 else None


def filter_graph(media: MediaInfo, plan: Plan, span: Span, available: Collection[str]) -> str:
    """The graph; its outputs are labelled as `output` says.

    Args:
        media: the master.
        plan: what is made of it. If it is watermarked, the second input are the span's patterns.
        span: which frames. If the master ends too early its last picture stands still until the span's end.
        available: names of ffmpeg's filters.
    """
    pictures = sorted({_picture(rendition) for rendition in plan.video}, reverse=True)
    _, _, width, height = pictures[0]
    source = f"[0:{media.video.index}]"
    first = [*_timeline(media, plan, span), *_first_size(media.video, width, height, available)]
    if not plan.colluders:
        return ";".join(_sizes(plan, pictures, source, first, plan.variants[0]))
    marking, *variants = watermark.marked(plan, "[whole]", "[1:v]", width, height)
    steps = [source + ",".join(first) + "[whole]", marking]
    for name, label in zip(plan.variants, variants, strict=True):
        steps += _sizes(plan, pictures, label, ["null"], name)
    return ";".join(steps)


def output(rendition: int, variant: str) -> str:
    """Label of the output with a rendition's pictures, by its place in `plan.video` and its variant of `plan.variants`."""
    return f"[v{rendition}{variant}]"


def _sizes(
    plan: Plan, pictures: Sequence[tuple[int, int, int, int]], source: str, first: Sequence[str], variant: str
) -> list[str]:
    """Scales one variant to all sizes. `first` are the filters of the largest of them."""
    steps: list[str] = []
    came_in, step_before = source, 1
    for place, picture in enumerate(pictures):
        _, step, width, height = picture
        chain = list(first) if place == 0 else [f"scale={width}:{height}:flags=bicubic", "setsar=1"]
        if -step > step_before:
            chain.insert(0 if place else len(chain), f"framestep={-step}")
            step_before = -step
        outputs = [output(index, variant) for index, one in enumerate(plan.video) if _picture(one) == picture]
        if place + 1 < len(pictures):
            outputs.append(f"[c{place}{variant}]")
        if len(outputs) > 1:
            chain.append(f"split={len(outputs)}")
        steps.append(came_in + ",".join(chain) + "".join(outputs))
        came_in = f"[c{place}{variant}]"
    return steps


def _picture(rendition: VideoRendition) -> tuple[int, int, int, int]:
    """What tells one scaled picture from another; the largest and most frequent sorts last."""
    return rendition.width * rendition.height, -rendition.frame_step, rendition.width, rendition.height


def _timeline(media: MediaInfo, plan: Plan, span: Span) -> list[str]:
    """Frames at the constant rate, numbered from 0 at the span's start."""
    rate = plan.frame_rate
    first = max(0, span.start - preroll_frames(media, plan))
    chain = [f"setpts=PTS-({media.start_time:.6f}/TB)"] if media.start_time else []
    if media.video.is_interlaced:
        chain.append("bwdif=mode=send_frame:deint=interlaced")
    return [
        *chain,
        f"fps={rate.numerator}/{rate.denominator}:start_time={float(first / rate):.9f}:round=near",
        "tpad=stop=-1:stop_mode=clone",
        f"trim=start_pts={span.start}:end_pts={span.end}",
        f"setpts=PTS-{span.start}",
    ]


def _first_size(video: VideoStream, width: int, height: int, available: Collection[str]) -> list[str]:
    """From the master's picture to the largest rendition's: size, colour, square pixels, 8 bits."""
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    end = ["format=yuv420p", "setsar=1", tags]
    if video.hdr is not Hdr.NONE and set(available) >= TONE_MAPPING:
        return [*_tone_mapped(video, width, height), *end]
    if video.colour.primaries == "bt2020" and "zscale" in available:
        names = f"pin=bt2020:tin=bt709:min={_zimg_matrix(video)}:rin={_range(video)}"
        return [f"zscale=w={width}:h={height}:filter=bicubic:{names}:p=bt709:t=bt709:m=bt709:r=tv", *end]
    turned = video.rotation in {90, 270}
    stored = (video.coded_height, video.coded_width) if turned else (video.coded_width, video.coded_height)
    matrix = _matrix(video)
    if stored == (width, height) and matrix == "bt709" and _range(video) == "tv":
        return end
    colour = f"in_color_matrix={matrix}:out_color_matrix=bt709:in_range={_range(video)}:out_range=tv"
    if matrix == "bt709" and _range(video) == "tv":
        colour = "in_color_matrix=bt709:out_color_matrix=bt709"
    return [f"scale={width}:{height}:flags=bicubic:{colour}", *end]


def _tone_mapped(video: VideoStream, width: int, height: int) -> list[str]:
    """From perceptual quantizer or hybrid log-gamma to what every screen shows."""
    transfer = "arib-std-b67" if video.hdr is Hdr.HLG else "smpte2084"
    names = f"pin=bt2020:tin={transfer}:min={_zimg_matrix(video)}:rin={_range(video)}"
    return [
        f"zscale=w={width}:h={height}:filter=bicubic:{names}:t=linear:npl=100",
        "format=gbrpf32le",
        "zscale=p=bt709",
        "tonemap=hable:desat=0",
        "zscale=t=bt709:m=bt709:r=tv",
    ]


def _zimg_matrix(video: VideoStream) -> str:
    return video.colour.space if video.colour.space in {"bt2020nc", "bt2020c", "bt709"} else "bt2020nc"


def _range(video: VideoStream) -> str:
    return "pc" if video.colour.range == "pc" or video.pixel_format.startswith("yuvj") else "tv"


def _matrix(video: VideoStream) -> str:
    """The matrix of the master's colours. Untagged small pictures are taken for BT.601, as players do."""
    space = video.colour.space
    if not space:
        large = min(video.coded_width, video.coded_height) >= _HIGH_DEFINITION
        return "bt709" if large else "smpte170m"
    return _MATRICES.get(space, "bt709")
