"""Leak cases by the interface: evidence, proposals, decisions and crawlers, in the real service."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from reelmesh.policy.v1.events_pb2 import SessionRevoked
from reelmesh.protection.v1 import events_pb2 as events
from reelmesh.protection.v1 import leaks_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.protection.leaks.crawling import statement
from services.protection.leaks.domain import evidence_key
from services.protection.leaks.takedowns import document_key
from tests.protection.desk import Desk, a_desk, refused
from tests.protection.test_titles import eventually
from tests.support.films import committed


@pytest.fixture
async def desk(mesh: ProcessSettings) -> AsyncIterator[Desk]:
    async with a_desk(mesh) as desk:
        yield desk


async def test_evidence_is_preserved_and_told_of(desk: Desk) -> None:
    case = await desk.report("https://www.youtube.com/watch?v=1", comment="seen by a friend")
    assert (case.platform, case.state, case.source) == (
        "youtube",
        api.LEAK_CASE_STATE_REPORTED,
        api.LEAK_SOURCE_PROGRAM,
    )
    data = b"\x89PNG a page" * 200_000
    kept = await desk.capture(case.case_id, data, filename="page.png", media_type="image/png")
    assert (kept.sha256, kept.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (kept.url, kept.kind, kept.detection_id) == (case.url, api.LEAK_EVIDENCE_KIND_CAPTURE, "")
    told = await desk.bus.hears(events.LeakEvidencePreserved)
    assert (told.evidence_id, told.sha256, told.case_id, told.location) == (
        kept.evidence_id,
        kept.sha256,
        case.case_id,
        case.url,
    )
    assert told.actor == kept.actor == (await desk.bus.hears(events.LeakReported)).actor

    request = api.GetLeakEvidenceRequest(evidence_id=kept.evidence_id)
    parts = [answer.part async for answer in desk.leaks.GetLeakEvidence(request, metadata=desk.ann)]
    assert b"".join(parts) == data
    assert len(parts) == 3
    file = desk.settings.data_dir / "objects" / evidence_key(desk.organisation_id, kept.sha256)
    assert file.stat().st_mode & 0o222 == 0
    # The same bytes again are the same object; it is not written anew.
    before = file.stat().st_mtime_ns
    await desk.capture(case.case_id, data)
    assert file.stat().st_mtime_ns == before
    file.chmod(0o644)
    file.write_bytes(data[:-1])

    async def read() -> None:
        async for _ in desk.leaks.GetLeakEvidence(request, metadata=desk.ann):
            pass

    assert await refused(read()) == "LEAK_EVIDENCE_DAMAGED"
    file.unlink()
    assert await refused(read()) == "LEAK_EVIDENCE_DAMAGED"


async def test_a_film_that_shows_nothing_marked_accuses_nobody(desk: Desk) -> None:
    case = await desk.report()
    event = committed(desk.settings, b"no film that is known", organisation_id=desk.organisation_id)
    await desk.bus.publish(event)
    request = api.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=case.case_id, asset_id=event.asset_id)

    async def preserved() -> bool:
        return await _reason(desk, request) == ""

    await eventually(preserved)
    first = (await desk.leaks.AddLeakEvidence(request, metadata=desk.ann)).evidence
    assert (first.sha256, first.kind) == (event.sha256, api.LEAK_EVIDENCE_KIND_FILM)
    # What is preserved stays when the upload goes.
    (desk.settings.data_dir / "objects" / event.object_key).unlink()

    async def ended() -> bool:
        return (await desk.case(case.case_id)).state == api.LEAK_CASE_STATE_UNNAMED

    await eventually(ended)
    whole = await desk.case(case.case_id)
    assert [one.evidence_id for one in whole.evidence] == [first.evidence_id]
    assert not whole.actions
    assert "none of the watermarked titles" in whole.explanation


async def _reason(desk: Desk, request: api.AddLeakEvidenceRequest) -> str:
    try:
        await desk.leaks.AddLeakEvidence(request, metadata=desk.ann)
    except Exception as error:  # whatever it is
        return type(error).__name__
    return ""


async def test_what_is_not_good_enough_proposes_nothing(desk: Desk) -> None:
    case = await desk.report()
    for outcome in ("TITLE_NOT_FOUND", "NOT_ENOUGH_EVIDENCE", "NOBODY_ACCUSED"):
        after = await desk.found(case.case_id, {"ann": 1e-12}, f"OUTCOME_{outcome}")
        assert (after.state, list(after.actions)) == (api.LEAK_CASE_STATE_UNNAMED, [])
    after = await desk.found(case.case_id, {"ann": 1.1e-6})
    assert (after.state, list(after.actions)) == (api.LEAK_CASE_STATE_UNNAMED, [])
    assert not desk.bus.heard(events.LeakActionOrdered)
    # A title without a watermark names nobody either, and no search is begun.
    unmarked = await desk.report(title_asset_id=new_id("ast"))
    event = committed(desk.settings, b"a copy", organisation_id=desk.organisation_id)
    await desk.bus.publish(event)
    request = api.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=unmarked.case_id, asset_id=event.asset_id)

    async def preserved() -> bool:
        return await _reason(desk, request) == ""

    await eventually(preserved)
    after = await desk.case(unmarked.case_id)
    assert (after.state, after.evidence[0].detection_id) == (api.LEAK_CASE_STATE_UNNAMED, "")


async def test_one_person_decides_what_is_certain_and_two_what_is_less_so(desk: Desk) -> None:
    case = await desk.report()
    named = await desk.found(case.case_id, {"ann": 1e-12, "ben": 1e-7})
    assert named.state == api.LEAK_CASE_STATE_NAMED
    assert {one.kind for one in named.actions} == {
        api.LEAK_ACTION_KIND_REVOKE_SESSION,
        api.LEAK_ACTION_KIND_NOTIFY_VIEWER,
    }
    revoke = {one.viewer_id: one for one in named.actions if one.kind == api.LEAK_ACTION_KIND_REVOKE_SESSION}
    assert all(one.state == api.LEAK_ACTION_STATE_PROPOSED and one.explanation for one in named.actions)
    # A second film that says the same proposes nothing twice.
    assert len((await desk.found(case.case_id, {"ann": 1e-12, "ben": 1e-7})).actions) == len(named.actions)

    certain = await desk.decide(revoke["ann"], "APPROVE", desk.ann, "clear")
    assert certain.state == api.LEAK_ACTION_STATE_APPROVED
    order = await desk.bus.hears(events.LeakActionOrdered)
    assert (order.session_id, order.kind, order.viewer_id) == ("pbs-of-ann", api.LEAK_ACTION_KIND_REVOKE_SESSION, "ann")

    request_id = new_id("req")
    once = await desk.decide(revoke["ben"], "APPROVE", desk.ann, request_id=request_id)
    assert once.state == api.LEAK_ACTION_STATE_SECOND_NEEDED
    assert await desk.decide(revoke["ben"], "APPROVE", desk.ann, request_id=request_id) == once
    assert await refused(desk.decide(revoke["ben"], "APPROVE", desk.ann)) == "LEAK_SECOND_PERSON_NEEDED"
    assert len(desk.bus.heard(events.LeakActionOrdered)) == 1
    twice = await desk.decide(revoke["ben"], "APPROVE", desk.bob)
    assert twice.state == api.LEAK_ACTION_STATE_APPROVED
    assert len({one.actor for one in twice.decisions}) == 2
    assert (await desk.bus.hears(events.LeakActionOrdered, count=2)).session_id == "pbs-of-ben"
    assert await refused(desk.decide(revoke["ben"], "REJECT", desk.bob)) == "LEAK_ACTION_STATE_WRONG"

    event = SessionRevoked(
        session_id="pbs-of-ben", organisation_id=desk.organisation_id, revoke_time=timestamp(desk.clock.now())
    )
    await desk.bus.publish(event)

    async def in_effect() -> bool:
        return {one.viewer_id for one in (await desk.case(case.case_id)).actions if one.HasField("effect_time")} == {
            "ben"
        }

    await eventually(in_effect)
    back = await desk.decide(revoke["ben"], "REVERSE", desk.ann, "it was the tester")
    assert back.state == api.LEAK_ACTION_STATE_REVERSED
    assert (await desk.bus.hears(events.LeakActionReversed)).viewer_id == "ben"
    closed = await desk.leaks.CloseLeakCase(api.CloseLeakCaseRequest(case_id=case.case_id), metadata=desk.ann)
    assert {one.state for one in closed.case.actions if one.kind == api.LEAK_ACTION_KIND_NOTIFY_VIEWER} == {
        api.LEAK_ACTION_STATE_REJECTED
    }
    again = await desk.leaks.CloseLeakCase(api.CloseLeakCaseRequest(case_id=case.case_id), metadata=desk.ann)
    assert again == closed
    assert await refused(desk.capture(case.case_id)) == "LEAK_CASE_CLOSED"


async def struck(desk: Desk, viewer: str) -> api.LeakCase:
    """One more case of a viewer, with everything approved by both."""
    case = await desk.found((await desk.report()).case_id, {viewer: 1e-8})
    for action in case.actions:
        await desk.decide(action, "APPROVE", desk.ann)
        await desk.decide(action, "APPROVE", desk.bob)
    return await desk.case(case.case_id)


def blocks(case: api.LeakCase) -> list[api.LeakAction]:
    return [one for one in case.actions if one.kind == api.LEAK_ACTION_KIND_BLOCK_VIEWER]


async def test_strikes_add_up_expire_and_are_taken_back(desk: Desk) -> None:
    first, second = await struck(desk, "eve"), await struck(desk, "eve")
    assert not blocks(first)
    (block,) = blocks(second)
    assert (block.strike, block.state) == (2, api.LEAK_ACTION_STATE_APPROVED)
    assert block.end_time.ToDatetime() - block.decisions[-1].decide_time.ToDatetime() == timedelta(days=30)
    (other,) = {one.strike for one in (await struck(desk, "mallory")).actions}
    assert other == 1
    # The mistake of the second case is taken back: the next one is the second again.
    for action in second.actions:
        await desk.decide(action, "REVERSE", desk.bob, "a mistake")
    third = await struck(desk, "eve")
    assert {one.strike for one in third.actions} == {2}
    desk.later(days=30, seconds=1)

    async def over() -> bool:
        return blocks(await desk.case(third.case_id))[0].state == api.LEAK_ACTION_STATE_EXPIRED

    await eventually(over)
    revocation_id = (await _ordered(desk, blocks(third)[0])).revocation_id

    async def lifted() -> bool:
        heard = desk.bus.heard(events.LeakActionReversed)
        return (revocation_id, "service/protection") in [(one.revocation_id, one.actor) for one in heard]

    await eventually(lifted)
    fourth = await struck(desk, "eve")
    (for_good,) = blocks(fourth)
    assert (for_good.strike, for_good.HasField("end_time")) == (3, False)
    desk.later(days=366)
    assert {one.strike for one in (await struck(desk, "eve")).actions} == {1}


async def _ordered(desk: Desk, action: api.LeakAction) -> events.LeakActionOrdered:
    """The order to do something, once it is told."""
    count = 1
    while (order := await desk.bus.hears(events.LeakActionOrdered, count=count)).action_id != action.action_id:
        count += 1
    return order


class Crawler:
    """Somebody's crawler."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.key = Ed25519PrivateKey.generate()
        self.crawler_id = ""

    async def let_in(self) -> None:
        request = api.CreateLeakCrawlerRequest(
            request_id=new_id("req"), display_name="Nightly", public_key=self.key.public_key().public_bytes_raw()
        )
        self.crawler_id = (await self.desk.leaks.CreateLeakCrawler(request, metadata=self.desk.ann)).crawler.crawler_id

    def posted(self, finding: bytes, signed_at: datetime | None = None) -> api.SubmitLeakFindingRequest:
        moment = signed_at or self.desk.clock.now()
        return api.SubmitLeakFindingRequest(
            crawler_id=self.crawler_id,
            finding=finding,
            sign_time=timestamp(moment),
            signature=self.key.sign(statement(self.crawler_id, moment, finding)),
        )


