"""Whom proofs of age are believed: certificates of issuing authorities (IACA, ISO/IEC 18013-5 annex B.1.2), or of single signers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

_SIGNS_DOCUMENTS: Final = frozenset(
    {
        ObjectIdentifier("1.0.18013.5.1.2"),  # mdoc document signers, ISO/IEC 18013-5 annex B.1.4
        ObjectIdentifier("1.3.130.2.0.0.1.2"),  # the same in the EU's reference implementation
    }
)


class Untrusted(Exception):
    """Nobody who is believed stands for this signer.

    Attributes:
        expired: whether that is only for the time.
    """

    def __init__(self, why: str, *, expired: bool = False) -> None:
        super().__init__(why)
        self.expired = expired


class TrustList:
    """Certificates that are believed.

    Args:
        anchors: of authorities, whose signers are believed too, and of signers, which are believed by themselves.
    """

    def __init__(self, anchors: Sequence[x509.Certificate]) -> None:
        self._anchors = tuple(anchors)

    @classmethod
    def of_pem(cls, pem: bytes) -> TrustList:
        """From PEM certificates one after the other.

        Raises:
            ValueError: there are none, or one cannot be read.
        """
        return cls(x509.load_pem_x509_certificates(pem))

    def key_of(self, chain: Sequence[bytes], now: datetime) -> tuple[ec.EllipticCurvePublicKey, x509.Certificate]:
        """The signer's key and certificate, if somebody who is believed stands for it.

        Args:
            chain: DER certificates, the signer's first; those after it are not needed, as an authority signs by itself.
            now: the moment for which it is asked.

        Raises:
            Untrusted: nobody does.
        """
        try:
            signer = _read(chain[0])
            key = signer.public_key()
        except (IndexError, ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm, Warning) as error:
            raise Untrusted("there is no certificate that can be read") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise Untrusted("the signer's key is on no elliptic curve")
        if signer not in self._anchors:
            _in_force(self._issuer(signer), now)
            # Of one that is believed by itself, whoever put it on the list has looked.
            _signs_documents(signer)
        _in_force(signer, now)
        return key, signer

    def _issuer(self, signer: x509.Certificate) -> x509.Certificate:
        for anchor in self._anchors:
            if anchor.subject != signer.issuer or not _is_authority(anchor):
                continue
            try:
                signer.verify_directly_issued_by(anchor)
            except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
                continue
            return anchor
        raise Untrusted("no authority that is believed issued the signer's certificate")


def _read(der: bytes) -> x509.Certificate:
    # What the parser only warns of, such as a serial number below zero, is no certificate of an authority that takes care.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return x509.load_der_x509_certificate(der)


def _in_force(certificate: x509.Certificate, now: datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Untrusted("a certificate is not in force", expired=True)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def _signs_documents(certificate: x509.Certificate) -> None:
    try:
        extensions = certificate.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
        purposes = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise Untrusted("the signer's certificate does not say what it is for") from error
    if not usage or not purposes & _SIGNS_DOCUMENTS:
        raise Untrusted("the signer's certificate is not for signing documents")
