"""Subtitles of a master as WebVTT. Text is converted; pictures of text are reported as skipped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.kit.errors import Refusal
from services.kit.sandbox import MIB, Limits
from services.transcode.encode import NICENESS
from services.transcode.ffmpeg import Command, execute
from services.transcode.media import MediaInfo, SubtitleKind, SubtitleTrack
from services.transcode.probe import MasterLimits, input_arguments

_LARGEST: Final = 16 * MIB
_CUE: Final = re.compile(r"^(?:\d+:)?\d\d:\d\d\.\d{3} --> ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Captions:
    """One subtitle track as WebVTT.

    Attributes:
        name: unique among the film's, such as `en`, `en-forced` or `en-2`.
        path: WebVTT file in UTF-8.
        language: BCP 47; `und` when unknown.
        title: name for people; empty when there is none.
        is_forced: shown even when the viewer asked for none.
        cue_count: pieces of text.
    """

    name: str
    path: Path
    language: str
    title: str
    is_forced: bool
    cue_count: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A subtitle track that was left out.

    Attributes:
        index: number of the stream in the file.
        codec: ffmpeg's name of the codec.
        language: BCP 47; `und` when unknown.
        why: for people.
    """

    index: int
    codec: str
    language: str
    why: str


async def extract(master: Path, media: MediaInfo, folder: Path) -> tuple[tuple[Captions, ...], tuple[Skipped, ...]]:
    """Converts every text track; a film is not refused for its subtitles.

    Args:
        master: the file that `media` describes.
        media: what it holds.
        folder: where to put the WebVTT files.
    """
    made: list[Captions] = []
    skipped: list[Skipped] = []
    for track in media.subtitles:
        name = _free_name(track, [other.name for other in made])
        target = folder.resolve() / f"{name}.vtt"
        if track.kind is SubtitleKind.BITMAP:
            skipped.append(_skipped(track, "its subtitles are pictures, which cannot be turned into text"))
            continue
        try:
            await execute(_command(master, media, track, target))
        except Refusal as refusal:
            target.unlink(missing_ok=True)
            skipped.append(_skipped(track, f"its subtitles cannot be read: {refusal.message}"))
            continue
        cues = len(_CUE.findall(target.read_text(encoding="utf-8", errors="replace"))) if target.exists() else 0
        if cues == 0:
            target.unlink(missing_ok=True)
            skipped.append(_skipped(track, "there is no text in it"))
            continue
        made.append(Captions(name, target, track.language, track.title, track.is_forced, cues))
    return tuple(made), tuple(skipped)


def _command(master: Path, media: MediaInfo, track: SubtitleTrack, target: Path) -> Command:
    arguments = [
        *input_arguments(master, media.container.value, MasterLimits().pixels),
        *("-map", f"0:{track.index}", "-c:s", "webvtt", "-map_metadata", "-1", "-fflags", "+bitexact"),
        *("-f", "webvtt", f"file:{target}"),
    ]
    seconds = 120 + media.size_bytes / (5 * MIB)
    limits = Limits(seconds, int(seconds), 512 * MIB, _LARGEST, nice=NICENESS)
    return Command(tuple(arguments), (master,), target.parent, limits)


def _skipped(track: SubtitleTrack, why: str) -> Skipped:
    return Skipped(track.index, track.codec, track.language, why)


def _free_name(track: SubtitleTrack, taken: list[str]) -> str:
    base = f"{track.language.lower()}-forced" if track.is_forced else track.language.lower()
    number, free = 1, base
    while free in taken:
        number += 1
        free = f"{base}-{number}"
    return free
