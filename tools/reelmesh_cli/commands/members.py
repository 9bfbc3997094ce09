"""`reelmesh member …` and `reelmesh role …`: who belongs to the organisation, and what they may do."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import WhoArgument, account_of, as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.identity.v1.identity_pb2 import Membership, Role

    from tools.reelmesh_sdk import Client

app = group("People of the organisation, and their roles.")
roles = group("Roles, and what each may do.")

RolesArgument = Annotated[
    list[str], typer.Argument(metavar="ROLE…", help="Such as `creator`; `reelmesh role list` has all.")
]


@app.command("list")
def list_members(
    role: Annotated[str, typer.Option("--role", help="Only those with this role.")] = "",
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists the members, in the order of joining."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Membership]:
        from reelmesh.identity.v1.organisations_service_pb2 import ListMembersRequest

        request = ListMembersRequest(role_id=role)
        return await every(reelmesh, reelmesh.organisations.ListMembers, request, "members")

    found = conversation(output, data, url, talk)
    output.result(members=[as_json(member) for member in found])
    rows = [
        (member.email, member.display_name, ", ".join(member.role_ids), day(member.create_time), member.account_id)
        for member in found
    ]
    show(output, ("address", "name", "roles", "since (UTC)", "account"), rows, "There is nobody.")


@app.command()
def add(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Address that the person registered with.")],
    role_ids: RolesArgument,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Makes somebody who has registered a member."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Membership:
        from reelmesh.identity.v1.organisations_service_pb2 import AddMemberRequest

        request = AddMemberRequest(request_id=str(uuid.uuid4()), email=email, role_ids=role_ids)
        return (await reelmesh.call(reelmesh.organisations.AddMember, request)).member

    _tell(output, conversation(output, data, url, talk))


@app.command("roles")
def set_roles(
    who: WhoArgument,
    role_ids: RolesArgument,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Sets the roles of a member, in place of those before."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Membership:
        from reelmesh.identity.v1.organisations_service_pb2 import SetMemberRolesRequest

        account = await account_of(reelmesh, output, who)
        request = SetMemberRolesRequest(account_id=account.account_id, role_ids=role_ids)
        return (await reelmesh.call(reelmesh.organisations.SetMemberRoles, request)).member

    _tell(output, conversation(output, data, url, talk))


def _tell(output: Output, member: Membership) -> None:
    output.result(member=as_json(member))
    output.say(
        f"{escape(member.email)} is {', '.join(member.role_ids)}.  [dim]Clients notice at their next request.[/]"
    )


@app.command()
def remove(who: WhoArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Ends a membership, and the sessions that act for the organisation."""
    output = Output(json)

    async def talk(reelmesh: Client) -> str:
        from reelmesh.identity.v1.organisations_service_pb2 import RemoveMemberRequest

        account = await account_of(reelmesh, output, who)
        request = RemoveMemberRequest(account_id=account.account_id)
        await reelmesh.call(reelmesh.organisations.RemoveMember, request)
        return account.account_id

    account_id = conversation(output, data, url, talk)
    output.result(account_id=account_id, removed=True)
    output.say(f"{escape(who)} does not belong to the organisation any more.")


@roles.command("list")
def list_roles(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists the roles that can be given, and what each may do."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Role]:
        from reelmesh.identity.v1.organisations_service_pb2 import ListRolesRequest

        return await every(reelmesh, reelmesh.organisations.ListRoles, ListRolesRequest(), "roles")

    found = conversation(output, data, url, talk)
    output.result(roles=[as_json(role) for role in found])
    rows = [(role.role_id, role.display_name, " ".join(role.permissions)) for role in found]
    show(output, ("role", "name", "may"), rows, "There is none.")
