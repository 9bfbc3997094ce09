"""By which entitlement somebody watches, and what is used of it. Pure.

Most entitlements let watch as often as one likes. Of some the plays are counted, and of some the time runs once the first play has begun: such an
entitlement is limited, and a playback rests on it only as one of its plays.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from services.kit.errors import Refusal
from services.policy import refusals
from services.policy.decision.facts import Entitlement, Facts, Kind
from services.policy.decision.law import within
from services.policy.decision.rules import RuleKind, RuleSet

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def holds(one: Entitlement, facts: Facts) -> bool:
    """Whether an entitlement is for what is asked for, here and now, whatever was used of it."""
    if one.asset_id not in ("", facts.asset_id):
        return False
    if one.start_time is not None and facts.now < one.start_time:
        return False
    if one.end_time is not None and facts.now >= one.end_time:
        return False
    territory = facts.place.territory
    return not one.territories or (territory is not None and within(territory, one.territories))


def is_good(one: Entitlement, facts: Facts) -> bool:
    """Whether somebody may watch by an entitlement."""
    if not holds(one, facts):
        return False
    if not one.limited:
        return True
    if (one.plays > 0) != (one.begin_time is not None):  # one of the two is not known
        return False
    if facts.now >= (window_end(one) or _NEVER):
        return False
    if facts.session_id:  # what is open was counted when it was opened, or rests on something else
        return one.entitlement_id == facts.counted_on
    return not one.max_plays or one.plays < one.max_plays


def window_end(one: Entitlement) -> datetime | None:
    """Until when the first play must begin, or once it has, until when it lasts; None where that is not bounded."""
    if one.begin_time is None:
        return one.begin_by_time
    return None if one.watch is None else one.begin_time + one.watch


def lasts_until(one: Entitlement, now: datetime) -> datetime:
    """Until when somebody who plays now may go on."""
    ends = [one.end_time, None if one.watch is None else (one.begin_time or now) + one.watch]
    return min((end for end in ends if end is not None), default=_NEVER)


def costs(one: Entitlement) -> bool:
    """Whether another play takes something of it: one of its plays, or the beginning of its time."""
    return bool(one.max_plays) or (one.limited and one.begin_time is None)


def chosen(facts: Facts, wanted: datetime) -> Entitlement | None:
    """The entitlement by which somebody watches until a moment; None where there is none, or none is needed.

    What takes nothing goes before what does; then what lasts longest, as far as that was wanted; then what perishes first.
    """
    terms, viewer = facts.terms, facts.viewer
    if not terms.entitlement_required and not terms.tiers:
        return None
    if viewer.tier is not None and viewer.tier in terms.tiers:
        return None
    good = [one for one in viewer.entitlements if is_good(one, facts)]
    return min(good, key=lambda one: _order(one, facts.now, wanted), default=None)


def _order(one: Entitlement, now: datetime, wanted: datetime) -> tuple[bool, float, datetime, str]:
    until = lasts_until(one, now)
    reached = min(until, wanted) - now
    return costs(one), -reached.total_seconds(), min(until, one.begin_by_time or until), one.entitlement_id


def taken_by(rules: RuleSet, kind: Kind, facts: Facts, wanted: datetime) -> Entitlement | None:
    """The limited entitlement of which a playback that is allowed is a play; None where nothing is counted."""
    rule = rules.rule(RuleKind.ENTITLEMENT)
    if rule is None or kind not in rule.applies_to:
        return None
    one = chosen(facts, wanted)
    return one if one is not None and one.limited else None


def why_not(facts: Facts) -> Refusal:
    """Why none of the viewer's entitlements is good: of those that would be for this the newest, else that there is none."""
    for one in reversed(facts.viewer.entitlements):
        if not holds(one, facts) or not one.limited:
            continue
        end = window_end(one)
        if end is not None and facts.now >= end:
            return refusals.rental_over(one.entitlement_id, end)
        if one.max_plays and one.plays >= one.max_plays:
            return refusals.entitlement_used_up(one.entitlement_id, one.max_plays)
    return refusals.entitlement_required(facts.asset_id, facts.terms.tiers)
