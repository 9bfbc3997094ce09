"""The shape of a document, judged by the schema of CPIX 2.3 (`third_party/cpix`).

The schema wants children in one order. Encryptors do not: SPEKE's own examples put `AudioFilter` before `VideoFilter` and `PSSH` last. What an element
holds means the same in any order, so a copy is put in order first, and that is judged. Three things are milder than in the schema: a `DeliveryData` need
not have a `DocumentKey` yet, as it has none in a request; `explicitIV` may be written as a UUID, as in published documents; and an empty
`commonEncryptionScheme` is left for SPEKE's own words.
"""

from __future__ import annotations

import copy
import functools
import re
from pathlib import Path
from typing import Final

from lxml import etree

from services.drm.cpix.faults import Malformed
from services.drm.cpix.markup import CPIX, DS

FOLDER: Final = Path(__file__).resolve().parents[3] / "third_party/cpix"
_ELEMENT: Final = re.compile(r"Element '(?:\{[^}]*\})?([A-Za-z0-9_.-]{1,64})'")
_XS: Final = "{http://www.w3.org/2001/XMLSchema}"
_ORDERS: Final = {
    "CPIX": (
        "DeliveryDataList",
        "ContentKeyList",
        "DRMSystemList",
        "ContentKeyPeriodList",
        "ContentKeyUsageRuleList",
        "UpdateHistoryItemList",
    ),
    "DeliveryData": (
        "DeliveryKey",
        "DocumentKey",
        "MACMethod",
        "Description",
        "SendingEntity",
        "SenderPointOfContact",
        "ReceivingEntity",
    ),
    "DRMSystem": (
        "PSSH",
        "ContentProtectionData",
        "URIExtXKey",
        "HLSSignalingData",
        "SmoothStreamingProtectionHeaderData",
        "HDSSignalingData",
    ),
    "ContentKeyUsageRule": ("KeyPeriodFilter", "LabelFilter", "VideoFilter", "AudioFilter", "BitrateFilter"),
}


@functools.cache
def _strict() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(FOLDER / "cpix.xsd"))


@functools.cache
def _mild() -> etree.XMLSchema:
    # The imports are found beside the file, whose name the tree keeps.
    tree = etree.parse(FOLDER / "cpix.xsd")
    for element in tree.iter(f"{_XS}element"):
        if element.get("name") == "DocumentKey":
            element.set("minOccurs", "0")
    for attribute in tree.iter(f"{_XS}attribute"):
        if attribute.get("name") == "explicitIV":
            attribute.set("type", "xs:string")
    for length in list(tree.iter(f"{_XS}length")):
        parent = length.getparent()
        assert parent is not None
        parent.remove(length)
    return etree.XMLSchema(tree)


def judge(root: etree._Element, *, strictly: bool = False) -> None:
    """Refuses a document that has not the shape of CPIX 2.3.

    Args:
        root: of the document; it is not changed.
        strictly: by the letter of the schema, its order included. For what is written here.

    Raises:
        Malformed: something is missing, or where it does not belong, or not of its type. The words name the element, and nothing that it holds.
    """
    if root.tag != f"{{{CPIX}}}CPIX":
        raise Malformed("The document is no CPIX")
    judged = root if strictly else _ordered(root)
    schema = _strict() if strictly else _mild()
    if not schema.validate(judged):
        said = schema.error_log.last_error.message  # type: ignore[attr-defined]  # its stubs do not know it
        raise Malformed(f"The document breaks the schema of CPIX 2.3 at {_place(said)}")


def _ordered(root: etree._Element) -> etree._Element:
    """A copy with children in the order of the schema, signatures and foreign elements last."""
    ordered = copy.deepcopy(root)
    for name, order in _ORDERS.items():
        ranks = {f"{{{CPIX}}}{child}": rank for rank, child in enumerate(order)}
        last = {f"{{{DS}}}Signature": len(order)} | ranks
        for element in list(ordered.iter(f"{{{CPIX}}}{name}")):
            element[:] = sorted(element, key=lambda child: last.get(str(child.tag), len(order)))
    return ordered


def _place(said: str) -> str:
    """The name of the element that the validator complains of; never what it holds."""
    found = _ELEMENT.match(said)
    return found.group(1) if found else "its root"
