"""The tables of the ledger. Their triggers (`migrations/0001_first_tables.py`) hold its rules, whoever writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn

import sqlalchemy as sa
from asyncpg.exceptions import CheckViolationError, NumericValueOutOfRangeError, UniqueViolationError
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.ids import new_id
from services.kit.pagination import Page
from services.payments import refusals
from services.payments.ledger.domain import (
    DEBIT_NORMAL,
    Account,
    AccountKind,
    Balance,
    Direction,
    Draft,
    Entry,
    EntryKind,
    KeptPosting,
)

_METADATA: Final = sa.MetaData()

accounts: Final = sa.Table(
    "accounts",
    _METADATA,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("owner_id", sa.Text),
    sa.Column("currency", sa.Text),
    sa.Column("debit_normal", sa.Boolean),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
entries: Final = sa.Table(
    "entries",
    _METADATA,
    sa.Column("entry_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("reference", sa.Text),
    sa.Column("content_sha256", sa.LargeBinary),
    sa.Column("posting_count", sa.Integer),
    sa.Column("reverses_entry_id", sa.Text),
    sa.Column("description", sa.Text),
    sa.Column("occur_time", sa.DateTime(timezone=True)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
postings: Final = sa.Table(
    "postings",
    _METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True),
    sa.Column("entry_id", sa.Text),
    sa.Column("account_id", sa.Text),
    sa.Column("currency", sa.Text),
    sa.Column("direction", sa.SmallInteger),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("guarded", sa.Boolean),
    sa.Column("number", sa.BigInteger),
    sa.Column("balance", sa.BigInteger),
    sa.Column("book_time", sa.DateTime(timezone=True)),
)
balances: Final = sa.Table(
    "balances",
    _METADATA,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("debits", sa.BigInteger),
    sa.Column("credits", sa.BigInteger),
    sa.Column("postings", sa.BigInteger),
    sa.Column("book_time", sa.DateTime(timezone=True)),
)
_BALANCE: Final = sa.select(
    accounts.c.account_id,
    accounts.c.kind,
    accounts.c.owner_id,
    accounts.c.currency,
    balances.c.debits,
    balances.c.credits,
    balances.c.postings,
).join(balances, balances.c.account_id == accounts.c.account_id)


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a draft.

    Attributes:
        entry_id: the entry, be it new or the one that was made of the same draft before.
        fresh: whether it was made just now.
    """

    entry_id: str
    fresh: bool


async def post(tx: Tx, draft: Draft, now: datetime) -> Posted:
    """Makes an entry, and moves the balances of its accounts.

    The reference is claimed first: of two with the same one, the second waits here until the first has ended, and then finds it made, or claims
    it itself if the first was refused. Accounts are locked in the order of their ids, after everything else, so entries that meet wait for
    each other and never in a ring; whoever posts does it once in a transaction, and does little after.

    Raises:
        Refusal: `REFERENCE_REUSED`, `ALREADY_REVERSED`, `OVERDRAFT`, `BALANCE_OUT_OF_RANGE`, or what is wrong with the draft.
    """
    draft = draft.checked()
    entry_id = new_id("jnl")
    claim = (
        insert(entries)
        .values(
            entry_id=entry_id,
            organisation_id=draft.organisation_id,
            kind=draft.kind,
            reference=draft.reference,
            content_sha256=draft.content,
            posting_count=len(draft.postings),
            reverses_entry_id=draft.reverses_entry_id,
            description=draft.description,
            occur_time=draft.occur_time,
            create_time=now,
        )
        .on_conflict_do_nothing(index_elements=["organisation_id", "reference"])
        .returning(entries.c.entry_id)
    )
    try:
        if (await tx.execute(claim)).one_or_none() is None:
            return Posted(await _made_before(tx, draft), fresh=False)
        ids = await opened(tx, draft.organisation_id, {posting.account for posting in draft.postings}, now)
        rows = [
            {
                "entry_id": entry_id,
                "account_id": ids[posting.account],
                "currency": posting.account.currency,
                "direction": posting.direction,
                "minor_units": posting.minor_units,
                "guarded": posting.guarded,
                "book_time": now,
            }
            for posting in draft.postings
        ]
        await tx.execute(sa.insert(postings).values(sorted(rows, key=lambda row: str(row["account_id"]))))
    except sa.exc.DBAPIError as error:
        _refuse(error, draft)
    return Posted(entry_id, fresh=True)


def _refuse(error: sa.exc.DBAPIError, draft: Draft) -> NoReturn:
    match error.orig and error.orig.__cause__:
        case CheckViolationError(constraint_name="no_overdraft"):
            raise refusals.overdraft() from error
        case NumericValueOutOfRangeError():
            raise refusals.balance_out_of_range() from error
        case UniqueViolationError(constraint_name="one_reversal"):
            raise refusals.already_reversed(draft.reverses_entry_id) from error
    raise error


async def _made_before(tx: Tx, draft: Draft) -> str:
    entry = await by_reference(tx, draft.organisation_id, draft.reference, draft.content)
    if entry is None:
        raise LookupError(f"{draft.reference} is claimed by an entry that is not there")
    return entry


