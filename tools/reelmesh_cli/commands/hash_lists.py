"""`reelmesh hash-lists …`: what masters are compared with."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import EXIT_USAGE, JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reelmesh.protection.v1.holds_pb2 import HashList

    from tools.reelmesh_sdk import Client

app = group("Lists of PDQ hashes that every master is compared with.")

NameArgument = Annotated[str, typer.Argument(metavar="LIST", help="Name of the list: lower-case, digits, hyphens.")]
_AT_ONCE: Final = 5000


@app.command("import")
def import_hashes(
    name: NameArgument,
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="CSV without headings: PDQ hash in hex, and a note if you like."
        ),
    ],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Adds hashes to a list. Run it again after a break: what is there is not added twice."""
    output = Output(json)
    rows = list(_rows(output, file))

    async def talk(reelmesh: Client) -> HashList | None:
        from reelmesh.protection.v1.hash_lists_service_pb2 import HashEntry, ImportHashesRequest

        found = None
        for start in range(0, len(rows), _AT_ONCE):
            entries = [HashEntry(pdq=pdq, note=note) for pdq, note in rows[start : start + _AT_ONCE]]
            request = ImportHashesRequest(list_name=name, entries=entries)
            found = (await reelmesh.call(reelmesh.hash_lists.ImportHashes, request)).list
        return found

    changed = conversation(output, data, url, talk)
    count = changed.entry_count if changed else 0
    output.result(list_name=name, read=len(rows), entry_count=count)
    output.say(
        f"[green]✓[/] {len(rows)} hashes read; {name} has {count}. Masters that come in from now on are compared with it."
    )


@app.command("list")
def list_lists(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists the lists."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[HashList]:
        from reelmesh.protection.v1.hash_lists_service_pb2 import ListHashListsRequest

        return await every(reelmesh, reelmesh.hash_lists.ListHashLists, ListHashListsRequest(), "lists")

    found = conversation(output, data, url, talk)
    output.result(lists=[as_json(one) for one in found])
    rows = [(one.list_name, str(one.entry_count), day(one.update_time)) for one in found]
    show(output, ("list", "hashes", "changed (UTC)"), rows, "There is no list yet.")


@app.command()
def delete(name: NameArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Deletes a list. What it held stays held."""
    output = Output(json)

    async def talk(reelmesh: Client) -> None:
        from reelmesh.protection.v1.hash_lists_service_pb2 import DeleteHashListRequest

        await reelmesh.call(reelmesh.hash_lists.DeleteHashList, DeleteHashListRequest(list_name=name))

    conversation(output, data, url, talk)
    output.result(list_name=name)
    output.say(f"[green]✓[/] There is no list {name} any more.")


def _rows(output: Output, file: Path) -> Iterator[tuple[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        for number, row in enumerate(csv.reader(text), 1):
            if not row or not row[0].strip():
                continue
            pdq = row[0].strip().lower()
            if not re.fullmatch("[0-9a-f]{64}", pdq):
                output.fail(f"{file}, line {number}: a PDQ hash has 64 hexadecimal digits.", EXIT_USAGE)
            yield pdq, (row[1].strip() if len(row) > 1 else "")[:500]
