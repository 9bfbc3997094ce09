"""Keeps people from having mail sent to others: whoever only says that an address is theirs gets a few messages to it, and no more."""

from __future__ import annotations

from services.identity import attempts
from services.identity.attempts import Sending
from services.identity.refusals import sent_too_often
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.sealing import Seal


class Mailing:
    """Counts such messages, together with one-time codes: by address, whether it has an account or not, and by network.

    Whoever asks is told when it is their network that asked too much. That an address was sent too much is told to nobody: it would tell
    that somebody else wanted in there.
    """

    def __init__(self, database: Database, clock: Clock, seal: Seal) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal

    async def asked(self, network: str) -> None:
        """Counts a message against the network that it is asked for from, in a transaction of its own: it counts whatever comes of it.

        Raises:
            Refusal: RESOURCE_EXHAUSTED `SENT_TOO_OFTEN`.
        """
        asking = Sending.of(self._seal, "", network).asked_for
        async with self._database.transaction() as tx:
            wait = await attempts.begin(tx, asking, self._clock.now())
        if wait:
            raise sent_too_often(wait)

    async def may_arrive(self, tx: Tx, address: str) -> bool:
        """Counts a message against its address. Returns whether it may be sent."""
        arriving = Sending.of(self._seal, address, "").arriving
        return not await attempts.begin(tx, arriving, self._clock.now())

    async def used(self, tx: Tx, address: str, network: str) -> None:
        """A code was used by whom it was sent to, so it was wanted: it does not count any more."""
        await attempts.used(tx, Sending.of(self._seal, address, network))
