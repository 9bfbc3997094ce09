"""`reelmesh api-key …`: credentials of servers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.identity.v1.api_keys_service_pb2 import CreateApiKeyResponse
    from reelmesh.identity.v1.identity_pb2 import ApiKey

    from tools.reelmesh_sdk import Client

app = group("Credentials of servers.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name to show, such as `ingest server`.")],
    permissions: Annotated[
        list[str], typer.Argument(metavar="PERMISSION…", help="Such as `uploads.write`; docs/permissions.md has all.")
    ],
    *,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=36_500, help="Days until it stops working. Without: never.")
    ] = None,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Makes an API key and shows it, this once."""
    output = Output(json)

    async def talk(reelmesh: Client) -> CreateApiKeyResponse:
        from reelmesh.identity.v1.api_keys_service_pb2 import CreateApiKeyRequest

        request = CreateApiKeyRequest(request_id=str(uuid.uuid4()), display_name=name, permissions=permissions)
        if days is not None:
            request.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
        return await reelmesh.call(reelmesh.api_keys.CreateApiKey, request)

    made = conversation(output, data, url, talk)
    output.result(api_key=as_json(made.api_key), secret=made.secret)
    output.say(f"[bold]{escape(made.api_key.display_name)}[/]  [dim]{made.api_key.key_id}[/]")
    output.say(f"  {made.secret}")
    output.say(
        "  [dim]It is shown this once, and only its SHA-256 is kept. Put it where only its server can read it.[/]"
    )


@app.command("list")
def list_keys(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists the organisation's API keys, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[ApiKey]:
        from reelmesh.identity.v1.api_keys_service_pb2 import ListApiKeysRequest

        return await every(reelmesh, reelmesh.api_keys.ListApiKeys, ListApiKeysRequest(), "api_keys")

    found = conversation(output, data, url, talk)
    output.result(api_keys=[as_json(key) for key in found])
    rows = [
        (
            key.display_name,
            f"{key.prefix}…",
            day(key.use_time) or "never",
            _end(key),
            " ".join(key.permissions),
            key.key_id,
        )
        for key in found
    ]
    headings = ("name", "key", "last used (UTC)", "ends (UTC)", "may", "id")
    show(output, headings, rows, "There is none but the operator's own.")


def _end(key: ApiKey) -> str:
    if key.HasField("revoke_time"):
        return f"revoked {day(key.revoke_time)}"
    return day(key.expire_time) or "never"


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key, key_…")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Ends an API key: it is refused everywhere within a second."""
    output = Output(json)

    async def talk(reelmesh: Client) -> ApiKey:
        from reelmesh.identity.v1.api_keys_service_pb2 import RevokeApiKeyRequest

        return (await reelmesh.call(reelmesh.api_keys.RevokeApiKey, RevokeApiKeyRequest(key_id=key_id))).api_key

    key = conversation(output, data, url, talk)
    output.result(api_key=as_json(key))
    output.say(f"{escape(key.display_name)} ({key.prefix}…) is revoked.")