async def by_reference(tx: Tx, organisation_id: str, reference: str, content: bytes) -> str | None:
    """Id of the entry with a reference; None when there is none.

    Raises:
        Refusal: FAILED_PRECONDITION `REFERENCE_REUSED` when it was made of something else.
    """
    query = sa.select(entries.c.entry_id, entries.c.content_sha256).where(
        entries.c.organisation_id == organisation_id, entries.c.reference == reference
    )
    found = (await tx.execute(query)).one_or_none()
    if found is None:
        return None
    if found.content_sha256 != content:
        raise refusals.reference_reused(reference)
    return str(found.entry_id)


async def opened(tx: Tx, organisation_id: str, wanted: Iterable[Account], now: datetime) -> dict[Account, str]:
    """Ids of accounts; those that are not there yet are opened, in one order, so that two who open the same do not wait in a ring."""
    wanted = sorted(wanted)
    known = await _ids(tx, organisation_id, wanted)
    missing = [account for account in wanted if account not in known]
    if not missing:
        return known
    rows = [
        {
            "account_id": new_id("acc"),
            "organisation_id": organisation_id,
            "kind": account.kind,
            "owner_id": account.owner_id,
            "currency": account.currency,
            "debit_normal": account.kind in DEBIT_NORMAL,
            "create_time": now,
        }
        for account in missing
    ]
    await tx.execute(insert(accounts).values(rows).on_conflict_do_nothing())
    return known | await _ids(tx, organisation_id, missing)


async def _ids(tx: Tx, organisation_id: str, wanted: Sequence[Account]) -> dict[Account, str]:
    keys = sa.tuple_(accounts.c.kind, accounts.c.owner_id, accounts.c.currency)
    query = sa.select(accounts).where(
        accounts.c.organisation_id == organisation_id,
        keys.in_([(account.kind, account.owner_id, account.currency) for account in wanted]),
    )
    return {_account(row): row.account_id for row in await tx.execute(query)}


async def balance_of(tx: Tx, organisation_id: str, account: Account) -> Balance | None:
    """What an account holds; None when nothing was ever posted to it."""
    query = _BALANCE.where(
        accounts.c.organisation_id == organisation_id,
        accounts.c.kind == account.kind,
        accounts.c.owner_id == account.owner_id,
        accounts.c.currency == account.currency,
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _balance(row)


async def balances_page(tx: Tx, organisation_id: str, kind: int, owner_id: str, part: Page) -> Sequence[Balance]:
    """One page of an organisation's balances, oldest account first, and one more to tell whether there is another page."""
    query = _BALANCE.where(accounts.c.organisation_id == organisation_id, accounts.c.account_id > part.after)
    if kind:
        query = query.where(accounts.c.kind == kind)
    if owner_id:
        query = query.where(accounts.c.owner_id == owner_id)
    return [_balance(row) for row in await tx.execute(query.order_by(accounts.c.account_id).limit(part.size + 1))]


async def find_entry(tx: Tx, organisation_id: str, entry_id: str) -> Entry | None:
    """One entry with its postings; None when there is none."""
    query = sa.select(entries).where(entries.c.organisation_id == organisation_id, entries.c.entry_id == entry_id)
    found = await _with_postings(tx, (await tx.execute(query)).all())
    return found[0] if found else None


async def entries_page(tx: Tx, organisation_id: str, kind: int, about: str, part: Page) -> Sequence[Entry]:
    """One page of an organisation's entries, newest first, and one more to tell whether there is another page; with `about` only that entry and
    those that point to it."""
    query = sa.select(entries).where(entries.c.organisation_id == organisation_id)
    if kind:
        query = query.where(entries.c.kind == kind)
    if about:
        query = query.where(sa.or_(entries.c.entry_id == about, entries.c.reverses_entry_id == about))
    if part.after:
        query = query.where(entries.c.entry_id < part.after)
    return await _with_postings(
        tx, (await tx.execute(query.order_by(entries.c.entry_id.desc()).limit(part.size + 1))).all()
    )


async def _with_postings(tx: Tx, rows: Sequence[sa.Row[Any]]) -> list[Entry]:
    made: dict[str, list[KeptPosting]] = {row.entry_id: [] for row in rows}
    query = (
        sa.select(postings, accounts.c.kind, accounts.c.owner_id)
        .join(accounts, accounts.c.account_id == postings.c.account_id)
        .where(postings.c.entry_id.in_(list(made)))
        .order_by(postings.c.position)
    )
    for row in await tx.execute(query):
        made[row.entry_id].append(
            KeptPosting(
                _account(row), Direction(row.direction), row.minor_units, row.number, row.balance, row.book_time
            )
        )
    return [
        Entry(
            row.entry_id,
            row.organisation_id,
            EntryKind(row.kind),
            row.reference,
            row.content_sha256,
            row.reverses_entry_id,
            row.description,
            row.occur_time,
            row.create_time,
            tuple(made[row.entry_id]),
        )
        for row in rows
    ]


def _account(row: Any) -> Account:
    return Account(AccountKind(row.kind), row.owner_id, row.currency)


def _balance(row: Any) -> Balance:
    return Balance(row.account_id, _account(row), row.debits, row.credits, row.postings)
