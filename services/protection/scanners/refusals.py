"""Refusals about held masters and hash lists, as `protection.proto` lists them."""

from __future__ import annotations

import grpc

from services.kit.errors import Refusal
from services.protection.refusals import DOMAIN


def hold_not_found(hold_id: str) -> Refusal:
    """There is no such hold, or it is not the caller's to see."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "HOLD_NOT_FOUND",
        "there is no such hold, or your organisation does not decide about it; list what is there to decide about",
        domain=DOMAIN,
        metadata={"hold_id": hold_id},
    )


def hold_decided(state: str) -> Refusal:
    """A hold was decided about for good."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "HOLD_DECIDED",
        f"the hold was {state.lower()} for good; what was released wrongly can be deleted, what was confirmed wrongly sent again",
        domain=DOMAIN,
        metadata={"state": state},
    )


def second_reviewer_needed() -> Refusal:
    """The first of two reviewers would be the second as well."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "SECOND_REVIEWER_NEEDED",
        "illegal content is released by two people, and you are the first of them; ask a colleague to decide too",
        domain=DOMAIN,
    )


def reviewer_not_a_person() -> Refusal:
    """A key would decide about illegal content."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "REVIEWER_NOT_A_PERSON",
        "people decide about illegal content, by their own name: sign in, and decide with that rather than with an API key",
        domain=DOMAIN,
    )


def evidence_not_there(hold_id: str) -> Refusal:
    """A held master cannot be looked at."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "EVIDENCE_NOT_THERE",
        "the held file is not in quarantine: `preserve_time` tells whether it is there yet, `destroy_time` whether it is gone",
        domain=DOMAIN,
        metadata={"hold_id": hold_id},
    )


def operator_only() -> Refusal:
    """The call concerns the whole install."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "OPERATOR_ONLY",
        "hash lists count for every organisation of the install; use the operator's key, which `reelmesh key` prints",
        domain=DOMAIN,
    )


def hash_lists_full(limit: int) -> Refusal:
    """More hashes than are held in memory."""
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "HASH_LISTS_FULL",
        f"all lists together may have {limit} hashes; delete a list that is not needed, or raise REELMESH_HASH_LISTS_LIMIT",
        domain=DOMAIN,
        metadata={"limit": str(limit)},
    )
