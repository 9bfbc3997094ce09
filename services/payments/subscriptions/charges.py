"""The table of charges: each is kept before the processor is asked, and says afterwards what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import Tx
from services.payments.bulk import Bulk
from services.payments.subscriptions.domain import Subscription
from services.payments.subscriptions.periods import Charge, Purpose
from services.payments.subscriptions.store import (
    METADATA,
    deal_and_period,
    deal_and_period_values,
    deal_of,
    period_of,
)

_TIME: Final = sa.DateTime(timezone=True)

charges: Final = sa.Table(
    "charges",
    METADATA,
    sa.Column("charge_id", sa.Text, primary_key=True),
    sa.Column("subscription_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("processor", sa.Text),
    sa.Column("purpose", sa.SmallInteger),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("currency", sa.Text),
    *deal_and_period(),
    sa.Column("attempt", sa.Integer),
    sa.Column("state", sa.SmallInteger),
    sa.Column("reference", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("sale_id", sa.Text),
    sa.Column("ask_time", _TIME),
    sa.Column("asked", sa.Integer),
    sa.Column("create_time", _TIME),
    sa.Column("outcome_time", _TIME),
)
_BULK: Final = Bulk(charges, "charge_id")


class Stage(IntEnum):
    """How far a charge is. Kept in the table: never renumber."""

    ASKED = 1
    APPROVED = 2
    """The money was taken, and is not in the books yet."""
    DONE = 3
    DECLINED = 4
    LOST = 5
    """Nobody said what became of it for so long that the processor may have forgotten its key: it must not be asked again."""


@dataclass(frozen=True, slots=True)
class KeptCharge:
    """A charge as it is kept.

    Attributes:
        reference: the processor's own id of the transaction; empty until it is approved.
        reason: why it was declined, or is not known, in the processor's words.
        ask_time: when it is to be asked again unless its outcome is known by then; None when it is not.
        asked: how often it was.
    """

    charge: Charge
    subscription_id: str
    organisation_id: str
    processor: str
    currency: str
    create_time: datetime
    ask_time: datetime | None
    stage: Stage = Stage.ASKED
    reference: str = ""
    reason: str = ""
    sale_id: str = ""
    asked: int = 0
    outcome_time: datetime | None = None

    @classmethod
    def new(cls, subscription: Subscription, charge: Charge, now: datetime, ask_time: datetime) -> KeptCharge:
        """A charge that is about to be made."""
        return cls(
            charge,
            subscription.subscription_id,
            subscription.organisation_id,
            subscription.payer.processor,
            subscription.currency,
            now,
            ask_time,
        )


async def add_all(tx: Tx, made: Sequence[KeptCharge]) -> None:
    """Keeps new charges."""
    await _BULK.add(tx, [_row(one) for one in made])


async def put_all(tx: Tx, changed: Sequence[KeptCharge]) -> None:
    """Keeps what became of charges, whose subscriptions are locked."""
    await _BULK.put(tx, [_row(one) for one in changed])


async def to_ask(tx: Tx, now: datetime, until: datetime, most: int) -> list[KeptCharge]:
    """Charges whose outcome is to be asked for by now, longest waiting first; nobody else is given them before `until`."""
    query = (
        sa.select(charges.c.charge_id)
        .where(charges.c.ask_time <= now)
        .order_by(charges.c.ask_time)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    taken = sa.update(charges).where(charges.c.charge_id.in_(query)).values(ask_time=until).returning(*charges.c)
    return [charge_of(row) for row in await tx.execute(taken)]


async def by_ids(tx: Tx, charge_ids: Sequence[str]) -> dict[str, KeptCharge]:
    """Charges by their ids. Whoever changes them holds their subscriptions."""
    query = sa.select(charges).where(charges.c.charge_id == sa.any_(sa.cast(list(charge_ids), ARRAY(sa.Text))))
    return {row.charge_id: charge_of(row) for row in await tx.execute(query)}


async def by_reference(tx: Tx, organisation_id: str, processor: str, reference: str) -> KeptCharge | None:
    """The charge that the processor knows by a reference; None when there is none."""
    query = sa.select(charges).where(
        charges.c.organisation_id == organisation_id,
        charges.c.processor == processor,
        charges.c.reference == reference,
        charges.c.purpose != Purpose.CANCELLATION,
    )
    row = (await tx.execute(query.where(charges.c.reference != ""))).one_or_none()
    return None if row is None else charge_of(row)


async def by_sale(tx: Tx, sale_id: str) -> KeptCharge | None:
    """The charge that a sale was recorded for; None when it was for something else."""
    query = sa.select(charges).where(charges.c.sale_id == sale_id, charges.c.sale_id != "")
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else charge_of(row)


async def forget_unpaid(tx: Tx, before: datetime) -> None:
    """Removes charges by which no money moved: declined ones, and cancellations. Those that were paid are kept as long as the ledger is."""
    await tx.execute(sa.delete(charges).where(sa.text("(state = 4 OR purpose = 3)"), charges.c.outcome_time < before))


def charge_of(row: sa.Row[Any]) -> KeptCharge:
    """A row as a charge."""
    charge = Charge(row.charge_id, Purpose(row.purpose), row.minor_units, deal_of(row), period_of(row), row.attempt)
    return KeptCharge(
        charge,
        row.subscription_id,
        row.organisation_id,
        row.processor,
        row.currency,
        row.create_time,
        row.ask_time,
        Stage(row.state),
        row.reference,
        row.reason,
        row.sale_id,
        row.asked,
        row.outcome_time,
    )


def _row(one: KeptCharge) -> dict[str, Any]:
    return deal_and_period_values(one.charge.deal, one.charge.period) | {
        "charge_id": one.charge.charge_id,
        "subscription_id": one.subscription_id,
        "organisation_id": one.organisation_id,
        "processor": one.processor,
        "purpose": one.charge.purpose,
        "minor_units": one.charge.minor_units,
        "currency": one.currency,
        "attempt": one.charge.attempt,
        "state": one.stage,
        "reference": one.reference,
        "reason": one.reason,
        "sale_id": one.sale_id,
        "ask_time": one.ask_time,
        "asked": one.asked,
        "create_time": one.create_time,
        "outcome_time": one.outcome_time,
    }
