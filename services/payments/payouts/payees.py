"""The tables of payees and bank accounts. Rows are only added; the newest version counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, distinct_on

from services.kit.database import Tx
from services.kit.ids import new_id
from services.kit.pagination import Page
from services.kit.sealing import Seal
from services.payments.payouts.bank_accounts import BankAccount
from services.payments.payouts.domain import Payee, TaxForm

_METADATA: Final = sa.MetaData()

payee_versions: Final = sa.Table(
    "payee_versions",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("creator_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("minimums", JSONB),
    sa.Column("hold_days", sa.Integer),
    sa.Column("reserve_days", sa.Integer),
    sa.Column("tax_form", sa.SmallInteger),
    sa.Column("tax_form_expire_time", sa.DateTime(timezone=True)),
    sa.Column("suspended", sa.Boolean),
    sa.Column("bank_account_id", sa.Text),
    sa.Column("destination_hint", sa.Text),
    sa.Column("changer", sa.Text),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)
bank_accounts: Final = sa.Table(
    "bank_accounts",
    _METADATA,
    sa.Column("bank_account_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("creator_id", sa.Text),
    sa.Column("hint", sa.Text),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("changer", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('payee:' || :organisation_id || :creator_id, 0))")


async def lock(tx: Tx, organisation_id: str, creator_id: str) -> None:
    """Has nobody else change this payee until the transaction ends."""
    await tx.execute(_LOCK, {"organisation_id": organisation_id, "creator_id": creator_id})


async def put(tx: Tx, organisation_id: str, payee: Payee, changer: str, now: datetime) -> Payee:
    """Keeps the next version of a payee, which is locked."""
    before = await find(tx, organisation_id, payee.creator_id)
    kept = replace(payee, version=(before.version if before else 0) + 1, change_time=now)
    await tx.execute(
        sa.insert(payee_versions).values(
            organisation_id=organisation_id,
            creator_id=kept.creator_id,
            version=kept.version,
            account_id=kept.account_id,
            minimums=dict(kept.minimums),
            hold_days=kept.hold_days,
            reserve_days=kept.reserve_days,
            tax_form=kept.tax_form,
            tax_form_expire_time=kept.tax_form_expire_time,
            suspended=kept.suspended,
            bank_account_id=kept.bank_account_id,
            destination_hint=kept.destination_hint,
            changer=changer,
            change_time=now,
        )
    )
    return kept


async def find(tx: Tx, organisation_id: str, creator_id: str) -> Payee | None:
    """A payee as they are; None when there is none."""
    query = _newest(organisation_id).where(payee_versions.c.creator_id == creator_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _payee(row)


async def of_creators(tx: Tx, organisation_id: str, creator_ids: Sequence[str]) -> dict[str, Payee]:
    """Those of the creators who are payees."""
    query = _newest(organisation_id).where(payee_versions.c.creator_id.in_(creator_ids))
    return {row.creator_id: _payee(row) for row in await tx.execute(query)}


async def of_account(tx: Tx, organisation_id: str, account_id: str) -> list[str]:
    """The creators that an account stands for, besides the one of its own id."""
    ever = sa.select(payee_versions.c.creator_id).where(
        payee_versions.c.organisation_id == organisation_id, payee_versions.c.account_id == account_id
    )
    query = _newest(organisation_id).where(payee_versions.c.creator_id.in_(ever))
    return [row.creator_id for row in await tx.execute(query) if row.account_id == account_id]


async def page(tx: Tx, organisation_id: str, part: Page) -> list[Payee]:
    """One page of payees, by creator, and one more to tell whether there is another page."""
    query = _newest(organisation_id).where(payee_versions.c.creator_id > part.after).limit(part.size + 1)
    return [_payee(row) for row in await tx.execute(query)]


async def add_bank_account(
    tx: Tx, seal: Seal, organisation_id: str, creator_id: str, account: BankAccount, *, changer: str, now: datetime
) -> str:
    """Keeps a bank account, sealed; of the organisation itself where `creator_id` is empty. Returns its id."""
    bank_account_id = new_id("bnk")
    await tx.execute(
        sa.insert(bank_accounts).values(
            bank_account_id=bank_account_id,
            organisation_id=organisation_id,
            creator_id=creator_id,
            hint=account.hint,
            sealed=account.sealed(seal, bank_account_id),
            changer=changer,
            create_time=now,
        )
    )
    return bank_account_id


async def bank_accounts_of(tx: Tx, seal: Seal, ids: Sequence[str]) -> dict[str, BankAccount]:
    """Bank accounts by their ids, opened."""
    query = sa.select(bank_accounts).where(bank_accounts.c.bank_account_id.in_(ids))
    return {
        row.bank_account_id: BankAccount.opened(seal, row.bank_account_id, row.sealed)
        for row in await tx.execute(query)
    }


async def payer(tx: Tx, seal: Seal, organisation_id: str) -> BankAccount | None:
    """The bank account from which an organisation pays; None when nobody said."""
    query = (
        sa.select(bank_accounts)
        .where(bank_accounts.c.organisation_id == organisation_id, bank_accounts.c.creator_id == "")
        .order_by(bank_accounts.c.bank_account_id.desc())
        .limit(1)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else BankAccount.opened(seal, row.bank_account_id, row.sealed)


def _newest(organisation_id: str) -> sa.Select[Any]:
    return (
        sa.select(payee_versions)
        .ext(distinct_on(payee_versions.c.creator_id))
        .where(payee_versions.c.organisation_id == organisation_id)
        .order_by(payee_versions.c.creator_id, payee_versions.c.version.desc())
    )


def _payee(row: sa.Row[Any]) -> Payee:
    return Payee(
        creator_id=row.creator_id,
        account_id=row.account_id,
        minimums=row.minimums,
        hold_days=row.hold_days,
        reserve_days=row.reserve_days,
        tax_form=TaxForm(row.tax_form),
        tax_form_expire_time=row.tax_form_expire_time,
        suspended=row.suspended,
        bank_account_id=row.bank_account_id,
        destination_hint=row.destination_hint,
        version=row.version,
        change_time=row.change_time,
    )
