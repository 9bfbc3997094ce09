"""What a search's finding leads to: proposals by rule, or nothing at all. Pure.

Only a finding that accuses, with a bound that the rules take for enough, ever leads to a proposal; whatever else comes, or is missing, leads to none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.kit.ids import new_id
from services.protection.leaks.domain import Action, ActionKind, Case
from services.protection.leaks.rules import Rules

ACCUSED: Final = "OUTCOME_ACCUSED"
_UNNAMED: Final = {
    "OUTCOME_TITLE_NOT_FOUND": "the film shows none of the watermarked titles",
    "OUTCOME_NOT_ENOUGH_EVIDENCE": "the film is too short or too damaged to accuse anybody, or bears no mark",
    "OUTCOME_NOBODY_ACCUSED": "the film can be read, but points to no session that is known",
}
_MEANS: Final = {
    ActionKind.REVOKE_SESSION: "This session ends at every edge. A new one can be opened.",
    ActionKind.BLOCK_VIEWER: "Whatever plays stops, and nothing new can be opened {until}.",
    ActionKind.NOTIFY_VIEWER: "An e-mail says what was done, why, and how to appeal.",
}


@dataclass(frozen=True, slots=True)
class Suspect:
    """A session that a finding accuses, and the bound on the chance that it was anybody else."""

    session_id: str
    viewer_id: str
    false_positive: float


def suspects(finding: Mapping[str, Any], rules: Rules) -> list[Suspect]:
    """Whom a finding (the JSON form of the contract's `Finding`) accuses with as good a bound as the rules ask for."""
    if finding.get("outcome") != ACCUSED:
        return []
    found = []
    for one in finding.get("suspects", ()):
        # A bound that is missing is zero in JSON of protobuf, and no bound of ours is: it would be a certainty.
        bound = float(one.get("false_positive", 0.0))
        if one.get("session_id") and math.isfinite(bound) and 0 < bound <= rules.accusation.proposed_up_to:
            found.append(Suspect(one["session_id"], one.get("viewer_id", ""), bound))
    return found


def unnamed(finding: Mapping[str, Any], rules: Rules) -> str:
    """Why a finding names nobody, for people."""
    outcome = finding.get("outcome", "")
    if outcome == ACCUSED:
        return f"nobody is accused with a bound of {rules.accusation.proposed_up_to:.0e} or better, which the rules ask for"
    return _UNNAMED.get(outcome, "the search came to no result")


def proposals(
    case: Case, found: Sequence[Suspect], strikes: Mapping[str, int], rules: Rules, now: datetime
) -> list[Action]:
    """What the rules propose. `strikes` says how many strikes of other cases each viewer has that count."""
    made = []
    for one in found:
        strike = strikes.get(one.viewer_id, 0) + 1 if one.viewer_id else 1
        rung = rules.strikes.rung(strike)
        kinds = [kind for kind in rung.actions if one.viewer_id or kind is ActionKind.REVOKE_SESSION]
        for kind in kinds:
            until = f"for {rung.block_days} days" if rung.block_days else "until it is taken back"
            made.append(
                Action(
                    action_id=new_id("lka"),
                    case_id=case.case_id,
                    organisation_id=case.organisation_id,
                    kind=kind,
                    session_id=one.session_id,
                    viewer_id=one.viewer_id,
                    false_positive=one.false_positive,
                    alone_up_to=rules.accusation.alone_up_to,
                    strike=strike,
                    explanation=f"{_reason(case, one, strike)} {_MEANS[kind].format(until=until)}",
                    rules=rules.version,
                    revocation_id=new_id("rvk") if kind is ActionKind.BLOCK_VIEWER else "",
                    create_time=now,
                )
            )
    return made


def _reason(case: Case, one: Suspect, strike: int) -> str:
    where = f" on {case.platform}" if case.platform else ""
    which = f" It is strike {strike}." if one.viewer_id else ""
    return (
        f"A copy that was found{where} bears the watermark of this playback session; the chance that it is the copy of anybody else is at most "
        f"{one.false_positive:.1e}.{which}"
    )
