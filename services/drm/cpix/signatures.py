"""Signatures of documents (XML Signature, CPIX 2.3 section 6.1.3), made and verified by `xmlsec`.

What a signature says about itself is believed only as far as it is on these lists: canonical forms, digests and methods that are strong, the transforms that
cut out the signature itself, and references into this very document. Keys come from certificates that somebody named, never from the document. Which
element a reference means is found here too: ids are unique, and only the document and its lists can be signed, so nothing can be wrapped in
something else (signature wrapping, CWE-347).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from services.drm.cpix import markup
from services.drm.cpix.faults import Malformed, SignatureInvalid
from services.drm.cpix.markup import CPIX, DS

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
MOST_SIGNATURES: Final = 32
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_CANONICAL: Final = {
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments",
    "http://www.w3.org/2001/10/xml-exc-c14n#",
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
}
_ENVELOPED: Final = f"{DS}enveloped-signature"
_METHODS: Final = {f"{_MORE}{kind}-sha{size}" for kind in ("rsa", "ecdsa") for size in (256, 384, 512)}
_DIGESTS: Final = {f"{markup.ENC}sha256", f"{_MORE}sha384", f"{markup.ENC}sha512"}
_LISTS: Final = {
    f"{{{CPIX}}}{name}"
    for name in (
        "DeliveryDataList",
        "ContentKeyList",
        "DRMSystemList",
        "ContentKeyPeriodList",
        "ContentKeyUsageRuleList",
        "UpdateHistoryItemList",
    )
}
_ID_NAMES: Final = ("id", "Id", "ID")


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that is good.

    Attributes:
        covers: the signed element: the document's root, or one of its lists.
        certificate: whose it is, DER.
    """

    covers: etree._Element
    certificate: bytes


def is_signed(root: etree._Element) -> bool:
    """Whether a document has signatures, wherever they stand."""
    return next(root.iter(f"{{{DS}}}Signature"), None) is not None


def verify(root: etree._Element, trusted: Sequence[bytes]) -> list[Verified]:
    """Verifies all signatures of a document; one that is not good spoils them all.

    Args:
        root: of the document.
        trusted: certificates (DER) of those who may sign.

    Raises:
        SignatureInvalid: one is not good, or of nobody who is trusted, or signs something that cannot be.
    """
    found = list(root.iter(f"{{{DS}}}Signature"))
    if len(found) > MOST_SIGNATURES:
        raise SignatureInvalid(f"The document has more than {MOST_SIGNATURES} signatures")
    ids = _ids(root)
    try:
        return [_verified(root, signature, ids, trusted) for signature in found]
    except Malformed as error:
        raise SignatureInvalid(error.words) from None


def verify_whole(root: etree._Element, trusted: Sequence[bytes]) -> list[Verified]:
    """As `verify`, for documents that are signed as a whole: what the root says is covered too.

    Raises:
        SignatureInvalid: as there, or no signature covers the document.
    """
    verified = verify(root, trusted)
    if all(signature.covers is not root for signature in verified):
        raise SignatureInvalid("No signature covers the whole document")
    return verified


def _ids(root: etree._Element) -> dict[str, etree._Element]:
    ids: dict[str, etree._Element] = {}
    for element in root.iter(etree.Element):
        for name in _ID_NAMES:
            value = element.get(name)
            if value is None:
                continue
            if value in ids:
                raise SignatureInvalid("An id is there twice, so what is signed cannot be told")
            ids[value] = element
    return ids


def _verified(
    root: etree._Element, signature: etree._Element, ids: dict[str, etree._Element], trusted: Sequence[bytes]
) -> Verified:
    if signature.getparent() is not root:
        raise SignatureInvalid("A signature stands where none belongs")
    info = markup.required(signature, "ds:SignedInfo")
    _check(info, "ds:CanonicalizationMethod", _CANONICAL)
    _check(info, "ds:SignatureMethod", _METHODS)
    reference = markup.required(info, "ds:Reference")
    _check(reference, "ds:DigestMethod", _DIGESTS)
    covers = _covered(root, reference, ids)
    for certificate in _signers(signature, trusted):
        if _is_of(signature, covers, certificate):
            return Verified(covers, certificate)
    raise SignatureInvalid("A signature is not good")


def _check(parent: etree._Element, name: str, allowed: set[str]) -> None:
    if markup.required(parent, name).get("Algorithm") not in allowed:
        raise SignatureInvalid(f"{name}@Algorithm is not one that is taken")


def _covered(root: etree._Element, reference: etree._Element, ids: dict[str, etree._Element]) -> etree._Element:
    """The element that a reference means."""
    transforms = markup.only(reference, "ds:Transforms")
    names = [] if transforms is None else [child.get("Algorithm") for child in transforms.iter(f"{{{DS}}}Transform")]
    uri = reference.get("URI")
    if uri == "":
        if names[:1] != [_ENVELOPED] or not set(names[1:]) <= _CANONICAL:
            raise SignatureInvalid("A signature of the document has other transforms than cutting itself out")
        return root
    element = ids.get(uri[1:]) if uri is not None and uri.startswith("#") else None
    if element is None:
        raise SignatureInvalid("A signature refers to something outside of the document")
    if element.getparent() is not root or element.tag not in _LISTS or not set(names) <= _CANONICAL:
        raise SignatureInvalid("A signature is of something else than the document or one of its lists")
    return element


def _signers(signature: etree._Element, trusted: Sequence[bytes]) -> list[bytes]:
    """Who can have made a signature: whom it names, if they are trusted; anybody, if it names nobody."""
    named = [
        markup.bytes_of(element) for element in signature.iterfind("ds:KeyInfo//ds:X509Certificate", markup.NAMESPACES)
    ]
    found = [certificate for certificate in trusted if certificate in named] if named else list(trusted)
    if not found:
        raise SignatureInvalid("A signature is of nobody who may sign here")
    return found


def _is_of(signature: etree._Element, covers: etree._Element, certificate: bytes) -> bool:
    context = xmlsec.SignatureContext()
    try:
        context.key = xmlsec.Key.from_memory(certificate, xmlsec.constants.KeyDataFormatCertDer)
        for name in _ID_NAMES:
            if covers.get(name) is not None:
                context.register_id(covers, name)
        context.verify(signature)
    except xmlsec.Error:
        return False
    return True


def sign(root: etree._Element, certificate: x509.Certificate, key: SigningKey) -> None:
    """Signs a document as a whole. Whatever is changed afterwards breaks the signature."""
    method = (
        xmlsec.constants.TransformRsaSha512
        if isinstance(key, rsa.RSAPrivateKey)
        else xmlsec.constants.TransformEcdsaSha512
    )
    signature = xmlsec.template.create(root, xmlsec.constants.TransformInclC14N, method)
    root.append(signature)
    reference = xmlsec.template.add_reference(signature, xmlsec.constants.TransformSha512, uri="")
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    data = xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
    xmlsec.template.x509_data_add_certificate(data)
    context = xmlsec.SignatureContext()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem)
    context.key.load_cert_from_memory(certificate.public_bytes(Encoding.DER), xmlsec.constants.KeyDataFormatCertDer)
    context.sign(signature)
