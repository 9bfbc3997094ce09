"""Releases reserves that were held for long enough: once a day for each creator and currency, by an entry of its own.

Split rules set a reserve aside when money comes in. What of it is old enough follows from the ledger alone, so a day that was missed, or a process
that died, costs nothing: the next look releases what is due.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import sqlalchemy as sa
import structlog
from reelmesh.payments.v1 import events_pb2

from services.kit import telemetry
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.events import announce
from services.payments.ledger import store as ledger
from services.payments.ledger.domain import Account, AccountKind, Direction, Draft, EntryKind, Posting
from services.payments.payouts.domain import Standing
from services.payments.payouts.payable import Asked, standings

log = structlog.stdlib.get_logger()
_KEPT: Final = sa.text(
    "SELECT DISTINCT a.organisation_id, a.currency FROM accounts a JOIN balances b ON b.account_id = a.account_id"
    " WHERE a.kind = :kind AND b.credits > b.debits"
)


class Releasing:
    """Gives reserves back that are old enough."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def once(self) -> int:
        """Looks once through all reserves. Returns how many entries it made."""
        async with self._database.transaction() as tx:
            found = (await tx.execute(_KEPT, {"kind": int(AccountKind.RESERVE)})).all()
        made = 0
        for organisation_id, currency in found:
            asked = Asked(organisation_id, currency, self._clock.now(), AccountKind.RESERVE, only_above_zero=True)
            async with self._database.transaction() as tx:
                reserves = await standings(tx, asked)
            for reserve in reserves:
                # Of a creator of whom nobody said for how long, all is held.
                if reserve.payee and reserve.balance > reserve.held:
                    made += await self._released(organisation_id, reserve)
        return made

    async def _released(self, organisation_id: str, reserve: Standing) -> bool:
        now = self._clock.now()
        creator_id, currency, units = reserve.creator_id, reserve.currency, reserve.balance - reserve.held
        reference = f"reserve/{creator_id}/{currency}/{now.date().isoformat()}"
        draft = Draft(
            organisation_id,
            EntryKind.RESERVE_RELEASED,
            reference,
            hashlib.sha256(reference.encode()).digest(),
            (
                Posting(Account(AccountKind.RESERVE, creator_id, currency), Direction.DEBIT, units, guarded=True),
                Posting(Account(AccountKind.CREATOR_PENDING, creator_id, currency), Direction.CREDIT, units),
            ),
            now,
        )
        try:
            async with self._database.transaction() as tx:
                posted = await ledger.post(tx, draft, now)
                if not posted.fresh:  # today's was made before
                    return False
                event = events_pb2.ReserveReleased(
                    organisation_id=organisation_id,
                    creator_id=creator_id,
                    entry_id=posted.entry_id,
                    minor_units=units,
                    currency=currency,
                    release_time=timestamp(now),
                )
                await announce(tx, event)
                return True
        except Refusal as refusal:  # a refund took of it at this very moment; tomorrow is another day
            log.info("a reserve was not released", creator_id=creator_id, reason=refusal.reason)
            return False

    async def run(self, every: float) -> None:
        """Looks every so many seconds, until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except Exception as error:  # the database may be away for a moment; there is no hurry
                log.warning("reserves put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)
