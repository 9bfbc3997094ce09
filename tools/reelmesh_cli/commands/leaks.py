"""`reelmesh leaks …`: leaked copies, whose they are, what is done about it, and notices to other platforms."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp
    from reelmesh.protection.v1.leaks_service_pb2 import LeakAction, LeakCase
    from reelmesh.protection.v1.takedowns_service_pb2 import Takedown
    from reelmesh.upload.v1.upload_pb2 import Upload

    from tools.reelmesh_sdk import Client

app = group("Leaked copies: whose they are, what is done about it, and notices to other platforms.")

_PATIENCE: Final = 60.0
"""Seconds for which an upload may take to be known where leaks are."""

CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="Id of the case, lkc_…")]
NoticeArgument = Annotated[str, typer.Argument(metavar="NOTICE", help="Id of the notice, tkd_…")]
CommentOption = Annotated[str, typer.Option("--comment", help="Why, for the record.")]


class Verdict(StrEnum):
    """What is decided."""

    APPROVE = "approve"
    REJECT = "reject"
    REVERSE = "reverse"
    UPHOLD = "uphold"
    DISMISS = "dismiss"


class Kind(StrEnum):
    """What a notice is founded on."""

    DMCA = "dmca"
    DSA = "dsa"
    TAKE_IT_DOWN = "take-it-down"


class Step(StrEnum):
    """What happened to a notice."""

    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REMOVED = "removed"
    REFUSED = "refused"
    REAPPEARED = "reappeared"
    COUNTERED = "countered"
    SUED = "sued"
    RESTORED = "restored"
    WITHDRAWN = "withdrawn"


@app.command()
def report(
    what: Annotated[str, typer.Argument(metavar="FILE|URL", help="The film that was found, or where it was found.")],
    *,
    where: Annotated[str, typer.Option("--where", help="Where a FILE was found.")] = "",
    asset: Annotated[str, typer.Option("--asset", help="Title that it shows, ast_…; all are tried without.")] = "",
    platform: Annotated[str, typer.Option("--platform", help="Platform; the URL tells where this is left out.")] = "",
    found: Annotated[
        datetime | None, typer.Option("--found", help="When it was found, in UTC; now where this is left out.")
    ] = None,
    capture: Annotated[
        Path | None, typer.Option("--capture", exists=True, dir_okay=False, help="A picture of the page, up to 3 MB.")
    ] = None,
    comment: CommentOption = "",
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Reports a leaked copy. A film is sent, preserved, and looked through for its session."""
    output, file = Output(json), Path(what)
    if what.startswith(("http://", "https://")):
        where, film = what, None
    elif file.is_file():
        film = file
    else:
        output.fail(f"{what} is neither a file nor a URL.")

    async def talk(reelmesh: Client) -> LeakCase:
        from reelmesh.protection.v1 import leaks_service_pb2 as api

        moment = None if found is None else _stamp(found)
        uploaded = await _sent(reelmesh, film) if film else None
        request = api.ReportLeakRequest(
            request_id=str(uuid.uuid4()),
            url=where,
            platform=platform,
            find_time=moment,
            title_asset_id=asset,
            comment=comment,
        )
        case = (await reelmesh.call(reelmesh.leaks.ReportLeak, request)).case
        if uploaded is not None:
            preserve = api.AddLeakEvidenceRequest(
                request_id=str(uuid.uuid4()), case_id=case.case_id, asset_id=uploaded.asset_id, capture_time=moment
            )
            await _preserved(reelmesh, preserve)
        if capture is not None:
            content = await asyncio.to_thread(capture.read_bytes)
            preserve = api.AddLeakEvidenceRequest(
                request_id=str(uuid.uuid4()),
                case_id=case.case_id,
                capture=content,
                filename=capture.name,
                capture_time=moment,
            )
            await _preserved(reelmesh, preserve)
        return await _case(reelmesh, case.case_id) if uploaded or capture else case

    _tell(output, conversation(output, data, url, talk))


async def _sent(reelmesh: Client, film: Path) -> Upload:
    """As evidence: nobody is ever to play it."""
    from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE

    return await reelmesh.upload_file(film, f"Suspicious: {film.name}", purpose=UPLOAD_PURPOSE_EVIDENCE)


