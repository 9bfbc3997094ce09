"""Whom wrong attempts are about and where they come from; `services.kit.attempts` counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.kit import attempts as kit
from services.kit.attempts import Alone, Counted, Limit, attempts, begin, forget, forget_old
from services.kit.database import Tx
from services.kit.sealing import Seal

__all__ = [
    "ABOUT_ONE_ACCOUNT",
    "ABOUT_ONE_PIN",
    "BY_ONE_ACCOUNT",
    "FROM_ONE_PLACE",
    "OF_ONE_NETWORK",
    "TO_ANYBODY",
    "TO_ONE_ADDRESS",
    "Alone",
    "Counted",
    "Guess",
    "Limit",
    "PinGuess",
    "Sending",
    "attempts",
    "begin",
    "forget",
    "forget_old",
    "forgive",
    "used",
]

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
class PinGuess:
    """What one PIN counts against."""

    limits: Sequence[tuple[bytes, Limit]]

    @classmethod
    def of(cls, seal: Seal, account_id: str) -> PinGuess:
        """A PIN of one of an account's profiles."""
        return cls([(seal.digest("pin of", account_id), ABOUT_ONE_PIN)])


async def forgive(tx: Tx, guess: Guess) -> None:
    """The attempt was right: what was counted about the account is forgotten, and the network gets its one back."""
    await kit.forgive(tx, [guess.account, guess.place], guess.network)


async def used(tx: Tx, sending: Sending) -> None:
    """A code was asked for by whom it was sent to, as its use shows: it counts against nobody."""
    await kit.forgive(tx, [sending.address, sending.account], sending.network)
