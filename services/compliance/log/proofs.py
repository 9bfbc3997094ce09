"""Proofs, worked out from what is kept: hashes of leaves, and roots of full tiles.

A perfect subtree's root comes from at most 128 hashes of one level of tiles, so a proof in a tree of a million leaves is made of three levels of 255
hashes at most, read by one query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from services.compliance.log.merkle import (
    HASH_BYTES,
    TILE_HEIGHT,
    Node,
    Run,
    consistency_runs,
    folded,
    inclusion_runs,
    perfect_root,
)
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


# One text for all proofs, whichever nodes they are made of; the hashes of each span in one value, for a row each would cost more than to find them.
_KEPT: Final = sa.text("""
SELECT nr, CASE spans.level
  WHEN 0 THEN (SELECT string_agg(leaf_hash, '' ORDER BY leaf_index) FROM log_leaves WHERE leaf_index >= first AND leaf_index < past)
  ELSE (SELECT string_agg(root, '' ORDER BY tile_index) FROM log_tiles t
    WHERE t.level = spans.level - 1 AND tile_index >= first AND tile_index < past)
  END AS hashes
FROM unnest(CAST(:levels AS int[]), CAST(:starts AS bigint[]), CAST(:ends AS bigint[])) WITH ORDINALITY AS spans (level, first, past, nr)""")


async def _hashes(tx: Tx, runs: Sequence[Run]) -> list[bytes]:
    nodes = {node: _Span.of(node) for run in runs for node in run.nodes()}
    if not nodes:
        return []
    spans = list(nodes.values())
    asked = {
        "levels": [span.level for span in spans],
        "starts": [span.start for span in spans],
        "ends": [span.end for span in spans],
    }
    kept = {spans[row.nr - 1]: row.hashes or b"" for row in await tx.execute(_KEPT, asked)}

    def root(node: Node) -> bytes:
        span = nodes[node]
        hashes = kept[span]
        if len(hashes) != HASH_BYTES * (span.end - span.start):
            raise LookupError(f"the log lacks hashes from {span.start} to {span.end} of level {span.level}")
        return perfect_root([hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)])

    return [folded(root(node) for node in run.nodes()) for run in runs]