async def _preserved(reelmesh: Client, request: Any) -> None:
    """Preserves evidence; a film that was just sent may not be known yet."""
    from services.kit.errors import Refusal

    end = time.monotonic() + _PATIENCE
    while True:
        try:
            await reelmesh.call(reelmesh.leaks.AddLeakEvidence, request)
        except Refusal as refusal:
            if refusal.reason != "COPY_NOT_FOUND" or time.monotonic() > end:
                raise
            await asyncio.sleep(0.3)
        else:
            return


@app.command("list")
def list_cases(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists cases, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[LeakCase]:
        from reelmesh.protection.v1.leaks_service_pb2 import ListLeakCasesRequest

        return await every(reelmesh, reelmesh.leaks.ListLeakCases, ListLeakCasesRequest(), "cases")

    found = conversation(output, data, url, talk)
    output.result(cases=[as_json(one) for one in found])
    show(output, _CASE_HEADINGS, map(_case_row, found), "No leak was reported.")


@app.command("show")
def show_case(
    case: CaseArgument,
    *,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", dir_okay=False, help="Where to write what was found in the film, as a PNG to look at."
        ),
    ] = None,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Shows a case with its evidence, what is proposed or done, and its notices."""
    output = Output(json)

    async def talk(reelmesh: Client) -> tuple[LeakCase, list[Takedown], bytes]:
        from reelmesh.protection.v1.takedowns_service_pb2 import ListTakedownsRequest

        request = ListTakedownsRequest(case_id=case)
        notices = await every(reelmesh, reelmesh.takedowns.ListTakedowns, request, "takedowns")
        found = await _case(reelmesh, case)
        return found, notices, await _picture(reelmesh, found) if picture is not None else b""

    found, notices, drawn = conversation(output, data, url, talk)
    if picture is not None:
        if not drawn:
            output.fail("No film of this case was looked through, so there is no picture.")
        picture.write_bytes(drawn)
    _tell(output, found, notices)


async def _picture(reelmesh: Client, case: LeakCase) -> bytes:
    """What was found in the film that was added last; empty when there is none."""
    from reelmesh.protection.v1.detections_service_pb2 import GetDetectionPictureRequest

    searched = [one.detection_id for one in case.evidence if one.detection_id]
    if not searched:
        return b""
    request = GetDetectionPictureRequest(detection_id=searched[-1])
    return bytes((await reelmesh.call(reelmesh.detections.GetDetectionPicture, request)).picture.data)


@app.command()
def act(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Id of the action, lka_…; `show` lists them.")],
    verdict: Annotated[Verdict, typer.Argument(help="`uphold` and `dismiss` decide an appeal.")],
    *,
    comment: CommentOption = "",
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Approves, rejects or takes back what a rule proposed, or decides an appeal against it."""
    output = Output(json)

    async def talk(reelmesh: Client) -> LeakAction:
        from reelmesh.protection.v1 import leaks_service_pb2 as api

        once = str(uuid.uuid4())
        if verdict in (Verdict.UPHOLD, Verdict.DISMISS):
            appeal = api.DecideLeakAppealRequest(
                request_id=once, action_id=action, comment=comment, uphold=verdict is Verdict.UPHOLD
            )
            decided: LeakAction = (await reelmesh.call(reelmesh.leaks.DecideLeakAppeal, appeal)).action
            return decided
        number = api.LeakVerdict.Value(f"LEAK_VERDICT_{verdict.name}")
        request = api.DecideLeakActionRequest(request_id=once, action_id=action, comment=comment, verdict=number)
        return (await reelmesh.call(reelmesh.leaks.DecideLeakAction, request)).action

    done = conversation(output, data, url, talk)
    output.result(action=as_json(done))
    show(output, _ACTION_HEADINGS, [_action_row(done)], "")
    output.say(escape(done.explanation))


