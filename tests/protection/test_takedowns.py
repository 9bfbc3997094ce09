"""Notices to other platforms by the interface: written, signed, carried, followed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from reelmesh.protection.v1 import events_pb2 as events
from reelmesh.protection.v1 import takedowns_service_pb2 as api
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.protection.desk import NOTIFIER, Desk, a_desk, refused
from tests.protection.test_titles import eventually
from tests.support.http_server import serving


class Tube:
    """A platform with an interface, which does not always do what it should."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.heard: list[tuple[dict[str, str], dict[str, Any]]] = []

    async def take(self, request: Request) -> Response:
        self.heard.append((dict(request.headers), await request.json()))
        status = self.answers.pop(0) if self.answers else 200
        return JSONResponse({"reference": f"N-{len(self.heard)}\r\n"}, status_code=status)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/notices", self.take, methods=["POST"])])


@pytest.fixture
async def tube() -> AsyncIterator[tuple[Tube, str]]:
    tube = Tube()
    async with serving(tube.app) as address:
        yield tube, address


@pytest.fixture
async def desk(mesh: ProcessSettings, tmp_path: Path, tube: tuple[Tube, str]) -> AsyncIterator[Desk]:
    platforms = tmp_path / "platforms.yaml"
    platforms.write_text(
        f"- {{name: tube, hosts: [tube.example], carrier: API, destination: '{tube[1]}/notices'}}\n"
        "- {name: mail, hosts: [mail.example], carrier: EMAIL, destination: dmca@mail.example}\n"
    )
    token = mesh.secrets_dir / "leak_platform_tube"
    token.write_text("s3cret\n")
    shutil.rmtree(mesh.data_dir / "messages", ignore_errors=True)  # those of other tests
    async with a_desk(mesh, platforms) as desk:
        yield desk
    token.unlink()


def letters(desk: Desk, template: str) -> list[dict[str, Any]]:
    """E-mails of one kind, in the order of writing."""
    files = sorted((desk.settings.data_dir / "messages").glob("*.json"))
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [one for one in found if one["template"] == template]


async def until(desk: Desk, notice: api.Takedown, state: str) -> api.Takedown:
    """Waits until a notice stands somewhere."""
    wanted = api.TakedownState.Value(f"TAKEDOWN_STATE_{state}")

    async def there() -> bool:
        return (await desk.notice(notice)).state == wanted

    await eventually(there)
    return await desk.notice(notice)


async def test_a_notice_is_written_signed_and_mailed_as_it_is_preserved(desk: Desk) -> None:
    case = await desk.report("https://mail.example/film")
    assert await refused(desk.draft(case)) == "TAKEDOWN_NOTIFIER_MISSING"
    await desk.notifier()
    kept = await desk.capture(case.case_id, b"the page")
    draft = await desk.draft(case)
    assert (draft.state, draft.platform, draft.carrier) == (
        api.TAKEDOWN_STATE_DRAFT,
        "mail",
        api.TAKEDOWN_CARRIER_EMAIL,
    )
    assert "not signed yet" in draft.text
    assert kept.sha256 in draft.text
    assert await refused(desk.record(draft, "SENT")) == "TAKEDOWN_STATE_WRONG"
    assert await refused(desk.sign(draft, "Ben Holder")) == "TAKEDOWN_SIGNATURE_WRONG"
    signed = await desk.sign(draft, " Ann  Holder ")
    assert signed.state == api.TAKEDOWN_STATE_SIGNED
    sent = await until(desk, signed, "SENT")
    (mail,) = letters(desk, "takedown-notice")
    assert mail["to"] == "dmca@mail.example"
    assert f"Subject: {mail['subject']}\n\n{mail['text']}".startswith(sent.text.rstrip())
    assert "/s/ Ann Holder" in mail["text"]
    assert "/s/ Ann Holder" in mail["html"]
    document = await desk.takedowns.GetTakedownDocument(
        api.GetTakedownDocumentRequest(takedown_id=sent.takedown_id), metadata=desk.ann
    )
    assert document.document.content_type == "application/pdf"
    assert document.document.data.startswith(b"%PDF-")
    assert hashlib.sha256(document.document.data).hexdigest() == sent.document_sha256 != draft.document_sha256
    await desk.bus.hears(events.TakedownChanged, count=3)
    states = [one.state for one in desk.bus.heard(events.TakedownChanged)]
    assert states == [api.TAKEDOWN_STATE_DRAFT, api.TAKEDOWN_STATE_SIGNED, api.TAKEDOWN_STATE_SENT]
    assert await refused(desk.sign(sent)) == "TAKEDOWN_STATE_WRONG"


