"""`reelmesh plans …`: what is offered by subscription."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.money import price_of, written
from tools.reelmesh_cli.output import EXIT_USAGE, JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.payments.v1.plans_pb2 import Plan, PlanPrice, PlanTerms

    from tools.reelmesh_sdk import Client

app = group("What is offered by subscription.")

_EVERY = re.compile(r"(?P<count>\d{1,3})?(?P<unit>day|week|month|year)s?")


@app.command("list")
def list_plans(
    retired: Annotated[bool, typer.Option("--retired", help="Those that are retired too.")] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists plans, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Plan]:
        from reelmesh.payments.v1.plans_service_pb2 import ListPlansRequest

        return await every(reelmesh, reelmesh.plans.ListPlans, ListPlansRequest(retired=retired), "plans")

    found = conversation(output, data, url, talk)
    output.result(plans=[as_json(plan) for plan in found])
    rows = [
        (
            plan.display_name,
            plan.terms.tier,
            _interval(plan.terms),
            ", ".join(map(_price, plan.terms.prices)),
            f"retired {day(plan.retire_time)}" if plan.HasField("retire_time") else "",
            plan.plan_id,
        )
        for plan in found
    ]
    show(output, ("plan", "tier", "every", "price", "", "id"), rows, "There are no plans.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    tier: Annotated[str, typer.Option("--tier", help="Tier that subscribers are in, such as `premium`.")],
    price: Annotated[
        list[str],
        typer.Option(
            "--price", metavar="PRICE", help="Such as 9.99EUR, or 12.90CHF@CH where only there; may be repeated."
        ),
    ],
    *,
    interval: Annotated[
        str,
        typer.Option("--every", metavar="INTERVAL", help="Time between two renewals: month, 3months, year, 30days."),
    ] = "month",
    trial_days: Annotated[int, typer.Option("--trial-days", min=0, max=365, help="Days that cost nothing.")] = 0,
    grace_days: Annotated[
        int,
        typer.Option("--grace-days", min=0, max=60, help="Days after an unpaid end in which one can go on watching."),
    ] = 8,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Offers something by subscription. A declined charge is tried again 1, 3, 5 and 7 days later, within the grace."""
    output = Output(json)
    found = _EVERY.fullmatch(interval)
    if found is None:
        output.fail(f"{interval!r} is no interval: write it like month, 3months, year or 30days.", EXIT_USAGE)
    count, unit = int(found["count"] or 1), found["unit"]

    async def talk(reelmesh: Client) -> Plan:
        from reelmesh.payments.v1 import plans_pb2, plans_service_pb2

        terms = plans_pb2.PlanTerms(
            tier=tier,
            period_unit=plans_pb2.PeriodUnit.Value(f"PERIOD_UNIT_{unit.upper()}"),
            period_count=count,
            trial_days=trial_days,
            grace_days=grace_days,
            dunning_days=[after for after in (1, 3, 5, 7) if after <= grace_days],
            prices=[one for text in price for one in _prices(output, text)],
        )
        request = plans_service_pb2.CreatePlanRequest(request_id=str(uuid.uuid4()), display_name=name, terms=terms)
        return (await reelmesh.call(reelmesh.plans.CreatePlan, request)).plan

    made = conversation(output, data, url, talk)
    output.result(plan=as_json(made))
    output.say(f"[bold]{escape(made.display_name)}[/]  [dim]{made.plan_id}[/]")
    for one in made.terms.prices:
        output.say(f"  [dim]every {_interval(made.terms)}[/]  {escape(_price(one))}")


@app.command()
def retire(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="Id of the plan, pln_…")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Stops offering a plan. Who has subscribed goes on."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Plan:
        from reelmesh.payments.v1.plans_service_pb2 import RetirePlanRequest

        return (await reelmesh.call(reelmesh.plans.RetirePlan, RetirePlanRequest(plan_id=plan))).plan

    retired = conversation(output, data, url, talk)
    output.result(plan=as_json(retired))
    output.say(f"{escape(retired.display_name)} is offered no more.")


def _prices(output: Output, text: str) -> list[PlanPrice]:
    from reelmesh.payments.v1.plans_pb2 import PlanPrice

    amount, territories = price_of(output, text)
    return [PlanPrice(territory=territory, amount=amount) for territory in territories or [""]]


def _price(price: PlanPrice) -> str:
    return written(price.amount) + (f" in {price.territory}" if price.territory else "")


def _interval(terms: PlanTerms) -> str:
    from reelmesh.payments.v1.plans_pb2 import PeriodUnit

    unit = PeriodUnit.Name(terms.period_unit).removeprefix("PERIOD_UNIT_").lower()
    return unit if terms.period_count == 1 else f"{terms.period_count} {unit}s"
