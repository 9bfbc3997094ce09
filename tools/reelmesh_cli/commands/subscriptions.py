"""`reelmesh subscriptions …`: who subscribed, and what support does for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.money import written
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import account_of, as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from pathlib import Path

    from reelmesh.payments.v1.subscriptions_pb2 import Subscription

    from tools.reelmesh_sdk import Client

app = group("Who subscribed to what.")

SubscriptionArgument = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Id of the subscription, sub_…")]


@app.command("list")
def list_subscriptions(
    viewer: Annotated[
        str,
        typer.Option(
            "--viewer", metavar="VIEWER", help="Only theirs: an e-mail address, an id, or your name for them."
        ),
    ] = "",
    most: Annotated[int, typer.Option("--most", min=1, help="How many at most.")] = 200,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists subscriptions, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Subscription]:
        from reelmesh.payments.v1.subscriptions_service_pb2 import ListSubscriptionsRequest

        viewer_id = (await account_of(reelmesh, output, viewer)).account_id if "@" in viewer else viewer
        request = ListSubscriptionsRequest(viewer_id=viewer_id)
        return await every(reelmesh, reelmesh.subscriptions.ListSubscriptions, request, "subscriptions", most)

    found = conversation(output, data, url, talk)
    output.result(subscriptions=[as_json(one) for one in found])
    rows = [
        (
            one.viewer_id,
            one.tier,
            written(one.price),
            _state(one),
            day(one.period_end_time),
            one.subscription_id,
        )
        for one in found
    ]
    show(output, ("viewer", "tier", "price", "", "paid until", "subscription"), rows, "Nobody has subscribed.")


@app.command()
def cancel(
    subscription: SubscriptionArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Ends a subscription with what is paid."""
    _done(subscription, "Cancel", data, url, Output(json))


@app.command()
def pause(
    subscription: SubscriptionArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Charges nothing until it is resumed. What is paid is good to its end."""
    _done(subscription, "Pause", data, url, Output(json))


@app.command()
def resume(
    subscription: SubscriptionArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Goes on after a pause or a cancellation."""
    _done(subscription, "Resume", data, url, Output(json))


def _done(subscription: str, what: str, data: Path | None, url: str | None, output: Output) -> None:
    async def talk(reelmesh: Client) -> Subscription:
        from reelmesh.payments.v1 import subscriptions_service_pb2 as api

        request = getattr(api, f"{what}SubscriptionRequest")(subscription_id=subscription)
        answer = await reelmesh.call(getattr(reelmesh.subscriptions, f"{what}Subscription"), request)
        found: Subscription = answer.subscription
        return found

    after = conversation(output, data, url, talk)
    output.result(subscription=as_json(after))
    output.say(f"{escape(after.viewer_id)} is {_state(after)}; paid until {day(after.period_end_time)}.")


def _state(one: Subscription) -> str:
    from reelmesh.payments.v1.events_pb2 import SubscriptionState

    return SubscriptionState.Name(one.state).removeprefix("SUBSCRIPTION_STATE_").lower().replace("_", " ")
