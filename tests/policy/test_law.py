"""What is asked for by place, as it is decided: laws about age, bans, ratings. Pure."""

from __future__ import annotations

from dataclasses import replace

from services.policy.decision.engine import decide, latest_end
from services.policy.decision.facts import AgeProof, Device, Facts, Kind, Place, Terms, Viewer
from services.policy.decision.law import Accepted, Action, AgeLaw, Ban, Classification, Rating, Table, TagBan
from services.policy.decision.rules import FIRST_RULES
from tests.policy.test_engine import HOUR, NOW, OPEN, refused

IN_TEXAS = AgeLaw(
    territory="US-TX",
    start_time=NOW - HOUR,
    threshold=18,
    titles_from=18,
    action=Action.VERIFY,
    methods=(Accepted("document", HOUR, each_device=True), Accepted("eu-age-verification")),
)
IN_UTAH = AgeLaw(territory="US-UT", threshold=18, titles_from=18, action=Action.BLOCK)
FOR_ADULTS = Terms(least_age=18)
BY_CARD = AgeProof(18, NOW + 9 * HOUR, "credit-card", NOW)
BY_DOCUMENT = AgeProof(18, NOW + 9 * HOUR, "document", NOW - HOUR / 2, "dev_1")


def under(*rows: AgeLaw, least_age: int = 18, proofs: tuple[AgeProof, ...] = (), territory: str | None = None) -> Facts:
    """A film under laws, and somebody who proved something."""
    law = Table(ages=rows).about(least_age, Classification())
    shown = replace(OPEN, terms=Terms(least_age=least_age), law=law, place=Place(None, territory))
    return replace(shown, viewer=Viewer("usr_1", age_proofs=proofs), device=Device("dev_1", registered=True))


def test_where_the_law_names_methods_only_these_prove_an_age() -> None:
    """Elsewhere every proof is good, as before there were laws."""
    assert refused(under(IN_TEXAS, proofs=(BY_CARD,), territory="US-LA")) == ""
    assert refused(under(IN_TEXAS, proofs=(BY_CARD,), territory="US-TX")) == "AGE_PROOF_REQUIRED"
    assert refused(under(IN_TEXAS, proofs=(BY_CARD, BY_DOCUMENT), territory="US-TX")) == ""


def test_the_refusal_says_what_would_lift_it() -> None:
    refusal = decide(FIRST_RULES, Kind.PLAYBACK, under(IN_TEXAS, territory="US-TX")).refusal
    assert refusal is not None
    assert refusal.metadata == {
        "threshold": "18",
        "methods": "document,eu-age-verification",
        "start": "/v1/ageChecks",
    }


def test_a_proof_is_good_where_it_is_no_longer_than_the_law_there_says_and_on_its_device() -> None:
    known = under(IN_TEXAS, proofs=(BY_DOCUMENT,), territory="US-TX")
    assert latest_end(known, NOW + 6 * HOUR) == NOW + HOUR / 2
    assert refused(replace(known, now=NOW + HOUR / 2)) == "AGE_PROOF_REQUIRED"
    assert refused(replace(known, device=Device("dev_2", registered=True))) == "AGE_PROOF_REQUIRED"
    assert refused(replace(known, device=Device())) == "AGE_PROOF_REQUIRED"


def test_a_law_that_blocks_is_lifted_by_no_proof() -> None:
    known = under(IN_TEXAS, IN_UTAH, proofs=(BY_DOCUMENT,), territory="US-UT")
    refusal = decide(FIRST_RULES, Kind.PLAYBACK, known).refusal
    assert refusal is not None
    assert (refusal.reason, refusal.metadata["cause"]) == ("TERRITORY_REFUSED", "age-law")
    assert refused(replace(known, place=Place(None, "US-TX"))) == ""


def test_a_law_counts_in_its_time_and_for_the_titles_that_it_means() -> None:
    known = under(IN_TEXAS, proofs=(BY_CARD,), territory="US-TX")
    assert refused(replace(known, now=NOW - 2 * HOUR)) == ""
    assert refused(under(IN_TEXAS, least_age=16, territory="US-TX")) == ""
    ended = replace(IN_TEXAS, end_time=NOW)
    assert refused(under(ended, proofs=(BY_CARD,), territory="US-TX")) == ""


def test_a_law_that_allows_lifts_nothing_that_the_organisation_asks_for() -> None:
    allowing = replace(IN_TEXAS, action=Action.ALLOW, methods=())
    assert refused(under(allowing, territory="US-TX")) == "AGE_PROOF_REQUIRED"
    assert refused(under(allowing, proofs=(BY_CARD,), territory="US-TX")) == ""


def test_where_the_place_is_not_known_a_proof_must_be_good_wherever_it_may_be() -> None:
    elsewhere = replace(IN_TEXAS, territory="FR", methods=(Accepted("document"),))
    both = under(IN_TEXAS, elsewhere, proofs=(BY_DOCUMENT,))
    assert refused(both) == ""
    assert refused(replace(both, viewer=Viewer("usr_1", age_proofs=(BY_CARD,)))) == "AGE_PROOF_REQUIRED"
    by_no_method = replace(IN_TEXAS, territory="FR", methods=(Accepted("credit-card"),))
    assert refused(under(IN_TEXAS, by_no_method, proofs=(BY_DOCUMENT, BY_CARD))) == "TERRITORY_UNKNOWN"
    assert refused(under(IN_UTAH, proofs=(BY_DOCUMENT,))) == "TERRITORY_UNKNOWN"


def test_what_has_a_refused_tag_is_not_shown_there_nor_anything_where_all_is_closed() -> None:
    table = Table(
        closed=(Ban(territory="DE", start_time=NOW, cause="closed"),),
        tags=(TagBan(territory="FR", tags=frozenset({"gore", "smoking"})),),
    )
    tagged = replace(OPEN, law=table.about(0, Classification(tags=frozenset({"smoking"}))))
    assert refused(replace(tagged, place=Place(None, "FR-IDF"))) == "TERRITORY_REFUSED"
    assert refused(replace(tagged, place=Place(None, "US"))) == ""
    assert refused(tagged) == "TERRITORY_UNKNOWN"
    plain = replace(OPEN, law=table.about(0, Classification()))
    assert refused(replace(plain, place=Place(None, "FR-IDF"))) == ""
    assert refused(replace(plain, place=Place(None, "DE-BE"))) == "TERRITORY_REFUSED"
    assert refused(replace(plain, place=Place(None, "DE-BE"), now=NOW - HOUR)) == ""


def test_a_rating_of_the_place_goes_before_the_one_that_is_good_elsewhere() -> None:
    rated = Classification(ratings=(Rating(territory="DE", age=16), Rating(territory="US", age=12)))
    known = replace(OPEN, terms=Terms(maturity=18), law=Table().about(0, rated), viewer=Viewer("usr_1", maturity=16))
    assert refused(replace(known, place=Place(None, "DE-BE"))) == ""
    assert refused(replace(known, place=Place(None, "FR"))) == "MATURITY_EXCEEDED"
    assert refused(known) == "MATURITY_EXCEEDED"
    assert refused(replace(known, viewer=Viewer("usr_1", maturity=12), place=Place(None, "DE"))) == "MATURITY_EXCEEDED"
