"""What a person sees while the mesh starts, runs and stops: a table that fills, or plain lines where nothing may move."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.live import Live
from rich.table import Table

from tools.reelmesh_cli.output import Output

_MARKS = {
    "waiting": "[dim]·[/]",
    "starting": "[yellow]◌[/]",
    "restarting": "[yellow]↻[/]",
    "ready": "[green]●[/]",
    "done": "[green]✓[/]",
    "stopping": "[yellow]◌[/]",
    "stopped": "[dim]○[/]",
    "failed": "[red]✗[/]",
}


class StartView:
    """Shows the supervisor's events."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rows: dict[str, dict[str, Any]] = {}
        self._live: Live | None = None
        self._ready = False
        self.failure = ""

    def __enter__(self) -> Self:
        if self._output.live:
            self._live = Live(self._table(), console=self._output.people, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_live()

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, event: dict[str, Any]) -> None:
        """Takes one event."""
        if event["event"] == "failed":
            self.failure = event["message"]
            self._end_live()
        elif event["event"] == "ready":
            self._ready = True
            self._end_live()
        elif event["event"] == "process":
            self._process(event)

    def _process(self, event: dict[str, Any]) -> None:
        name, state = event["name"], event["state"]
        before = self._rows.get(name, {}).get("state")
        self._rows[name] = event
        if self._live is not None:
            self._live.update(self._table())
        elif before != state and not self._ready and state in ("ready", "done"):
            self._output.say(f"  {_MARKS[state]} {name} [dim]{event['seconds']:.1f} s[/]")
        elif before != state and self._ready and state == "restarting":
            self._output.say(f"{_clock()} [yellow]{name} ended ({event['last_exit']}) and is started again[/]")
        elif before == "restarting" and self._ready and state == "ready":
            self._output.say(f"{_clock()} [green]{name} is back[/] [dim]after {event['seconds']:.1f} s[/]")

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, event in self._rows.items():
            seconds = f"[dim]{event['seconds']:.1f} s[/]" if event["state"] in ("ready", "done") else ""
            table.add_row(_MARKS.get(event["state"], " "), name, f"[dim]{event['state']}[/]", seconds)
        return table


def _clock() -> str:
    return f"[dim]{time.strftime('%H:%M:%S')}[/]"
