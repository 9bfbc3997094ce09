"""`reelmesh holds …`: masters that a check holds."""

from __future__ import annotations

import os
import uuid
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.protection.v1.holds_pb2 import Hold

    from tools.reelmesh_sdk import Client

app = group("Masters that a check holds for review.")

HoldArgument = Annotated[str, typer.Argument(metavar="HOLD", help="Id of the hold, hld_…")]
CommentOption = Annotated[str, typer.Option("--because", help="Why. It is kept with the hold and in the audit log.")]


class Standing(Enum):
    """Where a hold stands."""

    OPEN = "open"
    RELEASE_PROPOSED = "release-proposed"
    RELEASED = "released"
    CONFIRMED = "confirmed"


@app.command("list")
def list_holds(
    *,
    state: Annotated[Standing | None, typer.Option("--state", help="Only those that stand so.")] = None,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists holds, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Hold]:
        from reelmesh.protection.v1.holds_pb2 import HoldState
        from reelmesh.protection.v1.holds_service_pb2 import ListHoldsRequest

        request = ListHoldsRequest(state=HoldState.Value(f"HOLD_STATE_{state.name if state else 'UNSPECIFIED'}"))
        return await every(reelmesh, reelmesh.holds.ListHolds, request, "holds")

    found = conversation(output, data, url, talk)
    output.result(holds=[as_json(one) for one in found])
    show(output, _HEADINGS, map(_row, found), "Nothing is held.")


@app.command("show")
def show_hold(hold: HoldArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Shows one hold with everything that is known of it."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Hold:
        from reelmesh.protection.v1.holds_service_pb2 import GetHoldRequest

        return (await reelmesh.call(reelmesh.holds.GetHold, GetHoldRequest(hold_id=hold))).hold

    found = conversation(output, data, url, talk)
    facts = as_json(found)
    output.result(hold=facts)
    rows = [(name.replace("_", " "), _words(value)) for name, value in facts.items() if name != "reviews"]
    rows += [
        (
            "review",
            f"{one['reviewer']} {one['decision'].removeprefix('HOLD_DECISION_').lower()}: {one['comment']}",
        )
        for one in facts.get("reviews", ())
    ]
    show(output, ("", ""), rows, "")


@app.command()
def release(
    hold: HoldArgument,
    because: CommentOption,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lets a held master go its way. Illegal content needs two people, each signed in."""
    _decide(Output(json), (data, url), hold, "RELEASE", because)


@app.command()
def confirm(
    hold: HoldArgument,
    because: CommentOption,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Says that the check is right: the master is never processed, and its evidence is kept."""
    _decide(Output(json), (data, url), hold, "CONFIRM", because)


@app.command()
def read(
    hold: HoldArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write it, in the clear. It must not be there.")
    ],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Writes a held master to a file that only you can read. The audit log tells who did."""
    output = Output(json)

    async def talk(reelmesh: Client) -> int:
        size, descriptor = 0, os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            async for chunk in reelmesh.read_evidence(hold):
                size += out.write(chunk)
        return size

    size = conversation(output, data, url, talk)
    output.result(file=str(file), size_bytes=size)
    output.say(f"[green]✓[/] {file}: {size} bytes, in the clear. Destroy it when you have looked at it.")


def _decide(output: Output, where: tuple[Path | None, str | None], hold: str, decision: str, comment: str) -> None:
    async def talk(reelmesh: Client) -> Hold:
        from reelmesh.protection.v1.holds_pb2 import HoldDecision
        from reelmesh.protection.v1.holds_service_pb2 import DecideHoldRequest

        request = DecideHoldRequest(
            request_id=str(uuid.uuid4()),
            hold_id=hold,
            decision=HoldDecision.Value(f"HOLD_DECISION_{decision}"),
            comment=comment,
        )
        return (await reelmesh.call(reelmesh.holds.DecideHold, request)).hold

    decided = conversation(output, *where, talk)
    output.result(hold=as_json(decided))
    show(output, _HEADINGS, [_row(decided)], "")


_HEADINGS = ("hold", "asset", "state", "ground", "check", "found", "distance", "since (UTC)")


def _row(hold: Hold) -> tuple[str, ...]:
    from reelmesh.protection.v1.holds_pb2 import HoldGround, HoldState

    return (
        hold.hold_id,
        hold.asset_id,
        HoldState.Name(hold.state).removeprefix("HOLD_STATE_").lower().replace("_", " "),
        HoldGround.Name(hold.ground).removeprefix("HOLD_GROUND_").lower().replace("_", " "),
        hold.check,
        f"{hold.list_name}: {hold.entry}",
        f"{hold.distance:g}",
        day(hold.create_time),
    )


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
