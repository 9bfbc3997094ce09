"""What is said to a wallet and what it says back (OpenID for Verifiable Presentations 1.0): a signed request object with a nonce, and a response that is
encrypted to a key of this check alone (`direct_post.jwt`)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.compliance.age.cose import Malformed

CREDENTIAL: Final = "age"
_KEY_ID: Final = "age"
_AGREEMENT: Final = "ECDH-ES"
_CIPHERS: Final = ("A128GCM", "A256GCM")
_SIGNATURE: Final = "ES256"
REQUEST_TYPE: Final = "application/oauth-authz-req+jwt"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Who asks.

    Attributes:
        key: signs request objects; on P-256.
        certificates: its certificate first; a name of that is the client's (`x509_san_dns`, section 5.9.3).
        client_id: with its prefix.
    """

    key: ECKey = field(repr=False)
    certificates: tuple[x509.Certificate, ...]
    client_id: str

    @classmethod
    def of_pem(cls, key: bytes, certificates: bytes) -> Verifier:
        """From PEM files.

        Raises:
            ValueError: they cannot be used.
        """
        chain = tuple(x509.load_pem_x509_certificates(certificates))
        try:
            names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            host = names.get_values_for_type(x509.DNSName)[0]
        except (x509.ExtensionNotFound, IndexError) as error:
            raise ValueError("the verifier's certificate has no DNS name") from error
        signing = ECKey.import_key(key)
        if signing.curve_name != "P-256" or signing.public_key.public_numbers() != _numbers(chain[0]):
            raise ValueError("the verifier's key is not on P-256, or not that of its certificate")
        return cls(signing, chain, f"x509_san_dns:{host}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is agreed with a wallet for one check.

    Attributes:
        nonce: that the wallet answers to.
        response_uri: where it posts its response.
        key: to which that is encrypted; of this check alone.
    """

    nonce: str
    response_uri: str
    key: ECKey = field(repr=False)

    @classmethod
    def begun(cls, nonce: str, response_uri: str) -> Exchange:
        """With a new key."""
        return cls(nonce, response_uri, ECKey.generate_key("P-256", {"use": "enc", "kid": _KEY_ID, "alg": _AGREEMENT}))

    def kept(self) -> bytes:
        """In the form in which it is kept, which is secret."""
        return json.dumps([self.nonce, self.response_uri, self.key.as_dict(private=True)]).encode()

    @classmethod
    def found(cls, kept: bytes) -> Exchange:
        """As it was kept."""
        nonce, response_uri, key = json.loads(kept)
        return cls(nonce, response_uri, ECKey.import_key(key))

    def transcript(self, client_id: str) -> bytes:
        """The SessionTranscript that the device signs (annex B.2.6.1)."""
        info = [client_id, self.nonce, _unpadded(self.key.thumbprint()), self.response_uri]
        handover = ["OpenID4VPHandover", hashlib.sha256(cbor2.dumps(info)).digest()]
        return cbor2.dumps([None, None, handover])


@dataclass(frozen=True, slots=True)
class Response:
    """What a wallet said.

    Attributes:
        presentation: the encoded DeviceResponse; empty when it refused.
        error: why it refused; empty when it did not.
    """

    presentation: bytes
    error: str


def invocation(scheme: str, verifier: Verifier, request_uri: str) -> str:
    """The link that opens the viewer's wallet."""
    return f"{scheme}://?{urlencode({'client_id': verifier.client_id, 'request_uri': request_uri})}"


def request_object(
    verifier: Verifier, exchange: Exchange, *, state: str, doc_type: str, element: str, times: tuple[datetime, datetime]
) -> str:
    """The signed request (RFC 9101), which asks for one element of one document; `times`: when it begins and ends to be good."""
    key = exchange.key.as_dict(private=False)
    claims = {
        "response_type": "vp_token",
        "response_mode": "direct_post.jwt",
        "client_id": verifier.client_id,
        "response_uri": exchange.response_uri,
        "aud": "https://self-issued.me/v2",
        "nonce": exchange.nonce,
        "state": state,
        "iat": int(times[0].timestamp()),
        "exp": int(times[1].timestamp()),
        "dcql_query": {
            "credentials": [
                {
                    "id": CREDENTIAL,
                    "format": "mso_mdoc",
                    "meta": {"doctype_value": doc_type},
                    "claims": [{"path": [doc_type, element], "intent_to_retain": False}],
                }
            ]
        },
        "client_metadata": {
            "jwks": {"keys": [key]},
            "encrypted_response_enc_values_supported": list(_CIPHERS),
            "vp_formats_supported": {
                "mso_mdoc": {"issuerauth_alg_values": [-7, -35, -36], "deviceauth_alg_values": [-7, -35, -36]}
            },
        },
    }
    chain = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in verifier.certificates]
    header = {"alg": _SIGNATURE, "typ": "oauth-authz-req+jwt", "x5c": chain}
    return jws.serialize_compact(header, json.dumps(claims), verifier.key, algorithms=[_SIGNATURE])


def response_of(body: bytes, exchange: Exchange, state: str) -> Response:
    """Reads what a wallet posted: the form with `response`, or with `error` when it could not even encrypt.

    Raises:
        Malformed: it is none, not encrypted to the check's key, or about another check.
    """
    try:
        fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=8)
    except ValueError as error:
        raise Malformed("the response is no form") from error
    if "response" not in fields:
        return Response(b"", _error(fields.get("error", [""])[0]))
    try:
        opened = jwe.decrypt_compact(fields["response"][0], exchange.key, algorithms=[_AGREEMENT, *_CIPHERS])
        said = json.loads(opened.plaintext or b"")
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Malformed("the response cannot be opened with the key of this check") from error
    if not isinstance(said, dict) or said.get("state", state) != state:
        raise Malformed("the response is about another check")
    if "error" in said:
        return Response(b"", _error(said["error"]))
    return Response(_presentation(said), "")


def _presentation(said: Mapping[str, Any]) -> bytes:
    token = said.get("vp_token")
    shown = token.get(CREDENTIAL) if isinstance(token, dict) else None
    if not isinstance(shown, list) or len(shown) != 1 or not isinstance(shown[0], str):
        raise Malformed("the response does not hold one presentation")
    try:
        return _unpadded(shown[0])
    except ValueError as error:
        raise Malformed("the presentation is no base64url") from error


def _error(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Malformed("the response says nothing")
    return value[:100]


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


def _numbers(certificate: x509.Certificate) -> object:
    key = certificate.public_key()
    return getattr(key, "public_numbers", lambda: None)()
