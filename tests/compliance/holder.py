"""Issuers of proofs of age, and a wallet that holds one: written from the standards alone, with none of the code that it judges."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID, ObjectIdentifier
from joserfc import jwe, jws
from joserfc.jwk import ECKey

DOC_TYPE = "eu.europa.ec.av.1"
_DOCUMENT_SIGNER = ObjectIdentifier("1.0.18013.5.1.2")


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def tagged(value: Any) -> bytes:
    """Embedded CBOR, as it is hashed and signed."""
    return cbor2.dumps(cbor2.CBORTag(24, cbor2.dumps(value)))


def sign1(
    key: ec.EllipticCurvePrivateKey, payload: bytes, *, chain: list[bytes] | None = None, detached: bool = False
) -> list[Any]:
    """A COSE_Sign1 with ES256."""
    protected = cbor2.dumps({1: -7})
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    unprotected = {33: chain[0] if len(chain) == 1 else chain} if chain else {}
    return [protected, unprotected, None if detached else payload, r.to_bytes(32) + s.to_bytes(32)]


@dataclass
class Issuer:
    """An authority with a document signer."""

    now: datetime
    purpose: ObjectIdentifier = _DOCUMENT_SIGNER
    root_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    signer_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.root = self._certificate("Authority", "Authority", self.root_key.public_key(), authority=True)
        self.signer = self._certificate("Signer", "Authority", self.signer_key.public_key())

    def _certificate(
        self, subject: str, issuer: str, key: ec.EllipticCurvePublicKey, *, authority: bool = False
    ) -> x509.Certificate:
        made = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(days=30))
            .not_valid_after(self.now + timedelta(days=300))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            usage = x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            )
            made = made.add_extension(usage, critical=True)
            made = made.add_extension(x509.ExtendedKeyUsage([self.purpose]), critical=True)
        return made.sign(self.root_key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    @property
    def chain(self) -> list[bytes]:
        return [self.signer.public_bytes(serialization.Encoding.DER)]

    def issue(self, device: ec.EllipticCurvePublicKey, value: object = True, **changes: Any) -> dict[str, Any]:
        """An IssuerSigned; `changes` of the security object."""
        item = {
            "digestID": 7,
            "random": secrets.token_bytes(32),
            "elementIdentifier": "age_over_18",
            "elementValue": value,
        }
        numbers = device.public_numbers()
        moments = {
            "signed": self.now - timedelta(days=2),
            "validFrom": self.now - timedelta(days=1),
            "validUntil": self.now + timedelta(days=30),
        }
        security = {
            "version": "1.0",
            "digestAlgorithm": "SHA-256",
            "docType": DOC_TYPE,
            "valueDigests": {DOC_TYPE: {7: hashlib.sha256(tagged(item)).digest()}},
            "deviceKeyInfo": {"deviceKey": {1: 2, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}},
            "validityInfo": moments,
        } | changes
        return {
            "nameSpaces": {DOC_TYPE: [cbor2.CBORTag(24, cbor2.dumps(item))]},
            "issuerAuth": sign1(self.signer_key, tagged(security), chain=self.chain),
        }

    def status_list(self, uri: str, statuses: bytes, **changes: Any) -> bytes:
        """A list of one bit for each document, as a CWT."""
        claims = {2: uri, 6: int(self.now.timestamp()), 65533: {"bits": 1, "lst": zlib.compress(statuses)}} | changes
        return cbor2.dumps(cbor2.CBORTag(18, sign1(self.signer_key, cbor2.dumps(claims), chain=self.chain)))


@dataclass
class Request:
    """What a verifier asks, as the wallet read it."""

    claims: dict[str, Any]
    header: dict[str, Any]

    @classmethod
    def of(cls, signed: str) -> Request:
        """Reads a request object whose signature is by the certificate in it."""
        header = json.loads(base64.urlsafe_b64decode(signed.split(".", maxsplit=1)[0] + "=="))
        certificate = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
        pem = certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        registry = jws.JWSRegistry(algorithms=["ES256"])
        registry.max_header_length = 8192  # there are certificates in it
        read = jws.deserialize_compact(signed, ECKey.import_key(pem), registry=registry)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        claims = json.loads(read.payload)
        assert claims["client_id"] == f"x509_san_dns:{names.get_values_for_type(x509.DNSName)[0]}"
        return cls(claims, header)

    @property
    def key(self) -> ECKey:
        return ECKey.import_key(self.claims["client_metadata"]["jwks"]["keys"][0])


@dataclass
class Wallet:
    """Holds a proof of age."""

    issuer: Issuer
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.issuer_signed = self.issuer.issue(self.key.public_key())

    def response(self, request: Request, *, bound: bool = True, **changes: Any) -> bytes:
        """The DeviceResponse to a request; `changes` of what of the request the device signs."""
        claims = request.claims | changes
        thumbprint = base64.urlsafe_b64decode(request.key.thumbprint() + "=")
        info = cbor2.dumps([claims["client_id"], claims["nonce"], thumbprint, claims["response_uri"]])
        transcript = [None, None, ["OpenID4VPHandover", hashlib.sha256(info).digest()]]
        document: dict[str, Any] = {"docType": DOC_TYPE, "issuerSigned": self.issuer_signed}
        if bound:
            names = cbor2.CBORTag(24, cbor2.dumps({}))
            signed = tagged(["DeviceAuthentication", transcript, DOC_TYPE, names])
            made = sign1(self.key, signed, detached=True)
            document["deviceSigned"] = {"nameSpaces": names, "deviceAuth": {"deviceSignature": made}}
        return cbor2.dumps({"version": "1.0", "documents": [document], "status": 0})

    def posted(self, request: Request, *, bound: bool = True, **changes: Any) -> bytes:
        """The form that it posts."""
        return encrypted(request, self.response(request, bound=bound, **changes))


def encrypted(request: Request, presentation: bytes, **changes: Any) -> bytes:
    """A response as a form, encrypted to the verifier's key."""
    shown = base64.urlsafe_b64encode(presentation).decode().rstrip("=")
    said = {"vp_token": {"age": [shown]}, "state": request.claims["state"]} | changes
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": request.key.kid}
    token = jwe.encrypt_compact(header, json.dumps(said).encode(), request.key, algorithms=["ECDH-ES", "A256GCM"])
    return f"response={token}".encode()


def request_uri_of(url: str) -> str:
    """Where the link that opens a wallet has it fetch the request."""
    return parse_qs(urlsplit(url).query)["request_uri"][0]


def verifier_pem(now: datetime, host: str = "films.example") -> tuple[bytes, bytes]:
    """Key and certificate of who asks."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(name(host))
        .issuer_name(name(host))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=300))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, made.public_bytes(serialization.Encoding.PEM)
