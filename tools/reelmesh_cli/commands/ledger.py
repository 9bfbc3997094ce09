"""`reelmesh ledger …`: the books, looked at past the services."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, layout_of
from tools.reelmesh_cli.output import EXIT_FAILED, EXIT_UNREACHABLE, JsonOption, Output
from tools.reelmesh_cli.people import group
from tools.reelmesh_cli.supervisor.layout import Layout

if TYPE_CHECKING:
    from services.kit.settings import ProcessSettings
    from services.payments.ledger.verification import Report

app = group("The books.")


@app.callback()
def of_the_ledger() -> None:
    """The books."""


@app.command()
def verify(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Rebuilds every balance from its postings, and says what differs. It only reads; exit status 1 when something differs.

    It looks at the database of the mesh of --data, or at the one that REELMESH_DATABASE_HOST and its like name.
    """
    output = Output(as_json)
    report = _report(output, _settings(layout_of(data)))
    output.result(
        accounts=report.accounts,
        entries=report.entries,
        postings=report.postings,
        differences=[difference.as_dict() for difference in report.differences],
    )
    looked = f"{report.accounts} accounts, {report.entries} entries, {report.postings} postings"
    if not report.differences:
        output.say(f"[green]✓[/] {looked}: every balance is what its postings make, and every entry balances")
        return
    for one in report.differences:
        output.say(f"[red]✗[/] {one.what} {escape(one.subject)}: {escape(one.rebuilt)}; kept is {escape(one.kept)}")
    if as_json:
        raise typer.Exit(EXIT_FAILED)
    output.fail(f"{len(report.differences)} of {looked} differ; restore from a backup, or ask who was in the database")


def _report(output: Output, settings: ProcessSettings) -> Report:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return asyncio.run(_verified(settings))
    except (OSError, SQLAlchemyError) as error:
        output.fail(f"The database cannot be read: {error}. `reelmesh status` tells whether it runs.", EXIT_UNREACHABLE)


async def _verified(settings: ProcessSettings) -> Report:
    from services.kit.database import Database
    from services.payments.ledger.verification import verified

    database = Database.of("payments", settings)
    try:
        return await verified(database)
    finally:
        await database.close()


def _settings(layout: Layout) -> ProcessSettings:
    from services.kit.settings import ProcessSettings

    if "REELMESH_DATABASE_HOST" in os.environ:
        return ProcessSettings()
    return ProcessSettings(database_host=str(layout.postgres_socket))
