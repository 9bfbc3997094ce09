"""`reelmesh logs`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tools.reelmesh_cli.connection import DataOption, layout_of
from tools.reelmesh_cli.output import EXIT_USAGE, JsonOption, Output

_COLOURS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "bold red"}
_SHOWN_APART = ("timestamp", "level", "message", "event", "service", "logger", "exception")
_POLL_SECONDS = 0.25


def logs(
    service: Annotated[str, typer.Argument(help="Name of a process, as in `reelmesh status`.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the newest lines.")] = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows what a process has said."""
    output = Output(as_json)
    layout = layout_of(data)
    file = layout.log_of(service)
    if not file.is_file() or "/" in service:
        known = ", ".join(sorted(path.stem for path in layout.logs.glob("*.log"))) or "none yet"
        output.fail(f"There is no log of “{service}”. There are: {known}.", EXIT_USAGE)
    try:
        for line in _lines(file, lines, follow):
            if as_json:
                print(line, flush=True)
            else:
                output.people.print(pretty(line))
    except (KeyboardInterrupt, BrokenPipeError):
        raise typer.Exit(0) from None


def _lines(file: Path, count: int, follow: bool) -> Iterator[str]:
    """The newest lines, and with `follow` all later ones, over the moments when the file is put aside."""
    reader = file.open(errors="replace")
    yield from reader.readlines()[-count:] if count else []
    rest = ""
    while follow:
        if chunk := reader.readline():
            rest += chunk
            if rest.endswith("\n"):
                yield rest
                rest = ""
            continue
        if file.exists() and file.stat().st_ino != os.fstat(reader.fileno()).st_ino:
            reader.close()
            reader = file.open(errors="replace")
            continue
        time.sleep(_POLL_SECONDS)
    reader.close()


def pretty(line: str) -> Text:
    """A JSON line as a person would write it; any other line as it is."""
    try:
        fields: Any = json.loads(line)
    except ValueError:
        return Text(line.rstrip())
    if not isinstance(fields, dict):
        return Text(line.rstrip())
    level = str(fields.get("level", "info")).lower()
    text = Text(str(fields.get("timestamp", ""))[11:23].ljust(12), style="dim")
    text.append(f" {level[:5]:<5} ", style=_COLOURS.get(level, ""))
    text.append(str(fields.get("message") or fields.get("event") or ""))
    for name, value in fields.items():
        if name not in _SHOWN_APART:
            text.append(f"  {name}=", style="dim")
            text.append(value if isinstance(value, str) else json.dumps(value))
    if exception := fields.get("exception"):
        text.append(f"\n{exception}", style="red")
    return text
