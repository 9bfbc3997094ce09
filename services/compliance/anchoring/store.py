"""The tables of anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.compliance.anchoring.anchor import EVM, Confirmation, Pending
from services.kit.database import Tx
from services.kit.pagination import Page, number_of

_METADATA: Final = sa.MetaData()
_TIME: Final = sa.DateTime(timezone=True)
NEWS: Final = "reelmesh.compliance.v1.CheckpointAnchored"
"""Leaves of these events ask for no anchor by themselves: or else each anchor would ask for the next."""

anchors: Final = sa.Table(
    "anchors",
    _METADATA,
    sa.Column("anchor_id", sa.Text, primary_key=True),
    sa.Column("anchor", sa.Text),
    sa.Column("tree_size", sa.BigInteger),
    sa.Column("root", sa.LargeBinary),
    sa.Column("note", sa.Text),
    sa.Column("begin_time", _TIME),
    sa.Column("confirm_time", _TIME),
    sa.Column("transaction_hash", sa.Text),
    sa.Column("block_number", sa.BigInteger),
    sa.Column("block_hash", sa.Text),
)
transactions: Final = sa.Table(
    "anchor_transactions",
    _METADATA,
    sa.Column("chain_id", sa.BigInteger, primary_key=True),
    sa.Column("sender", sa.Text, primary_key=True),
    sa.Column("nonce", sa.BigInteger, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("anchor_id", sa.Text),
    sa.Column("transaction_hash", sa.Text),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("gas", sa.BigInteger),
    sa.Column("max_fee", sa.Numeric(40, 0)),
    sa.Column("tip", sa.Numeric(40, 0)),
    sa.Column("create_time", _TIME),
    sa.Column("seen_block_hash", sa.Text),
    sa.Column("lost", sa.Boolean),
)
timestamps: Final = sa.Table(
    "anchor_timestamps",
    _METADATA,
    sa.Column("anchor_id", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary),
)
troubles: Final = sa.Table(
    "anchor_troubles",
    _METADATA,
    sa.Column("anchor", sa.Text, primary_key=True),
    sa.Column("trouble", sa.Text),
    sa.Column("begin_time", _TIME),
)


@dataclass(frozen=True, slots=True)
class Anchored:
    """An anchor as it is kept. What is of its confirmation is None, zero or empty until then; `transaction_hash` is that of the latest attempt.

    Attributes:
        raw: the transaction of that hash, signed; empty for other kinds.
        content: its `.ots` file; empty for other kinds.
    """

    anchor_id: str
    anchor: str
    tree_size: int
    root: bytes
    note: str
    begin_time: datetime
    confirm_time: datetime | None
    transaction_hash: str
    block_number: int
    block_hash: str
    raw: bytes = b""
    content: bytes = b""

    @property
    def chain_id(self) -> int:
        """Id of the EVM chain; 0 for other kinds."""
        return int(self.anchor.removeprefix(EVM)) if self.anchor.startswith(EVM) else 0


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction of an anchor. Fees are in wei for a unit of gas."""

    chain_id: int
    sender: str
    nonce: int
    attempt: int
    anchor_id: str
    transaction_hash: str
    raw: bytes
    gas: int
    max_fee: int
    tip: int
    create_time: datetime
    seen_block_hash: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a way of anchoring has come; see `AnchorStanding` of the contract."""

    anchor: str
    tree_size: int = 0
    confirm_time: datetime | None = None
    behind_leaves: int = 0
    behind_since: datetime | None = None
    pending: int = 0
    trouble: str = ""


async def alone(tx: Tx, anchor: str) -> bool:
    """Whether nobody else works on a way of anchoring; until the transaction ends, nobody else will."""
    lock = "SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '.anchoring.' || :anchor, 0))"
    return bool((await tx.execute(sa.text(lock), {"anchor": anchor})).scalar_one())


async def begin(tx: Tx, anchor: str, pending: Pending, now: datetime) -> None:
    """Notes that a checkpoint is to be anchored."""
    row = {
        "anchor_id": pending.anchor_id,
        "anchor": anchor,
        "tree_size": pending.tree_size,
        "root": pending.root,
        "note": pending.note,
        "begin_time": now,
    }
    await tx.execute(insert(anchors).values(row))


async def pending_of(tx: Tx, anchor: str, after: datetime) -> list[Pending]:
    """What was begun after a moment and is not confirmed, oldest first."""
    query = sa.select(anchors.c.anchor_id, anchors.c.tree_size, anchors.c.root, anchors.c.note)
    query = query.where(anchors.c.anchor == anchor, anchors.c.confirm_time.is_(None), anchors.c.begin_time > after)
    query = query.order_by(anchors.c.tree_size)
    return [Pending(*row) for row in await tx.execute(query)]


async def last_begun(tx: Tx, anchor: str) -> tuple[int, datetime | None]:
    """Size of the largest tree whose anchor was begun, and when that was; 0 and None for none."""
    query = sa.select(anchors.c.tree_size, anchors.c.begin_time).where(anchors.c.anchor == anchor)
    row = (await tx.execute(query.order_by(anchors.c.tree_size.desc()).limit(1))).one_or_none()
    return (0, None) if row is None else (row.tree_size, row.begin_time)


_UNTOLD: Final = sa.text(
    "SELECT EXISTS (SELECT FROM log_leaves WHERE leaf_index >= :size AND event_type <> :news)"  # along the primary key
)


async def has_news(tx: Tx, size: int) -> bool:
    """Whether the log has leaves beyond a size that are more than news of anchors."""
    return bool((await tx.execute(_UNTOLD, {"size": size, "news": NEWS})).scalar_one())


async def confirmed(tx: Tx, anchor_id: str, found: Confirmation, now: datetime) -> bool:
    """Notes where an anchor lies. False when that was known."""
    values: dict[str, Any] = {
        "confirm_time": now,
        "transaction_hash": found.transaction_hash,
        "block_number": found.block_number,
        "block_hash": found.block_hash,
    }
    open_one = sa.and_(anchors.c.anchor_id == anchor_id, anchors.c.confirm_time.is_(None))
    return bool((await tx.execute(sa.update(anchors).where(open_one).values(values))).rowcount)


async def note_trouble(tx: Tx, anchor: str, trouble: str, now: datetime) -> None:
    """Notes what is in the way; empty for nothing."""
    if not trouble:
        await tx.execute(sa.delete(troubles).where(troubles.c.anchor == anchor))
        return
    row = {"anchor": anchor, "trouble": trouble, "begin_time": now}
    added = insert(troubles).values(row)
    changed = troubles.c.trouble != added.excluded.trouble
    await tx.execute(added.on_conflict_do_update(index_elements=["anchor"], set_=row, where=changed))


_BEHIND: Final = sa.text("""
SELECT (SELECT max(tree_size) FROM log_checkpoints) - :size AS leaves,
  (SELECT sign_time FROM log_checkpoints WHERE tree_size > :size ORDER BY tree_size LIMIT 1) AS since""")


async def standing(tx: Tx, anchor: str) -> Standing:
    """How far a way of anchoring has come."""
    done = sa.select(anchors.c.tree_size, anchors.c.confirm_time).where(
        anchors.c.anchor == anchor, anchors.c.confirm_time.is_not(None)
    )
    latest = (await tx.execute(done.order_by(anchors.c.tree_size.desc()).limit(1))).one_or_none()
    size, confirm_time = (0, None) if latest is None else (latest.tree_size, latest.confirm_time)
    trouble = (await tx.execute(sa.select(troubles.c.trouble).where(troubles.c.anchor == anchor))).scalar_one_or_none()
    waiting = sa.select(sa.func.count()).where(anchors.c.anchor == anchor, anchors.c.confirm_time.is_(None))
    pending = (await tx.execute(waiting)).scalar_one()
    if not await has_news(tx, size):
        return Standing(anchor, size, confirm_time, pending=pending, trouble=trouble or "")
    row = (await tx.execute(_BEHIND, {"size": size})).one()
    return Standing(anchor, size, confirm_time, row.leaves or 0, row.since, pending, trouble or "")


# The transaction that is confirmed, or else the latest attempt.
_CHOSEN: Final = (
    sa.select(transactions.c.transaction_hash, transactions.c.raw)
    .where(
        transactions.c.anchor_id == anchors.c.anchor_id,
        sa.or_(anchors.c.transaction_hash == "", transactions.c.transaction_hash == anchors.c.transaction_hash),
    )
    .order_by(transactions.c.create_time.desc(), transactions.c.attempt.desc())
    .limit(1)
    .lateral("chosen")
)
_WHOLE: Final = (
    sa.select(
        *(column for column in anchors.c if column.name not in {"transaction_hash", "block_number", "block_hash"}),
        sa.func.coalesce(_CHOSEN.c.transaction_hash, anchors.c.transaction_hash).label("transaction_hash"),
        anchors.c.block_number,
        anchors.c.block_hash,
        sa.func.coalesce(_CHOSEN.c.raw, b"").label("raw"),
        sa.func.coalesce(timestamps.c.content, b"").label("content"),
    )
    .select_from(anchors)
    .outerjoin(_CHOSEN, sa.true())
    .outerjoin(timestamps, timestamps.c.anchor_id == anchors.c.anchor_id)
)


async def find(tx: Tx, anchor_id: str) -> Anchored | None:
    """An anchor; None when there is none."""
    row = (await tx.execute(_WHOLE.where(anchors.c.anchor_id == anchor_id))).one_or_none()
    return None if row is None else Anchored(*row)


async def covering(tx: Tx, leaf_index: int) -> Anchored | None:
    """The first confirmed anchor of a tree that a leaf is in, on an EVM chain where there is one; None when there is none."""
    query = _WHOLE.where(anchors.c.tree_size > leaf_index, anchors.c.confirm_time.is_not(None))
    query = query.order_by(sa.not_(anchors.c.anchor.startswith(EVM)), anchors.c.tree_size).limit(1)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Anchored(*row)


async def page(tx: Tx, tree_size: int, asked: Page) -> list[Anchored]:
    """One anchor more than a page, of the largest trees first; of one tree only where its size is given."""
    query = _WHOLE if not tree_size else _WHOLE.where(anchors.c.tree_size == tree_size)
    if asked.after:
        size, _, anchor = asked.after.partition(" ")
        query = query.where(sa.tuple_(anchors.c.tree_size, anchors.c.anchor) < sa.tuple_(number_of(size), anchor))
    query = query.order_by(anchors.c.tree_size.desc(), anchors.c.anchor.desc()).limit(asked.size + 1)
    return [Anchored(*row) for row in await tx.execute(query)]


async def all_up_to(tx: Tx, largest: int, after: tuple[int, str], count: int) -> list[Anchored]:
    """So many anchors of trees up to a size, of the smallest first, after one that is known by its size and its name."""
    query = _WHOLE.where(
        anchors.c.tree_size <= largest, sa.tuple_(anchors.c.tree_size, anchors.c.anchor) > sa.tuple_(*after)
    )
    query = query.order_by(anchors.c.tree_size, anchors.c.anchor).limit(count)
    return [Anchored(*row) for row in await tx.execute(query)]


async def transactions_of(tx: Tx, anchor_id: str) -> list[Transaction]:
    """The transactions of an anchor that the chain may still take, oldest first."""
    query = sa.select(transactions).where(transactions.c.anchor_id == anchor_id, sa.not_(transactions.c.lost))
    rows = await tx.execute(query.order_by(transactions.c.attempt))
    return [_transaction(row) for row in rows]


def _transaction(row: Any) -> Transaction:
    known = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's documented way to a row's names
    return Transaction(**known | {"max_fee": int(known["max_fee"]), "tip": int(known["tip"])})


async def add_transaction(tx: Tx, made: Transaction) -> None:
    """Keeps a signed transaction; to be committed before it is sent.

    Raises:
        IntegrityError: somebody else used the nonce.
    """
    row = {column.name: getattr(made, column.name) for column in transactions.c}
    await tx.execute(sa.insert(transactions).values(row))


async def next_attempt(tx: Tx, chain_id: int, sender: str, nonce: int) -> int:
    """How many transactions of a nonce were signed."""
    same = sa.and_(transactions.c.chain_id == chain_id, transactions.c.sender == sender, transactions.c.nonce == nonce)
    return int((await tx.execute(sa.select(sa.func.count()).where(same))).scalar_one())


async def note_seen(tx: Tx, transaction_hash: str, block_hash: str) -> None:
    """Notes the block in which a transaction was seen; empty for none."""
    which = transactions.c.transaction_hash == transaction_hash
    await tx.execute(sa.update(transactions).where(which).values(seen_block_hash=block_hash))


async def lose(tx: Tx, made: Sequence[Transaction]) -> None:
    """Notes that the chain will never take some transactions, as another one has their nonce."""
    for one in made:
        which = transactions.c.transaction_hash == one.transaction_hash
        await tx.execute(sa.update(transactions).where(which).values(lost=True))


async def last_nonce(tx: Tx, chain_id: int, sender: str) -> int:
    """The highest nonce of a transaction that is confirmed; -1 for none."""
    query = (
        sa.select(sa.func.coalesce(sa.func.max(transactions.c.nonce), -1))
        .join(anchors, anchors.c.transaction_hash == transactions.c.transaction_hash)
        .where(transactions.c.chain_id == chain_id, transactions.c.sender == sender)
    )
    return int((await tx.execute(query)).scalar_one())


async def find_timestamp(tx: Tx, anchor_id: str) -> bytes:
    """An anchor's `.ots` file; empty when there is none."""
    query = sa.select(timestamps.c.content).where(timestamps.c.anchor_id == anchor_id)
    return (await tx.execute(query)).scalar_one_or_none() or b""


async def put_timestamp(tx: Tx, anchor_id: str, content: bytes) -> None:
    """Keeps an anchor's `.ots` file."""
    row = {"anchor_id": anchor_id, "content": content}
    await tx.execute(insert(timestamps).values(row).on_conflict_do_update(index_elements=["anchor_id"], set_=row))
