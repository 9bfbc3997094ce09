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


def age_method_unavailable(provider: str, method: str) -> Refusal:
    """Not to be had here."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "AGE_METHOD_UNAVAILABLE",
        "this age cannot be proved here in this way; GetAgeOptions says in which ways it can",
        domain=DOMAIN,
        metadata={"provider": provider, "method": method},
    )


def age_check_not_found(check_id: str) -> Refusal:
    """No such check, or another's."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "AGE_CHECK_NOT_FOUND",
        "there is no such check of yours; begin one with StartAgeCheck",
        domain=DOMAIN,
        metadata={"age_check_id": check_id},
    )


def age_check_over() -> Refusal:
    """A check is decided once."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "AGE_CHECK_OVER",
        "this check is over: what is shown for it again counts for nothing; begin another one",
        domain=DOMAIN,
    )


def age_delivery_not_authentic(provider: str) -> Refusal:
    """Not from who it says."""
    return Refusal(
        grpc.StatusCode.UNAUTHENTICATED,
        "AGE_DELIVERY_NOT_AUTHENTIC",
        "this was not sent by the provider; check that the secret that signs its webhooks is the one that was set here",
        domain=DOMAIN,
        metadata={"provider": provider},
    )


def age_delivery_malformed(provider: str, cause: str) -> Refusal:
    """It says nothing."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "AGE_DELIVERY_MALFORMED",
        f"this cannot be read: {cause}",
        domain=DOMAIN,
        metadata={"provider": provider, "cause": cause},
    )


def age_provider_refused(provider: str) -> Refusal:
    """The provider does not want to."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "AGE_PROVIDER_REFUSED",
        "the provider does not begin this check; choose another way, or have the operator look at its account there",
        domain=DOMAIN,
        metadata={"provider": provider},
    )


def age_proof_invalid(cause: str, why: str) -> Refusal:
    """It proves nothing."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "AGE_PROOF_INVALID",
        f"this proves no age: {why}; show another proof",
        domain=DOMAIN,
        metadata={"cause": cause},
    )


def age_viewer_not_self(account_id: str) -> Refusal:
    """Somebody else's age."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "AGE_VIEWER_NOT_SELF",
        "you can have your own age proved only; leave viewer_id empty, or ask with an API key",
        domain=DOMAIN,
        metadata={"viewer_id": account_id},
    )


def age_viewer_missing() -> Refusal:
    """Nobody's age."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "AGE_VIEWER_MISSING",
        "name the viewer whose age is to be proved, as CreatePlayback will name them",
        domain=DOMAIN,
    )


def jurisdiction_rules_invalid(path: str, why: str) -> Refusal:
    """Rows that say nothing."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "JURISDICTION_RULES_INVALID",
        f"{path}: {why}",
        domain=DOMAIN,
        fields=[(path, why)],
    )


def jurisdiction_table_not_found(version: int) -> Refusal:
    """No such version."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "JURISDICTION_TABLE_NOT_FOUND",
        f"there is no version {version} of the table; ListJurisdictionTables shows those that there are",
        domain=DOMAIN,
        metadata={"version": str(version)},
    )


def classification_not_found(asset_id: str, version: int) -> Refusal:
    """No such version."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "CLASSIFICATION_NOT_FOUND",
        f"there is no version {version} of how {asset_id} is classified; ask for version 0, which is the current one",
        domain=DOMAIN,
        metadata={"asset_id": asset_id, "version": str(version)},
    )
