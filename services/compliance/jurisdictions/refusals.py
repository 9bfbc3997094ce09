"""Refusals about jurisdictions and classifications: what is wrong, and how to mend it. Reasons and metadata are those of `compliance.proto`."""

from __future__ import annotations

import grpc

from services.compliance.refusals import DOMAIN
from services.kit.errors import Refusal


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
