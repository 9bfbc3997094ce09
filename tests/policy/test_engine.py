"""The decision itself: pure, so that rules can be checked on any facts there may be."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import Refusal
from services.policy.decision.engine import Decision, Outcome, decide, latest_end
from services.policy.decision.entitling import chosen, costs, taken_by
from services.policy.decision.facts import (
    AgeProof,
    Consent,
    Device,
    Entitlement,
    Facts,
    Kind,
    Place,
    Standing,
    Terms,
    Viewer,
)
from services.policy.decision.law import Accepted, Action, AgeLaw, Ban, Law, Rating
from services.policy.decision.record import facts_as_json, facts_from_json
from services.policy.decision.rules import BELONGS_TO, FIRST_RULES, Rule, RuleKind, RuleSet, checked, networks

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASSET = "ast_1"

moments = st.sampled_from([NOW - 2 * HOUR, NOW - HOUR, NOW, NOW + HOUR])
places = st.sampled_from(["US", "US-TX", "US-UT", "DE", "DE-BE", "FR-IDF"])
territories = st.lists(places, max_size=2, unique=True).map(tuple)
tiers = st.sampled_from(["free", "basic", "premium"])
ages = st.sampled_from([0, 12, 16, 18, 21])


proofs = st.builds(
    AgeProof,
    st.sampled_from([16, 18, 21]),
    moments,
    st.sampled_from(["", "document", "credit-card"]),
    st.none() | moments,
    st.sampled_from(["", "dev_1", "dev_2"]),
)
accepted = st.builds(
    Accepted,
    st.sampled_from(["document", "credit-card"]),
    st.none() | st.sampled_from([HOUR / 2, 2 * HOUR]),
    st.booleans(),
)
dated = {"territory": places, "start_time": st.none() | moments, "end_time": st.none() | moments}
age_laws = st.builds(
    AgeLaw,
    **dated,
    threshold=st.sampled_from([16, 18]),
    titles_from=st.sampled_from([12, 18]),
    action=st.just(Action.VERIFY),
    methods=st.lists(accepted, min_size=1, max_size=2, unique_by=lambda one: one.method).map(tuple),
)
laws = st.builds(
    Law,
    st.lists(age_laws, max_size=3).map(tuple),
    st.lists(st.builds(Ban, **dated, cause=st.sampled_from(["closed", "tags"])), max_size=1).map(tuple),
    st.lists(st.builds(Rating, **dated, age=ages), max_size=2).map(tuple),
)


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    return Terms(
        entitlement_required=draw(st.booleans()),
        tiers=tuple(draw(st.lists(tiers, max_size=2, unique=True))),
        territories=draw(territories),
        refused_territories=draw(territories),
        start_time=draw(st.none() | moments),
        end_time=draw(st.none() | moments),
        least_age=draw(ages),
        maturity=draw(ages),
        download_allowed=draw(st.booleans()),
        consent_required=draw(st.booleans()),
    )


@st.composite
def entitlements_used(draw: st.DrawFn) -> Entitlement:
    """Any entitlement, with any use of it; of one that is not limited nothing is counted."""
    plays = draw(st.integers(0, 3))
    one = Entitlement(
        draw(st.sampled_from(["ent_1", "ent_2", "ent_3"])),
        draw(st.sampled_from(["", ASSET, "ast_2"])),
        draw(st.none() | moments),
        draw(st.none() | moments),
        draw(territories),
        max_plays=draw(st.sampled_from([0, 0, 1, 3])),
        plays=plays,
        begin_by_time=draw(st.none() | moments),
        watch=draw(st.none() | st.sampled_from([HOUR / 2, HOUR, 2 * HOUR, 6 * HOUR])),
        begin_time=draw(moments) if plays else None,
    )
    return one if one.limited else replace(one, plays=0, begin_time=None)


entitlements = entitlements_used()
viewers = st.builds(
    Viewer,
    viewer_id=st.sampled_from(["", "usr_1"]),
    tier=st.none() | tiers,
    locked=st.none() | st.booleans(),
    entitlements=st.lists(entitlements, max_size=2).map(tuple),
    age_proofs=st.lists(proofs, max_size=2).map(tuple),
    maturity=st.none() | ages,
    risk=st.integers(0, 100),
    sign_in_time=st.none() | st.sampled_from([NOW - HOUR, NOW, NOW + HOUR]),
)
facts = st.builds(
    Facts,
    now=st.just(NOW),
    asset_id=st.just(ASSET),
    session_id=st.sampled_from(["", "pbs_1"]),
    terms=terms(),
    consent=st.none() | st.sampled_from(Consent),
    standing=st.builds(Standing, st.booleans(), st.booleans(), st.none() | moments),
    viewer=viewers,
    device=st.builds(Device, st.sampled_from(["", "dev_1"]), st.booleans(), st.booleans()),
    place=st.builds(
        Place,
        st.none() | st.sampled_from([ip_address("192.0.2.1"), ip_address("198.51.100.1"), ip_address("2001:db8::1")]),
        st.none() | places,
    ),
    streams=st.none() | st.integers(0, 3),
    counted_on=st.sampled_from(["", "ent_1", "ent_2"]),
    law=laws,
)
STRICT = RuleSet(
    1,
    checked(
        [
            Rule(
                kind,
                BELONGS_TO[kind],
                networks=networks("", ["192.0.2.0/24", "2001:db8::/32"]),
                refused_networks=networks("", ["192.0.2.128/25"]),
                proof_by_territory={"US-TX": 18, "FR": 16},
                streams_by_tier={"free": 1, "*": 2},
                registered_only=True,
                refused_from=80,
            )
            for kind in RuleKind
        ]
    ),
)
rule_sets = st.sampled_from([FIRST_RULES, STRICT])
kinds = st.sampled_from(Kind)


@given(facts, rule_sets, kinds, entitlements)
def test_another_entitlement_never_takes_anything_away(
    known: Facts, rules: RuleSet, kind: Kind, another: Entitlement
) -> None:
    if not decide(rules, kind, known).allowed:
        return
    more = replace(known, viewer=replace(known.viewer, entitlements=(*known.viewer.entitlements, another)))
    assert decide(rules, kind, more).allowed
    wanted = NOW + 9 * HOUR
    rests_on, then = chosen(known, wanted), chosen(more, wanted)
    if rests_on is not None and then is not None and costs(rests_on) and not costs(then):
        return  # sooner over, and nothing was taken for it
    assert latest_end(more, wanted) >= latest_end(known, wanted)


@given(facts, rule_sets, kinds, st.integers(0, 1))
def test_what_was_used_lets_nobody_in_whom_less_use_would_not(
    known: Facts, rules: RuleSet, kind: Kind, which: int
) -> None:
    """Of a playback that is not open yet: one more play of any entitlement turns no refusal into a yes."""
    had = known.viewer.entitlements
    if known.session_id or which >= len(had):
        return
    used = replace(had[which], plays=had[which].plays + 1, begin_time=had[which].begin_time or NOW - 2 * HOUR)
    later = replace(known, viewer=replace(known.viewer, entitlements=(*had[:which], used, *had[which + 1 :])))
    if decide(rules, kind, later).allowed:
        late = had[which].begin_by_time is not None and had[which].begin_time is None
        assert decide(rules, kind, known).allowed or late, "a play that began in time is no sign of one that does not"


@given(facts, rule_sets, kinds)
def test_what_is_counted_is_taken_only_by_who_may_watch_by_nothing_else(
    known: Facts, rules: RuleSet, kind: Kind
) -> None:
    taken = taken_by(rules, kind, known, NOW + 9 * HOUR)
    if taken is None:
        return
    assert taken.limited
    without = tuple(one for one in known.viewer.entitlements if one != taken)
    less = replace(known, viewer=replace(known.viewer, entitlements=without))
    if decide(rules, kind, less).allowed and costs(taken):
        instead = chosen(less, NOW + 9 * HOUR)
        assert instead is None or costs(instead)


@given(facts, kinds)
def test_a_session_goes_on_by_a_limited_entitlement_only_as_one_of_its_plays(known: Facts, kind: Kind) -> None:
    open_one = replace(known, session_id="pbs_1", counted_on="")
    limited = tuple(one for one in known.viewer.entitlements if one.limited)
    only = replace(open_one, viewer=replace(known.viewer, entitlements=limited), terms=Terms(entitlement_required=True))
    rules = RuleSet(1, (Rule.plain(RuleKind.ENTITLEMENT),))
    if kind in BELONGS_TO[RuleKind.ENTITLEMENT]:
        assert not decide(rules, kind, only).allowed


def _forgotten(known: Facts, **what: Any) -> tuple[Entitlement, ...]:
    """The entitlements that were used, without a part of what is known of that."""
    return tuple(replace(one, **what) if one.plays else one for one in known.viewer.entitlements)


def _about_proofs(known: Facts, **what: Any) -> Facts:
    """Without something of what is known of proofs."""
    less = tuple(replace(one, **what) for one in known.viewer.age_proofs)
    return replace(known, viewer=replace(known.viewer, age_proofs=less))


UNKNOWN = [
    lambda known: replace(known, place=Place()),
    lambda known: replace(known, viewer=replace(known.viewer, tier=None)),
    lambda known: replace(known, viewer=replace(known.viewer, age_proofs=())),
    lambda known: replace(known, place=Place(known.place.address, (known.place.territory or "US").split("-")[0])),
    lambda known: _about_proofs(known, method=""),
    lambda known: _about_proofs(known, prove_time=None),
    lambda known: _about_proofs(known, device_id=""),
    lambda known: replace(known, viewer=replace(known.viewer, entitlements=())),
    lambda known: replace(known, viewer=replace(known.viewer, sign_in_time=None)),
    lambda known: replace(known, streams=None),
    lambda known: replace(known, device=Device()),
    lambda known: replace(known, counted_on=""),
    lambda known: replace(known, viewer=replace(known.viewer, entitlements=_forgotten(known, begin_time=None))),
    lambda known: replace(known, viewer=replace(known.viewer, entitlements=_forgotten(known, plays=0))),
]


@given(facts, kinds, st.sampled_from(UNKNOWN))
def test_what_is_not_known_never_lets_anybody_in(known: Facts, kind: Kind, forget: object) -> None:
    """With every rule set, forgetting a fact turns no refusal into a yes; but that a tier is unknown may lift its own limit of streams."""
    less = forget(known)  # type: ignore[operator]  # a function of the list above
    if decide(STRICT, kind, less).allowed:
        assert decide(STRICT, kind, known).allowed or less.viewer.tier is None


@given(facts, rule_sets, kinds)
def test_a_refusal_says_why_and_every_rule_says_what_it_saw(known: Facts, rules: RuleSet, kind: Kind) -> None:
    decision = decide(rules, kind, known)
    assert [result.kind for result in decision.results] == [
        rule.kind for rule in rules.rules if kind in rule.applies_to
    ]
    refused = [result for result in decision.results if result.outcome is Outcome.REFUSED]
    assert decision.allowed == (not refused)
    if refused:
        assert decision.refusal is refused[0].refusal
        assert decision.reason
    assert all(result.saw for result in decision.results if result.outcome is not Outcome.NOT_APPLICABLE)


@given(facts)
def test_facts_come_back_as_they_were_kept(known: Facts) -> None:
    """What the law says elsewhere and at other times is not kept with a decision."""
    counting = replace(known, law=known.law.at(known.place.territory, known.now))
    assert facts_from_json(json.loads(json.dumps(facts_as_json(known)))) == counting
    for kind in Kind:
        assert decide(STRICT, kind, counting).reason == decide(STRICT, kind, known).reason


@given(facts, kinds)
def test_the_address_of_a_viewer_is_in_no_explanation(known: Facts, kind: Kind) -> None:
    told = str([dict(result.saw) for result in decide(STRICT, kind, known).results])
    assert known.place.address is None or str(known.place.address) not in told


OPEN = Facts(NOW, ASSET)


def refused(known: Facts, rules: RuleSet = FIRST_RULES, kind: Kind = Kind.PLAYBACK) -> str:
    return decide(rules, kind, known).reason


def with_one(**limits: Any) -> Facts:
    """Of somebody who has one entitlement, of a film that needs one."""
    one = Entitlement("ent_1", ASSET, **limits)
    return replace(OPEN, terms=Terms(entitlement_required=True), viewer=Viewer("usr_1", entitlements=(one,)))


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (OPEN, ""),
        (replace(OPEN, standing=Standing(withdrawn=True, revoked=True)), "ASSET_WITHDRAWN"),
        (replace(OPEN, standing=Standing(revoked=True)), "SESSION_REVOKED"),
        (replace(OPEN, standing=Standing(expire_time=NOW)), "TICKET_EXPIRED"),
        (replace(OPEN, viewer=Viewer("usr_1", "free", locked=True)), "VIEWER_LOCKED"),
        (replace(OPEN, terms=Terms(start_time=NOW + HOUR)), "OUTSIDE_WINDOW"),
        (replace(OPEN, terms=Terms(end_time=NOW)), "OUTSIDE_WINDOW"),
        (replace(OPEN, terms=Terms(start_time=NOW)), ""),
        (replace(OPEN, terms=Terms(territories=("US",))), "TERRITORY_UNKNOWN"),
        (replace(OPEN, terms=Terms(territories=("US",)), place=Place(None, "US-TX")), ""),
        (replace(OPEN, terms=Terms(territories=("US-TX",)), place=Place(None, "US")), "TERRITORY_REFUSED"),
        (replace(OPEN, terms=Terms(refused_territories=("US-TX",)), place=Place(None, "US")), "TERRITORY_REFUSED"),
        (replace(OPEN, terms=Terms(refused_territories=("US-TX",)), place=Place(None, "US-UT")), ""),
        (replace(OPEN, consent=Consent.WITHDRAWN), "CONSENT_MISSING"),
        (replace(OPEN, terms=Terms(consent_required=True)), "CONSENT_MISSING"),
        (replace(OPEN, consent=Consent.COMPLETE, terms=Terms(consent_required=True)), ""),
        (replace(OPEN, terms=Terms(least_age=18)), "AGE_PROOF_REQUIRED"),
        (replace(OPEN, terms=Terms(least_age=16)), ""),
        (replace(OPEN, terms=Terms(least_age=18), viewer=Viewer(age_proofs=(AgeProof(18, NOW + HOUR),))), ""),
        (
            replace(OPEN, terms=Terms(least_age=18), viewer=Viewer(age_proofs=(AgeProof(18, NOW),))),
            "AGE_PROOF_REQUIRED",
        ),
        (replace(OPEN, terms=Terms(maturity=16), viewer=Viewer(maturity=12)), "MATURITY_EXCEEDED"),
        (replace(OPEN, terms=Terms(maturity=12), viewer=Viewer(maturity=12)), ""),
        (replace(OPEN, terms=Terms(entitlement_required=True)), "ENTITLEMENT_REQUIRED"),
        (replace(OPEN, terms=Terms(tiers=("premium",)), viewer=Viewer("usr_1", "free")), "ENTITLEMENT_REQUIRED"),
        (replace(OPEN, terms=Terms(tiers=("premium",)), viewer=Viewer("usr_1", "premium")), ""),
        (with_one(max_plays=3, plays=2, begin_time=NOW), ""),
        (with_one(max_plays=3, plays=3, begin_time=NOW), "ENTITLEMENT_USED_UP"),
        (with_one(begin_by_time=NOW + HOUR, watch=HOUR), ""),
        (with_one(begin_by_time=NOW, watch=HOUR), "RENTAL_OVER"),
        (with_one(begin_by_time=NOW, watch=2 * HOUR, plays=1, begin_time=NOW - HOUR), ""),
        (with_one(begin_by_time=NOW, watch=HOUR, plays=1, begin_time=NOW - HOUR), "RENTAL_OVER"),
        (with_one(begin_by_time=NOW, watch=HOUR, territories=("DE",)), "ENTITLEMENT_REQUIRED"),
        (replace(OPEN, device=Device("dev_1", revoked=True, registered=True)), "DEVICE_REFUSED"),
        (replace(OPEN, device=Device("dev_1")), ""),
        (replace(OPEN, viewer=Viewer(risk=100)), "RISK_TOO_HIGH"),
    ],
)
def test_each_rule_looks_at_its_facts(known: Facts, reason: str) -> None:
    assert refused(known) == reason


def test_where_only_the_country_is_known_the_strictest_age_of_its_parts_holds() -> None:
    known = replace(
        OPEN, place=Place(ip_address("192.0.2.1"), "US"), device=Device("dev_1", registered=True), streams=0
    )
    assert refused(known, STRICT) == "AGE_PROOF_REQUIRED"
    assert refused(replace(known, place=Place(ip_address("192.0.2.1"), "US-UT")), STRICT) == ""
    assert refused(replace(known, place=Place(ip_address("192.0.2.1"), None)), STRICT) == "AGE_PROOF_REQUIRED"


def test_where_only_registered_devices_may_play_a_name_is_not_enough() -> None:
    strict = RuleSet(1, (replace(Rule.plain(RuleKind.DEVICE), registered_only=True),))
    assert refused(replace(OPEN, device=Device("dev_1", registered=True)), strict) == ""
    assert refused(replace(OPEN, device=Device("dev_1")), strict) == "DEVICE_REFUSED"
    assert refused(OPEN, strict) == "DEVICE_REFUSED"


def test_a_record_of_before_devices_were_known_is_replayed_as_it_was_decided() -> None:
    kept = json.loads(json.dumps(facts_as_json(replace(OPEN, device=Device("dev_1", registered=True)))))
    kept["device"] = ["dev_1", False]
    assert facts_from_json(kept).device == Device("dev_1", registered=True)


def test_a_playback_ends_with_what_it_rests_on() -> None:
    rented = Viewer("usr_1", "free", entitlements=(Entitlement("ent_1", ASSET, end_time=NOW + HOUR),))
    known = replace(OPEN, terms=Terms(entitlement_required=True), viewer=rented)
    assert latest_end(known, NOW + 6 * HOUR) == NOW + HOUR
    bought = replace(rented, entitlements=(*rented.entitlements, Entitlement("ent_2", ASSET)))
    assert latest_end(replace(known, viewer=bought), NOW + 6 * HOUR) == NOW + 6 * HOUR


def test_what_costs_nothing_is_used_before_what_does_and_what_perishes_before_what_lasts() -> None:
    lasting = Entitlement("ent_1", ASSET, max_plays=3)
    perishing = replace(lasting, entitlement_id="ent_2", end_time=NOW + 9 * HOUR)
    begun = Entitlement("ent_3", ASSET, watch=2 * HOUR, plays=1, begin_time=NOW - HOUR)
    known = replace(with_one(), viewer=Viewer("usr_1", entitlements=(lasting, perishing, begun)))
    assert chosen(known, NOW + HOUR) == begun
    assert latest_end(known, NOW + 6 * HOUR) == NOW + HOUR
    without = replace(known, viewer=Viewer("usr_1", entitlements=(lasting, perishing)))
    assert chosen(without, NOW + HOUR) == perishing
    assert chosen(replace(without, viewer=replace(without.viewer, tier="premium")), NOW + HOUR) == perishing
    of_the_tier = Terms(entitlement_required=True, tiers=("premium",))
    assert chosen(replace(without, viewer=replace(without.viewer, tier="premium"), terms=of_the_tier), NOW) is None


def test_an_engine_that_has_no_rule_for_something_says_no() -> None:
    def nothing() -> Decision:
        return decide(RuleSet(1, ()), Kind.SEGMENT, OPEN)

    assert not nothing().allowed
    with pytest.raises(Refusal):
        nothing().required()


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [Rule.plain(RuleKind.WINDOW)],
        [Rule(RuleKind.STANDING, (Kind.PLAYBACK,))],
        [Rule.plain(RuleKind.STANDING), Rule.plain(RuleKind.RISK), Rule.plain(RuleKind.RISK)],
        [Rule.plain(RuleKind.STANDING), Rule(RuleKind.DOWNLOAD, (Kind.SEGMENT,))],
        [
            Rule.plain(RuleKind.STANDING),
            Rule(RuleKind.CONCURRENCY, (Kind.PLAYBACK,), streams_by_tier={"free": 0}),
        ],
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: list[Rule]) -> None:
    with pytest.raises(Refusal, match="RULE_SET_INVALID"):
        checked(rules)