def a_finding(desk: Desk, **changed: Any) -> bytes:
    told = {
        "finding_id": "night-1-0001",
        "url": "https://t.me/films/7",
        "find_time": desk.clock.now().isoformat(),
        "comment": "in a channel",
        **changed,
    }
    return json.dumps(told).encode()


async def test_a_crawler_posts_what_it_signed_and_nobody_else_does(desk: Desk) -> None:
    crawler, finding = Crawler(desk), a_finding(desk)
    await crawler.let_in()
    posted = crawler.posted(finding)
    case_id = (await desk.leaks.SubmitLeakFinding(posted)).case_id
    case = await desk.case(case_id)
    assert (case.platform, case.source, case.reporter) == ("telegram", api.LEAK_SOURCE_CRAWLER, crawler.crawler_id)
    assert case.evidence[0].sha256 == hashlib.sha256(finding).hexdigest()
    assert posted.signature.hex() in case.evidence[0].filename
    # Posted again, also signed anew, it is the same finding.
    desk.later(seconds=60)
    assert (await desk.leaks.SubmitLeakFinding(crawler.posted(finding))).case_id == case_id

    stranger = Crawler(desk)
    stranger.crawler_id = crawler.crawler_id
    changed = crawler.posted(finding)
    changed.finding = a_finding(desk, url="https://innocent.example/")
    old = crawler.posted(a_finding(desk, finding_id="night-1-0002"), desk.clock.now() - timedelta(minutes=6))
    unknown = crawler.posted(finding)
    unknown.crawler_id = new_id("lkw")
    for wrong in (stranger.posted(finding), changed, old, unknown):
        assert await refused(desk.leaks.SubmitLeakFinding(wrong)) == "LEAK_FINDING_UNSIGNED"
    for bad in (b"[]", b"{,", b"\xff\xff", b"[" * 10_000, a_finding(desk, url="javascript:1"), a_finding(desk, more=1)):
        assert await refused(desk.leaks.SubmitLeakFinding(crawler.posted(bad))) == "LEAK_FINDING_INVALID"
    future = a_finding(desk, finding_id="night-1-0003", find_time=(desk.clock.now() + timedelta(days=1)).isoformat())
    assert await refused(desk.leaks.SubmitLeakFinding(crawler.posted(future))) == "REQUEST_INVALID"

    shut = api.DisableLeakCrawlerRequest(crawler_id=crawler.crawler_id)
    assert (await desk.leaks.DisableLeakCrawler(shut, metadata=desk.ann)).crawler.HasField("disable_time")
    fresh = crawler.posted(a_finding(desk, finding_id="night-1-0004"))
    assert await refused(desk.leaks.SubmitLeakFinding(fresh)) == "LEAK_FINDING_UNSIGNED"
    listed = await desk.leaks.ListLeakCrawlers(api.ListLeakCrawlersRequest(), metadata=desk.ann)
    assert [one.crawler_id for one in listed.crawlers] == [crawler.crawler_id]
    assert len((await desk.leaks.ListLeakCases(api.ListLeakCasesRequest(), metadata=desk.ann)).cases) == 1


