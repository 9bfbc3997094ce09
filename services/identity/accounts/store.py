"""The table of accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.identity.accounts.domain import Account
from services.identity.organisations.store import memberships
from services.kit.database import Tx
from services.kit.pagination import Page

accounts: Final = sa.Table(
    "accounts",
    sa.MetaData(),
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer),
    sa.Column("email", sa.Text),
    sa.Column("password_hash", sa.Text),
    sa.Column("display_name", sa.Text),
    sa.Column("phone", sa.Text),
    sa.Column("language", sa.Text),
    sa.Column("tier", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("lock_time", sa.DateTime(timezone=True)),
)


def _account(row: sa.Row[tuple[Any, ...]]) -> Account:
    return Account(**row._asdict())


async def add(tx: Tx, account: Account) -> bool:
    """Keeps a new account. Returns False when its address has one already."""
    added = await tx.execute(
        insert(accounts).values(**asdict(account)).on_conflict_do_nothing(index_elements=["email"])
    )
    return bool(added.rowcount)


async def put(tx: Tx, account: Account) -> None:
    """Keeps the next state of an account."""
    await tx.execute(sa.update(accounts).where(accounts.c.account_id == account.account_id).values(**asdict(account)))


async def find(tx: Tx, account_id: str, *, for_update: bool = False) -> Account | None:
    """One account; None when there is none."""
    query = sa.select(accounts).where(accounts.c.account_id == account_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _account(row)


async def find_by_email(tx: Tx, email: str) -> Account | None:
    """The account with this address, which must be in its canonical form; None when there is none."""
    row = (await tx.execute(sa.select(accounts).where(accounts.c.email == email))).one_or_none()
    return None if row is None else _account(row)


async def find_by_phone(tx: Tx, phone: str) -> Account | None:
    """The account with this number in E.164 form; None when there is none."""
    row = (await tx.execute(sa.select(accounts).where(accounts.c.phone == phone, accounts.c.phone != ""))).one_or_none()
    return None if row is None else _account(row)


async def page(tx: Tx, organisation_id: str, email: str, part: Page) -> Sequence[Account]:
    """One page of the accounts of an organisation's members, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(accounts)
        .join(memberships, memberships.c.account_id == accounts.c.account_id)
        .where(memberships.c.organisation_id == organisation_id)
        .order_by(accounts.c.account_id.desc())
        .limit(part.size + 1)
    )
    if email:
        query = query.where(accounts.c.email == email)
    if part.after:
        query = query.where(accounts.c.account_id < part.after)
    return [_account(row) for row in await tx.execute(query)]
