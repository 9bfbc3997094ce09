"""Guessing, made slow: wrong attempts are counted under keys, each with its limit.

An attempt is counted before it is looked at and forgiven when it was right, so a hundred guesses at the same moment count as a hundred. Whoever
counts has a table `attempts` in their schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx

attempts: Final = sa.Table(
    "attempts",
    sa.MetaData(),
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("failures", sa.Integer),
    sa.Column("blocked_until", sa.DateTime(timezone=True)),
    sa.Column("forget_time", sa.DateTime(timezone=True)),
)
_FORGET_AFTER: Final = timedelta(days=1)
_NEVER: Final = datetime.fromtimestamp(0, UTC)
"""Until when somebody is kept waiting who is not. The present moment would not do: of two attempts at once, the one that is counted second
may have read the clock first."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many wrong attempts cost nothing, and how long the next ones cost: `first`, doubling up to `longest`."""

    free: int
    first: timedelta
    longest: timedelta

    def wait(self, failures: int) -> timedelta:
        """How long to wait after so many wrong attempts."""
        over = failures - self.free
        if over <= 0:
            return timedelta()
        return min(self.first * (1 << min(over - 1, 20)), self.longest)


class Counted(Protocol):
    """Something that is counted, and limited by its counts."""

    @property
    def limits(self) -> Sequence[tuple[bytes, Limit]]:
        """Each key with its limit, in one order for all, so that two attempts never wait for each other."""
        ...


@dataclass(frozen=True, slots=True)
class Alone:
    """One count by itself."""

    limits: Sequence[tuple[bytes, Limit]]


async def begin(tx: Tx, guess: Counted, now: datetime) -> timedelta:
    """Counts an attempt. Returns how long to wait instead of making it; nothing when it may be made. An attempt that must wait counts
    for nothing."""
    counted: list[tuple[bytes, int, Limit]] = []
    for key, limit in guess.limits:
        blank = {"key": key, "failures": 0, "blocked_until": _NEVER, "forget_time": now + _FORGET_AFTER}
        # By one statement: between two, somebody who was right may forget the row.
        held = insert(attempts).values(**blank).on_conflict_do_update(index_elements=["key"], set_={"key": key})
        row = (await tx.execute(held.returning(attempts))).one()
        blocked_until: datetime = row.blocked_until
        if blocked_until > now:
            return blocked_until - now
        counted.append((key, (row.failures if row.forget_time > now else 0) + 1, limit))
    for key, failures, limit in counted:
        wait = limit.wait(failures)
        await tx.execute(
            sa.update(attempts)
            .where(attempts.c.key == key)
            .values(failures=failures, blocked_until=now + wait if wait else _NEVER, forget_time=now + _FORGET_AFTER)
        )
    return timedelta()


async def forget(tx: Tx, counted: Counted) -> None:
    """What was counted is forgotten."""
    await forget_keys(tx, [key for key, _ in counted.limits])


async def forget_keys(tx: Tx, keys: Sequence[bytes]) -> None:
    """What was counted under keys is forgotten."""
    await _hold(tx, keys)
    await tx.execute(sa.delete(attempts).where(attempts.c.key.in_(keys)))


async def forgive(tx: Tx, forgotten: Sequence[bytes], given_back: bytes) -> None:
    """An attempt was right: what was counted under some keys is forgotten, and under another one attempt fewer is counted."""
    await _hold(tx, [*forgotten, given_back])
    await tx.execute(sa.delete(attempts).where(attempts.c.key.in_(forgotten)))
    await tx.execute(
        sa.update(attempts)
        .where(attempts.c.key == given_back, attempts.c.failures > 0)
        .values(failures=attempts.c.failures - 1)
    )


async def _hold(tx: Tx, keys: Sequence[bytes]) -> None:
    """Takes keys in the order in which attempts take them (`Counted.limits`)."""
    await tx.execute(
        sa.select(attempts.c.key).where(attempts.c.key.in_(keys)).order_by(attempts.c.key).with_for_update()
    )


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes counts that nobody added to for a day; what is being counted now stays until the next time."""
    old = sa.select(attempts.c.key).where(attempts.c.forget_time < now).with_for_update(skip_locked=True)
    await tx.execute(sa.delete(attempts).where(attempts.c.key.in_(old)))
