"""The counting itself: the generic cell rate algorithm (GCRA, ITU-T I.371), in whole microseconds.

A bucket is one number, the moment at which it will be full again. A bucket whose moment has passed is full, which is the same as a bucket
that nobody has heard of; that makes cleaning up trivial. Over any span, no more calls pass than the burst and what the span refills.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many calls in a span, and so many at once.

    Attributes:
        count: calls that a span refills, 1 or more.
        seconds: length of the span.
        burst: calls that may come at once when none came for long, 1 or more.
    """

    count: int
    seconds: int
    burst: int

    @property
    def interval(self) -> int:
        """Microseconds in which one call is refilled, rounded up: never more than was allowed."""
        return -(-self.seconds * MICROSECONDS // self.count)

    @property
    def window(self) -> int:
        """Microseconds in which an empty bucket fills."""
        return self.interval * self.burst


@dataclass(frozen=True, slots=True)
class Ask:
    """Calls that one bucket is asked for.

    Attributes:
        key: which bucket, 32 bytes.
        limit: what applies to it.
        wanted: how many calls; negative gives back what was taken.
    """

    key: bytes
    limit: Limit
    wanted: int = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """What a bucket gave.

    Attributes:
        granted: how many of the calls wanted may pass.
        full_at: moment at which the bucket will be full, microseconds since 1970.
    """

    granted: int
    full_at: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call at one bucket.

    Attributes:
        allowed: whether it may pass.
        remaining: calls that could pass at once now.
        full_in: microseconds until the bucket is full again.
        retry_in: microseconds until the next call may pass; 0 when it may at once.
    """

    allowed: bool
    remaining: int
    full_in: int
    retry_in: int


def microseconds(moment: datetime) -> int:
    """A moment as whole microseconds since 1970."""
    return round(moment.timestamp() * MICROSECONDS)


def taken(full_at: int, ask: Ask, now: int) -> Taken:
    """Takes as many of the wanted calls out of a bucket as it holds.

    A bucket can be empty at most; one that claims to be emptier was written by a clock that has since been set back, and counts as empty.

    Args:
        full_at: the bucket's moment; any one in the past for a bucket that nobody has heard of.
        ask: what is wanted.
        now: the present, microseconds since 1970.
    """
    begins = min(max(full_at, now), now + ask.limit.window)
    granted = min(ask.wanted, (now + ask.limit.window - begins) // ask.limit.interval)
    return Taken(granted, begins + granted * ask.limit.interval)


def outcome(limit: Limit, full_at: int, now: int, *, allowed: bool) -> Outcome:
    """What a caller is told of a bucket."""
    full_in = min(max(full_at - now, 0), limit.window)
    return Outcome(
        allowed=allowed,
        remaining=(limit.window - full_in) // limit.interval if allowed else 0,
        full_in=full_in,
        retry_in=max(full_in - limit.window + limit.interval, 0),
    )