async def test_nothing_of_another_organisation_is_to_be_had(desk: Desk, other_organisation_key: str) -> None:
    other = (("authorization", f"Bearer {other_organisation_key}"),)
    case = await desk.found((await desk.report()).case_id, {"ann": 1e-12})
    kept = await desk.capture(case.case_id)
    leaks = desk.leaks

    async def read() -> None:
        request = api.GetLeakEvidenceRequest(evidence_id=kept.evidence_id)
        async for _ in leaks.GetLeakEvidence(request, metadata=other):
            pass

    capture = api.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=case.case_id, capture=b"x")
    appeal = api.DecideLeakAppealRequest(request_id=new_id("req"), action_id=case.actions[0].action_id, comment="x")
    for call, reason in (
        (leaks.GetLeakCase(api.GetLeakCaseRequest(case_id=case.case_id), metadata=other), "LEAK_CASE_NOT_FOUND"),
        (leaks.CloseLeakCase(api.CloseLeakCaseRequest(case_id=case.case_id), metadata=other), "LEAK_CASE_NOT_FOUND"),
        (leaks.AddLeakEvidence(capture, metadata=other), "LEAK_CASE_NOT_FOUND"),
        (read(), "LEAK_EVIDENCE_NOT_FOUND"),
        (desk.decide(case.actions[0], "APPROVE", other), "LEAK_ACTION_NOT_FOUND"),
        (leaks.DecideLeakAppeal(appeal, metadata=other), "LEAK_ACTION_NOT_FOUND"),
        (leaks.DecideLeakAppeal(appeal, metadata=desk.ann), "LEAK_APPEAL_IMPOSSIBLE"),
        (
            leaks.DisableLeakCrawler(api.DisableLeakCrawlerRequest(crawler_id=new_id("lkw")), metadata=other),
            "LEAK_CRAWLER_NOT_FOUND",
        ),
    ):
        assert await refused(call) == reason
    assert not (await leaks.ListLeakCases(api.ListLeakCasesRequest(), metadata=other)).cases
    both = api.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=case.case_id)
    assert await refused(leaks.AddLeakEvidence(both, metadata=desk.ann)) == "REQUEST_INVALID"
    missing = api.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=case.case_id, asset_id=new_id("ast"))
    assert await refused(leaks.AddLeakEvidence(missing, metadata=desk.ann)) == "COPY_NOT_FOUND"
    page = await leaks.ListLeakCases(
        api.ListLeakCasesRequest(page_size=1, state=api.LEAK_CASE_STATE_NAMED), metadata=desk.ann
    )
    assert [one.case_id for one in page.cases] == [case.case_id]


