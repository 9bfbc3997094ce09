"""Still pictures of a film: a poster, and sheets of thumbnails with a WebVTT index for the seek bar.

They are made from our own renditions, so size, colour, rotation and tone are settled, and thumbnails stand at
keyframes: nothing but keyframes has to be decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from services.kit.sandbox import MIB, Limits
from services.transcode.encode import NICENESS
from services.transcode.ffmpeg import Command, execute
from services.transcode.ladder import Plan, VideoRendition
from services.transcode.refusals import encode_failed
from services.transcode.stitch import Stitched

POSTER: Final = "poster.jpg"
INDEX: Final = "sprite.vtt"
_SHEET: Final = "sprite-%03d.jpg"
_THUMBNAIL_BOX: Final = 160
_MOST_PER_SIDE: Final = 10
_POSTER_SHORT_SIDE: Final = 720
_POSTER_CANDIDATES: Final = 24
# Films up to so many seconds get a thumbnail at every so manyth keyframe; keyframes stand 2 seconds apart.
_STEPS: Final = ((240, 1), (960, 2), (3600, 5), (6 * 3600, 10))
_LONGEST_STEP: Final = 30


@dataclass(frozen=True, slots=True)
class Poster:
    """One picture of the film.

    Attributes:
        path: JPEG file.
        width: pixels.
        height: pixels.
    """

    path: Path
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sprites:
    """Thumbnails of the whole film.

    Attributes:
        sheets: JPEG files, all of the same size, filled row by row.
        index: WebVTT file; its cues name sheet and place as `sprite-000.jpg#xywh=0,0,160,90`.
        columns: thumbnails side by side on a sheet.
        rows: thumbnails one above the other on a sheet.
        tile_width: of a thumbnail, pixels.
        tile_height: of a thumbnail, pixels.
        count: thumbnails on all sheets.
        interval: seconds from one to the next.
    """

    sheets: tuple[Path, ...]
    index: Path
    columns: int
    rows: int
    tile_width: int
    tile_height: int
    count: int
    interval: Fraction


async def make_poster(plan: Plan, rendition: VideoRendition, film: Path, folder: Path) -> Poster:
    """The most typical of the keyframes after the first tenth of the film, where titles are over.

    Args:
        plan: what is made of the film.
        rendition: the picture to take it from; the largest is best.
        film: its stitched file.
        folder: where to put it.

    Raises:
        Refusal: ENCODE_FAILED.
    """
    short = min(rendition.width, rendition.height)
    side = min(short, _POSTER_SHORT_SIDE)
    width, height = (_scaled(length, side, short) for length in (rendition.width, rendition.height))
    keyframes = -(-plan.frame_count // plan.gop_frames)
    every = max(1, keyframes * 9 // 10 // _POSTER_CANDIDATES)
    begin = float(plan.duration) / 10 if keyframes > 2 else 0.0
    target = folder.resolve() / POSTER
    pick = f"framestep={every},thumbnail=n={_POSTER_CANDIDATES},scale={width}:{height}:flags=bicubic:out_range=pc"
    arguments = [
        *("-skip_frame", "nokey", "-ss", f"{begin:.3f}", *_film(film)),
        *("-vf", f"{pick},format=yuvj420p", "-frames:v", "1", "-q:v", "3", "-update", "1"),
        *("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "image2", f"file:{target}"),
    ]
    await execute(Command(tuple(arguments), (film,), folder, _limits(plan, rendition)))
    if not target.exists():
        raise encode_failed("no poster could be taken")
    return Poster(target, width, height)


async def make_sprites(plan: Plan, rendition: VideoRendition, stitched: Stitched, folder: Path) -> Sprites:
    """Sheets of thumbnails and their index.

    Args:
        plan: what is made of the film.
        rendition: the picture to take them from, see `sprite_source`.
        stitched: its file.
        folder: where to put them.

    Raises:
        Refusal: ENCODE_FAILED.
    """
    step = keyframe_step(plan)
    count = -(-len(stitched.keyframe_times) // step)
    columns = min(count, _MOST_PER_SIDE)
    rows = min(-(-count // columns), _MOST_PER_SIDE)
    longer = max(rendition.width, rendition.height)
    width, height = (_scaled(length, _THUMBNAIL_BOX, longer) for length in (rendition.width, rendition.height))
    scale = f"scale={width}:{height}:flags=bicubic:out_range=pc"
    arguments = [
        *("-skip_frame", "nokey", *_film(stitched.path)),
        *("-vf", f"framestep={step},{scale},format=yuvj420p,tile={columns}x{rows}", "-fps_mode", "passthrough"),
        *("-q:v", "4", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"),
        *("-start_number", "0", "-f", "image2", f"file:{folder.resolve() / _SHEET}"),
    ]
    await execute(Command(tuple(arguments), (stitched.path,), folder, _limits(plan, rendition)))
    sheets = tuple(sorted(folder.glob(_SHEET.replace("%03d", "*"))))
    needed = -(-count // (columns * rows))
    if len(sheets) != needed:
        raise encode_failed(f"{len(sheets)} sheets of thumbnails instead of {needed}")
    index = folder / INDEX
    interval = step * plan.gop_seconds
    made = Sprites(sheets, index, columns, rows, width, height, count, interval)
    index.write_text(sprite_index(made, plan.duration), encoding="utf-8")
    return made


def sprite_source(plan: Plan) -> VideoRendition:
    """The smallest picture that is not smaller than a thumbnail, in a codec that is quick to decode."""
    fits = [one for one in plan.video if max(one.width, one.height) >= _THUMBNAIL_BOX]
    candidates = fits or list(plan.video)
    codec = plan.video[0].codec
    return min(
        (one for one in candidates if one.codec is codec), key=lambda one: one.width * one.height, default=plan.video[0]
    )


def keyframe_step(plan: Plan) -> int:
    """From one thumbnail to the next, in keyframes: 2 seconds for a clip, 20 for a feature film."""
    return next((step for longest, step in _STEPS if plan.duration <= longest), _LONGEST_STEP)


def sprite_index(sprites: Sprites, duration: Fraction) -> str:
    """The index as WebVTT, with media fragments that name the part of a sheet."""
    per_sheet = sprites.columns * sprites.rows
    cues = ["WEBVTT"]
    for number in range(sprites.count):
        start = number * sprites.interval
        end = min(start + sprites.interval, duration)
        sheet, place = divmod(number, per_sheet)
        row, column = divmod(place, sprites.columns)
        part = f"{column * sprites.tile_width},{row * sprites.tile_height},{sprites.tile_width},{sprites.tile_height}"
        cues.append(f"{_clock(start)} --> {_clock(end)}\n{sprites.sheets[sheet].name}#xywh={part}")
    return "\n\n".join(cues) + "\n"


def _clock(seconds: Fraction) -> str:
    """A WebVTT timestamp."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def _scaled(length: int, side: int, reference: int) -> int:
    """A side scaled by `side / reference`, never up, even."""
    return max(2, round(Fraction(length * min(side, reference), 2 * reference)) * 2)


def _film(film: Path) -> list[str]:
    return [
        *("-protocol_whitelist", "file,pipe", "-format_whitelist", "mov", "-f", "mov"),
        *("-i", f"file:{film.resolve()}"),
    ]


def _limits(plan: Plan, rendition: VideoRendition) -> Limits:
    seconds = 120 + float(plan.duration) / 5
    memory = 1024 * MIB + rendition.width * rendition.height * 3 * (_POSTER_CANDIDATES + 40)
    return Limits(seconds, int(seconds), memory, 64 * MIB, nice=NICENESS)
