"""Who signs answers: a certificate and its key, from files of the operator's."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from services.drm.cpix import delivery
from services.drm.cpix.signatures import SigningKey


class UnusableSigner(ValueError):
    """The files for signing answers do not fit together, or are not fit for it; the service does not start with them."""


def signer_of(
    certificate_file: Path | None, key_file: Path | None, now: datetime
) -> tuple[x509.Certificate, SigningKey] | None:
    """Reads both files; None when none is named.

    Raises:
        UnusableSigner: one is named without the other, or they cannot be used.
    """
    if certificate_file is None and key_file is None:
        return None
    if certificate_file is None or key_file is None:
        raise UnusableSigner("name both drm_cpix_certificate_file and drm_cpix_key_file, or neither")
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise UnusableSigner(f"{certificate_file} or {key_file} cannot be read as PEM without a passphrase") from None
    delivery.usable(certificate.public_bytes(Encoding.DER), now)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise UnusableSigner(f"{key_file} is neither an RSA key nor one of an elliptic curve")
    if key.public_key() != certificate.public_key():
        raise UnusableSigner(f"{key_file} is not the key of {certificate_file}")
    return certificate, key
