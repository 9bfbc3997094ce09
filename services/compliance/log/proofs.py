"""Proofs, worked out from what is kept: hashes of leaves, and roots of full tiles.

A perfect subtree's root comes from at most 128 hashes of one level of tiles, so a proof in a tree of a million leaves is made of three levels of 255
hashes at most, read by one query for each level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from services.compliance.log.merkle import (
    TILE_HEIGHT,
    Node,
    Run,
    consistency_runs,
    folded,
    inclusion_runs,
    perfect_root,
)
from services.compliance.log.store import leaves, tiles
from services.kit.database import Tx


@dataclass(frozen=True, slots=True)
class _Span:
    """The hashes of one level of tiles that a node is made of: first place, and the one after the last."""

    level: int
    start: int
    end: int

    @classmethod
    def of(cls, node: Node) -> _Span:
        level, height = divmod(node.level, TILE_HEIGHT)
        return cls(level, node.index << height, (node.index + 1) << height)


async def inclusion(tx: Tx, leaf_index: int, tree_size: int) -> list[bytes]:
    """Proof that a leaf is in the tree of a size that the log has."""
    return await _hashes(tx, inclusion_runs(leaf_index, tree_size))


async def consistency(tx: Tx, first: int, second: int) -> list[bytes]:
    """Proof that a tree is the beginning of a larger one that the log has."""
    return await _hashes(tx, consistency_runs(first, second))


async def _hashes(tx: Tx, runs: Sequence[Run]) -> list[bytes]:
    nodes = {node: _Span.of(node) for run in runs for node in run.nodes()}
    kept = dict[tuple[int, int], bytes]()
    for level in {span.level for span in nodes.values()}:
        kept |= await _kept(tx, level, [span for span in nodes.values() if span.level == level])
    return [
        folded(
            perfect_root([kept[nodes[node].level, at] for at in range(nodes[node].start, nodes[node].end)])
            for node in run.nodes()
        )
        for run in runs
    ]


async def _kept(tx: Tx, level: int, spans: Sequence[_Span]) -> dict[tuple[int, int], bytes]:
    if level == 0:
        place, query = leaves.c.leaf_index, sa.select(leaves.c.leaf_index, leaves.c.leaf_hash)
    else:
        place, query = tiles.c.tile_index, sa.select(tiles.c.tile_index, tiles.c.root).where(tiles.c.level == level - 1)
    within = sa.or_(*(sa.and_(place >= span.start, place < span.end) for span in spans))
    return {(level, at): hashed for at, hashed in await tx.execute(query.where(within))}
