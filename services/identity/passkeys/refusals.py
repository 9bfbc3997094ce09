"""Refusals about passkeys."""

from __future__ import annotations

import grpc

from services.identity.passkeys.relying_party import RelyingParty
from services.identity.refusals import IDENTITY_DOMAIN, refusal
from services.kit.errors import Refusal


def checked(party: RelyingParty) -> RelyingParty:
    """The site, if it can have passkeys.

    Raises:
        Refusal: FAILED_PRECONDITION `PASSKEYS_UNAVAILABLE`.
    """
    if not party.rp_id:
        message = "passkeys are bound to a host name and this install has none; set REELMESH_PUBLIC_URL to an address with one"
        raise refusal(grpc.StatusCode.FAILED_PRECONDITION, "PASSKEYS_UNAVAILABLE", message)
    return party


def passkey_refused() -> Refusal:
    """Whoever it was, it was not shown."""
    message = "the passkey was not accepted; use another one, or sign in by password"
    return refusal(grpc.StatusCode.UNAUTHENTICATED, "PASSKEY_REFUSED", message)


def passkey_copied() -> Refusal:
    """Two devices count with one key."""
    message = "the passkey may have been copied, so it is not accepted; sign in by other means and remove it"
    return refusal(grpc.StatusCode.UNAUTHENTICATED, "PASSKEY_COPIED", message)


def passkey_invalid() -> Refusal:
    """Not a passkey, or not one for this site."""
    message = "this is not a passkey that can be taken; it must be made for this site and check who holds it"
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "PASSKEY_INVALID",
        message,
        domain=IDENTITY_DOMAIN,
        fields=[("credential", message)],
    )


def challenge_invalid() -> Refusal:
    """Too late, twice, or never asked."""
    message = "nothing like this was asked in the last five minutes, or it was answered before; begin again"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "PASSKEY_CHALLENGE_INVALID", message)


def passkey_not_found(passkey_id: str) -> Refusal:
    """None, or none of the caller's."""
    message = f"you have no passkey {passkey_id}"
    return refusal(grpc.StatusCode.NOT_FOUND, "PASSKEY_NOT_FOUND", message, passkey_id=passkey_id)


def passkey_exists() -> Refusal:
    """Known already, whoever's it is."""
    message = "this passkey was added before"
    return refusal(grpc.StatusCode.ALREADY_EXISTS, "PASSKEY_EXISTS", message)


def too_many_passkeys(limit: int) -> Refusal:
    """As many as one may have."""
    message = f"you have {limit} passkeys, and more cannot be kept; remove one first"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_PASSKEYS", message, limit=str(limit))
