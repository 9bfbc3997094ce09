"""`reelmesh messages`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, layout_of
from tools.reelmesh_cli.output import JsonOption, Output

_POLL_SECONDS = 0.25


def messages(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows what people were sent, where no mail server and no SMS provider is set: codes to sign in above all."""
    output = Output(as_json)
    folder = layout_of(data).messages
    shown = 0
    try:
        for message in _messages(folder, follow):
            shown += 1
            if as_json:
                output.result(**message)
            else:
                _show(output, message)
    except (KeyboardInterrupt, BrokenPipeError):
        raise typer.Exit(0) from None
    if not shown:
        output.say(
            "[dim]Nobody was sent anything in the last day, or a mail server or SMS provider is set, which has it.[/]"
        )


def _messages(folder: Path, follow: bool) -> Iterator[dict[str, Any]]:
    """Each message, oldest first; with `follow` all later ones too. Their names sort by when they were made."""
    seen: set[str] = set()
    while True:
        names = sorted(file.name for file in folder.glob("*.json"))
        for name in names:
            if name in seen:
                continue
            try:
                content = json.loads((folder / name).read_text(encoding="utf-8"))
            except FileNotFoundError:  # a day old, and removed just now
                continue
            yield content
        seen = set(names)
        if not follow:
            return
        time.sleep(_POLL_SECONDS)


def _show(output: Output, message: dict[str, Any]) -> None:
    kind = "E-mail" if message["channel"] == "email" else "SMS"
    output.say(f"[dim]{message['send_time'][:19]}[/]  {kind} to [bold]{escape(message['to'])}[/]")
    if message["subject"]:
        output.say(f"  [bold]{escape(message['subject'])}[/]")
    for line in message["text"].strip().splitlines():
        output.say(f"  {escape(line)}")
    output.say()
