"""Every refusal of this domain: what is wrong, and how to mend it. Reasons and metadata are those of `compliance.proto`."""

from __future__ import annotations

from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "compliance.reelmesh"


def leaf_not_found(leaf: str) -> Refusal:
    """No such leaf, or another organisation's."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "LEAF_NOT_FOUND",
        f"there is no leaf {leaf} that you may see; check the id, or wait a moment if the event has just happened",
        domain=DOMAIN,
        metadata={"leaf": leaf},
    )


def tree_size_invalid(tree_size: int) -> Refusal:
    """A proof in a tree that is not there."""
    return Refusal(
        grpc.StatusCode.OUT_OF_RANGE,
        "TREE_SIZE_INVALID",
        f"the log has {tree_size} leaves; ask for a size that it has grown to, and that the leaf or the smaller tree is in",
        domain=DOMAIN,
        metadata={"tree_size": str(tree_size)},
    )


def checkpoint_not_found(tree_size: int) -> Refusal:
    """No such checkpoint is kept."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "CHECKPOINT_NOT_FOUND",
        "no such checkpoint is kept; ask for the latest, for another size, or for fewer cosignatures",
        domain=DOMAIN,
        metadata={"tree_size": str(tree_size)},
    )


def cosignature_invalid() -> Refusal:
    """Nothing of what was sent is a good cosignature."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "COSIGNATURE_INVALID",
        "no line is a good cosignature of this checkpoint by a witness that this log knows; check the size, and that the operator set the witness's key",
        domain=DOMAIN,
    )


def slot_not_found(asset_id: str) -> Refusal:
    """Nothing was uploaded for the asset, as far as the log has come."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "SLOT_NOT_FOUND",
        f"no content was uploaded for {asset_id}, or it has not reached the log yet; check the id, or try again in a moment",
        domain=DOMAIN,
        metadata={"asset_id": asset_id},
    )


def operator_only() -> Refusal:
    """Records of all organisations."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "OPERATOR_ONLY",
        "the records of all organisations are shown to the operator's key of this install only; ask for those of your own",
        domain=DOMAIN,
    )


def anchor_not_found(anchor_id: str) -> Refusal:
    """No such anchor."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "ANCHOR_NOT_FOUND",
        f"there is no anchor {anchor_id}; list those that there are, and check the id",
        domain=DOMAIN,
        metadata={"anchor_id": anchor_id},
    )


def anchor_without_file(anchor_id: str) -> Refusal:
    """An anchor that has no file, or none yet."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "ANCHOR_WITHOUT_FILE",
        f"{anchor_id} has no file: only anchors by OpenTimestamps have one, once a calendar has taken them",
        domain=DOMAIN,
        metadata={"anchor_id": anchor_id},
    )
