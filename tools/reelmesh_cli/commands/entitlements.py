"""`reelmesh grant` and `reelmesh entitlements …`: who may watch what."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import account_of, as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.payments.v1.entitlements_service_pb2 import Entitlement

    from tools.reelmesh_sdk import Client

app = group("Who may watch what.")

ALL = "all"


class Why(StrEnum):
    """Why somebody may watch without paying."""

    FREE = "free"
    GIFT = "gift"
    PROMOTION = "promotion"


AssetArgument = Annotated[str, typer.Argument(metavar="ASSET", help=f"Id of the asset, ast_…, or `{ALL}`.")]
ViewerArgument = Annotated[
    str, typer.Argument(metavar="VIEWER", help="E-mail address of an account, its id, or whom you call a viewer.")
]
PlaysOption = Annotated[int, typer.Option("--plays", min=0, help="How many plays it lets; 0 for any number.")]
HoursOption = Annotated[
    float | None, typer.Option("--hours", min=0.1, help="How long it plays once the first play has begun.")
]
TerritoryOption = Annotated[
    list[str] | None,
    typer.Option("--territory", metavar="CODE", help="Where it is good, such as US-TX; may be repeated."),
]


def asset_id_of(asset: str) -> str:
    """Id of the asset that was named; empty for all."""
    return "" if asset == ALL else asset


async def viewer_of(reelmesh: Client, output: Output, viewer: str) -> str:
    """The viewer who was named, as playbacks name them."""
    return (await account_of(reelmesh, output, viewer)).account_id if "@" in viewer else viewer


def grant(
    asset: AssetArgument,
    viewer: ViewerArgument,
    *,
    kind: Annotated[Why, typer.Option("--kind", help="Why they need not pay.")] = Why.GIFT,
    days: Annotated[
        float | None, typer.Option("--days", min=0.01, help="How long it lasts. Without: for good.")
    ] = None,
    hours: HoursOption = None,
    plays: PlaysOption = 0,
    territory: TerritoryOption = None,
    comment: Annotated[str, typer.Option("--comment", help="Why, for the record.")] = "",
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lets a viewer watch something for which nobody pays."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Entitlement:
        from reelmesh.payments.v1.entitlements_service_pb2 import GrantEntitlementRequest
        from reelmesh.payments.v1.events_pb2 import EntitlementKind
        from reelmesh.payments.v1.payments_pb2 import Grant

        from services.kit.clock import duration, timestamp

        granted = Grant(
            asset_id=asset_id_of(asset),
            kind=EntitlementKind.Value(f"ENTITLEMENT_KIND_{kind.name}"),
            end_time=timestamp(datetime.now(UTC) + timedelta(days=days)) if days else None,
            watch_duration=duration(hours * 3600) if hours else None,
            max_plays=plays,
            territories=territory or (),
        )
        request = GrantEntitlementRequest(
            request_id=str(uuid.uuid4()),
            viewer_id=await viewer_of(reelmesh, output, viewer),
            grant=granted,
            comment=comment,
        )
        return (await reelmesh.call(reelmesh.entitlements.GrantEntitlement, request)).entitlement

    made = conversation(output, data, url, talk)
    output.result(entitlement=as_json(made))
    output.say(f"{escape(viewer)} may watch {escape(asset)}: {_until(made)}.")
    output.say(f"  [dim]ends with[/] reelmesh entitlements revoke {made.entitlement_id}")


@app.command("list")
def list_entitlements(
    *,
    viewer: Annotated[str, typer.Option("--viewer", help="Only those of this viewer.")] = "",
    asset: Annotated[str, typer.Option("--asset", help="Only those for this asset alone.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of the newest.")] = 200,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists who may watch what, newest first, with the plays that are left and when each window ends."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Entitlement]:
        from reelmesh.payments.v1.entitlements_service_pb2 import ListEntitlementsRequest

        viewer_id = await viewer_of(reelmesh, output, viewer)
        request = ListEntitlementsRequest(viewer_id=viewer_id, asset_id=asset)
        return await every(reelmesh, reelmesh.entitlements.ListEntitlements, request, "entitlements", limit)

    found = conversation(output, data, url, talk)
    output.result(entitlements=[as_json(one) for one in found])
    rows = [
        (one.viewer_id, one.asset_id or ALL, _kind(one), _state(one), _until(one), one.entitlement_id) for one in found
    ]
    headings = ("viewer", "asset", "why", "stands", "until (UTC)", "entitlement")
    show(output, headings, rows, "Nobody was granted anything.")


@app.command()
def revoke(
    entitlement: Annotated[str, typer.Argument(metavar="ENTITLEMENT", help="Id of the entitlement, ent_…")],
    comment: Annotated[str, typer.Option("--comment", help="Why, for the record.")] = "",
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Takes something back for good, and ends what plays by it."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Entitlement:
        from reelmesh.payments.v1.entitlements_service_pb2 import RevokeEntitlementRequest

        request = RevokeEntitlementRequest(entitlement_id=entitlement, comment=comment)
        return (await reelmesh.call(reelmesh.entitlements.RevokeEntitlement, request)).entitlement

    ended = conversation(output, data, url, talk)
    output.result(entitlement=as_json(ended))
    output.say(f"{escape(ended.viewer_id)} may not watch by {ended.entitlement_id} any more.")


def _kind(one: Entitlement) -> str:
    from reelmesh.payments.v1.events_pb2 import EntitlementKind

    return EntitlementKind.Name(one.kind).removeprefix("ENTITLEMENT_KIND_").lower()


def _state(one: Entitlement) -> str:
    from reelmesh.payments.v1.entitlements_service_pb2 import EntitlementState

    return EntitlementState.Name(one.state).removeprefix("ENTITLEMENT_STATE_").lower().replace("_", " ")


def _until(one: Entitlement) -> str:
    plays = f"{one.plays_left} of {one.max_plays} plays" if one.max_plays else ""
    if one.HasField("watch_duration") and not one.HasField("begin_time"):
        plays += f"{', ' if plays else ''}{one.watch_duration.ToTimedelta()} once begun"
    end = day(one.window_end_time) or ("" if plays else "for good")
    return ", ".join(part for part in (plays, end) if part)
