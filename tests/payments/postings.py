"""Entries straight into the ledger, for tests of the ledger itself."""

from __future__ import annotations

import hashlib
from datetime import datetime

from services.kit.database import Database
from services.kit.ids import new_id
from services.payments.ledger import store
from services.payments.ledger.domain import Account, AccountKind, Direction, Draft, EntryKind, Posting
from services.payments.ledger.store import Posted
from tests.payments.scene import T0

ORGANISATION = new_id("org")


def wallet(owner_id: str, currency: str = "USD") -> Account:
    """An account that grows by credits."""
    return Account(AccountKind.CREATOR_PENDING, owner_id, currency)


def transfer(giver: Account, taker: Account, minor_units: int, *, guarded: bool = False) -> tuple[Posting, ...]:
    return (
        Posting(giver, Direction.DEBIT, minor_units, guarded=guarded),
        Posting(taker, Direction.CREDIT, minor_units),
    )


def draft(reference: str, postings: tuple[Posting, ...], *, content: str = "", reverses: str = "") -> Draft:
    """An entry by its reference; `content` tells apart what is asked for under one."""
    kind = EntryKind.REVERSAL if reverses else EntryKind.SALE
    digest = hashlib.sha256((content or repr(postings)).encode()).digest()
    return Draft(ORGANISATION, kind, reference, digest, postings, T0, reverses)


async def posted(database: Database, wanted: Draft, now: datetime = T0) -> Posted:
    """Makes an entry in a transaction of its own."""
    async with database.transaction() as tx:
        return await store.post(tx, wanted, now)


async def held(database: Database, account: Account) -> int:
    """What an account holds; 0 when there is none."""
    async with database.transaction() as tx:
        balance = await store.balance_of(tx, ORGANISATION, account)
    return balance.minor_units if balance else 0
