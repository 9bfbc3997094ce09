"""Terms, facts and rules on the real stores: who may watch, why not, and what happens to those who watch when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.compliance.v1 import events_pb2 as compliance
from reelmesh.identity.v1 import events_pb2 as identity
from reelmesh.payments.v1 import events_pb2 as payments
from reelmesh.policy.v1 import decisions_pb2 as told
from reelmesh.policy.v1 import decisions_service_pb2 as api
from reelmesh.policy.v1 import events_pb2

from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.policy.scene import Scene, a_scene, eventually, hasty, refused

GEOIP = Path("../shared/vectors/geoip/jurisdictions-local.mmdb")
TEXAS, UTAH, BERLIN, NOWHERE = "192.0.2.1", "192.0.2.17", "198.51.100.17", "10.0.0.1"


@pytest.fixture
async def placed(mesh: ProcessSettings) -> AsyncIterator[Scene]:
    """A service that knows where addresses are."""
    if not GEOIP.exists():
        pytest.skip("the vectors are not there")
    async with a_scene(mesh, policy_territory_database=GEOIP) as scene:
        yield scene


def moment(scene: Scene, **later: float) -> Timestamp:
    stamp = timestamp(scene.clock.now() + timedelta(**later))
    assert stamp is not None
    return stamp


async def grant(scene: Scene, viewer_id: str, asset_id: str = "", **fields: Any) -> str:
    event = payments.EntitlementGranted(
        entitlement_id=new_id("ent"),
        organisation_id=scene.organisation_id,
        viewer_id=viewer_id,
        asset_id=asset_id,
        kind=payments.ENTITLEMENT_KIND_PURCHASE,
        change_time=moment(scene),
        **fields,
    )
    await scene.bus.publish(event)
    return event.entitlement_id


async def access(scene: Scene, asset_id: str, viewer_id: str, **fields: Any) -> told.Decision:
    request = api.GetAccessRequest(asset_id=asset_id, viewer_id=viewer_id, **fields)
    return (await scene.decisions.GetAccess(request)).decision


async def becomes(scene: Scene, asset_id: str, viewer_id: str, reason: str) -> None:
    """Waits until the decision comes out so; the test's own limit ends it."""
    while (await access(scene, asset_id, viewer_id)).reason != reason:
        await scene.bus.client.flush()


async def ended(scene: Scene, count: int = 1) -> events_pb2.SessionRevoked:
    return await scene.bus.hears(events_pb2.SessionRevoked, count=count)


async def test_who_bought_a_film_watches_it_and_a_refund_ends_the_session(scene: Scene) -> None:
    film = await scene.publish()
    await scene.terms(film.asset_id, entitlement_required=True)
    refusal = await refused(scene.play(film.asset_id, viewer_id="ada"))
    assert (refusal.reason, refusal.metadata["asset_id"]) == ("ENTITLEMENT_REQUIRED", film.asset_id)
    entitlement = await grant(scene, "ada", film.asset_id)
    await becomes(scene, film.asset_id, "ada", "")
    playback = await scene.play(film.asset_id, viewer_id="ada")
    await eventually(scene.edge, playback.playback.dash_url, "")
    await scene.bus.publish(
        payments.EntitlementRevoked(
            entitlement_id=entitlement,
            organisation_id=scene.organisation_id,
            viewer_id="ada",
            change_time=moment(scene, seconds=1),
        )
    )
    assert (await ended(scene)).session_id == playback.session.session_id
    await eventually(scene.edge, playback.playback.dash_url, "SESSION_REVOKED")


async def test_an_entitlement_that_is_revoked_before_it_is_heard_of_never_lets_anybody_in(scene: Scene) -> None:
    film = await scene.publish()
    await scene.terms(film.asset_id, entitlement_required=True)
    granted = payments.EntitlementGranted(
        entitlement_id=new_id("ent"),
        organisation_id=scene.organisation_id,
        viewer_id="ada",
        change_time=moment(scene),
    )
    await scene.bus.publish(
        payments.EntitlementRevoked(
            entitlement_id=granted.entitlement_id,
            organisation_id=scene.organisation_id,
            viewer_id="ada",
            change_time=moment(scene, seconds=1),
        )
    )
    await scene.bus.publish(granted)
    await grant(scene, "bob")
    await becomes(scene, film.asset_id, "bob", "")
    assert (await access(scene, film.asset_id, "ada")).reason == "ENTITLEMENT_REQUIRED"


