"""Refusals of the identity contract that more than one part of the service gives."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import grpc

from services.kit.errors import RPC_DOMAIN, Refusal

IDENTITY_DOMAIN: Final = "identity.reelmesh"


def refusal(code: grpc.StatusCode, reason: str, message: str, **metadata: str) -> Refusal:
    """A refusal of this service."""
    return Refusal(code, reason, message, domain=IDENTITY_DOMAIN, metadata=metadata)


def sign_in_refused() -> Refusal:
    """Whoever it was, it was not shown."""
    message = "address and password do not belong together; check both, or ask for a new password"
    return refusal(grpc.StatusCode.UNAUTHENTICATED, "SIGN_IN_REFUSED", message)


def too_many_attempts(wait: timedelta) -> Refusal:
    """Guessing."""
    seconds = max(1, round(wait.total_seconds()))
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_ATTEMPTS",
        f"there were too many wrong attempts; try again in {seconds} s",
        domain=IDENTITY_DOMAIN,
        retry_after=timedelta(seconds=seconds),
    )


def sent_too_often(wait: timedelta) -> Refusal:
    """Codes, to one address or from one network."""
    seconds = max(1, round(wait.total_seconds()))
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "SENT_TOO_OFTEN",
        f"too many codes were sent; look for the last one, or ask for another in {seconds} s",
        domain=IDENTITY_DOMAIN,
        retry_after=timedelta(seconds=seconds),
    )


def account_locked() -> Refusal:
    """Told to who knows the password only."""
    message = "this account is locked; ask whoever runs this platform"
    return refusal(grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_LOCKED", message)


def code_invalid() -> Refusal:
    """A wrong code, an old one, a used one: it is not told which."""
    message = "the code is not right, or not good any more; ask for a new one"
    return refusal(grpc.StatusCode.PERMISSION_DENIED, "CODE_INVALID", message)


def account_not_found(account_id: str) -> Refusal:
    """Nobody, or nobody whom the caller may see."""
    return refusal(
        grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND", f"there is no account {account_id}", account_id=account_id
    )


def organisation_not_found(organisation_id: str) -> Refusal:
    """None, or none of the caller's."""
    return refusal(
        grpc.StatusCode.NOT_FOUND,
        "ORGANISATION_NOT_FOUND",
        f"there is no organisation {organisation_id}, or you do not belong to it",
        organisation_id=organisation_id,
    )


def field_not_updatable(field: str, updatable: str) -> Refusal:
    """The update mask names what cannot be changed."""
    return refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "FIELD_NOT_UPDATABLE",
        f"{field!r} cannot be changed; these can: {updatable}",
        field=field,
    )


def etag_mismatch(what: str, etag: str) -> Refusal:
    """Somebody was quicker."""
    return Refusal(
        grpc.StatusCode.ABORTED,
        "ETAG_MISMATCH",
        f"{what} changed since you read it; read it again",
        domain=RPC_DOMAIN,
        metadata={"etag": etag},
    )


def invalid_field(field: str, message: str) -> Refusal:
    """A field breaks a rule that the contract tells in words."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        f"{field}: {message}",
        domain=RPC_DOMAIN,
        fields=[(field, message)],
    )
