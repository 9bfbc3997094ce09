"""SPEKE v2: what an encryptor asks, judged, and answered within its own document.

Source: AWS, "SPEKE API v2 - Customizations and constraints to the DASH-IF specification", whose words refusals have where it gives some. The answer
is the request with keys and signalling in it; contract, periods, key ids and schemes go back as they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from lxml import etree

from services.drm.cpix import contract, delivery, markup, reading, schema, signalling, signatures, writing
from services.drm.cpix.document import Document, UsageRule
from services.drm.cpix.faults import Malformed, Refused
from services.drm.cpix.markup import CPIX, DS, PSKC
from services.drm.cpix.signatures import SigningKey

SPEKE_VERSION: Final = "2.0"
CPIX_VERSION: Final = "2.3"
MOST_KEYS: Final = 128
MOST_RECIPIENTS: Final = 16
LONGEST_CONTENT_ID: Final = 1024
_SCHEMES: Final = {"cenc", "cbcs", "cens", "cbc1"}


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it is put into an answer; its initialization vector is for cbcs."""

    key: bytes = field(repr=False)
    iv: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be answered.

    Attributes:
        document: what it says.
        root: the same as a tree.
        signed: whether it is signed.
    """

    document: Document
    root: etree._Element
    signed: bool

    @property
    def rules(self) -> Mapping[bytes, UsageRule]:
        """The rule of each key id."""
        return {rule.key_id: rule for rule in self.document.rules}


def read(data: bytes, speke_version: str) -> Asked:
    """Reads and judges a request. Its signatures are not verified yet: see `verify`.

    Args:
        data: the document.
        speke_version: as the header `X-Speke-Version` says.

    Raises:
        Refused: it is not what SPEKE asks for.
        Malformed: it is no CPIX document.
    """
    if speke_version != SPEKE_VERSION:
        raise Refused("Unsupported SPEKE version")
    root = markup.read(data)
    if root.tag != f"{{{CPIX}}}CPIX":
        raise Malformed("The document is no CPIX")
    if not root.get("contentId"):
        raise Refused("Missing CPIX@contentId")
    if not root.get("version"):
        raise Refused("Missing CPIX@version")
    if root.get("version") != CPIX_VERSION:
        raise Refused("Unsupported CPIX@version")
    schema.judge(root)
    document = reading.document_of(root)
    _check_size(document)
    _check_keys(root, document)
    _check_systems(document)
    contract.check(document)
    return Asked(document, root, signatures.is_signed(root))


def verify(asked: Asked, trusted: Sequence[bytes]) -> None:
    """Verifies the signatures of a request that has some.

    Args:
        asked: the request.
        trusted: certificates (DER) of those who may sign.

    Raises:
        SignatureInvalid: one is not good, or none covers the whole document.
    """
    if asked.signed:
        signatures.verify_whole(asked.root, trusted)


def _check_size(document: Document) -> None:
    if len(document.content_id) > LONGEST_CONTENT_ID or not document.content_id.isprintable():
        raise Refused(f"CPIX@contentId must be printable and have at most {LONGEST_CONTENT_ID} characters")
    if len(document.keys) > MOST_KEYS:
        raise Refused(f"A document may ask for {MOST_KEYS} keys at most")
    if len(document.recipients) > MOST_RECIPIENTS:
        raise Refused(f"A document may name {MOST_RECIPIENTS} recipients at most")


def _check_keys(root: etree._Element, document: Document) -> None:
    if not document.keys:
        raise Refused("Missing ContentKey")
    for key in document.keys:
        if not key.scheme:
            raise Refused(f"Missing ContentKey@commonEncryptionScheme for KID {markup.key_id_text(key.key_id)}")
    schemes = {key.scheme for key in document.keys}
    if len(schemes) > 1:
        raise Refused("Non compliant ContentKey@commonEncryptionScheme combination")
    if not schemes <= _SCHEMES:
        raise Refused("Unsupported ContentKey@commonEncryptionScheme")
    for element in reading.listed(root, "ContentKeyList", "ContentKey"):
        if next(element.iter(f"{{{PSKC}}}PlainValue", f"{{{PSKC}}}EncryptedValue"), None) is not None:
            raise Refused(f"ContentKey for KID {element.get('kid')} brings a value: keys are made by the key provider")


def _check_systems(document: Document) -> None:
    if not document.systems:
        raise Refused("Missing DRMSystem")
    key_ids, (scheme, *_) = {key.key_id for key in document.keys}, [key.scheme for key in document.keys]
    for system in document.systems:
        schemes = signalling.SCHEMES.get(system.system_id)
        if schemes is None:
            raise Refused(f"Unsupported DRMSystem@systemId {system.system_id}")
        if scheme not in schemes:
            raise Refused(f"ContentKey@commonEncryptionScheme non compatible with DRMSystem {system.system_id}")
        if system.key_id not in key_ids:
            raise Refused(f"DRMSystem@kid {markup.key_id_text(system.key_id)} is of no ContentKey")


def answer(
    asked: Asked,
    keys: Mapping[bytes, KeyValue],
    now: datetime,
    signer: tuple[x509.Certificate, SigningKey] | None = None,
) -> bytes:
    """The request with its answers in it. The request's tree is used up.

    Args:
        asked: the request.
        keys: the keys by their ids.
        now: at which recipients' certificates must be valid.
        signer: who signs the answer to a signed request; None: nobody.

    Raises:
        CertificateUnusable: keys cannot be encrypted to a recipient.
    """
    root = _with_pskc(asked.root)
    for signature in markup.children(root, "ds:Signature"):
        root.remove(signature)  # they were of another document
    for element in reading.listed(root, "ContentKeyList", "ContentKey"):
        _fill_key(element, keys[markup.key_id_of(element.get("kid"), "ContentKey@kid")])
    scheme = asked.document.keys[0].scheme
    for element in reading.listed(root, "DRMSystemList", "DRMSystem"):
        key_id = markup.key_id_of(element.get("kid"), "DRMSystem@kid")
        system_id = (element.get("systemId") or "").lower()
        _fill_system(element, signalling.signals_of(system_id, key_id, keys[key_id].key, scheme))
    if asked.document.recipients:
        delivery.encrypt(root, now)
    if asked.signed and signer is not None:
        signatures.sign(root, *signer)
    return markup.written(root)


def _with_pskc(root: etree._Element) -> etree._Element:
    """The document with the namespaces declared at its root in which it is answered: encryptors look for `pskc:` by that name."""
    known = set(root.nsmap.values())
    if {PSKC, DS} <= known and None not in root.nsmap:
        return root
    names = {prefix: uri for prefix, uri in root.nsmap.items() if prefix is not None}
    for prefix, uri in markup.NAMESPACES.items():
        if uri not in names.values() and prefix not in names:
            names[prefix] = uri
    declared = etree.Element(root.tag, {str(name): str(value) for name, value in root.attrib.items()}, nsmap=names)
    declared.text = root.text
    declared.extend(list(root))
    return declared


def _fill_key(element: etree._Element, value: KeyValue) -> None:
    for empty in markup.children(element, "cpix:Data"):
        element.remove(empty)
    writing.set_plain_value(element, value.key)
    if element.get("explicitIV") is not None or element.get("commonEncryptionScheme") == "cbcs":
        element.set("explicitIV", markup.to_base64(value.iv))


def _fill_system(element: etree._Element, signals: signalling.Signals) -> None:
    """Fills what is asked for. What the system has no value for goes: an element without a value would be an error to the encryptor."""
    values = {
        "PSSH": signals.box,
        "ContentProtectionData": signals.protection,
        "URIExtXKey": signals.uri,
        "HDSSignalingData": None,
    }
    for name, value in values.items():
        _fill(element, name, None if value is None else markup.to_base64(value))
    _fill(element, "SmoothStreamingProtectionHeaderData", signals.smooth_streaming)
    for found in markup.children(element, "cpix:HLSSignalingData"):
        line = signals.hls(found.get("playlist", "media"))
        if line is None:
            element.remove(found)
        else:
            _set_text(found, markup.to_base64(line))


def _fill(element: etree._Element, name: str, text: str | None) -> None:
    for found in markup.children(element, f"cpix:{name}"):
        if text is None:
            element.remove(found)
        else:
            _set_text(found, text)


def _set_text(element: etree._Element, text: str) -> None:
    for child in list(element):
        element.remove(child)
    element.text = text