async def test_a_tier_opens_films_and_a_locked_account_loses_them(scene: Scene) -> None:
    film = await scene.publish()
    await scene.terms(film.asset_id, tiers=["premium"])
    account = new_id("usr")
    changed = identity.AccountChanged(account_id=account, tier="premium", change_time=moment(scene))
    await scene.bus.publish(changed)
    await becomes(scene, film.asset_id, account, "")
    playback = await scene.play(film.asset_id, viewer_id=account)
    changed.locked = True
    changed.change_time.CopyFrom(moment(scene, seconds=1))
    await scene.bus.publish(changed)
    assert (await ended(scene)).session_id == playback.session.session_id
    assert (await refused(scene.play(film.asset_id, viewer_id=account))).reason == "VIEWER_LOCKED"


async def test_a_consent_that_is_taken_back_ends_every_session_of_the_film(scene: Scene) -> None:
    film = await scene.publish()
    playbacks = [await scene.play(film.asset_id, viewer_id=f"viewer-{number}") for number in range(3)]
    await scene.bus.publish(
        compliance.ConsentChanged(
            asset_id=film.asset_id,
            organisation_id=scene.organisation_id,
            state=compliance.CONSENT_STATE_WITHDRAWN,
            change_time=moment(scene),
        )
    )
    await ended(scene, count=3)
    for playback in playbacks:
        await eventually(scene.edge, playback.playback.dash_url, "CONSENT_MISSING")
    assert (await refused(scene.play(film.asset_id))).reason == "CONSENT_MISSING"


async def consents(scene: Scene, asset_id: str, state: compliance.ConsentState.ValueType, seconds: int) -> None:
    """The consent of those who are seen in a film changes."""
    await scene.bus.publish(
        compliance.ConsentChanged(
            asset_id=asset_id,
            organisation_id=scene.organisation_id,
            state=state,
            change_time=moment(scene, seconds=seconds),
        )
    )


async def test_a_consent_that_is_taken_back_holds_the_film_whatever_the_rules_say(scene: Scene) -> None:
    film, other = await scene.publish(), await scene.publish()
    await scene.rules()
    url = (await scene.play(film.asset_id)).playback.dash_url
    await consents(scene, film.asset_id, compliance.CONSENT_STATE_WITHDRAWN, 1)
    await eventually(scene.edge, url, "CONSENT_MISSING")
    assert (await scene.bus.hears(events_pb2.ConsentApplied)).held
    playing = (await scene.play(other.asset_id)).playback.dash_url
    assert (await scene.edge.check(playing)).allowed
    # What was said before says nothing any more; a new consent does.
    await consents(scene, film.asset_id, compliance.CONSENT_STATE_COMPLETE, 0)
    await consents(scene, film.asset_id, compliance.CONSENT_STATE_COMPLETE, 2)
    await eventually(scene.edge, url, "")
    assert not (await scene.bus.hears(events_pb2.ConsentApplied, count=2)).held


async def test_an_organisation_that_requires_records_shows_no_film_without(scene: Scene) -> None:
    film, complete = await scene.publish(), await scene.publish()
    await consents(scene, complete.asset_id, compliance.CONSENT_STATE_COMPLETE, 0)
    playback = await scene.play(film.asset_id)
    going_on = await scene.play(complete.asset_id)
    required = compliance.RecordsRequirementChanged(
        organisation_id=scene.organisation_id, required=True, change_time=moment(scene)
    )
    await scene.bus.publish(required)
    assert (await ended(scene)).session_id == playback.session.session_id
    assert (await refused(scene.play(film.asset_id))).reason == "CONSENT_MISSING"
    assert (await scene.edge.check(going_on.playback.dash_url)).allowed
    await scene.play(complete.asset_id)
    required.required = False
    required.change_time.CopyFrom(moment(scene, seconds=1))
    await scene.bus.publish(required)
    await becomes(scene, film.asset_id, "ada", "")


async def test_an_age_is_proved_and_the_playback_ends_with_the_proof(scene: Scene) -> None:
    film = await scene.publish()
    await scene.terms(film.asset_id, least_age=18)
    refusal = await refused(scene.play(film.asset_id, viewer_id="ada"))
    assert (refusal.reason, refusal.metadata["threshold"]) == ("AGE_PROOF_REQUIRED", "18")
    await scene.bus.publish(
        compliance.AgeProved(
            viewer_id="ada",
            organisation_id=scene.organisation_id,
            threshold=18,
            expire_time=moment(scene, minutes=30),
            change_time=moment(scene),
        )
    )
    await becomes(scene, film.asset_id, "ada", "")
    playback = await scene.play(film.asset_id, viewer_id="ada")
    left = playback.session.expire_time.ToNanoseconds() - playback.session.create_time.ToNanoseconds()
    assert 0 < left <= timedelta(minutes=30).total_seconds() * 1e9


