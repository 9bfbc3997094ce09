"""From a copy that leaked to its session: found in the film, decided by two people, ended at the edge, told to the viewer, appealed, taken back.

The services are the real ones, side by side; only the film is smaller than films are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc
import pytest
from reelmesh.packaging.v1.packaging_pb2 import Watermark
from reelmesh.policy.v1 import policy_service_pb2 as policy
from reelmesh.protection.v1 import events_pb2 as events
from reelmesh.protection.v1 import leaks_service_pb2 as api

from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.protection import store
from tests.identity.organisation import Home, Shown
from tests.identity.scene import Person
from tests.identity.scene import a_scene as with_identity
from tests.policy.scene import Scene as Policy
from tests.policy.scene import a_scene as with_policy
from tests.policy.scene import eventually as the_edge_says
from tests.policy.scene import refused as refusal_of
from tests.protection.desk import Desk, a_desk, refused
from tests.protection.leaks import ASSET, MarkedFilm, attacked, transcoded
from tests.protection.test_titles import eventually
from tests.support.films import committed

BLOCK, REVOKE, NOTIFY = (
    api.LEAK_ACTION_KIND_BLOCK_VIEWER,
    api.LEAK_ACTION_KIND_REVOKE_SESSION,
    api.LEAK_ACTION_KIND_NOTIFY_VIEWER,
)


@dataclass(frozen=True)
class Town:
    """Everybody: two officers, and a third who had no part; the viewer who leaked, and others who did not."""

    desk: Desk
    policy: Policy
    home: Home
    officers: tuple[Person, Person, Person]
    eve: Person

    async def approve(self, actions: Sequence[api.LeakAction]) -> None:
        """Both officers approve, one after the other."""
        for action in actions:
            for officer in self.officers[:2]:
                after = await self.desk.decide(action, "APPROVE", officer.shown)
            assert after.state == api.LEAK_ACTION_STATE_APPROVED

    async def mails(self, template: str) -> list[str]:
        """Letters to Eve of one kind, by their texts' templates."""
        return [one.template for one in await self.home.scene.messages(self.eve.email) if one.template == template]


@pytest.fixture
async def town(mesh: ProcessSettings) -> AsyncIterator[Town]:
    async with with_identity(mesh) as scene, a_desk(mesh) as desk, with_policy(mesh) as policy:
        home = Home(scene)
        officers = [await home.somebody("compliance-officer") for _ in range(3)]
        eve = await home.somebody("viewer")
        yield Town(desk, policy, home, (officers[0], officers[1], officers[2]), eve)


async def reported(desk: Desk, shown: Shown, asset_id: str) -> str:
    """A person reports a place with the film that was there; the search for the session begins by itself."""
    report = api.ReportLeakRequest(request_id=new_id("req"), url="https://pirate.example/1", title_asset_id=ASSET)
    case = (await desk.leaks.ReportLeak(report, metadata=shown)).case
    assert case.source == api.LEAK_SOURCE_PERSON
    request = api.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=case.case_id, asset_id=asset_id)
    await desk.leaks.AddLeakEvidence(request, metadata=shown)
    return case.case_id


@pytest.mark.timeout(400)
async def test_a_copy_that_leaked_ends_its_session_and_no_other(town: Town, title: MarkedFilm) -> None:
    desk, edge = town.desk, town.policy.edge
    await desk.bus.publish(transcoded(desk.settings, title, desk.organisation_id))
    await town.policy.bus.publish(town.policy.created(ASSET, "A film"))
    await town.policy.publish(ASSET, watermark=Watermark(colluders=2, segments=title.segments))

    async def marked() -> bool:
        async with desk.database.transaction() as tx:
            return bool(await store.marked_titles(tx, ASSET))

    await eventually(marked)
    guilty = await play(town, town.eve.account.account_id)
    innocent = [await play(town, f"viewer-{number}") for number in range(5)]
    copy = attacked(title.leak(guilty.session.session_id, "180p"), title.folder / "recorded.mp4", "-crf", "28")
    event = committed(desk.settings, copy, organisation_id=desk.organisation_id)
    await desk.bus.publish(event)

    async def all_known() -> bool:
        async with desk.database.transaction() as tx:
            there = len(await store.viewings(tx, ASSET)) == 6
            try:
                await store.master_of(tx, desk.organisation_id, event.asset_id)
            except Refusal:  # not yet
                return False
            return there

    await eventually(all_known)
    case_id = await reported(desk, town.officers[0].shown, event.asset_id)

    async def named() -> bool:
        return (await desk.case(case_id)).state > api.LEAK_CASE_STATE_DETECTING

    await eventually(named, within=120)
    case = await desk.case(case_id)
    assert case.state == api.LEAK_CASE_STATE_NAMED, case.explanation
    assert {one.session_id for one in case.actions} == {guilty.session.session_id}
    assert {one.viewer_id for one in case.actions} == {town.eve.account.account_id}
    # Nothing is done before people say so.
    for playback in (guilty, *innocent):
        assert (await edge.check(playback.playback.dash_url)).reason == ""
    await town.approve(case.actions)
    await the_edge_says(edge, guilty.playback.dash_url, "SESSION_REVOKED", within=30)
    for playback in innocent:
        assert (await edge.check(playback.playback.dash_url)).reason == ""

    async def in_effect() -> bool:
        return all(one.HasField("effect_time") for one in (await desk.case(case_id)).actions)

    await eventually(in_effect)
    await eventually(lambda: written(town, "leak-action", 1))
    assert (await desk.bus.hears(events.LeakSourceNamed)).session_id == guilty.session.session_id
    await the_second_time_she_is_blocked(town, guilty.session.session_id)


