"""`reelmesh processors …`: accounts with payment processors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import EXIT_USAGE, JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, every, group, show

if TYPE_CHECKING:
    from reelmesh.payments.v1.processor_accounts_service_pb2 import ProcessorAccount

    from tools.reelmesh_sdk import Client

app = group("Accounts with payment processors.")


@app.command("kinds")
def kinds(json: JsonOption = False) -> None:
    """Lists the processors that there are adapters for, and what each needs."""
    from services.payments.processors import btcpay
    from services.payments.processors.kinds import ADAPTERS

    output = Output(json)
    found = sorted([*ADAPTERS, btcpay.kind([])], key=lambda kind: kind.name)
    output.result(
        processors=[
            {
                "processor": kind.name,
                "title": kind.title,
                "settings": dict(kind.settings),
                "optional_settings": dict(kind.optional_settings),
                "secrets": dict(kind.secrets),
                "optional_secrets": dict(kind.optional_secrets),
            }
            for kind in found
        ]
    )
    for kind in found:
        output.say(f"[bold]{kind.name}[/]  {escape(kind.title)}")
        for how, needed in (
            ("--setting", kind.settings),
            ("--setting, if wanted", kind.optional_settings),
            ("--secret-file", kind.secrets),
            ("--secret-file, if wanted", kind.optional_secrets),
        ):
            for name, what in needed.items():
                output.say(f"  [dim]{how}[/] {name}  [dim]{escape(what)}[/]")


@app.command("list")
def list_accounts(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists the organisation's accounts. Secrets are named, and never shown."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[ProcessorAccount]:
        from reelmesh.payments.v1.processor_accounts_service_pb2 import ListProcessorAccountsRequest

        accounts = reelmesh.processor_accounts
        return await every(reelmesh, accounts.ListProcessorAccounts, ListProcessorAccountsRequest(), "accounts")

    found = conversation(output, data, url, talk)
    output.result(accounts=[as_json(account) for account in found])
    rows = [
        (
            account.processor_account_id,
            account.processor,
            " ".join(["test"] * account.test_mode + ["disabled"] * account.disabled),
            ", ".join(account.secret_names),
            account.notify_url,
        )
        for account in found
    ]
    show(output, ("account", "processor", "", "secrets", "webhooks go to"), rows, "There are no accounts.")


@app.command("set")
def set_account(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="What you call it; it stands in its webhooks' URL.")
    ],
    processor: Annotated[
        str, typer.Option("--processor", help="Such as `ccbill`; `reelmesh processors kinds` lists them.")
    ],
    *,
    setting: Annotated[
        list[str] | None,
        typer.Option("--setting", metavar="NAME=VALUE", help="May be repeated. All that count are named."),
    ] = None,
    secret_file: Annotated[
        list[str] | None,
        typer.Option(
            "--secret-file",
            metavar="NAME=FILE",
            help="A secret, which no command line should hold, from a file; an empty one is forgotten. Those that are not named stay.",
        ),
    ] = None,
    test_mode: Annotated[bool, typer.Option("--test", help="It moves no real money.")] = False,
    disabled: Annotated[
        bool, typer.Option("--disabled", help="No more checkouts; its webhooks are taken all the same.")
    ] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Makes an account, or sets it anew."""
    output = Output(json)
    settings = dict(_pair(output, text) for text in setting or ())
    secrets = {name: _read(output, Path(file)) for name, file in (_pair(output, text) for text in secret_file or ())}

    async def talk(reelmesh: Client) -> ProcessorAccount:
        from reelmesh.payments.v1 import processor_accounts_service_pb2 as api

        wanted = api.ProcessorAccount(
            processor_account_id=account,
            processor=processor,
            settings=settings,
            test_mode=test_mode,
            disabled=disabled,
        )
        request = api.SetProcessorAccountRequest(account=wanted, secrets=secrets)
        return (await reelmesh.call(reelmesh.processor_accounts.SetProcessorAccount, request)).account

    kept = conversation(output, data, url, talk)
    output.result(account=as_json(kept))
    output.say(f"[bold]{escape(kept.processor_account_id)}[/]  [dim]{escape(kept.processor)}[/]")
    output.say(f"  [dim]enter at the processor as webhook URL[/]  {escape(kept.notify_url)}")


def _pair(output: Output, text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        output.fail(f"{text!r} names nothing: write it like name=value.", EXIT_USAGE)
    return name, value


def _read(output: Output, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        output.fail(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}.", EXIT_USAGE)