async def test_a_film_is_watched_where_it_may_be_and_the_player_is_asked_where_it_is(placed: Scene) -> None:
    film = await placed.publish()
    await placed.terms(film.asset_id, territories=["US"], refused_territories=["US-TX"])
    assert (await refused(placed.play(film.asset_id))).reason == "TERRITORY_UNKNOWN"
    assert (await refused(placed.play(film.asset_id, client_address=NOWHERE))).reason == "TERRITORY_UNKNOWN"
    texas = await refused(placed.play(film.asset_id, client_address=TEXAS))
    assert (texas.reason, texas.metadata["territory"]) == ("TERRITORY_REFUSED", "US-TX")
    playback = await placed.play(film.asset_id, client_address=UTAH)
    assert playback.session.territory == "US-UT"
    for address, reason in ((UTAH, ""), (TEXAS, "TERRITORY_REFUSED"), (BERLIN, "TERRITORY_REFUSED")):
        # What a client claims of itself counts for nothing, what Envoy saw does.
        headers = {"x-forwarded-for": UTAH}
        verdict = await placed.edge.check(playback.playback.dash_url, headers=headers, address=address)
        assert verdict.reason == reason, address


async def test_terms_that_change_end_the_sessions_that_they_refuse_and_no_others(placed: Scene) -> None:
    film = await placed.publish()
    utah = await placed.play(film.asset_id, client_address=UTAH)
    berlin = await placed.play(film.asset_id, client_address=BERLIN)
    await placed.terms(film.asset_id, territories=["US"])
    assert (await ended(placed)).session_id == berlin.session.session_id
    await eventually(placed.edge, berlin.playback.dash_url, "SESSION_REVOKED")
    assert (await placed.edge.check(utah.playback.dash_url, address=UTAH)).reason == ""


async def test_a_window_opens_and_closes(scene: Scene) -> None:
    film = await scene.publish()
    await scene.terms(film.asset_id, start_time=moment(scene, minutes=20), end_time=moment(scene, minutes=40))
    refusal = await refused(scene.play(film.asset_id))
    assert (refusal.reason, "start_time" in refusal.metadata) == ("OUTSIDE_WINDOW", True)
    scene.clock.advance(timedelta(minutes=20))
    playback = await scene.play(film.asset_id)
    assert playback.session.expire_time == moment_of(scene, minutes=20)
    scene.clock.advance(timedelta(minutes=20))
    assert (await scene.edge.check(playback.playback.dash_url)).reason == "TICKET_EXPIRED"


def moment_of(scene: Scene, **later: float) -> Timestamp:
    """To the second, as sessions end."""
    stamp = moment(scene, **later)
    stamp.nanos = 0
    return stamp


async def test_networks_are_let_in_by_rule(scene: Scene) -> None:
    film = await scene.publish()
    await scene.rules(told.Rule(kind=told.RULE_KIND_NETWORK, networks=["192.0.2.0/24"]))
    assert (await refused(scene.play(film.asset_id))).reason == "NETWORK_REFUSED"
    assert (await refused(scene.play(film.asset_id, client_address=BERLIN))).reason == "NETWORK_REFUSED"
    playback = await scene.play(film.asset_id, client_address=TEXAS)
    for address, reason in ((TEXAS, ""), (BERLIN, "NETWORK_REFUSED")):
        assert (await scene.edge.check(playback.playback.dash_url, address=address)).reason == reason


async def test_a_film_is_kept_for_watching_offline_only_where_it_may_be(scene: Scene) -> None:
    film = await scene.publish()
    assert (await refused(scene.play(film.asset_id, download=True))).reason == "DOWNLOAD_REFUSED"
    await scene.terms(film.asset_id, download_allowed=True)
    playback = await scene.play(film.asset_id, download=True)
    assert playback.session.download
    assert not playback.session.HasField("beat_time")


async def test_every_decision_is_explained_and_found_by_its_session_and_its_request(scene: Scene) -> None:
    film = await scene.publish()
    playback = await scene.play(film.asset_id, viewer_id="ada")
    of_session = await scene.decisions.ListDecisions(api.ListDecisionsRequest(session_id=playback.session.session_id))
    (allowed,) = of_session.decisions
    assert (allowed.allowed, allowed.viewer_id, allowed.rule_set_version) == (True, "ada", 0)
    await scene.terms(film.asset_id, entitlement_required=True, tiers=["premium"])
    refusal = await refused(scene.play(film.asset_id, viewer_id="bob"))
    by_request = await scene.decisions.ListDecisions(
        api.ListDecisionsRequest(correlation_id=refusal.metadata["correlation_id"])
    )
    (decision,) = by_request.decisions
    assert (decision.allowed, decision.reason) == (False, "ENTITLEMENT_REQUIRED")
    assert "premium" in decision.lifted_by
    saw = {result.kind: dict(result.facts) for result in decision.rules}
    assert saw[told.RULE_KIND_ENTITLEMENT] == {"tier": "?", "entitlements": "none"}
    again = await scene.decisions.GetDecision(api.GetDecisionRequest(decision_id=decision.decision_id))
    assert again.decision == decision