async def test_an_interface_is_told_once_however_often_it_stumbles(desk: Desk, tube: tuple[Tube, str]) -> None:
    await desk.notifier()
    tube[0].answers = [503, 429, 200]
    notice = await desk.sign(await desk.draft(await desk.report("https://tube.example/film")))

    async def sent() -> bool:
        desk.later(seconds=10)
        await asyncio.sleep(0.05)
        return (await desk.notice(notice)).state == api.TAKEDOWN_STATE_SENT

    await eventually(sent)
    assert len(tube[0].heard) == 3
    assert len({headers["idempotency-key"] for headers, _ in tube[0].heard}) == 1
    headers, told = tube[0].heard[0]
    assert headers["authorization"] == "Bearer s3cret"
    assert (told["kind"], told["url"], told["signature"]) == ("DMCA", "https://tube.example/film", "Ann Holder")
    assert (await desk.notice(notice)).reference == "N-3"

    tube[0].answers = [403]
    other = await desk.sign(await desk.draft(await desk.report("https://tube.example/other")))

    async def failed() -> bool:
        return bool((await desk.notice(other)).failure)

    await eventually(failed)
    stuck = await desk.notice(other)
    assert (stuck.state, stuck.HasField("check_time")) == (api.TAKEDOWN_STATE_SIGNED, True)
    again = await until(desk, await desk.sign(other), "SENT")
    assert tube[0].heard[-1][0]["idempotency-key"] != tube[0].heard[-2][0]["idempotency-key"]
    assert not again.failure


async def test_a_form_is_filled_in_by_hand_and_somebody_is_reminded(desk: Desk) -> None:
    await desk.notifier()
    case = await desk.report("https://www.youtube.com/watch?v=1")
    notice = await desk.sign(await desk.draft(case, "TAKE_IT_DOWN"))
    assert notice.carrier == api.TAKEDOWN_CARRIER_FORM
    assert notice.destination.startswith("https://www.youtube.com/")
    due = await desk.bus.hears(events.TakedownReminded)
    assert (due.takedown_id, due.state) == (notice.takedown_id, api.TAKEDOWN_STATE_SIGNED)

    async def reminded(many: int) -> bool:
        return len(letters(desk, "takedown-reminder")) == many

    await eventually(lambda: reminded(1))
    first = letters(desk, "takedown-reminder")[0]
    assert (first["to"], notice.takedown_id in first["subject"]) == (NOTIFIER["email"], True)
    assert "Fill in" in first["text"]

    sent = await desk.record(notice, "SENT", reference="YT-7")
    assert sent.due_time.ToDatetime() - sent.send_time.ToDatetime() == timedelta(hours=48)
    assert sent.check_time.ToDatetime() - sent.send_time.ToDatetime() == timedelta(hours=24)
    desk.later(hours=25)
    await eventually(lambda: reminded(2))
    looked = await desk.record(sent, "SENT", comment="still up")
    assert (looked.check_time, looked.overdue) == (looked.due_time, False)
    desk.later(hours=24)
    await eventually(lambda: reminded(3))
    assert "term has passed" in letters(desk, "takedown-reminder")[-1]["text"]
    (listed,) = (
        await desk.takedowns.ListTakedowns(api.ListTakedownsRequest(due_only=True), metadata=desk.ann)
    ).takedowns
    assert (listed.takedown_id, listed.overdue, listed.reference) == (notice.takedown_id, True, "YT-7")
    removed = await desk.record(notice, "REMOVED")
    assert removed.check_time.ToDatetime() - removed.remove_time.ToDatetime() == timedelta(days=1)
    back = await desk.record(notice, "REAPPEARED", comment="another channel")
    assert (back.reappearances, back.overdue) == (1, True)
    once_more = await desk.record(await desk.sign(back), "SENT")
    assert once_more.send_time == sent.send_time
    assert once_more.due_time.ToDatetime() > sent.due_time.ToDatetime()
    assert not once_more.overdue


