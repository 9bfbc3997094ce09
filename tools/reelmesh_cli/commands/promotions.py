"""`reelmesh promotions …`: codes that let watch for nothing."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.commands.entitlements import (
    ALL,
    AssetArgument,
    HoursOption,
    PlaysOption,
    TerritoryOption,
    asset_id_of,
)
from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.payments.v1.promotions_service_pb2 import Promotion

    from tools.reelmesh_sdk import Client

app = group("Codes that let watch for nothing.")


@app.command("list")
def list_promotions(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists the promotions, newest first, with how often each was used."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Promotion]:
        from reelmesh.payments.v1.promotions_service_pb2 import ListPromotionsRequest

        return await every(reelmesh, reelmesh.promotions.ListPromotions, ListPromotionsRequest(), "promotions")

    found = conversation(output, data, url, talk)
    output.result(promotions=[as_json(one) for one in found])
    rows = [
        (
            one.code,
            one.asset_id or ALL,
            f"{one.uses} of {one.max_uses or 'any number'}",
            f"ended {day(one.stop_time)}" if one.HasField("stop_time") else day(one.end_time),
            one.promotion_id,
        )
        for one in found
    ]
    show(output, ("code", "asset", "uses", "until (UTC)", "promotion"), rows, "There is no promotion.")


@app.command()
def create(
    asset: AssetArgument,
    *,
    code: Annotated[str, typer.Option("--code", help="What viewers type. Without: one that nobody guesses.")] = "",
    days: Annotated[
        float | None,
        typer.Option("--days", min=0.01, help="How long the code can be redeemed. Without: until it is ended."),
    ] = None,
    uses: Annotated[int, typer.Option("--uses", min=0, help="How often in all; 0 for any number of times.")] = 0,
    per_viewer: Annotated[int, typer.Option("--per-viewer", min=1, help="How often by one viewer.")] = 1,
    lasts_days: Annotated[
        float | None,
        typer.Option("--lasts-days", min=0.01, help="How long it lets watch, from redeeming on. Without: for good."),
    ] = None,
    hours: HoursOption = None,
    plays: PlaysOption = 0,
    territory: TerritoryOption = None,
    comment: Annotated[str, typer.Option("--comment", help="Why, for the record.")] = "",
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Makes a code that lets watch something."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Promotion:
        from reelmesh.payments.v1.promotions_service_pb2 import CreatePromotionRequest, Promotion

        from services.kit.clock import duration, timestamp

        promotion = Promotion(
            code=code,
            asset_id=asset_id_of(asset),
            lasts=duration(lasts_days * 86_400) if lasts_days else None,
            watch_duration=duration(hours * 3600) if hours else None,
            max_plays=plays,
            territories=territory or (),
            end_time=timestamp(datetime.now(UTC) + timedelta(days=days)) if days else None,
            max_uses=uses,
            uses_per_viewer=per_viewer,
            comment=comment,
        )
        request = CreatePromotionRequest(request_id=str(uuid.uuid4()), promotion=promotion)
        return (await reelmesh.call(reelmesh.promotions.CreatePromotion, request)).promotion

    made = conversation(output, data, url, talk)
    output.result(promotion=as_json(made))
    output.say(f"[bold]{escape(made.code)}[/]  [dim]{made.promotion_id}[/]")


@app.command()
def end(
    promotion: Annotated[str, typer.Argument(metavar="PROMOTION", help="Id of the promotion, prm_…")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Ends a promotion. What it gave stays."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Promotion:
        from reelmesh.payments.v1.promotions_service_pb2 import EndPromotionRequest

        request = EndPromotionRequest(promotion_id=promotion)
        return (await reelmesh.call(reelmesh.promotions.EndPromotion, request)).promotion

    ended = conversation(output, data, url, talk)
    output.result(promotion=as_json(ended))
    output.say(f"The code {escape(ended.code)} is good for nothing any more.")
