"""Signs of abuse on the running service: what is seen at the edge, what is done about it, and how it is set back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from reelmesh.identity.v1 import events_pb2 as identity
from reelmesh.policy.v1 import decisions_pb2 as told
from reelmesh.policy.v1 import decisions_service_pb2, events_pb2
from reelmesh.policy.v1 import policy_service_pb2 as playing
from reelmesh.policy.v1 import signals_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.signals.findings import LICENCES
from tests.policy.scene import Scene, a_scene, eventually, refused
from tests.support.places import place, write_places

SHARING = api.SIGNAL_KIND_TOKEN_SHARING
WARN, STEP_UP = api.RISK_ACTION_KIND_WARN, api.RISK_ACTION_KIND_STEP_UP
THROTTLE, REFUSE = api.RISK_ACTION_KIND_THROTTLE, api.RISK_ACTION_KIND_REFUSE


async def share(scene: Scene, playback: playing.CreatePlaybackResponse, networks: int = 3) -> None:
    """Somebody gives the URL away."""
    for number in range(networks):
        await scene.edge.check(playback.playback.dash_url, address=f"198.51.{number}.7")


async def risk(scene: Scene, viewer_id: str, score: int) -> api.ViewerRisk:
    """The risk of a viewer, once the score is this."""
    async with asyncio.timeout(30):
        while True:
            found = (await scene.signals.GetViewerRisk(api.GetViewerRiskRequest(viewer_id=viewer_id))).risk
            if found.score == score:
                return found
            await asyncio.sleep(0.05)


async def weighing(scene: Scene, weight: int) -> None:
    """A rule by which a shared ticket alone makes the score."""
    await scene.rules(told.Rule(kind=told.RULE_KIND_RISK, signal_weights={"TOKEN_SHARING": weight}))


def kinds(found: api.ViewerRisk) -> Sequence[int]:
    return [action.kind for action in found.actions]


async def test_a_shared_ticket_is_found_explained_and_warned_of(scene: Scene) -> None:
    playback = await scene.play(viewer_id="ada")
    await share(scene, playback, networks=2)
    await share(scene, playback)
    found = await risk(scene, "ada", 40)
    (signal,) = found.signals
    assert (signal.kind, signal.weight, signal.session_id) == (SHARING, 40, playback.session.session_id)
    assert signal.explanation == "one playback was used from 3 networks within 10 minutes"
    assert dict(signal.facts) == {"networks": "3", "minutes": "10"}
    assert "198.51" not in str(found)
    (action,) = found.actions
    assert action.kind == WARN
    assert action.start_time.ToDatetime() < action.end_time.ToDatetime()
    event = await scene.bus.hears(events_pb2.ViewerSuspected)
    assert (event.viewer_id, event.score, event.explanation) == ("ada", 40, signal.explanation)
    # Watching goes on.
    assert (await scene.edge.check(playback.playback.dash_url)).reason == ""
    listed = await scene.signals.ListSignals(api.ListSignalsRequest(viewer_id="ada"))
    assert [one.signal_id for one in listed.signals] == [signal.signal_id]
    of_session = api.ListSignalsRequest(session_id=playback.session.session_id, page_size=1)
    assert [one.signal_id for one in (await scene.signals.ListSignals(of_session)).signals] == [signal.signal_id]
    scene.clock.advance(timedelta(hours=6))
    assert kinds(await risk(scene, "ada", 20)) == []


async def test_who_looks_odd_has_to_sign_in_before_the_next_playback(scene: Scene) -> None:
    film = await scene.publish()
    account = new_id("usr")
    await weighing(scene, 70)
    playback = await scene.play(film.asset_id, viewer_id=account)
    await share(scene, playback)
    assert STEP_UP in kinds(await risk(scene, account, 70))
    refusal = await refused(scene.play(film.asset_id, viewer_id=account))
    assert (refusal.reason, refusal.metadata["score"]) == ("STEP_UP_REQUIRED", "70")
    assert (await scene.bus.hears(events_pb2.ViewerStepUpAsked)).viewer_id == account
    # Who plays already goes on.
    assert (await scene.edge.check(playback.playback.dash_url)).reason == ""
    long_ago = timestamp(scene.clock.now() - timedelta(hours=1))
    again = scene.play(film.asset_id, viewer_id=account, sign_in_time=long_ago)
    assert (await refused(again)).reason == "STEP_UP_REQUIRED"
    await scene.play(film.asset_id, viewer_id=account, sign_in_time=timestamp(scene.clock.now()))
    # Or by the install's own accounts.
    opened = identity.SessionOpened(account_id=account, open_time=timestamp(scene.clock.now()))
    await scene.bus.publish(opened)
    access = decisions_service_pb2.GetAccessRequest(asset_id=film.asset_id, viewer_id=account)
    async with asyncio.timeout(30):
        while (await scene.decisions.GetAccess(access)).decision.reason:
            await asyncio.sleep(0.05)
    await scene.play(film.asset_id, viewer_id=account)


async def test_a_score_that_is_too_high_revokes_and_is_set_back(scene: Scene) -> None:
    film = await scene.publish()
    await weighing(scene, 100)
    playback = await scene.play(film.asset_id, viewer_id="ada")
    other = await scene.play(film.asset_id, viewer_id="bob")
    await share(scene, playback)
    found = await risk(scene, "ada", 100)
    assert kinds(found) == [WARN, STEP_UP, THROTTLE, REFUSE]
    await eventually(scene.edge, playback.playback.dash_url, "SESSION_REVOKED")
    request = playing.GetPlaybackSessionRequest(session_id=playback.session.session_id)
    comment = (await scene.stub.GetPlaybackSession(request)).session.revoke_comment
    assert comment == "unusual activity, score 100: one playback was used from 3 networks within 10 minutes"
    event = await scene.bus.hears(events_pb2.ViewerRefused)
    assert (event.viewer_id, event.ended_sessions) == ("ada", 1)
    assert (await refused(scene.play(film.asset_id, viewer_id="ada"))).reason == "RISK_TOO_HIGH"
    assert (await scene.edge.check(other.playback.dash_url)).reason == ""
    for _ in range(2):
        clear = api.ClearViewerRiskRequest(viewer_id="ada", comment="it was a school class")
        cleared = (await scene.signals.ClearViewerRisk(clear)).risk
        assert (cleared.score, list(cleared.signals), list(cleared.actions)) == (0, [], [])
    lifted = await scene.bus.hears(events_pb2.ViewerRiskCleared)
    assert (lifted.viewer_id, lifted.comment) == ("ada", "it was a school class")
    listed = await scene.signals.ListSignals(api.ListSignalsRequest(viewer_id="ada"))
    assert listed.signals[0].HasField("clear_time")
    # What was revoked stays so; something new can be opened.
    assert (await scene.edge.check(playback.playback.dash_url)).reason == "SESSION_REVOKED"
    fresh = await scene.play(film.asset_id, viewer_id="ada")
    assert (await scene.edge.check(fresh.playback.dash_url)).reason == ""


async def test_a_viewer_whom_nobody_named_is_known_by_the_session(scene: Scene) -> None:
    film = await scene.publish()
    await weighing(scene, 100)
    playback, other = [await scene.play(film.asset_id) for _ in range(2)]
    await share(scene, playback)
    await risk(scene, playback.session.session_id, 100)
    await eventually(scene.edge, playback.playback.dash_url, "SESSION_REVOKED")
    assert (await scene.edge.check(other.playback.dash_url)).reason == ""


async def test_scores_belong_to_an_organisation(scene: Scene, other_organisation_key: str) -> None:
    playback = await scene.play(viewer_id="ada")
    await share(scene, playback)
    await risk(scene, "ada", 40)
    shown = (("authorization", f"Bearer {other_organisation_key}"),)
    assert not (await scene.signals.ListSignals(api.ListSignalsRequest(), metadata=shown)).signals
    theirs = await scene.signals.GetViewerRisk(api.GetViewerRiskRequest(viewer_id="ada"), metadata=shown)
    assert theirs.risk.score == 0
    await scene.signals.ClearViewerRisk(api.ClearViewerRiskRequest(viewer_id="ada"), metadata=shown)
    await risk(scene, "ada", 40)


async def test_without_the_rule_things_are_only_noted(scene: Scene) -> None:
    await scene.rules()
    playback = await scene.play(viewer_id="ada")
    await share(scene, playback)
    assert kinds(await risk(scene, "ada", 40)) == []


async def test_a_weight_of_nothing_keeps_nothing(scene: Scene) -> None:
    await weighing(scene, 0)
    playback = await scene.play(viewer_id="ada")
    await share(scene, playback)
    for _ in range(LICENCES):
        await scene.edge.check(playback.playback.licence_url, "POST", address="198.51.1.7")
    found = await risk(scene, "ada", 40)
    assert [signal.kind for signal in found.signals] == [api.SIGNAL_KIND_KEY_SCRAPING]


@pytest.mark.parametrize("weights", [{"MIND_READING": 10}, {"TOKEN_SHARING": 101}])
async def test_weights_are_of_signals_that_there_are(scene: Scene, weights: dict[str, int]) -> None:
    rule = told.Rule(kind=told.RULE_KIND_RISK, signal_weights=weights)
    refusal = await refused(scene.rules(rule))
    assert refusal.reason == "RULE_SET_INVALID"
    assert "signal_weights" in refusal.message


async def test_a_journey_that_nobody_makes_is_found_where_places_are_known(
    mesh: ProcessSettings, tmp_path: Path
) -> None:
    places = {"192.0.2.0/24": place("GB", 51.5, -0.1), "198.51.100.0/24": place("PH", 14.6, 121.0)}
    database = write_places(tmp_path / "places.mmdb", places)
    async with a_scene(mesh, policy_territory_database=database) as scene:
        playback = await scene.play(viewer_id="ada", client_address="192.0.2.9")
        await scene.edge.check(playback.playback.dash_url, address="198.51.100.9")
        (signal,) = (await risk(scene, "ada", 30)).signals
        assert signal.kind == api.SIGNAL_KIND_IMPOSSIBLE_TRAVEL
        assert (signal.facts["from"], signal.facts["to"]) == ("GB", "PH")
