"""`reelmesh audit …`: the audit log, shown, taken home and verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import EXIT_FAILED, EXIT_USAGE, JsonOption, Output
from tools.reelmesh_cli.people import conversation, group

if TYPE_CHECKING:
    from reelmesh.compliance.v1.audit_log_service_pb2 import GetCheckpointResponse, GetExportRequest
    from reelmesh.compliance.v1.compliance_pb2 import Anchor, AnchorStanding

    from tools.reelmesh_sdk import Client

app = group("The audit log.")


@app.callback()
def of_the_audit_log() -> None:
    """The audit log."""


@app.command()
def checkpoint(data: DataOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Prints the latest checkpoint, and the key that it is signed with. Keep both elsewhere: later the log is verified by them."""
    output = Output(as_json)
    answer = conversation(output, data, url, _latest)
    output.result(
        verifier_key=answer.verifier_key,
        tree_size=answer.checkpoint.tree_size,
        root=answer.checkpoint.root_hash.hex(),
        cosignatures=answer.checkpoint.cosignatures,
        note=answer.checkpoint.note,
    )
    if not as_json:
        typer.echo(answer.checkpoint.note, nl=False)
        output.errors.print(f"[dim]key:[/] {escape(answer.verifier_key)}", soft_wrap=True)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    without_content: Annotated[
        bool, typer.Option("--without-content", help="Leave out what opens records, and with it all personal data.")
    ] = False,
    every_record: Annotated[
        bool, typer.Option("--every-record", help="Also records of other organisations. For the operator's key.")
    ] = False,
    data: DataOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the log to a file, for `reelmesh audit verify`. It holds personal data unless told otherwise."""
    from reelmesh.compliance.v1.audit_log_service_pb2 import GetExportRequest

    output = Output(as_json)
    request = GetExportRequest(without_content=without_content, every_record=every_record)
    size = conversation(output, data, url, lambda mesh: _written(mesh, request, file))
    output.result(file=str(file), size_bytes=size)
    output.say(f"[green]✓[/] {escape(str(file))}: {size} bytes. Verify it: reelmesh audit verify {escape(str(file))}")


async def _latest(mesh: Client) -> GetCheckpointResponse:
    from reelmesh.compliance.v1.audit_log_service_pb2 import GetCheckpointRequest

    return await mesh.call(mesh.audit_log.GetCheckpoint, GetCheckpointRequest())


async def _written(mesh: Client, request: GetExportRequest, file: Path) -> int:
    """Writes an export; a file that is there already is replaced when all of it has come."""
    partial, size = file.with_name(f"{file.name}.part"), 0
    try:
        with partial.open("wb") as target:
            async for lines in mesh.export_log(request):
                size += target.write(lines)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return size


@app.command()
def anchors(
    *,
    size: Annotated[int, typer.Option("--size", help="Only anchors of the checkpoint of this size.")] = 0,
    save: Annotated[
        Path | None, typer.Option("--save", help="Folder for checkpoints and their `.ots` files, for `ots verify`.")
    ] = None,
    data: DataOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows where checkpoints are anchored outside this install, and how far behind that is."""
    from google.protobuf.json_format import MessageToDict

    output = Output(as_json)
    found, standings = conversation(output, data, url, lambda mesh: _anchors(mesh, size, save))
    output.result(
        anchors=[MessageToDict(one, preserving_proto_field_name=True) for one in found],
        standings=[MessageToDict(one, preserving_proto_field_name=True) for one in standings],
    )
    if as_json:
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("where", "leaves", "confirmed", "block", "transaction"):
        table.add_column(heading, justify="right" if heading in ("leaves", "block") else "left", overflow="fold")
    for one in found:
        when = f"{one.confirm_time.ToDatetime():%Y-%m-%d %H:%M}" if one.confirmed else "[yellow]not yet[/]"
        table.add_row(one.anchor, str(one.tree_size), when, str(one.block_number or ""), one.transaction_hash)
    output.people.print(table)
    for standing in standings:
        output.say(escape(_told(standing)))
    if not standings:
        output.say("[dim]The log is not anchored: nothing is set. docs/audit.md says how.[/]")


async def _anchors(mesh: Client, size: int, save: Path | None) -> tuple[list[Anchor], list[AnchorStanding]]:
    """The anchors, newest first, up to some hundreds; their files are written where one wants them."""
    from reelmesh.compliance.v1.audit_log_service_pb2 import GetAnchorFileRequest, ListAnchorsRequest
    from reelmesh.compliance.v1.compliance_pb2 import ANCHOR_KIND_OPENTIMESTAMPS

    answer = await mesh.call(mesh.audit_log.ListAnchors, ListAnchorsRequest(tree_size=size, page_size=200))
    found = list(answer.anchors)
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        for one in found:
            if one.kind == ANCHOR_KIND_OPENTIMESTAMPS and one.confirmed:
                file = await mesh.call(mesh.audit_log.GetAnchorFile, GetAnchorFileRequest(anchor_id=one.anchor_id))
                (save / f"checkpoint-{one.tree_size}").write_text(one.note, encoding="utf-8")
                (save / f"checkpoint-{one.tree_size}.ots").write_bytes(file.file.data)
    return found, list(answer.status.standings)


def _told(standing: AnchorStanding) -> str:
    waits = f"{standing.behind_leaves} leaves wait" if standing.behind_leaves else "nothing waits"
    trouble = f"; {standing.trouble}" if standing.trouble else ""
    return f"{standing.anchor}: {standing.tree_size} leaves are anchored, {waits}{trouble}"


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="An export, a folder of tiles, or a proof of one leaf.")],
    *,
    key: Annotated[str, typer.Option("--key", help="Verifier key of the log, from elsewhere than the file.")] = "",
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="File with a checkpoint that was kept elsewhere.")
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option("--witness", help="Verifier key of a witness; repeatable.")
    ] = None,
    bitcoin_header: Annotated[
        list[str] | None,
        typer.Option("--bitcoin-header", help="Header of a block of Bitcoin, 160 digits, from elsewhere; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verifies the log without any server: records, tree, signatures. Exit status 1 when something is wrong, and then it says where."""
    from tools.audit_verifier.note import Bad
    from tools.audit_verifier.verifying import verified

    output = Output(as_json)
    try:
        seen, headers = tuple(witness or ()), tuple(bitcoin_header or ())
        verdict = verified(path, key=key, checkpoint=checkpoint, witnesses=seen, headers=headers)
    except (Bad, OSError, UnicodeDecodeError) as error:
        output.fail(str(error), EXIT_USAGE)
    output.result(**verdict.as_dict())
    for line in verdict.lines():
        output.say(escape(line))
    if not verdict.good:
        raise typer.Exit(EXIT_FAILED)
