"""`reelmesh records …`: records of who is seen in titles, and what they let be played."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, every, group, show

if TYPE_CHECKING:
    from reelmesh.compliance.v1.records_pb2 import Production, RecordsSettings, RecordsStatement, Release
    from reelmesh.compliance.v1.records_service_pb2 import ExportRecordsRequest

    from tools.reelmesh_sdk import Client

app = group("Records of who is seen in titles.")


class Format(StrEnum):
    """As what the index is written."""

    CSV = "csv"
    PDF = "pdf"


@app.command("list")
def list_productions(
    asset: Annotated[str, typer.Option("--asset", help="Only productions that show this asset, ast_…")] = "",
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists the productions, newest first, with what keeps each from being played."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Production]:
        from reelmesh.compliance.v1.productions_service_pb2 import ListProductionsRequest

        request = ListProductionsRequest(asset_id=asset)
        return await every(reelmesh, reelmesh.productions.ListProductions, request, "productions")

    found = conversation(output, data, url, talk)
    output.result(productions=[as_json(one) for one in found])
    rows = [
        (one.title, one.production_date, str(len(one.performer_ids)), _gaps(one), one.production_id) for one in found
    ]
    show(output, ("title", "filmed", "performers", "missing", "production"), rows, "There is no production.")


@app.command()
def statement(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="Id of the asset, ast_…")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Prints the custodian's statement on an asset, as its watch page shows it."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[RecordsStatement]:
        from reelmesh.compliance.v1.records_service_pb2 import GetRecordsStatementRequest

        request = GetRecordsStatementRequest(asset_id=asset)
        return list((await reelmesh.call(reelmesh.records.GetRecordsStatement, request)).statements)

    found = conversation(output, data, url, talk)
    output.result(statements=[as_json(one) for one in found])
    for one in found:
        output.say(escape(one.text))


@app.command()
def custodian(
    name: Annotated[str, typer.Argument(help="Who keeps the records.")],
    address: Annotated[str, typer.Option("--address", help="Street where they can be inspected; no post office box.")],
    *,
    title: Annotated[str, typer.Option("--title", help="Their title.")] = "",
    required: Annotated[
        bool, typer.Option("--all-assets", help="Nothing is played without records, also what no production names.")
    ] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Says who keeps the records, and where; statements name them. Each call sets all of it."""
    output = Output(json)

    async def talk(reelmesh: Client) -> RecordsSettings:
        from reelmesh.compliance.v1.records_service_pb2 import SetRecordsSettingsRequest

        request = SetRecordsSettingsRequest(
            custodian=name, custodian_title=title, street_address=address, records_required=required
        )
        return (await reelmesh.call(reelmesh.records.SetRecordsSettings, request)).settings

    found = conversation(output, data, url, talk)
    output.result(settings=as_json(found))
    needed = "all assets need records" if found.records_required else "assets that a production names need records"
    output.say(f"[green]✓[/] {escape(found.custodian)}, {escape(found.street_address)}; {needed}.")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    purpose: Annotated[str, typer.Option("--purpose", help="Why, for the record.")],
    form: Annotated[Format, typer.Option("--format", help="A table, or pages to be printed.")] = Format.CSV,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Writes the index of all records for an inspection. It holds names and days of birth; that it was taken is recorded."""
    from reelmesh.compliance.v1.records_service_pb2 import (
        RECORDS_FORMAT_CSV,
        RECORDS_FORMAT_PDF,
        ExportRecordsRequest,
    )

    output = Output(json)
    request = ExportRecordsRequest(
        format=RECORDS_FORMAT_PDF if form is Format.PDF else RECORDS_FORMAT_CSV, purpose=purpose
    )
    size = conversation(output, data, url, lambda mesh: _written(mesh, request, file))
    output.result(file=str(file), size_bytes=size)
    output.say(f"[green]✓[/] {escape(str(file))}: {size} bytes. It is personal data: keep it so.")


@app.command()
def withdraw(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="Id of any release of theirs, rel_…")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Takes a performer's consent to a production back on their behalf. Its assets stop within a second."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Release:
        from reelmesh.compliance.v1.productions_service_pb2 import WithdrawReleaseRequest

        request = WithdrawReleaseRequest(release_id=release)
        return (await reelmesh.call(reelmesh.productions.WithdrawRelease, request)).release

    withdrawn = conversation(output, data, url, talk)
    output.result(release=as_json(withdrawn))
    output.say(
        f"{withdrawn.performer_id} took the consent to {withdrawn.production_id} back. It is played by nobody any more."
    )


def _gaps(production: Production) -> str:
    """What is missing, in words."""
    from reelmesh.compliance.v1.records_pb2 import RecordGapKind

    words = [
        RecordGapKind.Name(gap.kind).removeprefix("RECORD_GAP_KIND_").replace("_", " ").lower()
        for gap in production.gaps
    ]
    return ", ".join(dict.fromkeys(words)) or "nothing"


async def _written(mesh: Client, request: ExportRecordsRequest, file: Path) -> int:
    """Writes an index; a file that is there already is replaced when all of it has come. Only its owner may read it."""
    partial, size = file.with_name(f"{file.name}.part"), 0
    try:
        partial.touch(mode=0o600)
        with partial.open("wb") as target:
            async for part in mesh.export_records(request):
                size += target.write(part)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return size
