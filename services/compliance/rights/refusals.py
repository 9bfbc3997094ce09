"""Refusals about requests of persons and about legal holds."""

from __future__ import annotations

import grpc

from services.compliance.refusals import DOMAIN
from services.kit.errors import Refusal


def not_found(data_request_id: str) -> Refusal:
    """No such request, or not the caller's to see."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "DATA_REQUEST_NOT_FOUND",
        f"there is no request {data_request_id} that you may see; check the id",
        domain=DOMAIN,
        metadata={"data_request_id": data_request_id},
    )


def wrong_state(data_request_id: str, state: str, why: str) -> Refusal:
    """Too late, or too early."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "DATA_REQUEST_WRONG_STATE",
        f"{why}; this one is {state}",
        domain=DOMAIN,
        metadata={"data_request_id": data_request_id, "state": state},
    )


def sign_in_too_old(minutes: int) -> Refusal:
    """Whoever found an open session must not take everything."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "SIGN_IN_TOO_OLD",
        f"you signed in more than {minutes} minutes ago; sign in again, such as by a code that is mailed to you, and then ask again",
        domain=DOMAIN,
        metadata={"minutes": str(minutes)},
    )


def proof_code_invalid() -> Refusal:
    """Wrong, used, too old, or tried too often."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "PROOF_CODE_INVALID",
        "the code is not the one that was sent, or not good any more; check it, or have the request made anew",
        domain=DOMAIN,
    )


def subject_not_yours() -> Refusal:
    """An account is nobody's own."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "SUBJECT_NOT_YOURS",
        "accounts are the same persons in all organisations: ask with the operator's key, or have the person ask on their account page",
        domain=DOMAIN,
    )


def identity_unproven() -> Refusal:
    """Nobody knows an address of theirs."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "IDENTITY_UNPROVEN",
        "there is no account to send a code to: see to who the person is, and set identity_checked",
        domain=DOMAIN,
    )


def hold_not_found(hold_id: str) -> Refusal:
    """No such hold, or another organisation's."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "HOLD_NOT_FOUND",
        f"there is no hold {hold_id} of your organisation; check the id",
        domain=DOMAIN,
        metadata={"hold_id": hold_id},
    )


def limits_misplaced() -> Refusal:
    """Objections are to something; nothing else is."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "LIMITS_MISPLACED",
        "an objection must name in `limits` what it is to, and other requests must name nothing there",
        domain=DOMAIN,
    )
