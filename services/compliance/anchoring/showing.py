"""Anchors as callers, exports and lists of them see them."""

from __future__ import annotations

import base64
from typing import Any

from reelmesh.compliance.v1 import compliance_pb2

from services.compliance.anchoring.anchor import EVM
from services.compliance.anchoring.store import Anchored, Standing
from services.kit.clock import timestamp

_KIND = {
    True: compliance_pb2.ANCHOR_KIND_EVM,
    False: compliance_pb2.ANCHOR_KIND_OPENTIMESTAMPS,
}


def shown_anchor(found: Anchored) -> compliance_pb2.Anchor:
    """An anchor as the contract has it."""
    return compliance_pb2.Anchor(
        anchor_id=found.anchor_id,
        anchor=found.anchor,
        kind=_KIND[found.anchor.startswith(EVM)],
        tree_size=found.tree_size,
        root_hash=found.root,
        note=found.note,
        confirmed=found.confirm_time is not None,
        begin_time=timestamp(found.begin_time),
        confirm_time=timestamp(found.confirm_time),
        evm_chain=found.chain_id,
        transaction_hash=found.transaction_hash,
        block_number=found.block_number,
        block_hash=found.block_hash,
    )


def shown_standing(found: Standing) -> compliance_pb2.AnchorStanding:
    """How a way of anchoring stands, as the contract has it."""
    return compliance_pb2.AnchorStanding(
        anchor=found.anchor,
        kind=_KIND[found.anchor.startswith(EVM)],
        tree_size=found.tree_size,
        confirm_time=timestamp(found.confirm_time),
        behind_leaves=found.behind_leaves,
        behind_time=timestamp(found.behind_since),
        pending=found.pending,
        trouble=found.trouble,
    )


def key_of(found: Anchored) -> str:
    """An anchor's place in the list."""
    return f"{found.tree_size} {found.anchor}"


def exported_anchor(found: Anchored) -> dict[str, Any]:
    """An anchor as a line of an export; what is in it is in docs/audit.md."""
    said: dict[str, Any] = {
        "anchor_id": found.anchor_id,
        "anchor": found.anchor,
        "tree_size": found.tree_size,
        "root": base64.b64encode(found.root).decode(),
        "note": found.note,
        "confirmed": found.confirm_time is not None,
        "block_number": found.block_number,
    }
    if found.anchor.startswith(EVM):
        return said | {
            "chain_id": found.chain_id,
            "transaction_hash": found.transaction_hash,
            "transaction": found.raw.hex(),
            "block_hash": found.block_hash,
        }
    return said | {"ots": base64.b64encode(found.content).decode()}
