"""Progress of a rotation: a bar for content keys, and in an emergency one for packages."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tools.reelmesh_cli.output import Output

if TYPE_CHECKING:
    from reelmesh.drm.v1.keys_service_pb2 import Rotation


class RotationView:
    """Shows one rotation. Without a terminal it writes a line when a part ends."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._progress = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=36),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=output.people,
            disable=not output.live,
        )
        self._bars: dict[str, TaskID] = {}
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, rotation: Rotation) -> None:
        """Moves the bars."""
        self._move("seal anew", rotation.keys_done, rotation.keys_total, done=rotation.HasField("rewrap_time"))
        if rotation.titles_total:
            settled = rotation.titles_done + rotation.titles_failed + rotation.titles_skipped
            done = settled == rotation.titles_total
            self._move("encrypt again", settled, rotation.titles_total, done=done)
        if rotation.HasField("first_title_time"):
            waited = (rotation.first_title_time.ToDatetime() - rotation.create_time.ToDatetime()).total_seconds()
            self._tell("first", f"  the first successor could be played after {waited:.1f} s")

    def _move(self, what: str, count: int, total: int, *, done: bool) -> None:
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._bars[what], completed=count, total=total)
        if done and not self._output.live:
            self._tell(what, f"  {what}: {count} of {total}")

    def _tell(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told.add(what)
            if self._output.live:
                self._progress.console.print(text)
            else:
                self._output.say(text)
