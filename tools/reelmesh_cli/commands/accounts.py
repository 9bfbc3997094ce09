"""`reelmesh account …`: people who can sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import WhoArgument, account_of, as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.identity.v1.identity_pb2 import Account

    from tools.reelmesh_sdk import Client

app = group("People who can sign in.")


@app.command("list")
def list_accounts(
    email: Annotated[str, typer.Option("--email", help="Only the account with this address.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of the newest.")] = 200,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists the accounts of the organisation's members, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Account]:
        from reelmesh.identity.v1.accounts_service_pb2 import ListAccountsRequest

        request = ListAccountsRequest(email=email)
        return await every(reelmesh, reelmesh.accounts.ListAccounts, request, "accounts", limit)

    found = conversation(output, data, url, talk)
    output.result(accounts=[as_json(account) for account in found])
    rows = [
        (
            account.email,
            account.display_name,
            account.tier,
            day(account.create_time),
            f"locked {day(account.lock_time)}" if account.HasField("lock_time") else "",
            account.account_id,
        )
        for account in found
    ]
    show(output, ("address", "name", "tier", "since (UTC)", "", "account"), rows, "There is no such account.")


def _set_lock(who: str, locked: bool, output: Output, data: DataOption, url: UrlOption) -> None:
    async def talk(reelmesh: Client) -> Account:
        from reelmesh.identity.v1.accounts_service_pb2 import SetAccountLockRequest

        account = await account_of(reelmesh, output, who)
        request = SetAccountLockRequest(account_id=account.account_id, locked=locked)
        return (await reelmesh.call(reelmesh.accounts.SetAccountLock, request)).account

    account = conversation(output, data, url, talk)
    output.result(account=as_json(account))
    if locked:
        output.say(f"{escape(account.email)} is locked, and signed out everywhere.")
    else:
        output.say(f"{escape(account.email)} may sign in again.")


@app.command()
def lock(who: WhoArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Locks an account, and signs it out everywhere."""
    _set_lock(who, True, Output(json), data, url)


@app.command()
def unlock(who: WhoArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lets a locked account sign in again."""
    _set_lock(who, False, Output(json), data, url)


@app.command()
def tier(
    who: WhoArgument,
    name: Annotated[str, typer.Argument(metavar="TIER", help="Such as `free`.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Sets the tier of an account, by which limits differ."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Account:
        from reelmesh.identity.v1.accounts_service_pb2 import SetAccountTierRequest

        account = await account_of(reelmesh, output, who)
        request = SetAccountTierRequest(account_id=account.account_id, tier=name)
        return (await reelmesh.call(reelmesh.accounts.SetAccountTier, request)).account

    account = conversation(output, data, url, talk)
    output.result(account=as_json(account))
    output.say(f"{escape(account.email)} is in the tier {escape(account.tier)}.")
