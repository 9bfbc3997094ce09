"""Mobile documents (ISO/IEC 18013-5): what an issuer signed, and that it was shown by the device that it was issued to. Pure; the clock is handed in.

A document is good when the issuer is believed, its signature is over the mobile security object (section 9.1.2.4), that is in force, and each
element has the digest that stands in it (9.1.2.5). It is shown by its owner when the device's signature is over the session's transcript (9.1.3.6).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from services.compliance.age import cose
from services.compliance.age.cose import Malformed, as_bytes, as_map
from services.compliance.age.trust import TrustList, Untrusted

_KEY_TYPE: Final = 1
_CURVE: Final = -1
_X: Final = -2
_Y: Final = -3
_EC2: Final = 2
_CURVES: Final[Mapping[object, type[ec.EllipticCurve]]] = {1: ec.SECP256R1, 2: ec.SECP384R1, 3: ec.SECP521R1}


class Invalid(Exception):
    """The document proves nothing.

    Attributes:
        cause: `altered`, `expired`, `untrusted`, `nonce` or `unbound`.
    """

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class StatusReference:
    """Where it stands whether a document was revoked: bit number `index` of the list at `uri` (IETF token status list)."""

    uri: str
    index: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document that is good.

    Attributes:
        elements: by name, of the namespace that is named like the document's type.
        device_key: of the device that it was issued to.
        valid_until: until when the issuer stands for it.
        digest: SHA-256 of the issuer's signature, by which the same document is known again.
        status: None when the issuer keeps no list of what it revoked.
    """

    doc_type: str
    elements: Mapping[str, object]
    device_key: ec.EllipticCurvePublicKey
    valid_until: datetime
    digest: bytes
    status: StatusReference | None


def issuer_signed(value: object, doc_type: str, trust: TrustList, now: datetime) -> Document:
    """Reads and verifies an IssuerSigned structure.

    Raises:
        Malformed: it is none.
        Invalid: `altered`, `expired` or `untrusted`.
    """
    whole = as_map(value, "issuerSigned")
    auth = cose.read(whole.get("issuerAuth"), "issuerAuth")
    try:
        key, certificate = trust.key_of(auth.chain, now)
    except Untrusted as error:
        raise Invalid("expired" if error.expired else "untrusted", str(error)) from error
    if not auth.is_by(key):
        raise Invalid("altered", "the issuer's signature is not good")
    security = as_map(
        cose.decoded(cose.embedded(cose.decoded(auth.payload), "the security object")), "the security object"
    )
    if security.get("docType") != doc_type:
        raise Invalid("untrusted", f"it is no {doc_type}")
    valid_until = _in_force(as_map(security.get("validityInfo"), "validityInfo"), now)
    signed = _moment(as_map(security["validityInfo"], "validityInfo").get("signed"), "signed")
    if not certificate.not_valid_before_utc <= signed <= certificate.not_valid_after_utc:
        raise Invalid("untrusted", "it was signed when the signer's certificate was not in force")
    return Document(
        doc_type=doc_type,
        elements=_elements(whole, security, doc_type),
        device_key=_device_key(security),
        valid_until=valid_until,
        digest=cose.digest("SHA-256", auth.signature),
        status=_status(security.get("status")),
    )


def device_signed(value: object, document: Document, transcript: bytes) -> bool:
    """Whether a DeviceSigned structure shows that the document's own device answers to this session.

    Args:
        value: the structure.
        document: that it belongs to.
        transcript: the encoded SessionTranscript.

    Returns:
        False when there is no signature of the device, such as where it only made a MAC.

    Raises:
        Malformed: it is no such structure.
        Invalid: `nonce`: the signature is there, and for another session or by another device.
    """
    if value is None:
        return False
    whole = as_map(value, "deviceSigned")
    names = cose.embedded(whole.get("nameSpaces"), "nameSpaces of deviceSigned")
    made = as_map(whole.get("deviceAuth"), "deviceAuth").get("deviceSignature")
    if made is None:
        return False
    signature = cose.read(made, "deviceSignature")
    # The transcript is spliced in as it is: encoded anew it might be other bytes than the device signed.
    authentication = (
        b"\x84" + cbor2.dumps("DeviceAuthentication") + transcript + cbor2.dumps(document.doc_type) + cose.tagged(names)
    )
    if not signature.is_by(document.device_key, cose.tagged(authentication)):
        raise Invalid("nonce", "it was signed for another request, or on another device")
    return True


def only_document(data: bytes, doc_type: str) -> Mapping[Any, Any]:
    """The document of a type in a DeviceResponse (section 8.3.2.1.2.2).

    Raises:
        Malformed: there is none, or more than one.
    """
    response = as_map(cose.decoded(data), "the response")
    documents = response.get("documents")
    if response.get("version") != "1.0" or response.get("status") != 0 or not isinstance(documents, list | tuple):
        raise Malformed("that is no response with documents")
    found = [as_map(one, "a document") for one in documents]
    if len(found) != 1 or found[0].get("docType") != doc_type:
        raise Malformed(f"there is not one {doc_type}")
    return found[0]


def _in_force(validity: Mapping[Any, Any], now: datetime) -> datetime:
    start, end = _moment(validity.get("validFrom"), "validFrom"), _moment(validity.get("validUntil"), "validUntil")
    if not start <= now < end or _moment(validity.get("signed"), "signed") > now:
        raise Invalid("expired", "it is not in force")
    return end


def _elements(whole: Mapping[Any, Any], security: Mapping[Any, Any], namespace: str) -> Mapping[str, object]:
    digests = as_map(as_map(security.get("valueDigests"), "valueDigests").get(namespace), "the digests")
    shown = as_map(whole.get("nameSpaces"), "nameSpaces").get(namespace)
    if not isinstance(shown, list | tuple) or not 1 <= len(shown) <= 100:
        raise Malformed("there are no elements")
    found: dict[str, object] = {}
    for one in shown:
        inner = cose.embedded(one, "an element")
        item = as_map(cose.decoded(inner), "an element")
        name, number = item.get("elementIdentifier"), item.get("digestID")
        expected = digests.get(number) if isinstance(number, int) else None
        if not isinstance(name, str) or name in found or not isinstance(expected, bytes):
            raise Invalid("altered", "an element is not among those that were signed")
        if not hmac.compare_digest(cose.digest(security.get("digestAlgorithm"), cose.tagged(inner)), expected):
            raise Invalid("altered", "an element is not what was signed")
        found[name] = item.get("elementValue")
    return found


def _device_key(security: Mapping[Any, Any]) -> ec.EllipticCurvePublicKey:
    key = as_map(as_map(security.get("deviceKeyInfo"), "deviceKeyInfo").get("deviceKey"), "deviceKey")
    curve = _CURVES.get(key.get(_CURVE))
    if key.get(_KEY_TYPE) != _EC2 or curve is None:
        raise Malformed("the device's key is of a kind that is not known here")
    x, y = as_bytes(key.get(_X), "x"), as_bytes(key.get(_Y), "y")
    try:
        return ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve()).public_key()
    except ValueError as error:
        raise Malformed("the device's key is not on its curve") from error


def _status(value: object) -> StatusReference | None:
    if value is None:
        return None
    found = as_map(as_map(value, "status").get("status_list"), "status_list")
    index, uri = found.get("idx"), found.get("uri")
    if not isinstance(index, int) or index < 0 or not isinstance(uri, str) or not uri.startswith("https://"):
        raise Malformed("the status names no list")
    return StatusReference(uri, index)


def _moment(value: object, what: str) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise Malformed(f"{what} is no moment")
    return value
