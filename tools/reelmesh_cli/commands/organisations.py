"""`reelmesh organisation …`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, group

if TYPE_CHECKING:
    from reelmesh.identity.v1.identity_pb2 import Organisation

    from tools.reelmesh_sdk import Client

app = group("Organisations.")


@app.command()
def show(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Shows the organisation that the key acts for."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Organisation:
        from reelmesh.identity.v1.organisations_service_pb2 import GetOrganisationRequest

        request = GetOrganisationRequest()
        return (await reelmesh.call(reelmesh.organisations.GetOrganisation, request)).organisation

    _tell(output, conversation(output, data, url, talk))


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name to show.")],
    admin: Annotated[
        str, typer.Option("--admin", metavar="EMAIL", help="Who becomes the first admin; they have registered before.")
    ],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Makes an organisation, with its first admin."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Organisation:
        from reelmesh.identity.v1.organisations_service_pb2 import CreateOrganisationRequest

        request = CreateOrganisationRequest(request_id=str(uuid.uuid4()), display_name=name, admin_email=admin)
        return (await reelmesh.call(reelmesh.organisations.CreateOrganisation, request)).organisation

    _tell(output, conversation(output, data, url, talk))


def _tell(output: Output, organisation: Organisation) -> None:
    output.result(organisation=as_json(organisation))
    output.say(f"[bold]{escape(organisation.display_name)}[/]  [dim]{organisation.organisation_id}[/]")
    output.say(f"  [dim]tier [/]  {escape(organisation.tier)}")
    output.say(f"  [dim]since[/]  {day(organisation.create_time)} UTC")
