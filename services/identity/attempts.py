"""Guessing, made slow: wrong attempts are counted by whom they are about and by where they come from.

An attempt is counted before it is looked at and forgiven when it was right, so a hundred guesses at the same moment count as a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.sealing import Seal

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


FROM_ONE_PLACE: Final = Limit(5, timedelta(seconds=15), timedelta(hours=1))
"""About one account from one network. Somebody else's guesses do not lock a person out at home."""
ABOUT_ONE_ACCOUNT: Final = Limit(50, timedelta(seconds=15), timedelta(minutes=15))
"""About one account from anywhere: what a botnet can do."""
OF_ONE_NETWORK: Final = Limit(200, timedelta(seconds=15), timedelta(minutes=15))
"""About any account from one network, which may be a whole school."""


TO_ONE_ADDRESS: Final = Limit(3, timedelta(minutes=1), timedelta(hours=1))
"""Messages that anybody can have sent to one address or number, whether it has an account or not."""
BY_ONE_ACCOUNT: Final = Limit(5, timedelta(minutes=1), timedelta(hours=1))
"""Codes that one person has sent to numbers."""
TO_ANYBODY: Final = Limit(200, timedelta(seconds=15), timedelta(minutes=15))
"""Such messages that were asked for from one network, which may be a whole school, and whose codes were not used."""
ABOUT_ONE_PIN: Final = Limit(4, timedelta(seconds=15), timedelta(minutes=15))
"""PINs of one account: four wrong ones cost nothing, the fifth costs time."""


class Counted(Protocol):
    """Something that is counted, and limited by its counts."""

    @property
    def limits(self) -> Sequence[tuple[bytes, Limit]]:
        """Each key with its limit, in one order for all, so that two attempts never wait for each other."""
        ...


@dataclass(frozen=True, slots=True)
class Guess:
    """What one attempt counts against.

    Attributes:
        account: keyed digest of the address, whether it has an account or not.
        place: of the address and the network.
        network: of the network.
    """

    account: bytes
    place: bytes
    network: bytes

    @classmethod
    def of(cls, seal: Seal, who: str, network: str) -> Guess:
        """An attempt about `who` from `network`."""
        return cls(seal.digest("account", who), seal.digest("place", who, network), seal.digest("network", network))

    @property
    def limits(self) -> Sequence[tuple[bytes, Limit]]:
        """Each key with its limit, in one order for all, so that two attempts never wait for each other."""
        pairs = [
            (self.account, ABOUT_ONE_ACCOUNT),
            (self.place, FROM_ONE_PLACE),
            (self.network, OF_ONE_NETWORK),
        ]
        return sorted(pairs, key=lambda pair: pair[0])


@dataclass(frozen=True, slots=True)
class Sending:
    """What one code that is sent counts against.

    Attributes:
        address: keyed digest of the address or number, whether it has an account or not.
        network: of the network that it was asked for from.
        account: of the account of who asks; empty when nobody is signed in.
    """

    address: bytes
    network: bytes
    account: bytes

    @classmethod
    def of(cls, seal: Seal, to: str, network: str, account_id: str = "") -> Sending:
        """A code to an address or number, asked for from a network, by somebody who is signed in where `account_id` says so."""
        account = seal.digest("sent by", account_id) if account_id else b""
        return cls(seal.digest("sent to", to), seal.digest("sent from", network), account)

    @property
    def limits(self) -> Sequence[tuple[bytes, Limit]]:
        """As above."""
        pairs = [(self.address, TO_ONE_ADDRESS), (self.network, TO_ANYBODY)]
        if self.account:
            pairs.append((self.account, BY_ONE_ACCOUNT))
        return sorted(pairs, key=lambda pair: pair[0])

    @property
    def asked_for(self) -> Alone:
        """What it counts against at whoever asks."""
        return Alone([(self.network, TO_ANYBODY)])

    @property
    def arriving(self) -> Alone:
        """What it counts against at whoever gets it."""
        return Alone([(self.address, TO_ONE_ADDRESS)])


@dataclass(frozen=True, slots=True)
class Alone:
    """One count by itself."""

    limits: Sequence[tuple[bytes, Limit]]


@dataclass(frozen=True, slots=True)
class PinGuess:
    """What one PIN counts against."""

    limits: Sequence[tuple[bytes, Limit]]

    @classmethod
    def of(cls, seal: Seal, account_id: str) -> PinGuess:
        """A PIN of one of an account's profiles."""
        return cls([(seal.digest("pin of", account_id), ABOUT_ONE_PIN)])


async def begin(tx: Tx, guess: Counted, now: datetime) -> timedelta:
    """Counts an attempt. Returns how long to wait instead of making it; nothing when it may be made. An attempt that must wait counts
    for nothing."""
    counted: list[tuple[bytes, int, Limit]] = []
    for key, limit in guess.limits:
        blank = {"key": key, "failures": 0, "blocked_until": _NEVER, "forget_time": now + _FORGET_AFTER}
        await tx.execute(insert(attempts).values(**blank).on_conflict_do_nothing())
        row = (await tx.execute(sa.select(attempts).where(attempts.c.key == key).with_for_update())).one()
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


async def forgive(tx: Tx, guess: Guess) -> None:
    """The attempt was right: what was counted about the account is forgotten, and the network gets its one back."""
    await _forget(tx, [guess.account, guess.place])
    await _give_back(tx, guess.network)


async def used(tx: Tx, sending: Sending) -> None:
    """A code was asked for by whom it was sent to, as its use shows: it counts against nobody."""
    await _forget(tx, [sending.address, sending.account])
    await _give_back(tx, sending.network)


async def forget(tx: Tx, counted: Counted) -> None:
    """What was counted is forgotten."""
    await _forget(tx, [key for key, _ in counted.limits])


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes counts that nobody added to for a day."""
    await tx.execute(sa.delete(attempts).where(attempts.c.forget_time < now))


async def _forget(tx: Tx, keys: Sequence[bytes]) -> None:
    await tx.execute(sa.delete(attempts).where(attempts.c.key.in_(keys)))


async def _give_back(tx: Tx, key: bytes) -> None:
    await tx.execute(
        sa.update(attempts)
        .where(attempts.c.key == key, attempts.c.failures > 0)
        .values(failures=attempts.c.failures - 1)
    )