@app.command()
def notice(
    case: CaseArgument,
    work: Annotated[str, typer.Option("--work", help="The title, as its public knows it.")],
    *,
    kind: Annotated[Kind, typer.Option("--kind", help="What it is founded on.")] = Kind.DMCA,
    email: Annotated[str, typer.Option("--email", help="Where it goes, in place of what is known.")] = "",
    sign: Annotated[
        str, typer.Option("--sign", metavar="NAME", help="Signs with the signatory's full name, and sends.")
    ] = "",
    pdf: Annotated[Path | None, typer.Option("--pdf", dir_okay=False, help="Where to write it as PDF.")] = None,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Writes a notice to the platform of a case. With --sign it is sent."""
    output = Output(json)

    async def talk(reelmesh: Client) -> tuple[Takedown, bytes]:
        from reelmesh.protection.v1 import takedowns_service_pb2 as api

        number = api.TakedownKind.Value(f"TAKEDOWN_KIND_{kind.name}")
        draft = api.PrepareTakedownRequest(
            request_id=str(uuid.uuid4()), case_id=case, kind=number, work=work, email=email
        )
        made: Takedown = (await reelmesh.call(reelmesh.takedowns.PrepareTakedown, draft)).takedown
        if sign:
            signed = api.SendTakedownRequest(request_id=str(uuid.uuid4()), takedown_id=made.takedown_id, signature=sign)
            made = (await reelmesh.call(reelmesh.takedowns.SendTakedown, signed)).takedown
        request = api.GetTakedownDocumentRequest(takedown_id=made.takedown_id)
        document = await reelmesh.call(reelmesh.takedowns.GetTakedownDocument, request)
        return made, bytes(document.document.data)

    made, document = conversation(output, data, url, talk)
    if pdf is not None:
        pdf.write_bytes(document)
    output.result(takedown=as_json(made))
    _tell_notice(output, made)


@app.command()
def send(
    notice: NoticeArgument,
    sign: Annotated[str, typer.Option("--sign", metavar="NAME", help="The signatory's full name.")],
    *,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Signs and sends a notice that was written before, that could not be sent, or whose copy came back."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Takedown:
        from reelmesh.protection.v1 import takedowns_service_pb2 as api

        request = api.SendTakedownRequest(request_id=str(uuid.uuid4()), takedown_id=notice, signature=sign)
        sent: Takedown = (await reelmesh.call(reelmesh.takedowns.SendTakedown, request)).takedown
        return sent

    sent = conversation(output, data, url, talk)
    output.result(takedown=as_json(sent))
    _tell_notice(output, sent)


@app.command()
def record(
    notice: NoticeArgument,
    step: Annotated[Step, typer.Argument(help="Where it stands; the same as before: somebody looked.")],
    *,
    comment: CommentOption = "",
    reference: Annotated[str, typer.Option("--reference", help="Number that the platform gave it.")] = "",
    uploader: Annotated[str, typer.Option("--uploader", help="Who objects, with `countered`.")] = "",
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Records what happened to a notice."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Takedown:
        from reelmesh.protection.v1 import takedowns_service_pb2 as api

        request = api.RecordTakedownStepRequest(
            request_id=str(uuid.uuid4()),
            takedown_id=notice,
            state=api.TakedownState.Value(f"TAKEDOWN_STATE_{step.name}"),
            comment=comment,
            reference=reference,
            counter_notice=api.CounterNotice(name=uploader, statement=comment) if uploader else None,
        )
        after: Takedown = (await reelmesh.call(reelmesh.takedowns.RecordTakedownStep, request)).takedown
        return after

    after = conversation(output, data, url, talk)
    output.result(takedown=as_json(after))
    _tell_notice(output, after)


@app.command()
def due(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists notices that somebody should look at."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Takedown]:
        from reelmesh.protection.v1.takedowns_service_pb2 import ListTakedownsRequest

        request = ListTakedownsRequest(due_only=True)
        return await every(reelmesh, reelmesh.takedowns.ListTakedowns, request, "takedowns")

    found = conversation(output, data, url, talk)
    output.result(takedowns=[as_json(one) for one in found])
    show(output, _NOTICE_HEADINGS, map(_notice_row, found), "Nothing waits.")


@app.command()
def notifier(
    *,
    rights_holder: Annotated[str, typer.Option("--rights-holder", help="Whoever holds the rights.")],
    signatory: Annotated[str, typer.Option("--signatory", help="Who signs: the full name.")],
    capacity: Annotated[str, typer.Option("--capacity", help="What the signatory is, such as `Head of legal`.")],
    address: Annotated[str, typer.Option("--address", help="Postal address on one line.")],
    phone: Annotated[str, typer.Option("--phone", help="Phone number.")],
    email: Annotated[str, typer.Option("--email", help="For answers; reminders go there too.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Says in whose name notices are written."""
    output = Output(json)

    async def talk(reelmesh: Client) -> Any:
        from reelmesh.protection.v1 import takedowns_service_pb2 as api

        told = api.TakedownNotifier(
            rights_holder=rights_holder,
            signatory=signatory,
            capacity=capacity,
            address=address,
            phone=phone,
            email=email,
        )
        request = api.SetTakedownNotifierRequest(notifier=told)
        return (await reelmesh.call(reelmesh.takedowns.SetTakedownNotifier, request)).notifier

    kept = conversation(output, data, url, talk)
    output.result(notifier=as_json(kept))
    output.say(f"[green]✓[/] Notices are signed by {escape(kept.signatory)}.")


@app.command()
def stats(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Shows how fast platforms remove."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Any]:
        from reelmesh.protection.v1.takedowns_service_pb2 import GetTakedownStatisticsRequest

        request = GetTakedownStatisticsRequest()
        return list((await reelmesh.call(reelmesh.takedowns.GetTakedownStatistics, request)).statistics)

    found = conversation(output, data, url, talk)
    output.result(statistics=[as_json(one) for one in found])
    rows = [
        (
            one.platform,
            one.title_asset_id,
            *map(str, (one.sent, one.open, one.overdue, one.removed, one.refused, one.reappearances)),
            f"{one.median_hours:.1f} h" if one.removed else "",
        )
        for one in found
    ]
    headings = ("platform", "title", "sent", "open", "overdue", "removed", "refused", "came back", "median to removal")
    show(output, headings, rows, "No notice was sent.")


async def _case(reelmesh: Client, case_id: str) -> LeakCase:
    from reelmesh.protection.v1.leaks_service_pb2 import GetLeakCaseRequest

    found: LeakCase = (await reelmesh.call(reelmesh.leaks.GetLeakCase, GetLeakCaseRequest(case_id=case_id))).case
    return found


def _stamp(moment: datetime) -> Timestamp:
    from google.protobuf.timestamp_pb2 import Timestamp

    stamp = Timestamp()
    stamp.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return stamp


def _tell(output: Output, case: LeakCase, notices: list[Takedown] | None = None) -> None:
    output.result(case=as_json(case), takedowns=[as_json(one) for one in notices or []])
    show(output, _CASE_HEADINGS, [_case_row(case)], "")
    output.say(escape(case.explanation))
    rows = [
        (one.evidence_id, one.filename[:40], str(one.size_bytes), one.sha256, day(one.preserve_time))
        for one in case.evidence
    ]
    if rows:
        show(output, ("evidence", "file", "bytes", "sha256", "preserved (UTC)"), rows, "")
    if case.actions:
        show(output, _ACTION_HEADINGS, map(_action_row, case.actions), "")
    if any(_action_row(one)[2] in {"proposed", "second needed"} for one in case.actions):
        output.say("[dim]Nothing is done before somebody decides: reelmesh leaks act ACTION approve|reject[/]")
    if notices:
        show(output, _NOTICE_HEADINGS, map(_notice_row, notices), "")


def _tell_notice(output: Output, one: Takedown) -> None:
    show(output, _NOTICE_HEADINGS, [_notice_row(one)], "")
    if one.failure:
        output.say(escape(f"It could not be sent: {one.failure}"))


_CASE_HEADINGS = ("case", "state", "title", "platform", "where", "reported (UTC)")
_ACTION_HEADINGS = ("action", "what", "state", "viewer", "session", "chance of error", "strike")
_NOTICE_HEADINGS = ("notice", "kind", "platform", "state", "goes to", "look at it (UTC)", "term (UTC)")


def _case_row(case: LeakCase) -> tuple[str, ...]:
    from reelmesh.protection.v1.leaks_service_pb2 import LeakCaseState

    state = LeakCaseState.Name(case.state).removeprefix("LEAK_CASE_STATE_").lower()
    return case.case_id, state, case.title_asset_id, case.platform, case.url, day(case.create_time)


def _action_row(action: LeakAction) -> tuple[str, ...]:
    from reelmesh.protection.v1 import leaks_service_pb2 as api

    return (
        action.action_id,
        api.LeakActionKind.Name(action.kind).removeprefix("LEAK_ACTION_KIND_").lower().replace("_", " "),
        api.LeakActionState.Name(action.state).removeprefix("LEAK_ACTION_STATE_").lower().replace("_", " "),
        action.viewer_id,
        action.session_id,
        f"{action.false_positive:.1e}",
        str(action.strike),
    )


def _notice_row(one: Takedown) -> tuple[str, ...]:
    from reelmesh.protection.v1 import takedowns_service_pb2 as api

    return (
        one.takedown_id,
        api.TakedownKind.Name(one.kind).removeprefix("TAKEDOWN_KIND_").lower().replace("_", " "),
        one.platform,
        api.TakedownState.Name(one.state).removeprefix("TAKEDOWN_STATE_").lower(),
        one.destination,
        day(one.check_time),
        day(one.due_time) + (" (passed)" if one.overdue else ""),
    )
