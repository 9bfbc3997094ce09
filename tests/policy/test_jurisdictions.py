"""Laws by place, classifications and proofs by method on the real stores, as compliance announces them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from reelmesh.compliance.v1 import events_pb2 as compliance
from reelmesh.compliance.v1 import jurisdictions_pb2 as law
from reelmesh.policy.v1 import decisions_service_pb2 as api
from reelmesh.policy.v1 import events_pb2

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.policy.scene import Scene, a_scene, refused
from tests.policy.test_decisions import GEOIP, access, moment

TEXAS, UTAH, PARIS, NOWHERE = "192.0.2.1", "192.0.2.17", "203.0.113.1", "10.0.0.1"
DOCUMENT, CARD = "document", "credit-card"


@pytest.fixture
async def placed(mesh: ProcessSettings) -> AsyncIterator[Scene]:
    """A service that knows where addresses are."""
    if not GEOIP.exists():
        pytest.skip("the vectors are not there")
    async with a_scene(mesh, policy_territory_database=GEOIP) as scene:
        yield scene


def verify(territory: str, *methods: str, hours: int = 0, **dates: Any) -> law.JurisdictionRule:
    good_for = Duration(seconds=3600 * hours) if hours else None
    accepted = [law.AcceptedMethod(method=method, good_for=good_for) for method in methods]
    age = law.AgeLaw(threshold=18, action=law.AGE_LAW_ACTION_VERIFY, methods=accepted)
    return law.JurisdictionRule(territory=territory, age=age, **dates)


def block(territory: str, **dates: Any) -> law.JurisdictionRule:
    age = law.AgeLaw(threshold=18, action=law.AGE_LAW_ACTION_BLOCK)
    return law.JurisdictionRule(territory=territory, age=age, **dates)


async def announce(scene: Scene, *rules: law.JurisdictionRule, everybody: bool = False, seconds: float = 0) -> None:
    """Another table is in force: of the organisation, or of everybody."""
    organisation_id = "" if everybody else scene.organisation_id
    change_time = moment(scene, seconds=seconds)
    await scene.bus.publish(
        compliance.JurisdictionsChanged(organisation_id=organisation_id, rules=rules, change_time=change_time)
    )


async def prove(scene: Scene, viewer_id: str, method: str, *, minutes: float = 0, threshold: int = 18) -> None:
    await scene.bus.publish(
        compliance.AgeProved(
            viewer_id=viewer_id,
            organisation_id=scene.organisation_id,
            threshold=threshold,
            method=method,
            expire_time=moment(scene, days=365),
            change_time=moment(scene, minutes=minutes),
        )
    )


async def take_back(scene: Scene, viewer_id: str, method: str = "", *, minutes: float = 0) -> None:
    await scene.bus.publish(
        compliance.AgeProofRevoked(
            viewer_id=viewer_id,
            organisation_id=scene.organisation_id,
            method=method,
            change_time=moment(scene, minutes=minutes),
        )
    )


async def becomes(scene: Scene, asset_id: str, viewer_id: str, reason: str, **fields: Any) -> None:
    """Waits until the decision comes out so."""
    async with asyncio.timeout(30):
        while (await access(scene, asset_id, viewer_id, **fields)).reason != reason:
            await asyncio.sleep(0.02)


async def available(scene: Scene, asset_id: str, territory: str, **asked: Any) -> tuple[str, str]:
    """Whether a film is available: the reason why not, and how that is lifted."""
    request = api.GetAvailabilityRequest(asset_id=asset_id, territory=territory, **asked)
    decision = (await scene.decisions.GetAvailability(request)).decision
    return decision.reason, decision.lifted_by


async def until_available(scene: Scene, asset_id: str, territory: str, reason: str, **asked: Any) -> None:
    async with asyncio.timeout(30):
        while (await available(scene, asset_id, territory, **asked))[0] != reason:
            await asyncio.sleep(0.02)


async def test_an_age_is_proved_as_the_law_of_the_place_wants_it(placed: Scene) -> None:
    film = await placed.publish()
    await placed.terms(film.asset_id, least_age=18)
    await announce(placed, verify("US-TX", DOCUMENT, hours=1), everybody=True)
    await prove(placed, "ada", CARD)
    await becomes(placed, film.asset_id, "ada", "", client_address=UTAH)
    await becomes(placed, film.asset_id, "ada", "AGE_PROOF_REQUIRED", client_address=TEXAS)
    refusal = await refused(placed.play(film.asset_id, viewer_id="ada", client_address=TEXAS))
    assert refusal.metadata == refusal.metadata | {"threshold": "18", "methods": DOCUMENT, "start": "/v1/ageChecks"}
    # Somewhere unknown may be in Texas.
    assert (await access(placed, film.asset_id, "ada", client_address=NOWHERE)).reason == "AGE_PROOF_REQUIRED"

    await prove(placed, "ada", DOCUMENT)
    await becomes(placed, film.asset_id, "ada", "", client_address=TEXAS)
    session = (await placed.play(film.asset_id, viewer_id="ada", client_address=TEXAS)).session
    left = session.expire_time.ToNanoseconds() - session.create_time.ToNanoseconds()
    assert 0 < left <= timedelta(hours=1).total_seconds() * 1e9

    # The organisation's own table goes before everybody's, and what plays is looked at again.
    await announce(placed, block("US-TX"))
    ended = await placed.bus.hears(events_pb2.SessionRevoked)
    assert ended.session_id == session.session_id
    refusal = await refused(placed.play(film.asset_id, viewer_id="ada", client_address=TEXAS))
    assert (refusal.reason, refusal.metadata["cause"]) == ("TERRITORY_REFUSED", "age-law")
    assert (await access(placed, film.asset_id, "ada", client_address=NOWHERE)).reason == "TERRITORY_UNKNOWN"
    # What is older than what is known changes nothing.
    await announce(placed, seconds=-60)
    await announce(placed, block("FR"), everybody=True, seconds=1)
    await asyncio.sleep(0.2)
    assert (await access(placed, film.asset_id, "ada", client_address=TEXAS)).reason == "TERRITORY_REFUSED"
    assert (await access(placed, film.asset_id, "ada", client_address=PARIS)).reason == ""


async def test_what_was_taken_back_proves_nothing_in_whatever_order_events_come(placed: Scene) -> None:
    film = await placed.publish()
    await placed.terms(film.asset_id, least_age=18)
    await prove(placed, "ada", CARD)
    await prove(placed, "ada", DOCUMENT)
    await becomes(placed, film.asset_id, "ada", "")
    await take_back(placed, "ada", CARD, minutes=1)
    await prove(placed, "ada", "mobile-operator", minutes=-5)
    await take_back(placed, "ada", minutes=2)
    await becomes(placed, film.asset_id, "ada", "AGE_PROOF_REQUIRED")
    await prove(placed, "ada", CARD, minutes=1.5)  # it comes late
    await prove(placed, "bob", CARD)
    await becomes(placed, film.asset_id, "bob", "")
    assert (await access(placed, film.asset_id, "ada")).reason == "AGE_PROOF_REQUIRED"
    await prove(placed, "ada", CARD, minutes=3)
    await becomes(placed, film.asset_id, "ada", "")


async def test_whether_a_title_is_available_can_be_asked_for_any_place_and_day(placed: Scene) -> None:
    film, other = await placed.publish(), await placed.publish()
    tomorrow, later = moment(placed, days=1), moment(placed, days=2)
    tags = law.JurisdictionRule(territory="FR", start_time=tomorrow, refused_tags=law.RefusedTags(tags=["smoking"]))
    closed = law.JurisdictionRule(territory="US-UT", closed=law.ClosedTerritory(cause="sanctions"))
    await announce(placed, verify("US-TX", DOCUMENT, start_time=tomorrow), tags, closed)
    classification = law.TitleClassification(
        asset_id=film.asset_id,
        tags=["smoking"],
        ratings=[law.ContentRating(territory="DE", system="FSK", label="16", age=16)],
        blocks=[law.TitleBlock(territory="GB", end_time=tomorrow)],
    )
    said: dict[str, Any] = {"asset_id": film.asset_id, "classification": classification, "change_time": moment(placed)}
    await placed.bus.publish(compliance.TitleClassified(organisation_id=placed.organisation_id, **said))
    await placed.terms(film.asset_id, least_age=18, maturity=18, territories=["US", "FR", "DE", "GB"])
    asked = film.asset_id
    await until_available(placed, asked, "GB", "TERRITORY_REFUSED")
    await until_available(placed, asked, "GB-ENG", "AGE_PROOF_REQUIRED", as_of_time=later)
    assert (await available(placed, asked, "US-UT"))[0] == "TERRITORY_REFUSED"
    assert (await available(placed, asked, "ES"))[0] == "TERRITORY_REFUSED"
    assert (await available(placed, asked, "FR"))[0] == "AGE_PROOF_REQUIRED"
    assert (await available(placed, asked, "FR", as_of_time=later))[0] == "TERRITORY_REFUSED"
    reason, lifted_by = await available(placed, asked, "US-TX", as_of_time=later)
    assert (reason, DOCUMENT in lifted_by) == ("AGE_PROOF_REQUIRED", True)
    assert DOCUMENT not in (await available(placed, asked, "US-TX"))[1]
    await placed.terms(film.asset_id, maturity=18)
    assert (await available(placed, asked, "DE-BE", maturity_limit=16))[0] == ""
    assert (await available(placed, asked, "US-TX", maturity_limit=16))[0] == "MATURITY_EXCEEDED"
    assert (await available(placed, asked, "US-TX"))[0] == ""

    # What somebody else says of the film means nothing.
    said["classification"] = law.TitleClassification(asset_id=other.asset_id, blocks=[law.TitleBlock(territory="US")])
    said["asset_id"] = other.asset_id
    await placed.bus.publish(compliance.TitleClassified(organisation_id=new_id("org"), **said))
    await placed.bus.publish(
        compliance.TitleClassified(
            organisation_id=placed.organisation_id,
            asset_id=asked,
            classification=law.TitleClassification(asset_id=asked, blocks=[law.TitleBlock(territory="DE")]),
            change_time=moment(placed, seconds=1),
        )
    )
    await until_available(placed, asked, "DE", "TERRITORY_REFUSED")
    assert (await available(placed, other.asset_id, "US-TX"))[0] == ""
    assert (
        await refused(
            placed.decisions.GetAvailability(api.GetAvailabilityRequest(asset_id=new_id("ast"), territory="DE"))
        )
    ).reason == "ASSET_NOT_PLAYABLE"


async def test_what_plays_where_a_row_begins_ends_when_it_does(placed: Scene) -> None:
    film = await placed.publish()
    await placed.terms(film.asset_id)  # waits until the film is known
    await announce(
        placed,
        law.JurisdictionRule(territory="US-TX", start_time=moment(placed, minutes=10), closed=law.ClosedTerritory()),
    )
    await until_available(placed, film.asset_id, "US-TX", "TERRITORY_REFUSED", as_of_time=moment(placed, hours=1))
    session = (await placed.play(film.asset_id, viewer_id="ada", client_address=TEXAS)).session
    placed.clock.advance(timedelta(minutes=11))
    ended = await placed.bus.hears(events_pb2.SessionRevoked)
    assert ended.session_id == session.session_id
