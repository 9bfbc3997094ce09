"""What the commands about people and credentials share: whom is meant, all pages of a list, and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from tools.reelmesh_cli.connection import client
from tools.reelmesh_cli.output import Output, run_call

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from reelmesh.identity.v1.identity_pb2 import Account

    from tools.reelmesh_sdk import Client

Result = TypeVar("Result")
WhoArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail address of the account, or its id, usr_…")]
_PAGE = 200
_ID = re.compile(r"[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}")
_ID_WIDTH = 30
_CELL_WIDTH = 20
_WIDEST = 400


def group(text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=text, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})


def conversation(
    output: Output, data: Path | None, url: str | None, talk: Callable[[Client], Coroutine[Any, Any, Result]]
) -> Result:
    """Speaks with the mesh that was asked for."""
    reelmesh = client(data, url, output)

    async def whole() -> Result:
        async with reelmesh:
            return await talk(reelmesh)

    return run_call(output, whole())


async def account_of(reelmesh: Client, output: Output, who: str) -> Account:
    """The account that is meant by an address or an id."""
    from reelmesh.identity.v1.accounts_service_pb2 import ListAccountsRequest
    from reelmesh.identity.v1.identity_pb2 import Account

    if who.startswith("usr_"):
        return Account(account_id=who)
    found = await reelmesh.call(reelmesh.accounts.ListAccounts, ListAccountsRequest(email=who))
    if not found.accounts:
        output.fail(
            f"Nobody in this organisation has the address {who}. `reelmesh member list` shows who is there; "
            "`reelmesh member add` lets in who has registered."
        )
    return found.accounts[0]


async def every(
    reelmesh: Client, method: Callable[..., Awaitable[Any]], request: Any, field: str, most: int | None = None
) -> list[Any]:
    """All that a list has, page by page, or the first so many."""
    found: list[Any] = []
    while most is None or len(found) < most:
        request.page_size = _PAGE if most is None else min(_PAGE, most - len(found))
        answer = await reelmesh.call(method, request)
        found += getattr(answer, field)
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    return found


def as_json(message: Message) -> dict[str, Any]:
    """A message as programs get it: names as in the contract, absent fields left out."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True)


def day(stamp: Timestamp) -> str:
    """A moment to the minute, in UTC."""
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M") if stamp.seconds else ""


def show(output: Output, headings: Iterable[str], rows: Iterable[Iterable[str]], nothing: str) -> None:
    """A table for people. Ids are never broken, as one copies them; a terminal that is too narrow for them breaks the lines itself."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    cells = [[escape(cell) for cell in row] for row in rows]
    columns = [(heading, [row[place] for row in cells]) for place, heading in enumerate(headings)]
    with_ids = any(_ID.fullmatch(cell) for row in cells for cell in row)
    for heading, column in columns:
        has_ids = any(_ID.fullmatch(cell) for cell in column)
        longest = max(map(len, (heading, *column)))
        least = _ID_WIDTH if has_ids else min(longest, _CELL_WIDTH) if with_ids else None
        table.add_column(heading, overflow="fold", no_wrap=has_ids, min_width=least)
    for row in cells:
        table.add_row(*row)
    if output.as_json:
        return
    if table.row_count:
        console = output.people
        needed = console.measure(table, options=console.options.update(max_width=_WIDEST)).minimum
        before = console.width
        console.width = max(before, needed)
        console.print(table)
        console.width = before
    else:
        output.say(nothing)
