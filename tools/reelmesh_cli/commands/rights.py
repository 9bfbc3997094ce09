"""`reelmesh rights …`: what persons ask about their data, and legal holds."""

from __future__ import annotations

import uuid
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import account_of, as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.compliance.v1.rights_pb2 import DataRequest, LegalHold

    from tools.reelmesh_sdk import Client

app = group("What persons ask about their data, and legal holds.")

WhoArgument = Annotated[
    str, typer.Argument(metavar="WHO", help="Address or id of an account, or what the organisation calls the person.")
]
RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the request, drq_…")]
ReasonArgument = Annotated[str, typer.Argument(metavar="REASON", help="Why; the person reads it.")]
CheckedOption = Annotated[
    bool,
    typer.Option("--identity-checked", help="You have seen to who the person is. Otherwise a code is mailed to them."),
]


class Limit(Enum):
    """What an objection can be to."""

    PROFILING = "profiling"
    ANALYTICS = "analytics"
    MARKETING = "marketing"


@app.command("list")
def list_requests(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists requests, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[DataRequest]:
        from reelmesh.compliance.v1.rights_service_pb2 import ListDataRequestsRequest

        request = ListDataRequestsRequest(open_only=not everything)
        return await every(reelmesh, reelmesh.rights.ListDataRequests, request, "data_requests")

    found = conversation(output, data, url, talk)
    output.result(requests=[as_json(one) for one in found])
    rows = [
        (one.data_request_id, _kind(one), _state(one), one.subject.name, day(one.due_time), " ".join(one.hold_ids))
        for one in found
    ]
    show(output, ("request", "asks for", "is", "who", "due", "waits for"), rows, "Nobody is waiting.")


@app.command("show")
def show_request(
    request: RequestArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Shows a request, and what each service did."""
    output = Output(json)

    async def talk(reelmesh: Client) -> DataRequest:
        from reelmesh.compliance.v1.rights_service_pb2 import GetDataRequestRequest

        answer = await reelmesh.call(reelmesh.rights.GetDataRequest, GetDataRequestRequest(data_request_id=request))
        return answer.data_request

    _told(output, conversation(output, data, url, talk))


@app.command()
def export(
    who: WhoArgument,
    file: Annotated[Path, typer.Argument(help="ZIP file to write.")],
    *,
    identity_checked: CheckedOption = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Writes everything that is kept about a person to a file, for them. It is for nobody else."""
    output = Output(json)

    async def talk(reelmesh: Client) -> tuple[DataRequest, int]:
        made = await _taken_in(reelmesh, output, who, "ACCESS", identity_checked=identity_checked)
        return made, await _written(reelmesh, made, file) if _state(made) == "open" else 0

    made, size = conversation(output, data, url, talk)
    if not size:
        _told(output, made)
        return
    output.result(data_request=as_json(made), file=str(file), size_bytes=size)
    output.say(f"[green]✓[/] {escape(str(file))}: {size} bytes")


@app.command()
def fetch(
    request: RequestArgument,
    file: Annotated[Path, typer.Argument(help="ZIP file to write.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Writes the copy of a request for access that is open to a file."""
    from reelmesh.compliance.v1.rights_pb2 import DataRequest

    output = Output(json)
    size = conversation(
        output, data, url, lambda reelmesh: _written(reelmesh, DataRequest(data_request_id=request), file)
    )
    output.result(file=str(file), size_bytes=size)
    output.say(f"[green]✓[/] {escape(str(file))}: {size} bytes")


@app.command()
def erase(
    who: WhoArgument,
    *,
    identity_checked: CheckedOption = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Has a person erased from every service. What a law has kept stays until then; legal holds come first."""
    _ask(Output(json), data, url, who, "ERASURE", identity_checked=identity_checked)


@app.command()
def restrict(
    who: WhoArgument,
    *,
    lift: Annotated[bool, typer.Option("--lift", help="Take the restriction back.")] = False,
    identity_checked: CheckedOption = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Has a person's data stored and nothing else done with it: they cannot sign in or watch until it is lifted."""
    _ask(Output(json), data, url, who, "RESTRICTION", identity_checked=identity_checked, lift=lift)


@app.command()
def objection(
    who: WhoArgument,
    to: Annotated[list[Limit], typer.Argument(help="To what.")],
    *,
    lift: Annotated[bool, typer.Option("--lift", help="Take the objection back.")] = False,
    identity_checked: CheckedOption = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Takes in a person's objection to some uses of their data."""
    from reelmesh.rpc.v1.personal_data_service_pb2 import ProcessingLimit

    limits = [ProcessingLimit.Value(f"PROCESSING_LIMIT_NO_{one.name}") for one in to]
    _ask(Output(json), data, url, who, "OBJECTION", identity_checked=identity_checked, lift=lift, limits=limits)


@app.command()
def confirm(
    request: RequestArgument,
    code: Annotated[str, typer.Argument(help="The code that was mailed to the person.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Takes the code that was mailed to a person as proof that it is they who ask."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Any:
        from reelmesh.compliance.v1.rights_service_pb2 import ConfirmDataRequestRequest

        asked = ConfirmDataRequestRequest(data_request_id=request, code=code)
        return await reelmesh.call(reelmesh.rights.ConfirmDataRequest, asked)

    conversation(output, data, url, talk)
    output.result(data_request_id=request, confirmed=True)
    output.say(f"[green]✓[/] {escape(request)} is confirmed.")


@app.command()
def extend(
    request: RequestArgument,
    reason: ReasonArgument,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Moves the day by which a request must be answered by two months, and tells the person why."""
    from reelmesh.compliance.v1.rights_service_pb2 import ExtendDataRequestRequest

    asked = ExtendDataRequestRequest(data_request_id=request, reason=reason)
    _change(Output(json), data, url, "ExtendDataRequest", asked)


@app.command()
def refuse(
    request: RequestArgument,
    reason: ReasonArgument,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Refuses a request of which nothing was done yet, and tells the person why."""
    from reelmesh.compliance.v1.rights_service_pb2 import RefuseDataRequestRequest

    asked = RefuseDataRequestRequest(data_request_id=request, reason=reason)
    _change(Output(json), data, url, "RefuseDataRequest", asked)


@app.command()
def hold(
    on: Annotated[str, typer.Argument(metavar="ON", help="A person, as above, or an asset, ast_…")],
    ground: Annotated[str, typer.Argument(help="Why, such as a case's number.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Places a legal hold: what it is on is not erased, whoever asks."""
    output = Output(json)

    async def talk(reelmesh: Client) -> LegalHold:
        from reelmesh.compliance.v1.rights_service_pb2 import PlaceHoldRequest

        request = PlaceHoldRequest(request_id=str(uuid.uuid4()), ground=ground)
        if on.startswith("ast_"):
            request.asset_id = on
        else:
            request.subject.name = await _name(reelmesh, output, on)
        return (await reelmesh.call(reelmesh.rights.PlaceHold, request)).hold

    placed = conversation(output, data, url, talk)
    output.result(hold=as_json(placed))
    output.say(
        f"[green]✓[/] {escape(placed.hold_id)} is placed. Release it: reelmesh rights release {placed.hold_id} REASON"
    )


@app.command()
def release(
    hold_id: Annotated[str, typer.Argument(metavar="HOLD", help="Id of the hold, hld_…")],
    reason: Annotated[str, typer.Argument(help="Why.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Releases a legal hold; what waited for it goes on."""
    output = Output(json)

    async def talk(reelmesh: Client) -> LegalHold:
        from reelmesh.compliance.v1.rights_service_pb2 import ReleaseHoldRequest

        request = ReleaseHoldRequest(hold_id=hold_id, reason=reason)
        return (await reelmesh.call(reelmesh.rights.ReleaseHold, request)).hold

    output.result(hold=as_json(conversation(output, data, url, talk)))
    output.say(f"[green]✓[/] {escape(hold_id)} is released.")


@app.command()
def holds(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were released.")] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists legal holds, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[LegalHold]:
        from reelmesh.compliance.v1.rights_service_pb2 import ListHoldsRequest

        return await every(reelmesh, reelmesh.rights.ListHolds, ListHoldsRequest(standing_only=not everything), "holds")

    found = conversation(output, data, url, talk)
    output.result(holds=[as_json(one) for one in found])
    rows = [
        (one.hold_id, one.asset_id or one.subject.name, one.ground, day(one.place_time), day(one.release_time))
        for one in found
    ]
    show(output, ("hold", "on", "ground", "placed", "released"), rows, "There is no hold.")


def _ask(output: Output, data: Path | None, url: str | None, who: str, kind: str, **fields: Any) -> None:
    _told(output, conversation(output, data, url, lambda reelmesh: _taken_in(reelmesh, output, who, kind, **fields)))


def _change(output: Output, data: Path | None, url: str | None, method: str, request: Any) -> None:
    async def talk(reelmesh: Client) -> DataRequest:
        answer = await reelmesh.call(getattr(reelmesh.rights, method), request)
        changed: DataRequest = answer.data_request
        return changed

    _told(output, conversation(output, data, url, talk))


async def _taken_in(reelmesh: Client, output: Output, who: str, kind: str, **fields: Any) -> DataRequest:
    from reelmesh.compliance.v1.rights_pb2 import DataRequestKind
    from reelmesh.compliance.v1.rights_service_pb2 import CreateDataRequestRequest
    from reelmesh.rpc.v1.personal_data_service_pb2 import DataSubject

    request = CreateDataRequestRequest(
        request_id=str(uuid.uuid4()),
        subject=DataSubject(name=await _name(reelmesh, output, who)),
        kind=DataRequestKind.Value(f"DATA_REQUEST_KIND_{kind}"),
        **fields,
    )
    return (await reelmesh.call(reelmesh.rights.CreateDataRequest, request)).data_request


async def _name(reelmesh: Client, output: Output, who: str) -> str:
    """What services call a person: the account for an address, else what was typed."""
    return (await account_of(reelmesh, output, who)).account_id if "@" in who else who


async def _written(reelmesh: Client, request: DataRequest, file: Path) -> int:
    """Writes a copy; a file that is there already is replaced when all of it has come."""
    partial, size = file.with_name(f"{file.name}.part"), 0
    partial.touch(mode=0o600)
    try:
        with partial.open("wb") as target:
            async for part in reelmesh.personal_data(request.data_request_id):
                size += target.write(part)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return size


def _kind(request: DataRequest) -> str:
    from reelmesh.compliance.v1.rights_pb2 import DataRequestKind

    word = DataRequestKind.Name(request.kind).removeprefix("DATA_REQUEST_KIND_").lower()
    return f"{word}, lifted" if request.lift else word


def _state(request: DataRequest) -> str:
    from reelmesh.compliance.v1.rights_pb2 import DataRequestState

    return DataRequestState.Name(request.state).removeprefix("DATA_REQUEST_STATE_").lower().replace("_", " ")


def _told(output: Output, request: DataRequest) -> None:
    """Says how a request stands."""
    from reelmesh.rpc.v1.personal_data_service_pb2 import ErasureAction

    output.result(data_request=as_json(request))
    if output.as_json:
        return
    output.say(f"{escape(request.data_request_id)}: {_kind(request)}, {_state(request)}, due {day(request.due_time)}")
    if _state(request) == "awaiting proof":
        output.say("A code was mailed to the person. Then: reelmesh rights confirm REQUEST CODE")
    if request.hold_ids:
        output.say(f"It waits for legal holds: {' '.join(request.hold_ids)}")
    rows = [
        (
            receipt.service,
            table.table,
            ErasureAction.Name(table.action).removeprefix("ERASURE_ACTION_").lower(),
            str(table.row_count),
            table.ground,
        )
        for receipt in request.receipts
        for table in receipt.tables
    ]
    if rows:
        show(output, ("service", "table", "was", "rows", "because of"), rows, "")