async def test_a_refusal_at_the_edge_is_explained_too(scene: Scene) -> None:
    film = await scene.publish()
    await scene.rules(told.Rule(kind=told.RULE_KIND_NETWORK, refused_networks=["198.51.100.0/24"]))
    playback = await scene.play(film.asset_id, client_address=TEXAS)
    verdict = await scene.edge.check(playback.playback.dash_url, address=BERLIN)
    correlation_id = verdict.metadata["correlation_id"]
    request = api.ListDecisionsRequest(correlation_id=correlation_id, refused_only=True)
    async with asyncio.timeout(30):
        while not (found := (await scene.decisions.ListDecisions(request)).decisions):
            await asyncio.sleep(0.05)
    (decision,) = found
    assert (decision.kind, decision.reason) == (told.DECISION_KIND_MANIFEST, "NETWORK_REFUSED")
    assert decision.session_id == playback.session.session_id
    assert BERLIN not in str(decision)


async def test_another_organisation_sees_no_decision_and_sets_no_terms(
    scene: Scene, other_organisation_key: str
) -> None:
    playback = await scene.play()
    shown = (("authorization", f"Bearer {other_organisation_key}"),)
    session = api.ListDecisionsRequest(session_id=playback.session.session_id)
    (mine,) = (await scene.decisions.ListDecisions(session)).decisions
    assert not (await scene.decisions.ListDecisions(session, metadata=shown)).decisions
    one = api.GetDecisionRequest(decision_id=mine.decision_id)
    assert (await refused(scene.decisions.GetDecision(one, metadata=shown))).reason == "DECISION_NOT_FOUND"
    terms = api.SetAssetTermsRequest(terms=told.AssetTerms(asset_id=playback.session.asset_id))
    async with hasty(scene, other_organisation_key) as second:
        assert (await refused(second.decisions.SetAssetTerms(terms))).reason == "ASSET_NOT_PLAYABLE"


async def test_a_draft_decides_nothing_until_it_is_activated_and_can_be_taken_back(scene: Scene) -> None:
    film = await scene.publish()
    strict = told.Rule(kind=told.RULE_KIND_DEVICE, registered_only=True)
    version = await scene.rules(strict, activate=False)
    await scene.play(film.asset_id)
    await scene.decisions.ActivateRuleSet(api.ActivateRuleSetRequest(version=version))
    assert (await refused(scene.play(film.asset_id))).reason == "DEVICE_REFUSED"
    states = [one.state for one in (await scene.decisions.ListRuleSets(api.ListRuleSetsRequest())).rule_sets]
    assert states == [told.RULE_SET_STATE_ACTIVE, told.RULE_SET_STATE_RETIRED]
    await scene.decisions.ActivateRuleSet(api.ActivateRuleSetRequest(version=0))
    await scene.play(film.asset_id)
    unknown = api.ActivateRuleSetRequest(version=9)
    assert (await refused(scene.decisions.ActivateRuleSet(unknown))).reason == "RULE_SET_NOT_FOUND"


async def test_a_replay_tells_what_other_rules_would_have_decided(scene: Scene) -> None:
    film = await scene.publish()
    begin = moment(scene, seconds=-1)
    await scene.play(film.asset_id, viewer_id="ada", client_address=TEXAS)
    await scene.play(film.asset_id, viewer_id="bob", client_address=BERLIN)
    await scene.terms(film.asset_id, entitlement_required=True)
    await refused(scene.play(film.asset_id, viewer_id="bob", client_address=BERLIN))
    draft = await scene.rules(
        told.Rule(kind=told.RULE_KIND_NETWORK, refused_networks=["198.51.100.0/24"]), activate=False
    )
    scene.clock.advance(timedelta(seconds=1))
    request = api.WatchReplayRequest(version=draft, start_time=begin)
    messages = [message async for message in scene.decisions.WatchReplay(request)]
    last = messages[-1]
    assert last.finished
    # Bob's playback would be refused; his refusal would have another reason. Ada's would be as it was.
    assert (last.tried, last.newly_refused, last.newly_allowed, last.other_reason) == (3, 1, 0, 1)
    differences = [difference for message in messages for difference in message.differences]
    assert {difference.before.viewer_id for difference in differences} == {"bob"}
    assert {difference.after.reason for difference in differences} == {"NETWORK_REFUSED"}


async def test_terms_are_changed_by_who_saw_the_latest(scene: Scene) -> None:
    film = await scene.publish()
    first = await scene.terms(film.asset_id, least_age=12)
    await scene.terms(film.asset_id, least_age=16, etag=first.etag)
    stale = scene.terms(film.asset_id, least_age=18, etag=first.etag)
    assert (await refused(stale)).reason == "ETAG_MISMATCH"
    found = await scene.decisions.GetAssetTerms(api.GetAssetTermsRequest(asset_id=film.asset_id))
    assert found.terms.least_age == 16
