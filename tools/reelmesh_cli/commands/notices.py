"""`reelmesh notices …`: notices about what is shown here, and what is done about them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import EXIT_USAGE, JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.compliance.v1.notices_pb2 import Notice
    from reelmesh.compliance.v1.notices_service_pb2 import GetNoticeResponse

    from tools.reelmesh_sdk import Client

app = group("Notices about what is shown here.")

NoticeArgument = Annotated[str, typer.Argument(metavar="NOTICE", help="Reference of the notice, ntc_…")]
_HEADINGS = ("notice", "kind", "state", "about", "received (UTC)", "due (UTC)", "overdue")


class Deed(Enum):
    """What can be done."""

    TAKE_DOWN = "take-down"
    RESTRICT = "restrict"
    RESTORE = "restore"
    REJECT = "reject"
    NOTE_SUIT = "note-suit"
    GRANT_APPEAL = "grant-appeal"
    DENY_APPEAL = "deny-appeal"


class Kind(Enum):
    """What a report sums up."""

    TRANSPARENCY = "transparency"
    CARD_SCHEME = "card-scheme"


@app.command("list")
def list_notices(
    *,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose decision is overdue.")] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Lists notices, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Notice]:
        from reelmesh.compliance.v1.notices_service_pb2 import ListNoticesRequest

        request = ListNoticesRequest(overdue_only=overdue)
        return await every(reelmesh, reelmesh.notices.ListNotices, request, "notices")

    found = conversation(output, data, url, talk)
    output.result(notices=[as_json(one) for one in found])
    show(output, _HEADINGS, map(_row, found), "There is no such notice.")


@app.command("show")
def show_notice(
    notice: NoticeArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Shows a notice, what happened to it, and what was said of it. With the permission to decide it shows who gave it."""
    output = Output(json)

    async def talk(reelmesh: Client) -> GetNoticeResponse:
        from reelmesh.compliance.v1.notices_service_pb2 import GetNoticeRequest

        return await reelmesh.call(reelmesh.notices.GetNotice, GetNoticeRequest(notice_id=notice))

    found = conversation(output, data, url, talk)
    output.result(**as_json(found))
    one = found.notice
    show(output, _HEADINGS, [_row(one)], "")
    contact = one.notifier
    written = (
        ("where", one.location),
        ("work", one.work),
        ("what is wrong", one.explanation),
        ("who", ", ".join(filter(None, (contact.name, contact.email, contact.phone, contact.on_behalf_of)))),
        ("counter-notice", one.counter_notice.explanation),
        ("appeal", one.appeal),
    )
    show(output, ("", ""), [row for row in written if row[1]], "What was written is for those who may decide.")
    steps = [(day(step.step_time), step.deed, step.actor, step.comment) for step in found.steps]
    show(output, ("when (UTC)", "what", "who", "why"), steps, "")


@app.command()
def act(
    notice: NoticeArgument,
    deed: Annotated[Deed, typer.Argument(help="What to do.")],
    *,
    facts: Annotated[str, typer.Option("--facts", help="What the decision relies on.")],
    law: Annotated[str, typer.Option("--law", help="The law that the material offends.")] = "",
    terms: Annotated[str, typer.Option("--terms", help="Or the clause of your terms of service.")] = "",
    why: Annotated[str, typer.Option("--why", help="Why it offends it.")] = "",
    territory: Annotated[
        list[str] | None, typer.Option("--in", help="Where it is not shown, such as DE or US-TX.")
    ] = None,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Decides about a notice, or about an appeal. Of an appeal that is right: what was restricted comes back; what was rejected is taken down, or restricted
    with --in."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Notice:
        from reelmesh.compliance.v1 import notices_pb2
        from reelmesh.compliance.v1 import notices_service_pb2 as api

        places = territory or []
        reasons = api.NoticeReasons(facts=facts, legal_ground=law, contractual_ground=terms, ground_explanation=why)
        if deed in {Deed.GRANT_APPEAL, Deed.DENY_APPEAL}:
            appeal = api.DecideNoticeAppealRequest(
                request_id=str(uuid.uuid4()),
                notice_id=notice,
                granted=deed is Deed.GRANT_APPEAL,
                action=notices_pb2.NOTICE_ACTION_RESTRICT if places else notices_pb2.NOTICE_ACTION_TAKE_DOWN,
                reasons=reasons,
                territories=places,
            )
            return (await reelmesh.call(reelmesh.notices.DecideNoticeAppeal, appeal)).notice
        request = api.DecideNoticeRequest(
            request_id=str(uuid.uuid4()),
            notice_id=notice,
            action=notices_pb2.NoticeAction.Value(f"NOTICE_ACTION_{deed.name}"),
            reasons=reasons,
            territories=places,
        )
        return (await reelmesh.call(reelmesh.notices.DecideNotice, request)).notice

    found = conversation(output, data, url, talk)
    output.result(notice=as_json(found))
    show(output, _HEADINGS, [_row(found)], "")


@app.command()
def report(
    kind: Annotated[Kind, typer.Argument(help="What to sum up.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write: .csv or .pdf.")],
    *,
    start: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in UTC.")],
    end: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="First day after it, in UTC.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Writes a report about the notices that were received in a period. There is no personal data in it."""
    output = Output(json)
    if file.suffix not in {".csv", ".pdf"}:
        output.fail(f"Reports are written as .csv or .pdf, and {file.name} is neither.", EXIT_USAGE)

    async def talk(reelmesh: Client) -> bytes:
        from reelmesh.compliance.v1 import notices_service_pb2 as api

        request = api.GetNoticeReportRequest(
            kind=api.NoticeReportKind.Value(f"NOTICE_REPORT_KIND_{kind.name}"),
            format=api.NOTICE_REPORT_FORMAT_PDF if file.suffix == ".pdf" else api.NOTICE_REPORT_FORMAT_CSV,
        )
        request.start_time.FromDatetime(start.replace(tzinfo=UTC))
        request.end_time.FromDatetime(end.replace(tzinfo=UTC))
        answer = await reelmesh.call(reelmesh.notices.GetNoticeReport, request)
        return bytes(answer.file.data)

    content = conversation(output, data, url, talk)
    file.write_bytes(content)
    output.result(file=str(file), size_bytes=len(content))
    output.say(f"[green]✓[/] {file}: {len(content)} bytes.")


def _row(one: Notice) -> tuple[str, ...]:
    from reelmesh.compliance.v1.notices_pb2 import NoticeKind, NoticeState

    return (
        one.notice_id,
        NoticeKind.Name(one.kind).removeprefix("NOTICE_KIND_").lower(),
        NoticeState.Name(one.state).removeprefix("NOTICE_STATE_").lower(),
        one.asset_id,
        day(one.receive_time),
        day(one.due_time),
        "OVERDUE" if one.HasField("escalate_time") else "",
    )
