"""What is found in observations, and the score that it makes: pure, so that any observations can be tried."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.policy.decision.rules import Rule, RuleKind
from services.policy.decision.territories import Point
from services.policy.signals import findings
from services.policy.signals.findings import Seen, distance_km
from services.policy.signals.kinds import SignalKind
from services.policy.signals.score import Action, Risk, acted, thresholds
from services.policy.signals.windows import Asked, Observation, Windows

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HALF_LIFE = timedelta(hours=6)
BERLIN, SYDNEY, PARIS = Point(52.52, 13.4), Point(-33.87, 151.2), Point(48.86, 2.35)
NOTHING = Risk("org_1", "ada", 0.0, NOON, HALF_LIFE.total_seconds())
RULE = Rule.plain(RuleKind.RISK)

points = st.builds(Point, st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1000))
spans = st.timedeltas(timedelta(), timedelta(days=40))
weights = st.integers(0, 100)
rules = st.builds(
    lambda warn, step, slow, refuse: replace(
        RULE, warn_from=warn, step_up_from=step, throttle_from=slow, refused_from=refuse
    ),
    *[st.integers(1, 101)] * 4,
)


@given(points, points)
def test_a_way_is_as_long_in_both_directions_and_no_longer_than_half_around_the_earth(one: Point, two: Point) -> None:
    far = distance_km(one, two)
    assert 0 <= far <= 20_016
    assert abs(far - distance_km(two, one)) < 1e-6
    assert distance_km(one, one) == 0


@given(points, points, spans, spans)
def test_more_time_never_makes_a_journey_less_possible(
    one: Point, two: Point, span: timedelta, more: timedelta
) -> None:
    before = Seen(NOON, one, "")
    if findings.travel(before, Seen(NOON + span, two, "")) is None:
        assert findings.travel(before, Seen(NOON + span + more, two, "")) is None
    assert findings.travel(before, Seen(NOON + timedelta(days=1), two, "")) is None


def test_nobody_is_in_berlin_and_an_hour_later_in_sydney() -> None:
    found = findings.travel(Seen(NOON, BERLIN, "DE-BE"), Seen(NOON + timedelta(hours=1), SYDNEY, "AU-NSW"))
    assert found is not None
    assert found.explanation.startswith("seen in DE-BE and, 60 minutes later, in AU-NSW, 16")
    assert findings.travel(Seen(NOON, BERLIN, ""), Seen(NOON + timedelta(hours=1), PARIS, "")) is None
    # A database that only knows the country does not know enough.
    vague = replace(PARIS, radius_km=800.0)
    assert findings.travel(Seen(NOON, BERLIN, ""), Seen(NOON, vague, "")) is None


def observed(windows: Windows, at: timedelta, **changed: object) -> list[SignalKind]:
    one = Observation(Asked.KEYS, "org_1", "ada", "pbs_1", "ast_1", NOON + at)
    return [finding.kind for finding in windows.observe(replace(one, **changed))]  # type: ignore[arg-type]


def test_three_networks_within_ten_minutes_are_found_once_and_again_when_it_goes_on() -> None:
    windows, minute = Windows(), timedelta(minutes=1)
    for count in range(2):
        assert observed(windows, count * minute, network=f"192.0.{count}.0/24") == []
    assert observed(windows, 2 * minute, network="192.0.2.0/24") == [SignalKind.TOKEN_SHARING]
    for count in (3, 4):
        assert observed(windows, count * minute, network=f"192.0.{count}.0/24") == []
    assert observed(windows, 12 * minute, network="192.0.5.0/24") == [SignalKind.TOKEN_SHARING]
    # Another session, and the same networks over half an hour, are nothing odd.
    for count in range(3):
        assert observed(windows, 15 * count * minute, session_id="pbs_2", network=f"10.0.{count}.0/24") == []


def test_keys_of_many_films_or_of_one_film_many_times() -> None:
    windows, second = Windows(), timedelta(seconds=1)
    films = [
        observed(windows, count * second, asset_id=f"ast_{count}", session_id=f"pbs_{count}")
        for count in range(findings.TITLES)
    ]
    assert [found for found in films if found] == [[SignalKind.KEY_SCRAPING]] == films[-1:]
    again = [
        observed(windows, count * second, viewer_id="bob", session_id="pbs_bob") for count in range(findings.LICENCES)
    ]
    assert [found for found in again if found] == [[SignalKind.KEY_SCRAPING]] == again[-1:]
    slowly = [
        observed(windows, count * timedelta(minutes=2), asset_id=f"ast_{count}", viewer_id="eve", session_id="pbs_9")
        for count in range(200)
    ]
    assert not any(slowly)


def test_devices_of_a_day_and_segments_of_five_minutes() -> None:
    windows = Windows()
    found = [observed(windows, timedelta(minutes=count), device=f"dev_{count}") for count in range(findings.DEVICES)]
    assert [kinds for kinds in found if kinds] == [[SignalKind.TOO_MANY_DEVICES]] == found[-1:]
    fast = [windows.segment("pbs_1", NOON + timedelta(seconds=count / 10)) for count in range(findings.SEGMENTS)]
    assert fast[-1] is not None
    assert not any(fast[:-1])
    # Somebody who watches, at two segments in four seconds.
    assert not any(windows.segment("pbs_2", NOON + timedelta(seconds=count * 2)) for count in range(5000))


def test_what_is_remembered_is_bounded() -> None:
    windows = Windows(most=2)
    for count in range(2):
        observed(windows, timedelta(), network=f"192.0.{count}.0/24")
    for viewer in ("bob", "eve"):
        observed(windows, timedelta(), viewer_id=viewer, session_id=viewer)
    assert observed(windows, timedelta(), network="192.0.9.0/24") == []


@given(st.lists(st.tuples(spans, weights)), spans)
def test_a_score_is_0_to_100_and_falls_with_time(found: list[tuple[timedelta, int]], later: timedelta) -> None:
    risk, now = NOTHING, NOON
    for span, weight in found:
        now += span
        before = risk.at(now)
        risk = risk.added(weight, now, HALF_LIFE)
        assert before <= risk.at(now) <= 100
    assert 0 <= risk.at(now + later) <= risk.at(now)
    assert risk.at(now + timedelta(days=40)) == 0
    assert risk.cleared(now).at(now) == 0


def test_half_of_a_score_is_forgotten_in_its_half_life() -> None:
    risk = NOTHING.added(80, NOON, HALF_LIFE)
    assert [risk.at(NOON + count * HALF_LIFE) for count in range(4)] == [80, 40, 20, 10]


@given(rules, st.lists(st.tuples(spans, weights), min_size=1))
def test_each_thing_is_done_when_its_threshold_is_reached_and_ends_when_it_is_not(
    rule: Rule, found: list[tuple[timedelta, int]]
) -> None:
    risk, now = NOTHING, NOON
    for span, weight in found:
        now += span
        before = risk.at(now)
        risk, begun = acted(rule, before, risk.added(weight, now, HALF_LIFE), now)
        for action, limit in thresholds(rule).items():
            assert (action in begun) == (before < limit <= risk.at(now))
            if limit <= risk.at(now):
                assert risk.since(action) is not None
                end = risk.falls_below(limit)
                assert risk.at(end - timedelta(seconds=1)) >= limit or end - now < timedelta(seconds=1)
                assert risk.at(end + timedelta(seconds=1)) < limit
        if rule.throttle_from <= risk.at(now):
            assert risk.throttle_until is not None
            assert risk.throttle_until >= now


def test_the_default_rule_warns_first_and_refuses_last() -> None:
    risk, before, seen = NOTHING, 0, []
    for _ in range(3):
        risk, begun = acted(RULE, before, risk.added(40, NOON, HALF_LIFE), NOON)
        before = risk.at(NOON)
        seen.append(begun)
    assert seen == [(Action.WARN,), (Action.STEP_UP, Action.THROTTLE), (Action.REFUSE,)]
