"""Refusals of the key server."""

from __future__ import annotations

from typing import Final

import grpc

from services.drm.cpix.faults import CertificateUnusable, Fault, Malformed, Refused, SignatureInvalid
from services.drm.domain import DOMAIN
from services.kit.errors import Refusal

_OF_FAULTS: Final[dict[type[Fault], tuple[grpc.StatusCode, str, str]]] = {
    Refused: (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CPIX_REFUSED",
        "the document is not what SPEKE v2.0 asks for; mend it at the encryptor",
    ),
    Malformed: (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CPIX_MALFORMED",
        "send a CPIX 2.3 document in UTF-8, without a DTD",
    ),
    SignatureInvalid: (
        grpc.StatusCode.PERMISSION_DENIED,
        "CPIX_SIGNATURE_INVALID",
        "sign the whole document with the certificate of one of the organisation's packagers, or not at all",
    ),
    CertificateUnusable: (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CERTIFICATE_UNUSABLE",
        "use a certificate with an RSA key of 2048 bits or more",
    ),
}


def refusal_of(fault: Fault) -> Refusal:
    """What is wrong with a document, as a refusal."""
    code, reason, advice = _OF_FAULTS[type(fault)]
    return Refusal(code, reason, f"{fault.words}: {advice}", domain=DOMAIN, metadata={"words": fault.words})


def packager_signature_invalid() -> Refusal:
    """Nobody is told whether it was the name or the key."""
    return Refusal(
        grpc.StatusCode.UNAUTHENTICATED,
        "PACKAGER_SIGNATURE_INVALID",
        "the signer is unknown, or the request is not signed with its key; give the packager the id, key and initialization vector that "
        "CreatePackager returned",
        domain=DOMAIN,
    )


def packager_request_invalid(status: str, why: str) -> Refusal:
    """A request is not what the key server API asks for."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "PACKAGER_REQUEST_INVALID", why, domain=DOMAIN, metadata={"status": status}
    )
