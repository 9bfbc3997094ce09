"""The tables of batches and payouts. Rows are only added: what happens to one is a step, and its state that of the last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.payouts.domain import Batch, BatchState, Payout, PayoutState

_METADATA: Final = sa.MetaData()

batches: Final = sa.Table(
    "payout_batches",
    _METADATA,
    sa.Column("payout_batch_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("currency", sa.Text),
    sa.Column("total", sa.BigInteger),
    sa.Column("payout_count", sa.Integer),
    sa.Column("payable_time", sa.DateTime(timezone=True)),
    sa.Column("preparer", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
batch_steps: Final = sa.Table(
    "payout_batch_steps",
    _METADATA,
    sa.Column("payout_batch_id", sa.Text, primary_key=True),
    sa.Column("state", sa.SmallInteger, primary_key=True),
    sa.Column("actor", sa.Text),
    sa.Column("entry_id", sa.Text),
    sa.Column("step_time", sa.DateTime(timezone=True)),
)
payouts: Final = sa.Table(
    "payouts",
    _METADATA,
    sa.Column("payout_id", sa.Text, primary_key=True),
    sa.Column("payout_batch_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("creator_id", sa.Text),
    sa.Column("currency", sa.Text),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("bank_account_id", sa.Text),
    sa.Column("destination_hint", sa.Text),
)
payout_steps: Final = sa.Table(
    "payout_steps",
    _METADATA,
    sa.Column("payout_id", sa.Text, primary_key=True),
    sa.Column("state", sa.SmallInteger, primary_key=True),
    sa.Column("actor", sa.Text),
    sa.Column("bank_reference", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("entry_id", sa.Text),
    sa.Column("step_time", sa.DateTime(timezone=True)),
)
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('payouts:' || :organisation_id, 0))")

_last = (
    sa.select(batch_steps.c.state, batch_steps.c.step_time)
    .where(batch_steps.c.payout_batch_id == batches.c.payout_batch_id)
    .order_by(batch_steps.c.state.desc())
    .limit(1)
    .lateral("last_step")
)
_approval = batch_steps.alias("approval")
_BATCH: Final = (
    sa.select(
        batches,
        _last.c.state,
        _last.c.step_time,
        _approval.c.actor.label("approver"),
        _approval.c.entry_id.label("entry_id"),
    )
    .select_from(batches)
    .join(_last, sa.true(), isouter=True)
    .join(
        _approval,
        sa.and_(
            _approval.c.payout_batch_id == batches.c.payout_batch_id, _approval.c.state == int(BatchState.APPROVED)
        ),
        isouter=True,
    )
)
_batch_state = (
    sa.select(batch_steps.c.state, batch_steps.c.step_time)
    .where(batch_steps.c.payout_batch_id == payouts.c.payout_batch_id)
    .where(batch_steps.c.state.in_([int(BatchState.APPROVED), int(BatchState.CANCELLED)]))
    .limit(1)
    .lateral("batch_step")
)
_step = (
    sa.select(payout_steps)
    .where(payout_steps.c.payout_id == payouts.c.payout_id)
    .order_by(payout_steps.c.state.desc())
    .limit(1)
    .lateral("own_step")
)
_PAYOUT: Final = (
    sa.select(
        payouts,
        _batch_state.c.state.label("batch_state"),
        _batch_state.c.step_time.label("batch_time"),
        _step.c.state,
        _step.c.bank_reference,
        _step.c.reason,
        _step.c.entry_id,
        _step.c.step_time,
    )
    .select_from(payouts)
    .join(_batch_state, sa.true(), isouter=True)
    .join(_step, sa.true(), isouter=True)
)


async def lock(tx: Tx, organisation_id: str) -> None:
    """Has nobody else approve, send or end payouts of an organisation until the transaction ends. Whoever holds it posts, and never waits for it
    with accounts in hand."""
    await tx.execute(_LOCK, {"organisation_id": organisation_id})


async def add(tx: Tx, batch: Batch, made: Sequence[Payout]) -> None:
    """Keeps a new batch with its payouts."""
    await tx.execute(
        sa.insert(batches).values({name: getattr(batch, name) for name in batches.c.keys()})  # noqa: SIM118  # a collection of columns, no mapping
    )
    names = payouts.c.keys()
    await tx.execute(sa.insert(payouts).values([{name: getattr(payout, name) for name in names} for payout in made]))


async def step_batch(tx: Tx, batch: Batch, state: BatchState, actor: str, now: datetime, *, entry_id: str = "") -> None:
    """Keeps that a batch is in another state."""
    await tx.execute(
        sa.insert(batch_steps).values(
            payout_batch_id=batch.payout_batch_id, state=state, actor=actor, entry_id=entry_id, step_time=now
        )
    )


async def step_payout(
    tx: Tx,
    payout: Payout,
    state: PayoutState,
    actor: str,
    now: datetime,
    *,
    bank_reference: str = "",
    reason: str = "",
    entry_id: str = "",
) -> None:
    """Keeps that a payout is in another state."""
    await tx.execute(
        sa.insert(payout_steps).values(
            payout_id=payout.payout_id,
            state=state,
            actor=actor,
            bank_reference=bank_reference,
            reason=reason,
            entry_id=entry_id,
            step_time=now,
        )
    )


async def find_batch(tx: Tx, organisation_id: str, payout_batch_id: str) -> Batch | None:
    """One batch; None when there is none."""
    query = _BATCH.where(batches.c.organisation_id == organisation_id, batches.c.payout_batch_id == payout_batch_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _batch(row)


async def batches_page(tx: Tx, organisation_id: str, part: Page) -> list[Batch]:
    """One page of batches, newest first, and one more to tell whether there is another page."""
    query = _BATCH.where(batches.c.organisation_id == organisation_id)
    if part.after:
        query = query.where(batches.c.payout_batch_id < part.after)
    rows = await tx.execute(query.order_by(batches.c.payout_batch_id.desc()).limit(part.size + 1))
    return [_batch(row) for row in rows]


async def on_their_way(tx: Tx, most: int) -> list[Batch]:
    """Batches of all organisations that were handed over and are not complete, oldest first."""
    query = _BATCH.where(_last.c.state == int(BatchState.SENT)).order_by(batches.c.payout_batch_id).limit(most)
    return [_batch(row) for row in await tx.execute(query)]


async def find_payout(tx: Tx, organisation_id: str, payout_id: str) -> Payout | None:
    """One payout; None when there is none."""
    query = _PAYOUT.where(payouts.c.organisation_id == organisation_id, payouts.c.payout_id == payout_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _payout(row)


async def of_batch(tx: Tx, payout_batch_id: str) -> list[Payout]:
    """All payouts of a batch, by creator."""
    query = _PAYOUT.where(payouts.c.payout_batch_id == payout_batch_id).order_by(payouts.c.creator_id)
    return [_payout(row) for row in await tx.execute(query)]


async def ended(tx: Tx, payout_batch_id: str) -> int:
    """How many payouts of a batch are posted or void."""
    query = (
        sa.select(sa.func.count())
        .select_from(payouts.join(payout_steps, payout_steps.c.payout_id == payouts.c.payout_id))
        .where(
            payouts.c.payout_batch_id == payout_batch_id,
            payout_steps.c.state.in_([int(PayoutState.POSTED), int(PayoutState.VOID)]),
        )
    )
    return int((await tx.execute(query)).scalar_one())


async def payouts_page(tx: Tx, organisation_id: str, payout_batch_id: str, creator_id: str, part: Page) -> list[Payout]:
    """One page of payouts, newest first, and one more to tell whether there is another page."""
    query = _PAYOUT.where(payouts.c.organisation_id == organisation_id)
    if payout_batch_id:
        query = query.where(payouts.c.payout_batch_id == payout_batch_id)
    if creator_id:
        query = query.where(payouts.c.creator_id == creator_id)
    if part.after:
        query = query.where(payouts.c.payout_id < part.after)
    rows = await tx.execute(query.order_by(payouts.c.payout_id.desc()).limit(part.size + 1))
    return [_payout(row) for row in rows]


def _batch(row: sa.Row[Any]) -> Batch:
    return Batch(
        payout_batch_id=row.payout_batch_id,
        organisation_id=row.organisation_id,
        currency=row.currency,
        total=row.total,
        payout_count=row.payout_count,
        payable_time=row.payable_time,
        preparer=row.preparer,
        create_time=row.create_time,
        state=BatchState(row.state or BatchState.PREPARED),
        approver=row.approver or "",
        entry_id=row.entry_id or "",
        change_time=row.step_time or row.create_time,
    )


_OF_BATCH: Final = {BatchState.APPROVED: PayoutState.PENDING, BatchState.CANCELLED: PayoutState.CANCELLED}


def _payout(row: sa.Row[Any]) -> Payout:
    waiting = _OF_BATCH[BatchState(row.batch_state)] if row.batch_state else PayoutState.PREPARED
    return Payout(
        payout_id=row.payout_id,
        payout_batch_id=row.payout_batch_id,
        organisation_id=row.organisation_id,
        creator_id=row.creator_id,
        currency=row.currency,
        minor_units=row.minor_units,
        bank_account_id=row.bank_account_id,
        destination_hint=row.destination_hint,
        state=PayoutState(row.state) if row.state else waiting,
        bank_reference=row.bank_reference or "",
        reason=row.reason or "",
        entry_id=row.entry_id or "",
        change_time=row.step_time or row.batch_time,
    )
