"""The tables of the log. Triggers (`migrations/0001_first_tables.py`) keep what was written from being changed, whoever writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, insert

from services.compliance.log.merkle import HASH_BYTES, Frontier, Node
from services.compliance.log.notes import Cosignature
from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()
_MOST_LEAVES: Final = 2**63 - 1

leaves: Final = sa.Table(
    "log_leaves",
    _METADATA,
    sa.Column("leaf_index", sa.BigInteger, primary_key=True),
    sa.Column("event_id", sa.Text),
    sa.Column("event_type", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("leaf_hash", sa.LargeBinary),
    sa.Column("record", sa.LargeBinary),
)
tiles: Final = sa.Table(
    "log_tiles",
    _METADATA,
    sa.Column("level", sa.SmallInteger, primary_key=True),
    sa.Column("tile_index", sa.BigInteger, primary_key=True),
    sa.Column("root", sa.LargeBinary),
)
checkpoints: Final = sa.Table(
    "log_checkpoints",
    _METADATA,
    sa.Column("tree_size", sa.BigInteger, primary_key=True),
    sa.Column("root", sa.LargeBinary),
    sa.Column("note", sa.Text),
    sa.Column("sign_time", sa.DateTime(timezone=True)),
)
cosignatures: Final = sa.Table(
    "log_cosignatures",
    _METADATA,
    sa.Column("tree_size", sa.BigInteger, primary_key=True),
    sa.Column("witness", sa.Text, primary_key=True),
    sa.Column("line", sa.Text),
    sa.Column("cosign_time", sa.DateTime(timezone=True)),
)
heads: Final = sa.Table(
    "log_head",
    _METADATA,
    sa.Column("single", sa.Boolean, primary_key=True),
    sa.Column("origin", sa.Text),
    sa.Column("tree_size", sa.BigInteger),
    sa.Column("frontier", sa.LargeBinary),
    sa.Column("stream", sa.Text),
    sa.Column("sequence", sa.BigInteger),
)
contents: Final = sa.Table(
    "log_contents",
    _METADATA,
    sa.Column("leaf_index", sa.BigInteger, primary_key=True),
    sa.Column("key_ids", ARRAY(sa.BigInteger)),
    sa.Column("sealed", sa.LargeBinary),
)

# Of each checkpoint: how many cosignatures there are, and their lines.
_COUNT: Final = (
    sa.select(sa.func.count())
    .select_from(cosignatures)
    .where(cosignatures.c.tree_size == checkpoints.c.tree_size)
    .scalar_subquery()
)
_LINES: Final = (
    sa.select(
        sa.func.coalesce(
            sa.func.string_agg(
                cosignatures.c.line, aggregate_order_by(sa.literal_column("''"), cosignatures.c.witness)
            ),
            "",
        )
    )
    .where(cosignatures.c.tree_size == checkpoints.c.tree_size)
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log has come.

    Attributes:
        origin: name of the log, which it keeps for ever.
        frontier: the tree.
        stream: the stream of events that was read; another one begins anew.
        sequence: last message of it that was read; 0 for none.
    """

    origin: str
    frontier: Frontier
    stream: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf as it is kept."""

    leaf_index: int
    event_id: str
    event_type: str
    organisation_id: str
    leaf_hash: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What a leaf's event said, as it is kept."""

    leaf_index: int
    key_ids: tuple[int, ...]
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed checkpoint, and how many witnesses cosigned it; their lines are in the note."""

    tree_size: int
    root: bytes
    note: str
    sign_time: datetime
    cosignatures: int


async def alone(tx: Tx) -> None:
    """Waits until nobody else writes the log; until the transaction ends, nobody else will."""
    await tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.log', 0))"))


async def find_head(tx: Tx) -> Head | None:
    """How far the log has come; None before its first start."""
    row = (await tx.execute(sa.select(heads))).one_or_none()
    if row is None:
        return None
    roots = tuple(row.frontier[at : at + HASH_BYTES] for at in range(0, len(row.frontier), HASH_BYTES))
    return Head(row.origin, Frontier(row.tree_size, roots), row.stream, row.sequence)


async def put_head(tx: Tx, head: Head) -> None:
    """Keeps how far the log has come."""
    values = {
        "single": True,
        "origin": head.origin,
        "tree_size": head.frontier.size,
        "frontier": b"".join(head.frontier.roots),
        "stream": head.stream,
        "sequence": head.sequence,
    }
    await tx.execute(insert(heads).values(values).on_conflict_do_update(index_elements=["single"], set_=values))


async def copied(tx: Tx, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Adds rows by COPY, which takes a fraction of INSERT's time. Something must have been asked in the transaction before."""
    if rows:
        driver = (await tx.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.copy_records_to_table(table, records=rows, columns=columns)


async def add_leaves(tx: Tx, rows: Sequence[Leaf], full: Iterable[tuple[Node, bytes]], height: int) -> None:
    """Adds leaves, and the roots of the tiles that they filled; `height` is that of one tile."""
    await copied(
        tx,
        "log_leaves",
        ("leaf_index", "event_id", "event_type", "organisation_id", "leaf_hash", "record"),
        [
            (row.leaf_index, row.event_id, row.event_type, row.organisation_id, row.leaf_hash, row.record)
            for row in rows
        ],
    )
    filled = [(node.level // height - 1, node.index, root) for node, root in full]
    await copied(tx, "log_tiles", ("level", "tile_index", "root"), filled)


async def add_contents(tx: Tx, rows: Sequence[Content]) -> None:
    """Adds what events said, and notes whom it is about."""
    await copied(
        tx,
        "log_contents",
        ("leaf_index", "key_ids", "sealed"),
        [(row.leaf_index, list(row.key_ids), row.sealed) for row in rows],
    )
    about = [(key_id, row.leaf_index) for row in rows for key_id in row.key_ids]
    await copied(tx, "log_content_subjects", ("key_id", "leaf_index"), about)


async def add_checkpoint(tx: Tx, tree_size: int, root: bytes, note: str, now: datetime) -> None:
    """Keeps a checkpoint. The first of a size stays."""
    row = {"tree_size": tree_size, "root": root, "note": note, "sign_time": now}
    await tx.execute(insert(checkpoints).values(row).on_conflict_do_nothing())


async def known_events(tx: Tx, event_ids: Collection[str]) -> set[str]:
    """Those of some events that are leaves already."""
    wanted = sa.bindparam("ids", list(event_ids), type_=ARRAY(sa.Text))
    return set((await tx.execute(sa.select(leaves.c.event_id).where(leaves.c.event_id == sa.any_(wanted)))).scalars())


async def find_checkpoint(tx: Tx, tree_size: int = 0, least_cosignatures: int = 0) -> Checkpoint | None:
    """The checkpoint of a size, or with 0 the latest, with its cosignatures; None when there is none with so many."""
    query = sa.select(checkpoints, _COUNT.label("cosigned"), _LINES.label("lines"))
    if tree_size:
        query = query.where(checkpoints.c.tree_size == tree_size)
    if least_cosignatures:
        enough = (
            sa.select(cosignatures.c.tree_size)
            .group_by(cosignatures.c.tree_size)
            .having(sa.func.count() >= least_cosignatures)
        )
        query = query.where(checkpoints.c.tree_size.in_(enough))
    row = (await tx.execute(query.order_by(checkpoints.c.tree_size.desc()).limit(1))).one_or_none()
    if row is None:
        return None
    return Checkpoint(row.tree_size, row.root, row.note + row.lines, row.sign_time, row.cosigned)


async def find_bare_checkpoint(tx: Tx) -> Checkpoint | None:
    """The latest checkpoint, with nobody's signature but the log's; None before there is one."""
    row = (await tx.execute(sa.select(checkpoints).order_by(checkpoints.c.tree_size.desc()).limit(1))).one_or_none()
    return None if row is None else Checkpoint(row.tree_size, row.root, row.note, row.sign_time, 0)


async def add_cosignatures(tx: Tx, tree_size: int, good: Iterable[Cosignature]) -> None:
    """Adds good cosignatures; the first of a witness stays."""
    for one in good:
        row = {"tree_size": tree_size, "witness": one.witness, "line": one.line, "cosign_time": one.time}
        await tx.execute(insert(cosignatures).values(row).on_conflict_do_nothing())


async def last_cosigned(tx: Tx, witness: str) -> int:
    """Size of the largest tree that a witness cosigned; 0 for none."""
    largest = sa.select(sa.func.coalesce(sa.func.max(cosignatures.c.tree_size), 0))
    return int((await tx.execute(largest.where(cosignatures.c.witness == witness))).scalar_one())


async def find_leaf(tx: Tx, *, event_id: str = "", leaf_index: int = 0) -> Leaf | None:
    """The leaf of an event, or at a place; None when there is none."""
    which = leaves.c.event_id == event_id if event_id else leaves.c.leaf_index == leaf_index
    row = (await tx.execute(sa.select(leaves).where(which))).one_or_none()
    return None if row is None else Leaf(*row)


async def leaves_page(tx: Tx, organisation_id: str, event_type: str, page: Page) -> list[Leaf]:
    """One leaf more than a page of an organisation's, newest first."""
    query = sa.select(leaves).where(leaves.c.organisation_id == organisation_id)
    if event_type:
        query = query.where(leaves.c.event_type == event_type)
    if page.after.isdecimal():  # or else somebody made the token up
        query = query.where(leaves.c.leaf_index < min(int(page.after[:20]), _MOST_LEAVES))
    rows = await tx.execute(query.order_by(leaves.c.leaf_index.desc()).limit(page.size + 1))
    return [Leaf(*row) for row in rows]


async def leaves_between(tx: Tx, start: int, end: int) -> list[Leaf]:
    """The leaves from one place up to, not including, another."""
    within = sa.and_(leaves.c.leaf_index >= start, leaves.c.leaf_index < end)
    return [Leaf(*row) for row in await tx.execute(sa.select(leaves).where(within).order_by(leaves.c.leaf_index))]


async def hashes_between(tx: Tx, level: int, start: int, end: int) -> list[bytes]:
    """Hashes of one level of tiles from one place up to, not including, another: of leaves at level 0, of full tiles of the level below otherwise."""
    if level == 0:
        query = sa.select(leaves.c.leaf_hash).where(leaves.c.leaf_index >= start, leaves.c.leaf_index < end)
        return list((await tx.execute(query.order_by(leaves.c.leaf_index))).scalars())
    below = sa.and_(tiles.c.level == level - 1, tiles.c.tile_index >= start, tiles.c.tile_index < end)
    return list((await tx.execute(sa.select(tiles.c.root).where(below).order_by(tiles.c.tile_index))).scalars())


async def contents_of(tx: Tx, leaf_indexes: Collection[int]) -> dict[int, Content]:
    """What is kept of what some leaves' events said."""
    wanted = sa.bindparam("indexes", list(leaf_indexes), type_=ARRAY(sa.BigInteger))
    rows = await tx.execute(sa.select(contents).where(contents.c.leaf_index == sa.any_(wanted)))
    return {row.leaf_index: Content(row.leaf_index, tuple(row.key_ids), row.sealed) for row in rows}


async def all_checkpoints(tx: Tx, largest: int) -> AsyncIterator[str]:
    """The notes of all checkpoints up to a size that are kept, with their cosignatures, smallest first."""
    query = (
        sa.select(checkpoints.c.note + _LINES)
        .where(checkpoints.c.tree_size <= largest)
        .order_by(checkpoints.c.tree_size)
    )
    async with tx.stream_scalars(query) as notes:
        async for note in notes:
            yield note


# A witnessed one gives way to a later witnessed one only, and one that was anchored to none.
_FORGET: Final = sa.text("""
DELETE FROM log_checkpoints old WHERE sign_time < :before
  AND NOT EXISTS (SELECT FROM anchors WHERE anchors.tree_size = old.tree_size)
  AND EXISTS (
    SELECT FROM log_checkpoints later WHERE later.tree_size > old.tree_size
      AND date_trunc(CAST(:span AS text), later.sign_time, 'UTC') = date_trunc(CAST(:span AS text), old.sign_time, 'UTC')
      AND (
        NOT EXISTS (SELECT FROM log_cosignatures WHERE tree_size = old.tree_size)
        OR EXISTS (SELECT FROM log_cosignatures WHERE tree_size = later.tree_size)
      )
  )""")
_FORGET_LINES: Final = sa.text("""
DELETE FROM log_cosignatures line WHERE NOT EXISTS (SELECT FROM log_checkpoints WHERE tree_size = line.tree_size)""")


async def thin_checkpoints(tx: Tx, before: datetime, span: str) -> int:
    """Of the checkpoints that were signed before a moment, keeps the last of each `minute` or `day`, and the last that was witnessed. Returns how many
    went."""
    went = (await tx.execute(_FORGET, {"before": before, "span": span})).rowcount
    await tx.execute(_FORGET_LINES)
    return went
