"""Runs one ffmpeg on a master or a rendition, in the sandbox, and tells how far it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.kit import sandbox
from services.kit.sandbox import Finished, Limits
from services.transcode import binaries
from services.transcode.refusals import encode_failed, undecodable

_DECODING: Final = re.compile(
    r"Decode error rate|Invalid data found when processing input|Error while decoding|Picture size .* exceeds|"
    r"matches no streams|does not contain any stream|Could not find codec parameters|Nothing was written"
)


@dataclass(frozen=True, slots=True)
class Command:
    """One run of ffmpeg.

    Attributes:
        arguments: all of its arguments but those about logging and progress.
        reads: files it may read.
        folder: where it may write, and nowhere else.
        limits: what it may use up.
    """

    arguments: tuple[str, ...]
    reads: tuple[Path, ...]
    folder: Path
    limits: Limits


async def execute(command: Command, on_frame: Callable[[int], None] | None = None) -> Finished:
    """Runs it to its end.

    Args:
        command: what to run.
        on_frame: told, about twice a second, how many frames of the first output are done.

    Raises:
        Refusal: MASTER_UNDECODABLE when the input is at fault, else ENCODE_FAILED.
    """

    def on_line(line: str) -> None:
        name, _, value = line.partition("=")
        if name == "frame" and on_frame is not None and value.strip().isdigit():
            on_frame(int(value))

    argv: list[sandbox.Argument] = [
        *(binaries.ffmpeg(), "-v", "error", "-nostdin", "-y", "-nostats", "-progress", "pipe:1"),
        *command.arguments,
    ]
    finished = await sandbox.run(
        argv, reads=command.reads, writes=[command.folder], limits=command.limits, on_progress_line=on_line
    )
    if finished.ok:
        return finished
    if finished.stopped_by is not None:
        raise encode_failed(f"it went beyond its limit of {finished.stopped_by.value}")
    complaint = without_paths(finished.stderr_tail, [*command.reads, command.folder])
    if finished.returncode > 0 and _DECODING.search(complaint):
        raise undecodable(complaint)
    raise encode_failed(complaint or f"ffmpeg ended with {finished.returncode}")


def without_paths(text: str, places: Sequence[Path]) -> str:
    """A complaint without the places of this machine, which are nobody's business."""
    for place in places:
        text = text.replace(f"file:{place.resolve()}", place.name).replace(str(place.resolve()), place.name)
    return text.strip()
