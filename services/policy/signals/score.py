"""The score of a viewer: what was found, of which half is forgotten after a while. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from services.policy.decision.rules import Rule

HIGHEST: Final = 100
_MOST: Final = 200.0
# More than 100 is not worse, but takes longer to be forgotten.
NEVER: Final = 101
FORGOTTEN_BELOW: Final = 0.5
"""A score that is lower is as good as none."""


class Action(IntEnum):
    """What is done about a score; the numbers are those of the contract."""

    WARN = 1
    STEP_UP = 2
    THROTTLE = 3
    REFUSE = 4


@dataclass(frozen=True, slots=True)
class Risk:
    """A score as it was at a moment. It is shown as a whole number, 100 at most.

    Attributes:
        organisation_id, viewer_id: whose; of a viewer who is not known it is the session's id.
        half_life_seconds: time in which half of it is forgotten.
        warn_time, step_up_time, throttle_time, refuse_time: since when each is done; None while it was never.
        throttle_until: until when playbacks are slowed down; None when they are not.
    """

    organisation_id: str
    viewer_id: str
    score: float
    score_time: datetime
    half_life_seconds: float
    warn_time: datetime | None = None
    step_up_time: datetime | None = None
    throttle_time: datetime | None = None
    refuse_time: datetime | None = None
    throttle_until: datetime | None = None

    def exactly(self, now: datetime) -> float:
        """The score at a later moment, with its fraction, and beyond 100."""
        age = max(0.0, (now - self.score_time).total_seconds())
        return self.score * math.exp2(-age / self.half_life_seconds)

    def at(self, now: datetime) -> int:
        """The score at a later moment, as it is shown and decided by."""
        return min(HIGHEST, math.floor(self.exactly(now) + 0.5))

    def falls_below(self, threshold: int) -> datetime:
        """When it will be lower than a threshold, 1 to 100, if nothing more is found."""
        least = threshold - 0.5
        if self.score < least:
            return self.score_time
        return self.score_time + timedelta(seconds=self.half_life_seconds * math.log2(self.score / least))

    def added(self, weight: int, now: datetime, half_life: timedelta) -> Risk:
        """With something more that was found."""
        return replace(
            self,
            score=min(_MOST, self.exactly(now) + weight),
            score_time=max(now, self.score_time),
            half_life_seconds=half_life.total_seconds(),
        )

    def cleared(self, now: datetime) -> Risk:
        """Set back."""
        return Risk(self.organisation_id, self.viewer_id, 0.0, now, self.half_life_seconds)

    def since(self, action: Action) -> datetime | None:
        """Since when something is done; None when it never was."""
        times = {
            Action.WARN: self.warn_time,
            Action.STEP_UP: self.step_up_time,
            Action.THROTTLE: self.throttle_time,
            Action.REFUSE: self.refuse_time,
        }
        return times[action]


def thresholds(rule: Rule) -> dict[Action, int]:
    """From which score on each is done."""
    return {
        Action.WARN: rule.warn_from,
        Action.STEP_UP: rule.step_up_from,
        Action.THROTTLE: rule.throttle_from,
        Action.REFUSE: rule.refused_from,
    }


def acted(rule: Rule, before: int, after: Risk, now: datetime) -> tuple[Risk, tuple[Action, ...]]:
    """What begins to be done when a score rises, and the risk with that on record.

    Args:
        rule: the organisation's.
        before: the score before.
        after: the risk with what was found.
        now: the moment.
    """
    score = after.at(now)
    new = tuple(action for action, limit in thresholds(rule).items() if before < limit <= score)
    times = {f"{action.name.lower()}_time": now for action in new}
    until = after.falls_below(rule.throttle_from) if score >= rule.throttle_from else after.throttle_until
    return replace(after, **times, throttle_until=until), new  # type: ignore[arg-type]  # all of them are moments
