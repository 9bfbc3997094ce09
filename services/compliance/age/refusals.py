"""Refusals about proofs of age: what is wrong, and how to mend it. Reasons and metadata are those of `compliance.proto`."""

from __future__ import annotations

import grpc

from services.compliance.refusals import DOMAIN
from services.kit.errors import Refusal


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
