"""`reelmesh offers …`: what is sold."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.commands.entitlements import ALL, PlaysOption, TerritoryOption, asset_id_of
from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.money import price_of, written
from tools.reelmesh_cli.output import EXIT_USAGE, JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.payments.v1.offers_service_pb2 import Offer, OfferPrice
    from reelmesh.payments.v1.sales_service_pb2 import CreatorShare

    from tools.reelmesh_sdk import Client

app = group("What is sold.")


class How(StrEnum):
    """How something is sold."""

    PURCHASE = "purchase"
    RENTAL = "rental"
    FREE = "free"


@app.command("list")
def list_offers(
    asset: Annotated[str, typer.Option("--asset", help="Only offers of this asset.")] = "",
    retired: Annotated[bool, typer.Option("--retired", help="Those that are retired too.")] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists what is offered, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Offer]:
        from reelmesh.payments.v1.offers_service_pb2 import ListOffersRequest

        request = ListOffersRequest(asset_id=asset, show_retired=retired)
        return await every(reelmesh, reelmesh.offers.ListOffers, request, "offers")

    found = conversation(output, data, url, talk)
    output.result(offers=[as_json(offer) for offer in found])
    rows = [
        (
            offer.title,
            _kind(offer),
            offer.asset_id or ALL,
            ", ".join(map(_price, offer.prices)),
            f"retired {day(offer.retire_time)}" if offer.HasField("retire_time") else "",
            offer.offer_id,
        )
        for offer in found
    ]
    show(output, ("title", "sold as", "asset", "price", "", "offer"), rows, "Nothing is offered.")


@app.command()
def create(
    title: Annotated[str, typer.Argument(help="What viewers read.")],
    asset: Annotated[str, typer.Option("--asset", help=f"Id of the asset, ast_…, or `{ALL}`.")],
    *,
    kind: Annotated[How, typer.Option("--kind", help="How it is sold.")] = How.PURCHASE,
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price", metavar="PRICE", help="Such as 4.99EUR, or 3.99USD@US,CA where only there; may be repeated."
        ),
    ] = None,
    begin_days: Annotated[
        float, typer.Option("--begin-days", min=0.01, help="Days within which a rental begins.")
    ] = 30,
    hours: Annotated[float, typer.Option("--hours", min=0.1, help="Hours that a rental plays once it has begun.")] = 48,
    plays: PlaysOption = 0,
    territory: TerritoryOption = None,
    creator: Annotated[
        list[str] | None, typer.Option("--creator", metavar="ID[=WEIGHT]", help="Who made it; may be repeated.")
    ] = None,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Offers something to viewers."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Offer:
        from reelmesh.payments.v1 import offers_service_pb2 as api

        from services.kit.clock import duration

        window = api.RentalWindow(begin_within=duration(begin_days * 86_400), watch_duration=duration(hours * 3600))
        offer = api.Offer(
            kind=api.OfferKind.Value(f"OFFER_KIND_{kind.name}"),
            asset_id=asset_id_of(asset),
            title=title,
            prices=[_read(output, text) for text in price or ()],
            rental=window if kind is How.RENTAL else None,
            max_plays=plays,
            territories=territory or (),
            creators=[_share(output, text) for text in creator or ()],
        )
        request = api.CreateOfferRequest(request_id=str(uuid.uuid4()), offer=offer)
        return (await reelmesh.call(reelmesh.offers.CreateOffer, request)).offer

    made = conversation(output, data, url, talk)
    output.result(offer=as_json(made))
    output.say(f"[bold]{escape(made.title)}[/]  [dim]{made.offer_id}[/]")
    for one in made.prices:
        output.say(f"  [dim]price[/]  {escape(_price(one))}")


@app.command()
def retire(
    offer: Annotated[str, typer.Argument(metavar="OFFER", help="Id of the offer, off_…")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Takes an offer back for good. What was bought stays."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Offer:
        from reelmesh.payments.v1.offers_service_pb2 import RetireOfferRequest

        return (await reelmesh.call(reelmesh.offers.RetireOffer, RetireOfferRequest(offer_id=offer))).offer

    retired = conversation(output, data, url, talk)
    output.result(offer=as_json(retired))
    output.say(f"{escape(retired.title)} is offered no more.")


def _read(output: Output, text: str) -> OfferPrice:
    from reelmesh.payments.v1.offers_service_pb2 import OfferPrice

    price, territories = price_of(output, text)
    return OfferPrice(territories=territories, price=price)


def _share(output: Output, text: str) -> CreatorShare:
    from reelmesh.payments.v1.sales_service_pb2 import CreatorShare

    creator_id, _, weight = text.partition("=")
    if weight and not weight.isdigit():
        output.fail(f"{text!r} is no share: write it like ada, or ada=3.", EXIT_USAGE)
    return CreatorShare(creator_id=creator_id, weight=int(weight or 1))


def _kind(offer: Offer) -> str:
    from reelmesh.payments.v1.offers_service_pb2 import OfferKind

    return OfferKind.Name(offer.kind).removeprefix("OFFER_KIND_").lower()


def _price(price: OfferPrice) -> str:
    return written(price.price) + (f" in {', '.join(price.territories)}" if price.territories else "")
