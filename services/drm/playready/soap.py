"""XML from outside, read without anything that XML can be made to do: no DTD, no entity, no network, no depth or size beyond need."""

from __future__ import annotations

from typing import Final

from lxml import etree

ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
PROTOCOLS: Final = "http://schemas.microsoft.com/DRM/2007/03/protocols"
HEADER: Final = "http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader"
MOST_ELEMENTS: Final = 5000


class NotSoap(Exception):
    """The bytes are no such document."""


def parsed(document: bytes) -> etree._Element:
    """The root of a document.

    Raises:
        NotSoap: it is not well-formed, or makes use of what is not allowed here.
    """
    # A parser of its own for each: one is not to be shared by threads, and keeps what it saw.
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise NotSoap("it is not well-formed XML") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise NotSoap("it has a document type declaration")
    if sum(1 for _ in root.iter()) > MOST_ELEMENTS:
        raise NotSoap("it has too many elements")
    return root


def named(root: etree._Element, name: str) -> list[etree._Element]:
    """All elements of a local name, wherever they stand and in whichever namespace: where one is looked for, a second is a trick."""
    return [element for element in root.iter(etree.Element) if etree.QName(element).localname == name]


def only(root: etree._Element, name: str) -> etree._Element:
    """The one element of a local name.

    Raises:
        NotSoap: there is none, or more than one.
    """
    found = named(root, name)
    if len(found) != 1:
        raise NotSoap(f"{name} stands {len(found)} times")
    return found[0]


def path_of(element: etree._Element) -> list[str]:
    """Local names from the root to the element."""
    names = [etree.QName(element).localname]
    names += [etree.QName(parent).localname for parent in element.iterancestors()]
    return names[::-1]