async def the_second_time_she_is_blocked(town: Town, session_id: str) -> None:
    """A block stops whatever she plays, is explained to her, and is lifted when her appeal is upheld by somebody who had no part in it."""
    desk, edge, eve = town.desk, town.policy.edge, town.eve.account.account_id
    another = await play(town, eve)
    beside = await play(town, "viewer-0")
    second = await desk.found((await desk.report()).case_id, {eve: 1e-8})
    assert {one.kind for one in second.actions} == {REVOKE, BLOCK, NOTIFY}
    await town.approve(second.actions)
    await the_edge_says(edge, another.playback.dash_url, "SESSION_REVOKED", within=30)
    refusal = await refusal_of(town.policy.play(ASSET, viewer_id=eve))
    assert (refusal.reason, refusal.metadata["target"]) == ("PLAYBACK_REVOKED", "viewer")
    assert (await edge.check(beside.playback.dash_url)).reason == ""

    listed = await desk.leaks.ListOwnLeakActions(api.ListOwnLeakActionsRequest(), metadata=town.eve.shown)
    assert len(listed.actions) == 2 + 3
    assert all(one.explanation and not any(said.actor for said in one.decisions) for one in listed.actions)
    (block,) = [one for one in listed.actions if one.kind == BLOCK]
    appeal = api.AppealLeakActionRequest(action_id=block.action_id, text="My telephone was stolen.")
    stranger = town.officers[2]
    assert await refused(desk.leaks.AppealLeakAction(appeal, metadata=stranger.shown)) == "LEAK_ACTION_NOT_FOUND"
    appealed = await desk.leaks.AppealLeakAction(appeal, metadata=town.eve.shown)
    assert await desk.leaks.AppealLeakAction(appeal, metadata=town.eve.shown) == appealed

    def verdict() -> api.DecideLeakAppealRequest:
        return api.DecideLeakAppealRequest(
            request_id=new_id("req"), action_id=block.action_id, uphold=True, comment="She reported the theft."
        )

    approver = town.officers[1].shown
    assert await refused(desk.leaks.DecideLeakAppeal(verdict(), metadata=approver)) == "LEAK_SECOND_PERSON_NEEDED"
    upheld = (await desk.leaks.DecideLeakAppeal(verdict(), metadata=stranger.shown)).action
    assert (upheld.state, upheld.appeal.upheld) == (api.LEAK_ACTION_STATE_REVERSED, True)
    assert {one.state for one in (await desk.case(second.case_id)).actions} == {api.LEAK_ACTION_STATE_REVERSED}

    async def can_open() -> bool:
        try:
            await town.policy.play(ASSET, viewer_id=eve)
        except grpc.aio.AioRpcError:  # not yet
            return False
        return True

    await eventually(can_open)
    await eventually(lambda: written(town, "leak-action-reversed", 1))
    # The strike went with it: the next one is the second again. The first session stays ended.
    third = await desk.found((await desk.report()).case_id, {eve: 1e-8})
    assert {one.strike for one in third.actions} == {2}
    assert session_id in {one.session_id for one in listed.actions}


async def play(town: Town, viewer_id: str) -> policy.CreatePlaybackResponse:
    return await town.policy.play(ASSET, viewer_id=viewer_id)


async def written(town: Town, template: str, many: int) -> bool:
    return len(await town.mails(template)) >= many


async def test_roles_below_compliance_report_and_see_nothing(town: Town) -> None:
    desk = town.desk
    creator = await town.home.somebody("creator")
    report = api.ReportLeakRequest(request_id=new_id("req"), url="https://pirate.example/1")
    case = (await desk.leaks.ReportLeak(report, metadata=creator.shown)).case
    await desk.found(case.case_id, {town.eve.account.account_id: 1e-12})
    whole = await desk.case(case.case_id)
    capture = api.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=case.case_id, capture=b"x")
    kept = (await desk.leaks.AddLeakEvidence(capture, metadata=creator.shown)).evidence
    assert kept.sha256
    got = api.GetLeakCaseRequest(case_id=case.case_id)
    assert await refused(desk.leaks.GetLeakCase(got, metadata=creator.shown)) == "PERMISSION_MISSING"
    denied = desk.decide(whole.actions[0], "APPROVE", creator.shown)
    assert await refused(denied) == "PERMISSION_MISSING"
    assert await refused(desk.leaks.ReportLeak(report, metadata=town.eve.shown)) == "PERMISSION_MISSING"
    # What is only proposed is nothing to its viewer yet.
    own = await desk.leaks.ListOwnLeakActions(api.ListOwnLeakActionsRequest(), metadata=town.eve.shown)
    assert not own.actions
    appeal = api.AppealLeakActionRequest(action_id=whole.actions[0].action_id, text="not me")
    assert await refused(desk.leaks.AppealLeakAction(appeal, metadata=town.eve.shown)) == "LEAK_ACTION_NOT_FOUND"