async def test_a_counter_notice_has_its_business_days(desk: Desk) -> None:
    await desk.notifier()
    notice = await desk.sign(await desk.draft(await desk.report("https://mail.example/film")))
    await until(desk, notice, "SENT")
    assert await refused(desk.record(notice, "COUNTERED")) == "REQUEST_INVALID"
    counter = api.CounterNotice(name="Uploader", statement="It is mine.")
    assert await refused(desk.record(notice, "REMOVED", counter_notice=counter)) == "REQUEST_INVALID"
    removed = await desk.record(notice, "REMOVED")
    told = await desk.record(removed, "COUNTERED", counter_notice=counter)
    kept = told.counter_notice
    first, last = kept.restore_start_time.ToDatetime(), kept.restore_end_time.ToDatetime()
    assert timedelta(days=12) <= first - kept.receive_time.ToDatetime() <= timedelta(days=20)
    assert timedelta(days=4) <= last - first <= timedelta(days=8)
    assert told.check_time.ToDatetime() < first
    assert await refused(desk.record(told, "ACKNOWLEDGED")) == "TAKEDOWN_STATE_WRONG"
    over = await desk.record(told, "SUED", comment="docket 1:26")
    assert not over.HasField("check_time")
    assert await refused(desk.record(over, "RESTORED")) == "TAKEDOWN_STATE_WRONG"


async def test_statistics_by_platform_and_title(desk: Desk, tube: tuple[Tube, str]) -> None:
    await desk.notifier()
    title = new_id("ast")
    for hours, again in ((2, False), (10, True), (4, False)):
        case = await desk.report(f"https://tube.example/{hours}", title_asset_id=title)
        notice = await until(desk, await desk.sign(await desk.draft(case)), "SENT")
        desk.later(hours=hours)
        await desk.record(notice, "REMOVED")
        if again:
            await desk.record(notice, "REAPPEARED")
    open_one = await desk.sign(await desk.draft(await desk.report("https://mail.example/1"), "TAKE_IT_DOWN"))
    await until(desk, open_one, "SENT")
    desk.later(hours=49)
    await desk.draft(await desk.report("https://mail.example/2"))  # not sent: does not count
    found = await desk.takedowns.GetTakedownStatistics(api.GetTakedownStatisticsRequest(), metadata=desk.ann)
    first, second = found.statistics
    assert (first.platform, first.title_asset_id, first.sent, first.open) == ("tube", title, 3, 1)
    assert (first.removed, first.reappearances, first.overdue) == (3, 1, 0)
    assert first.median_hours == pytest.approx(4)
    assert (second.platform, second.sent, second.open, second.overdue, second.median_hours) == ("mail", 1, 1, 1, 0)


async def test_what_cannot_be_written_or_is_somebody_elses_is_refused(desk: Desk, other_organisation_key: str) -> None:
    await desk.notifier()
    nowhere = await desk.report("", platform="a-stall")
    assert await refused(desk.draft(nowhere)) == "TAKEDOWN_URL_MISSING"
    notice = await desk.draft(await desk.report("https://unknown.example/film"), email="abuse@unknown.example")
    assert (notice.platform, notice.carrier, notice.destination) == (
        "unknown.example",
        api.TAKEDOWN_CARRIER_EMAIL,
        "abuse@unknown.example",
    )
    other = (("authorization", f"Bearer {other_organisation_key}"),)
    calls, mine_id = desk.takedowns, notice.takedown_id
    sent = api.SendTakedownRequest(request_id=new_id("req"), signature="Ann Holder", takedown_id=mine_id)
    step = api.RecordTakedownStepRequest(
        request_id=new_id("req"), state=api.TAKEDOWN_STATE_WITHDRAWN, takedown_id=mine_id
    )
    for call in (
        calls.SendTakedown(sent, metadata=other),
        calls.RecordTakedownStep(step, metadata=other),
        calls.GetTakedownDocument(api.GetTakedownDocumentRequest(takedown_id=mine_id), metadata=other),
    ):
        assert await refused(call) == "TAKEDOWN_NOT_FOUND"
    assert not (await calls.ListTakedowns(api.ListTakedownsRequest(), metadata=other)).takedowns
    missing = calls.GetTakedownNotifier(api.GetTakedownNotifierRequest(), metadata=other)
    assert await refused(missing) == "TAKEDOWN_NOTIFIER_MISSING"
    mine = await calls.GetTakedownNotifier(api.GetTakedownNotifierRequest(), metadata=desk.ann)
    assert mine.notifier == api.TakedownNotifier(**NOTIFIER)
    gone = (await calls.RecordTakedownStep(step, metadata=desk.ann)).takedown
    assert gone.state == api.TAKEDOWN_STATE_WITHDRAWN
    assert (await calls.RecordTakedownStep(step, metadata=desk.ann)).takedown == gone
