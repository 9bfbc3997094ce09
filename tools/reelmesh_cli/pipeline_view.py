"""Progress of one file: a bar for the bytes, then one for each stage of the pipeline."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from tools.reelmesh_cli.output import Output

if TYPE_CHECKING:
    from reelmesh.assets.v1.assets_pb2 import Asset

_WORDS = {"SCREEN": "check", "PROBE": "look into it", "TRANSCODE": "encode", "PACKAGE": "protect and package"}


class _Amount(ProgressColumn):
    """Bytes and speed for the upload, a percentage for the stages."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = DownloadColumn()
        self._speed = TransferSpeedColumn()

    def render(self, task: Task) -> Text:
        if task.fields.get("stage"):
            return Text(f"{task.percentage:>3.0f} %")
        return Text.assemble(self._bytes.render(task), "  ", self._speed.render(task))


class PipelineView:
    """Shows one file's way. Without a terminal it writes a line when a stage ends."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._progress = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=36),
            _Amount(),
            TimeElapsedColumn(),
            console=output.people,
            disable=not output.live,
        )
        self._name = name
        self._upload: TaskID | None = None
        self._stages: dict[int, TaskID] = {}
        self._told: set[int] = set()
        self._waits = False

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def bytes_sent(self, sent: int, total: int) -> None:
        """Moves the first bar."""
        if self._upload is None:
            self._upload = self._progress.add_task("send", total=total)
        self._progress.update(self._upload, completed=sent)

    def upload_committed(self, size: int) -> None:
        """Fills the first bar: the server has the file and has checked it."""
        self.bytes_sent(size, size)
        if not self._output.live:
            self._output.say(f"  sent {self._name} ({size} bytes)")

    def asset_changed(self, asset: Asset) -> None:
        """Moves the bars of the stages."""
        from reelmesh.assets.v1 import assets_pb2

        for progress in asset.stages:
            name = assets_pb2.Stage.Name(progress.stage).removeprefix("STAGE_")
            if name not in _WORDS or progress.state == assets_pb2.STAGE_STATE_PENDING:
                continue
            if progress.stage not in self._stages:
                self._stages[progress.stage] = self._progress.add_task(_WORDS[name], total=1.0, stage=True)
            done = progress.state == assets_pb2.STAGE_STATE_DONE
            waits = progress.state == assets_pb2.STAGE_STATE_WAITING
            if waits and not self._waits and asset.state == assets_pb2.ASSET_STATE_PROCESSING:
                self._output.say(
                    "  A scanner cannot be reached: the film waits, and goes on by itself when it is back."
                )
            self._waits = self._waits or waits
            self._progress.update(self._stages[progress.stage], completed=1.0 if done else progress.fraction)
            if done and progress.stage not in self._told and not self._output.live:
                self._told.add(progress.stage)
                seconds = (progress.end_time.ToDatetime() - progress.start_time.ToDatetime()).total_seconds()
                self._output.say(f"  {_WORDS[name]}: done in {seconds:.1f} s")
