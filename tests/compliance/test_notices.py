"""Notices by way of the contract: who gives them, who decides, what is announced, and what is kept of people."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.compliance.v1 import events_pb2, notices_pb2
from reelmesh.compliance.v1 import notices_service_pb2 as api

from services.compliance.log.settings import COMPLIANCE_KEY_FILE
from services.compliance.notices import intake
from services.compliance.rights import holds
from services.compliance.rights.store import Subjects
from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.kit.personal import DataSubject
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from tests.compliance.desk import COUNTER, NOTIFIER, REASONS, Desk, a_desk, copyright_notice, intimate_notice
from tests.compliance.scene import T0, refused

RECEIVED, DOWN, RESTRICTED, REJECTED, COUNTERED, SUED, APPEALED, RESTORED, WITHDRAWN = (
    notices_pb2.NoticeState.Value(f"NOTICE_STATE_{name}")
    for name in (
        "RECEIVED",
        "TAKEN_DOWN",
        "RESTRICTED",
        "REJECTED",
        "COUNTERED",
        "SUIT_NOTICED",
        "APPEALED",
        "RESTORED",
        "WITHDRAWN",
    )
)


@pytest.fixture
async def desk(mesh: ProcessSettings) -> AsyncIterator[Desk]:
    async with a_desk(mesh) as running:
        yield running


async def test_a_notice_without_what_the_law_asks_for_is_refused_by_name(desk: Desk) -> None:
    film = await desk.film()
    for changes, element in (
        ({"work": " "}, "work"),
        ({"location": ""}, "location"),
        ({"good_faith": False}, "good_faith"),
        ({"accurate_under_perjury": False}, "accurate_under_perjury"),
        ({"notifier": notices_pb2.NoticeContact(name="Nora", email="nora@example.com")}, "signature"),
        ({"notifier": notices_pb2.NoticeContact(name="Nora", signature="Nora")}, "email"),
        ({"category": "hate-speech"}, "category"),
    ):
        with refused("NOTICE_ELEMENT_MISSING") as caught:
            await desk.copyright(film, **changes)
        assert caught[0].metadata["element"] == element
        assert caught[0].metadata["rules_date"] == "2026-11-28"
        assert element in caught[0].fields[0][0]
    with refused("NOTICE_ELEMENT_MISSING") as caught:
        await desk.anybody.SubmitNotice(intimate_notice(film, without_consent=False, good_faith=False))
    assert [name for name, _ in caught[0].fields] == ["without_consent", "good_faith"]
    with refused("REQUEST_INVALID"):
        await desk.copyright(film, notifier=notices_pb2.NoticeContact(name="N", email="nobody", signature="N"))
    with refused("NOTICE_MATERIAL_UNKNOWN"):
        await desk.copyright(new_id("ast"))
    forms = await desk.anybody.GetNoticeForm(api.GetNoticeFormRequest())
    assert len(forms.forms) == 5
    assert all(one.statement for form in forms.forms for one in form.elements if one.name == "good_faith")


async def test_a_notice_is_acknowledged_decided_and_told_and_the_audit_log_hears_all(desk: Desk) -> None:
    uploader = new_id("usr")
    film = await desk.film(f"user/{uploader}")
    request = copyright_notice(film, language="de-AT")
    taken = await desk.anybody.SubmitNotice(request)
    again = await desk.anybody.SubmitNotice(request)
    assert (again.notice_id, again.link_code) == (taken.notice_id, "")
    received = await desk.bus.hears(events_pb2.NoticeReceived)
    assert (received.notice_id, received.asset_id) == (taken.notice_id, film)
    letter = (await desk.letters("notice-received"))[0]
    assert (letter.email, letter.language, letter.parameters["notice"]) == (NOTIFIER.email, "de-AT", taken.notice_id)
    assert letter.parameters["link"].endswith(f"/notice#code={taken.link_code}")
    shown = await desk.case(taken.link_code)
    assert (shown.state, shown.party) == (RECEIVED, notices_pb2.NOTICE_PARTY_NOTIFIER)
    assert list(shown.answers) == [notices_pb2.NOTICE_ANSWER_KIND_WITHDRAWAL]

    decided = await desk.decide(taken.notice_id, "TAKE_DOWN")
    assert decided.state == DOWN
    down = await desk.bus.hears(events_pb2.MaterialTakenDown)
    assert (down.asset_id, down.ground, down.case_id) == (
        film,
        events_pb2.TAKE_DOWN_GROUND_COPYRIGHT,
        taken.notice_id,
    )
    stepped = await desk.bus.hears(events_pb2.NoticeStepped)
    full = await desk.first.GetNotice(api.GetNoticeRequest(notice_id=taken.notice_id))
    assert [step.deed for step in full.steps] == ["receive", "take_down"]
    assert full.notice.notifier == NOTIFIER
    (statement,) = full.statements
    assert stepped.statement_id == statement.statement_id
    assert (statement.legal_ground, statement.from_notice, statement.automated_decision) == (
        "17 U.S.C. 501",
        True,
        False,
    )
    assert len(statement.redress) == 3
    told = (await desk.letters("statement-of-reasons"))[0]
    assert (told.account_id, told.email) == (uploader, "")
    assert told.parameters["facts"] == REASONS.facts
    theirs = await desk.case(await desk.uploader_code())
    assert theirs.statement == statement
    assert not theirs.HasField("counter_notice")
    # Whoever only reads does not see who gave the notice; nobody else's organisation sees the notice.
    read = (await desk.reader.GetNotice(api.GetNoticeRequest(notice_id=taken.notice_id))).notice
    assert not read.HasField("notifier")
    assert read.explanation == read.location == ""
    assert [one.notice_id for one in (await desk.reader.ListNotices(api.ListNoticesRequest())).notices] == [
        taken.notice_id
    ]


async def test_nobody_can_complain_of_evidence_which_nobody_sees(desk: Desk) -> None:
    with refused("NOTICE_MATERIAL_UNKNOWN"):
        await desk.copyright(await desk.evidence())


async def test_only_who_uploaded_a_film_is_told_what_it_is_called(desk: Desk) -> None:
    """And that by its latest name, whatever is heard last."""
    film = await desk.film()
    taken = await desk.copyright(film)
    await desk.decide(taken.notice_id, "TAKE_DOWN")
    now = desk.clock.now()
    named = assets.AssetCreated(
        asset_id=film, organisation_id=desk.organisation_id, title="First", create_time=timestamp(now)
    )
    renamed = assets.AssetUpdated(
        asset_id=film,
        organisation_id=desk.organisation_id,
        title="Second",
        update_time=timestamp(now + timedelta(seconds=1)),
    )
    for event in (renamed, named):
        await desk.bus.publish(event)
    await desk.until("SELECT title = 'Second' FROM notice_titles WHERE asset_id = :asset_id", asset_id=film)
    await desk.film()  # behind both of them
    assert (await desk.case(await desk.uploader_code())).title == "Second"
    assert (await desk.case(taken.link_code)).title == ""


async def test_who_may_do_what(desk: Desk, other_organisation_key: str) -> None:
    from reelmesh.compliance.v1 import notices_service_pb2_grpc

    from tests.support.running import connected

    notice = (await desk.copyright(await desk.film())).notice_id
    with refused("PERMISSION_MISSING"):
        await desk.decide(notice, "TAKE_DOWN", desk.reader)
    with refused("PERMISSION_MISSING"):
        await desk.reader.SetNoticeDesk(api.SetNoticeDeskRequest(desk=notices_pb2.NoticeDesk()))
    with refused("CREDENTIAL_INVALID"):
        await desk.anybody.ListNotices(api.ListNoticesRequest())
    async with connected(desk.settings, "compliance", key=other_organisation_key) as channel:
        other: Any = notices_service_pb2_grpc.NoticesServiceStub(channel)
        with refused("NOTICE_NOT_FOUND"):
            await desk.decide(notice, "TAKE_DOWN", other)
        assert not (await other.ListNotices(api.ListNoticesRequest())).notices
    for changes, element in (
        ({"reasons": api.NoticeReasons(facts="so")}, "legal_ground"),
        ({"reasons": api.NoticeReasons(legal_ground="law", ground_explanation="so")}, "facts"),
        ({"territories": ["DE"]}, "territories"),
    ):
        with refused("NOTICE_ELEMENT_MISSING") as caught:
            await desk.decide(notice, "TAKE_DOWN", **changes)
        assert caught[0].metadata["element"] == element
    with refused("NOTICE_WRONG_STATE") as caught:
        await desk.decide(notice, "RESTORE")
    assert caught[0].metadata == {**caught[0].metadata, "state": "RECEIVED", "deed": "restore"}
    for code in ("", "x", f"{notice}.n.AAAA", f"{new_id('ntc')}.u.{'A' * 43}"):
        with refused("REQUEST_INVALID" if not code else "NOTICE_LINK_INVALID"):
            await desk.case(code)


async def test_a_counter_notice_brings_the_film_back_unless_a_suit_is_noticed(desk: Desk) -> None:
    film, other = await desk.film(), await desk.film()
    taken, sued = await desk.copyright(film), await desk.copyright(other)
    codes = []
    for notice in (taken, sued):
        await desk.decide(notice.notice_id, "TAKE_DOWN")
        codes.append(await desk.uploader_code())
    for missing in ("good_faith_under_perjury", "consents_to_jurisdiction"):
        lacking = notices_pb2.CounterNotice()
        lacking.CopyFrom(COUNTER)
        lacking.ClearField(missing)
        with refused("NOTICE_ELEMENT_MISSING") as caught:
            await desk.answer(codes[0], "COUNTER_NOTICE", counter_notice=lacking)
        assert caught[0].metadata["element"] == missing
    for code in codes:
        assert await desk.answer(code, "COUNTER_NOTICE", counter_notice=COUNTER) == COUNTERED
    copy = await desk.case(taken.link_code)
    assert copy.counter_notice == COUNTER
    assert len(await desk.letters("notice-countered")) == 2
    with refused("NOTICE_TERM_RUNNING"):
        await desk.decide(taken.notice_id, "RESTORE")
    with refused("NOTICE_WRONG_STATE"):  # only whoever gave the notice can tell of a suit
        await desk.answer(codes[1], "SUIT", explanation="Court")
    assert await desk.answer(sued.link_code, "SUIT", explanation="N.D. Cal., 26-cv-1") == SUED
    desk.clock.advance(timedelta(days=21))
    assert (await desk.stands(taken.notice_id, RESTORED)).decision.automated
    back = await desk.bus.hears(events_pb2.MaterialRestored)
    assert (back.asset_id, back.case_id) == (film, taken.notice_id)
    assert (await desk.stands(sued.notice_id, SUED)).state == SUED
    assert [letter.parameters["about"] for letter in await desk.letters("notice-restored")] == [film]


async def test_an_appeal_is_decided_by_somebody_else(desk: Desk) -> None:
    film = await desk.film()
    taken = await desk.copyright(film)
    await desk.decide(taken.notice_id, "REJECT")
    with refused("NOTICE_ELEMENT_MISSING"):
        await desk.answer(taken.link_code, "APPEAL")
    assert await desk.answer(taken.link_code, "APPEAL", explanation="Look at minute 3.") == APPEALED
    with refused("NOTICE_SECOND_PERSON_NEEDED"):
        await desk.decide_appeal(taken.notice_id, desk.first, granted=False)
    with refused("NOTICE_WRONG_STATE"):
        await desk.decide_appeal(taken.notice_id, desk.second, granted=True)
    after = await desk.decide_appeal(
        taken.notice_id,
        desk.second,
        granted=True,
        action=notices_pb2.NOTICE_ACTION_RESTRICT,
        territories=["DE", "FR"],
        reasons=REASONS,
    )
    assert (after.state, list(after.decision.territories)) == (RESTRICTED, ["DE", "FR"])
    hidden = await desk.bus.hears(events_pb2.MaterialRestricted)
    assert (hidden.asset_id, list(hidden.territories)) == (film, ["DE", "FR"])
    # Now it went against the uploader, who can appeal in turn; neither of the two decides about it.
    assert await desk.answer(await desk.uploader_code(), "APPEAL", explanation="No.") == APPEALED
    for by in (desk.first, desk.second):
        with refused("NOTICE_SECOND_PERSON_NEEDED"):
            await desk.decide_appeal(taken.notice_id, by, granted=False)
    assert await desk.answer(taken.link_code, "WITHDRAWAL") == WITHDRAWN
    assert (await desk.bus.hears(events_pb2.MaterialRestored)).asset_id == film


async def test_terms_that_end_are_told_and_intimate_pictures_come_down_in_time(desk: Desk) -> None:
    await desk.first.SetNoticeDesk(
        api.SetNoticeDeskRequest(desk=notices_pb2.NoticeDesk(contact_email="desk@example.com", time_zone="UTC"))
    )
    slow = await desk.copyright(await desk.film())
    picture = await desk.film("api_key/key_1")
    fast = await desk.anybody.SubmitNotice(intimate_notice(picture))
    assert fast.due_time.ToDatetime(tzinfo=T0.tzinfo) == T0 + timedelta(hours=48)
    desk.clock.advance(timedelta(hours=46, minutes=1))
    notice = await desk.stands(fast.notice_id, DOWN)
    assert (notice.decision.automated, notice.HasField("escalate_time")) == (True, False)
    down = await desk.bus.hears(events_pb2.MaterialTakenDown)
    assert down.ground == events_pb2.TAKE_DOWN_GROUND_INTIMATE_IMAGE
    # A program uploaded it, so its organisation's desk is told why.
    (statement,) = await desk.letters("statement-of-reasons")
    assert statement.email == "desk@example.com"
    desk.clock.advance(timedelta(days=10))
    question = "SELECT late FROM notice_cases WHERE notice_id = :notice_id"
    await desk.until(question, notice_id=slow.notice_id)
    overdue = await desk.reader.ListNotices(api.ListNoticesRequest(overdue_only=True))
    assert [one.notice_id for one in overdue.notices] == [slow.notice_id]
    due = [event for event in desk.bus.heard(events_pb2.NoticeReminded) if event.notice_id == slow.notice_id]
    assert {event.overdue for event in due} <= {False, True}
    assert [letter.parameters["notice"] for letter in await desk.letters("notice-overdue")] == [slow.notice_id]
    shown = (await desk.reader.GetNoticeDesk(api.GetNoticeDeskRequest())).desk
    assert (shown.contact_email, shown.time_zone, list(shown.weekend)) == ("desk@example.com", "UTC", [6, 7])
    for changes, field in (
        ({"time_zone": "Nowhere/At_All"}, "desk.time_zone"),
        ({"weekend": [1, 2, 3, 4, 5, 6, 7]}, "desk.weekend"),
        ({"holidays": ["tomorrow"]}, "desk.holidays"),
        ({"contact_email": "nobody"}, "desk.contact_email"),
    ):
        with refused("REQUEST_INVALID") as caught:
            await desk.first.SetNoticeDesk(api.SetNoticeDeskRequest(desk=notices_pb2.NoticeDesk(**changes)))
        assert caught[0].fields[0][0] == field


async def test_repeat_infringers_are_counted_and_what_comes_back_does_not_count(desk: Desk) -> None:
    uploader = f"user/{new_id('usr')}"
    taken = [await desk.copyright(await desk.film(uploader)) for _ in range(3)]
    for notice in taken:
        await desk.decide(notice.notice_id, "TAKE_DOWN")
    event = await desk.bus.hears(events_pb2.InfringementCounted, count=3)
    assert (event.uploader, event.count, event.repeat) == (uploader, 3, True)
    (found,) = (await desk.reader.ListInfringers(api.ListInfringersRequest())).infringers
    assert (found.uploader, found.count, found.threshold, found.repeat) == (uploader, 3, 3, True)
    await desk.answer(taken[0].link_code, "WITHDRAWAL")
    event = await desk.bus.hears(events_pb2.InfringementCounted, count=4)
    assert (event.count, event.repeat) == (2, False)
    desk.clock.advance(timedelta(days=181))
    assert not (await desk.reader.ListInfringers(api.ListInfringersRequest(uploader=uploader))).infringers


async def test_people_are_sealed_and_forgotten_when_their_time_has_come(desk: Desk) -> None:
    taken = await desk.copyright(await desk.film())
    await desk.decide(taken.notice_id, "REJECT")
    secret = b"nora@example.com"
    async with desk.database.transaction() as tx:
        for table in (
            "notice_cases",
            "notice_writings",
            "notice_steps",
            "notice_letters",
            "notice_statements",
            "outbox",
        ):
            rows = (await tx.execute(sa.text(f"SELECT {table}::text FROM {table}"))).scalars().all()
            assert not any(secret in row.encode() or secret.hex() in row for row in rows), table
    assert not any(secret in payload for payload in desk.bus.said())
    desk.clock.advance(timedelta(days=180 + 1097))
    assert (await desk.bus.hears(events_pb2.NoticeErased)).notice_id == taken.notice_id
    with refused("NOTICE_LINK_INVALID"):
        await desk.case(taken.link_code)
    kept = (await desk.first.GetNotice(api.GetNoticeRequest(notice_id=taken.notice_id))).notice
    assert (kept.state, kept.HasField("notifier"), kept.location) == (REJECTED, False, "")


async def test_what_a_legal_hold_is_on_is_kept_until_it_is_released(desk: Desk) -> None:
    """By the film, and by who uploaded it; others are forgotten meanwhile."""
    by_film, by_person, free = [
        await desk.copyright(await desk.film(uploader)) for uploader in ("", "user/usr_held", "")
    ]
    for taken in (by_film, by_person, free):
        await desk.decide(taken.notice_id, "REJECT")
    film = (await desk.first.GetNotice(api.GetNoticeRequest(notice_id=by_film.notice_id))).notice.asset_id
    subjects = Subjects(Seal(desk.settings.secret(COMPLIANCE_KEY_FILE), "compliance"))
    placed = [
        holds.new_hold(desk.organisation_id, on=on, ground="a case in court", actor="", now=T0)
        for on in (film, DataSubject("", "usr_held"))
    ]
    async with desk.database.transaction() as tx:
        for hold in placed:
            await holds.place(tx, subjects, hold)
    desk.clock.advance(timedelta(days=180 + 1097))
    assert (await desk.bus.hears(events_pb2.NoticeErased)).notice_id == free.notice_id
    later = "SELECT count(*) = 2 FROM notice_cases WHERE erase_time > :now"
    await desk.until(later, now=desk.clock.now())
    for taken in (by_film, by_person):
        assert (await desk.first.GetNotice(api.GetNoticeRequest(notice_id=taken.notice_id))).notice.HasField("notifier")
    async with desk.database.transaction() as tx:
        for hold in placed:
            await holds.release(
                tx, subjects, desk.organisation_id, hold.hold_id, reason="it is over", now=desk.clock.now()
            )
    desk.clock.advance(timedelta(days=1))
    await desk.until("SELECT count(*) = 0 FROM notice_cases WHERE erase_time IS NOT NULL")


async def test_whoever_sends_too_many_notices_has_to_wait(desk: Desk) -> None:
    film = await desk.film()
    came_from = (("x-forwarded-for", "203.0.113.9"),)
    nobody = intimate_notice(film, notifier=notices_pb2.NoticeContact())
    for number in range(intake.BY_NETWORK.free + 1):
        with refused("NOTICE_ELEMENT_MISSING"):
            nobody.request_id = f"request-{number}"
            await desk.anybody.SubmitNotice(nobody, metadata=came_from)
    with refused("NOTICES_TOO_MANY") as caught:
        await desk.anybody.SubmitNotice(copyright_notice(film), metadata=came_from)
    assert caught[0].retry_after is not None
    for number in range(intake.BY_ADDRESS.free + 1):  # a mailbox is spared, wherever it is named from
        there = (("x-forwarded-for", f"198.51.{number}.1"),)
        await desk.anybody.SubmitNotice(copyright_notice(film), metadata=there)
    with refused("NOTICES_TOO_MANY"):
        await desk.anybody.SubmitNotice(copyright_notice(film), metadata=(("x-forwarded-for", "192.0.2.1"),))


async def test_offences_against_children_are_told_without_a_name(desk: Desk) -> None:
    film = await desk.film()
    request = api.SubmitNoticeRequest(
        request_id=new_id("req"),
        kind=notices_pb2.NOTICE_KIND_ILLEGAL_CONTENT_EU,
        category="child-sexual-abuse",
        location=film,
        explanation="At minute 2.",
        good_faith=True,
    )
    taken = await desk.anybody.SubmitNotice(request)
    assert taken.link_code
    assert not await desk.letters("notice-received")
    request.request_id, request.category = new_id("req"), "fraud"
    with refused("NOTICE_ELEMENT_MISSING") as caught:
        await desk.anybody.SubmitNotice(request)
    assert [name for name, _ in caught[0].fields] == ["notifier.name", "notifier.email"]


async def test_reports_say_what_was_done_and_nothing_of_people(desk: Desk) -> None:
    film = await desk.film()
    taken = await desk.copyright(film)
    await desk.decide(taken.notice_id, "TAKE_DOWN")
    person = await desk.anybody.SubmitNotice(
        intimate_notice(
            film, kind=notices_pb2.NOTICE_KIND_DEPICTED_PERSON, explanation="I am in it.", without_consent=False
        )
    )
    desk.clock.advance(timedelta(days=1))
    await desk.decide(person.notice_id, "REJECT")
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(T0 - timedelta(days=1))
    end.FromDatetime(T0 + timedelta(days=30))

    async def report(kind: str, **changes: Any) -> Any:
        request = api.GetNoticeReportRequest(
            kind=api.NoticeReportKind.Value(f"NOTICE_REPORT_KIND_{kind}"),
            **({"start_time": start, "end_time": end} | changes),
        )
        return (await desk.reader.GetNoticeReport(request)).file

    rows = list(csv.DictReader(io.StringIO((await report("TRANSPARENCY")).data.decode())))
    found = {(row["measure"], row["kind"]): row["value"] for row in rows}
    assert found[("notices received", "copyright")] == "1"
    assert found[("last action: take down", "copyright")] == "1"
    assert found[("median hours from notice to last decision", "depicted_person")] == "24.0"
    card = list(csv.DictReader(io.StringIO((await report("CARD_SCHEME")).data.decode())))
    assert [row["reference"] for row in card][-1] == person.notice_id
    assert (card[-1]["in time"], card[-1]["outcome"], card[2]["outcome"]) == ("yes", "rejected", "1")
    for kind in ("TRANSPARENCY", "CARD_SCHEME"):
        pdf = await report(kind, format=api.NOTICE_REPORT_FORMAT_PDF)
        assert pdf.content_type == "application/pdf"
        assert pdf.data.startswith(b"%PDF-")
        assert b"nora" not in pdf.data.lower()
    with refused("NOTICE_REPORT_PERIOD_INVALID"):
        await report("TRANSPARENCY", end_time=start)
