"""Titles that notices and leaks hold: whatever plays is stopped, nothing new is opened, and they come back when the last case lets go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from reelmesh.compliance.v1 import events_pb2 as compliance
from reelmesh.policy.v1 import decisions_pb2

from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.policy.decision.engine import decide
from services.policy.decision.facts import Facts, Kind, Place, Standing
from services.policy.decision.record import facts_as_json, facts_from_json
from services.policy.decision.rules import Rule, RuleKind, RuleSet
from tests.policy.scene import Scene, eventually, refused

T0 = datetime(2026, 11, 28, 12, tzinfo=UTC)
STANDING = RuleSet(1, (Rule(RuleKind.STANDING, tuple(Kind)),))


def down(scene: Scene, asset_id: str, case_id: str) -> compliance.MaterialTakenDown:
    return compliance.MaterialTakenDown(
        asset_id=asset_id,
        organisation_id=scene.organisation_id,
        ground=compliance.TAKE_DOWN_GROUND_COPYRIGHT,
        case_id=case_id,
        change_time=timestamp(scene.clock.now()),
    )


def back(scene: Scene, asset_id: str, case_id: str) -> compliance.MaterialRestored:
    return compliance.MaterialRestored(
        asset_id=asset_id,
        organisation_id=scene.organisation_id,
        case_id=case_id,
        change_time=timestamp(scene.clock.now()),
    )


async def test_a_title_that_is_taken_down_stops_and_comes_back_when_the_last_case_lets_go(scene: Scene) -> None:
    film, other = await scene.publish(), await scene.play()
    playing = await scene.play(film.asset_id)
    url = playing.playback.dash_url
    first, second = new_id("ntc"), new_id("ntc")
    for case_id in (first, second):
        await scene.bus.publish(down(scene, film.asset_id, case_id))
    await eventually(scene.edge, url, "TITLE_TAKEN_DOWN")
    assert (await scene.edge.check(other.playback.dash_url)).allowed
    refusal = await refused(scene.play(film.asset_id))
    assert (refusal.reason, refusal.metadata["asset_id"]) == ("TITLE_TAKEN_DOWN", film.asset_id)
    # What a case says later counts, in whatever order it is heard; and each case speaks for itself.
    scene.clock.advance(timedelta(seconds=1))
    late = down(scene, film.asset_id, first)
    scene.clock.advance(timedelta(seconds=1))
    await scene.bus.publish(back(scene, film.asset_id, first))
    await scene.bus.publish(late)
    marker = await scene.publish()
    await eventually(scene.edge, (await scene.play(marker.asset_id)).playback.dash_url, "")
    assert (await refused(scene.play(film.asset_id))).reason == "TITLE_TAKEN_DOWN"
    await scene.bus.publish(back(scene, film.asset_id, second))
    # The session was ended and stays so; a new one is opened.
    await eventually(scene.edge, url, "SESSION_REVOKED")
    again = await scene.play(film.asset_id)
    assert (await scene.edge.check(again.playback.dash_url)).allowed


async def test_who_may_be_where_a_notice_does_not_let_a_title_be_shown_is_stopped(scene: Scene) -> None:
    film = await scene.publish()
    playing = await scene.play(film.asset_id)
    await scene.rules(decisions_pb2.Rule(kind=decisions_pb2.RULE_KIND_ENTITLEMENT))
    hidden = compliance.MaterialRestricted(
        asset_id=film.asset_id,
        organisation_id=scene.organisation_id,
        territories=["DE"],
        case_id=new_id("ntc"),
        change_time=timestamp(scene.clock.now()),
    )
    await scene.bus.publish(hidden)
    # Nobody knows where the session is, so it might be there.
    await eventually(scene.edge, playing.playback.dash_url, "SESSION_REVOKED")
    assert (await refused(scene.play(film.asset_id))).reason == "TERRITORY_UNKNOWN"


@pytest.mark.parametrize(
    ("territory", "reason"),
    [("DE", "TERRITORY_REFUSED"), ("DE-BY", "TERRITORY_REFUSED"), ("FR", ""), (None, "TERRITORY_UNKNOWN")],
)
def test_restrictions_belong_to_the_standing_that_every_set_of_rules_has(territory: str | None, reason: str) -> None:
    facts = Facts(now=T0, asset_id="ast_1", standing=Standing(restricted=("DE",)), place=Place(territory=territory))
    assert decide(STANDING, Kind.PLAYBACK, facts).reason == reason
    assert facts_from_json(facts_as_json(facts)) == facts
