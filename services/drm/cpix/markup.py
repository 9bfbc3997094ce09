"""XML that strangers sent: read without anything that XML can do beside holding a document.

A DTD is refused before a parser sees it, and with it every entity (CWE-776, CWE-611). Encodings are UTF-8 and UTF-16, so that the bytes that were
looked at are those that are parsed. Nothing is fetched. Text is taken only where an element holds nothing else: a comment within a value would
otherwise cut it short without breaking a signature.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import uuid
from typing import Final

from lxml import etree

from services.drm.cpix.faults import Malformed

CPIX: Final = "urn:dashif:org:cpix"
PSKC: Final = "urn:ietf:params:xml:ns:keyprov:pskc"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
ENC: Final = "http://www.w3.org/2001/04/xmlenc#"
NAMESPACES: Final = {"cpix": CPIX, "pskc": PSKC, "ds": DS, "enc": ENC}

MOST_BYTES: Final = 1024 * 1024
"""Longest document that is read."""
_DECLARATION: Final = re.compile(r"^<\?xml[ \t\r\n][^>]*\?>")
_ENCODING: Final = re.compile(r"encoding\s*=\s*[\"']([A-Za-z0-9._-]*)[\"']")
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8", {"utf-8"}),
    (codecs.BOM_UTF16_LE, "utf-16-le", {"utf-16", "utf-16le"}),
    (codecs.BOM_UTF16_BE, "utf-16-be", {"utf-16", "utf-16be"}),
)


def read(data: bytes) -> etree._Element:
    """The root element of a document.

    Raises:
        Malformed: it is no XML, has a DTD, processing instructions or another encoding, or is too deep or too long.
    """
    if len(data) > MOST_BYTES:
        raise Malformed(f"The document is longer than {MOST_BYTES} bytes")
    text = _text(data)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Malformed("The document has a DTD")
    root = _parsed(text.encode())
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed("The document has a DTD")
    outside = [*root.itersiblings(etree.PI, preceding=True), *root.itersiblings(etree.PI)]
    if outside or next(root.iter(etree.PI, etree.Entity), None) is not None:
        raise Malformed("The document has processing instructions or entities")
    return root


def _parsed(data: bytes) -> etree._Element:
    try:
        return etree.fromstring(data, _parser(recover=False))
    except etree.XMLSyntaxError as error:
        # Names of namespaces need not be URIs (Namespaces in XML 1.0, section 2.2, takes any); the parser says so and stops, though it need not.
        if all(entry.type_name == "WAR_NS_URI" for entry in error.error_log):  # type: ignore[attr-defined]  # its stubs know no loop
            return etree.fromstring(data, _parser(recover=True))
        line, column = error.position
        raise Malformed(f"The document is no well-formed XML (line {line}, column {column})") from None


def _parser(*, recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=recover
    )


def _text(data: bytes) -> str:
    """The document's characters without their declaration."""
    encoding, bare, declared = "utf-8", data, {"utf-8", "us-ascii"}
    for mark, name, allowed in _BOMS:
        if data.startswith(mark):
            encoding, bare, declared = name, data[len(mark) :], allowed
            break
    try:
        text = bare.decode(encoding)
    except UnicodeDecodeError:
        raise Malformed("The document is neither UTF-8 nor UTF-16 with a byte order mark") from None
    declaration = _DECLARATION.match(text)
    if declaration is None:
        return text
    said = _ENCODING.search(declaration.group())
    if said is not None and said.group(1).lower() not in declared:
        raise Malformed("The document is in another encoding than UTF-8, or says so")
    rest = text[declaration.end() :]
    if rest.startswith("<?xml"):
        raise Malformed("The document is declared twice")
    return rest


def written(root: etree._Element) -> bytes:
    """A document as bytes: UTF-8 with its declaration."""
    return etree.tostring(root.getroottree(), encoding="utf-8", xml_declaration=True)


def name_of(element: etree._Element) -> str:
    """An element's name with the prefix that its namespace usually has, for words."""
    name = etree.QName(element)
    prefix = next((short for short, long in NAMESPACES.items() if long == name.namespace), None)
    return f"{prefix}:{name.localname}" if prefix else name.localname


def children(element: etree._Element, name: str) -> list[etree._Element]:
    """Children with a name such as `cpix:ContentKey`, in their order."""
    return element.findall(name, NAMESPACES)


def only(element: etree._Element, name: str) -> etree._Element | None:
    """The child of a name; None when there is none.

    Raises:
        Malformed: there are several.
    """
    found = children(element, name)
    if len(found) > 1:
        raise Malformed(f"{name_of(element)} has more than one {name}")
    return found[0] if found else None


def required(element: etree._Element, path: str) -> etree._Element:
    """The one element at the end of a path such as `cpix:Data/pskc:Secret`.

    Raises:
        Malformed: it is not there, or something on the way is there more than once.
    """
    for name in path.split("/"):
        found = only(element, name)
        if found is None:
            raise Malformed(f"{name_of(element)} has no {name}")
        element = found
    return element


def text_of(element: etree._Element) -> str:
    """What an element says, without white space at its ends.

    Raises:
        Malformed: it holds anything beside text, be it a comment.
    """
    if len(element):
        raise Malformed(f"{name_of(element)} holds more than text")
    return (element.text or "").strip()


def bytes_of(element: etree._Element) -> bytes:
    """The bytes that an element says in base64; lines may be broken.

    Raises:
        Malformed: it is no base64.
    """
    return from_base64("".join(text_of(element).split()), name_of(element))


def from_base64(text: str, where: str) -> bytes:
    """Bytes out of base64.

    Raises:
        Malformed: it is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"{where} is no base64") from None


def to_base64(data: bytes) -> str:
    """Bytes as base64, with padding."""
    return base64.b64encode(data).decode()


def key_id_of(text: str | None, where: str) -> bytes:
    """A key id out of its UUID form.

    Raises:
        Malformed: it is no UUID in the usual form.
    """
    try:
        value = uuid.UUID(text or "")
    except ValueError:
        raise Malformed(f"{where} is no UUID") from None
    if str(value) != (text or "").lower():
        raise Malformed(f"{where} is no UUID in its usual form")
    return value.bytes


def key_id_text(key_id: bytes) -> str:
    """A key id in its UUID form."""
    return str(uuid.UUID(bytes=key_id))
