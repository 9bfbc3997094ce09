"""Hands payouts over to who transfers money, and takes up what became of them.

A transfer is known to its adapter by the payout's id, for ever: whoever dies between the call and the note of it asks again, and gets the same
transfer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import structlog

from services.kit import telemetry
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.sealing import Seal
from services.kit.uncancelled import heed_cancellation
from services.payments.payouts import payees, store
from services.payments.payouts.bank_accounts import BankAccount
from services.payments.payouts.domain import Payout, PayoutState
from services.payments.payouts.paying import Paying

log = structlog.stdlib.get_logger()
_MOST_BATCHES: Final = 100


class TransferState(Enum):
    """What became of a transfer."""

    UNKNOWN = "unknown"
    SENT = "sent"
    SETTLED = "settled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an adapter says of a transfer.

    Attributes:
        state: UNKNOWN when it cannot be told: it is asked again.
        reference: by what the bank knows it; empty when it said none.
        reason: why it failed.
    """

    state: TransferState
    reference: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that is to go to a bank account.

    Attributes:
        key: by which it is one and the same, however often it is asked for: the payout's id.
    """

    key: str
    minor_units: int
    currency: str
    account: BankAccount


class TransferAdapter(Protocol):
    """Whoever transfers money."""

    name: str

    async def transfer(self, wanted: Transfer) -> Outcome:
        """Begins a transfer, or says what became of the one that was begun under this key."""
        ...


class Manual:
    """A person with a file: it is with the bank when they say so, and has arrived when they confirm it."""

    name = "manual"

    async def transfer(self, wanted: Transfer) -> Outcome:
        """Nobody knows but the bank; a person will confirm it."""
        del wanted
        return Outcome(TransferState.SENT)


class Transferring:
    """Moves payouts of batches that were sent on."""

    def __init__(self, database: Database, paying: Paying, seal: Seal, adapter: TransferAdapter) -> None:
        self._database = database
        self._paying = paying
        self._seal = seal
        self._adapter = adapter

    async def once(self) -> int:
        """Looks once through everything that is on its way. Returns how many payouts ended."""
        async with self._database.transaction() as tx:
            batches = await store.on_their_way(tx, _MOST_BATCHES)
        moved = 0
        for batch in batches:
            async with self._database.transaction() as tx:
                made = await store.of_batch(tx, batch.payout_batch_id)
                ids = [payout.bank_account_id for payout in made]
                accounts = await payees.bank_accounts_of(tx, self._seal, ids)
            for payout in made:
                heed_cancellation()
                moved += await self._moved(payout, accounts)
        return moved

    async def _moved(self, payout: Payout, accounts: Mapping[str, BankAccount]) -> bool:
        if payout.state not in (PayoutState.PENDING, PayoutState.SENT):
            return False
        actor = f"transfer/{self._adapter.name}"
        if payout.state is PayoutState.PENDING:
            # Noted before it is done: from here on nobody can take it for one that was never sent.
            async with self._database.transaction() as tx:
                payout = await self._paying.handed_over(tx, payout.organisation_id, payout.payout_id, actor)
            if payout.state is not PayoutState.SENT:
                return False
        account = accounts[payout.bank_account_id]
        outcome = await self._adapter.transfer(Transfer(payout.payout_id, payout.minor_units, payout.currency, account))
        return await self._ended(payout, outcome, actor)

    async def _ended(self, payout: Payout, outcome: Outcome, actor: str) -> bool:
        whose, payout_id = payout.organisation_id, payout.payout_id
        try:
            async with self._database.transaction() as tx:
                match outcome.state:
                    case TransferState.FAILED:
                        await self._paying.void(tx, whose, payout_id, outcome.reason or "the transfer failed", actor)
                    case TransferState.SETTLED:
                        await self._paying.confirm(tx, whose, payout_id, outcome.reference or payout_id, actor)
                    case _:
                        return False
        except Refusal as refusal:  # a person ended it meanwhile
            log.warning("a transfer ended, and its payout cannot", payout_id=payout_id, reason=refusal.reason)
            return False
        return True

    async def run(self, every: float) -> None:
        """Looks every so many seconds, until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except Exception as error:  # the database or the bank may be away for a moment
                log.warning("transfers put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)