async def test_closed_cases_are_forgotten_with_their_evidence_and_others_are_not(desk: Desk) -> None:
    await desk.notifier()
    old, other = await desk.report(), await desk.report()
    await struck(desk, "mallory")
    alone, shared = await desk.capture(old.case_id, b"alone"), await desk.capture(old.case_id, b"shared")
    await desk.capture(other.case_id, b"shared")
    notice = await desk.draft(old)
    blocked = await struck(desk, "mallory")
    for case in (old, blocked):
        await desk.leaks.CloseLeakCase(api.CloseLeakCaseRequest(case_id=case.case_id), metadata=desk.ann)
    # A second block, which does not end.
    for_good = await struck(desk, "mallory")
    await desk.leaks.CloseLeakCase(api.CloseLeakCaseRequest(case_id=for_good.case_id), metadata=desk.ann)
    desk.later(days=2556)

    async def forgotten() -> bool:
        return await refused_or_not(desk, old.case_id) == "LEAK_CASE_NOT_FOUND"

    await eventually(forgotten)
    objects = desk.settings.data_dir / "objects"
    assert not (objects / evidence_key(desk.organisation_id, alone.sha256)).exists()
    assert (objects / evidence_key(desk.organisation_id, shared.sha256)).exists()
    assert not (objects / document_key(desk.organisation_id, notice.document_sha256)).exists()
    assert (await desk.case(other.case_id)).case_id == other.case_id
    assert (await desk.case(for_good.case_id)).case_id == for_good.case_id


async def refused_or_not(desk: Desk, case_id: str) -> str:
    """The reason for which a case cannot be seen; empty when it can."""
    try:
        await desk.case(case_id)
    except grpc.aio.AioRpcError as error:
        return Refusal.from_rpc_error(error).reason
    return ""
