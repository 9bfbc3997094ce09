"""Refusals as PlayReady clients take them: HTTP 500 with a SOAP fault that has a status code
(https://learn.microsoft.com/playready/advanced/testservers/testing-server-exceptions)."""

from __future__ import annotations

import re
from typing import Final

import grpc
from lxml import etree

from services.drm.licences import answers
from services.drm.playready import soap
from services.kit import telemetry
from services.kit.errors import Refusal

CONTENT_TYPE: Final = "text/xml; charset=utf-8"
REVOKED: Final = 0x8004C065
INTERNAL: Final = 0x8004C600
INVALID_MESSAGE: Final = 0x8004C601
SERVICE_SPECIFIC: Final = 0x8004C604
_CODE: Final = re.compile(r"0[xX]([0-9A-Fa-f]{8})")
_INTERNAL: Final = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
)


def code_of(refusal: Refusal) -> int:
    """The status code for a refusal. What the licence server itself says of a player goes on; ours are its own business (`C604`), with the
    reason beside."""
    if refusal.reason == "UPSTREAM_REFUSED_PLAYER":
        found = _CODE.fullmatch(refusal.metadata.get("status", ""))
        return int(found[1], 16) if found else SERVICE_SPECIFIC
    if refusal.reason == "LICENCE_REQUEST_MALFORMED":
        return INVALID_MESSAGE
    return INTERNAL if refusal.code in _INTERNAL else SERVICE_SPECIFIC


def fault(refusal: Refusal) -> answers.Reply:
    """The answer to a player. `CustomData` names reason and correlation id for whoever has to help."""
    envelope = etree.Element(f"{{{soap.ENVELOPE}}}Envelope", nsmap={"soap": soap.ENVELOPE})
    body = etree.SubElement(envelope, f"{{{soap.ENVELOPE}}}Body")
    told = etree.SubElement(body, f"{{{soap.ENVELOPE}}}Fault")
    ours = code_of(refusal) == INTERNAL
    etree.SubElement(told, "faultcode").text = "soap:Server" if ours else "soap:Client"
    etree.SubElement(told, "faultstring").text = _printable(refusal.message)
    exception = etree.SubElement(etree.SubElement(told, "detail"), "Exception")
    etree.SubElement(exception, "StatusCode").text = f"0x{code_of(refusal):08X}"
    about = f"{refusal.domain}/{refusal.reason} {telemetry.correlation_id()}"
    etree.SubElement(exception, "CustomData").text = _printable(about.strip())
    data = etree.tostring(envelope, xml_declaration=True, encoding="utf-8")
    return answers.Reply(data, CONTENT_TYPE, 500, refusal)


def status_code(document: bytes) -> str | None:
    """The status code of a licence server's fault, such as `0x8004C065`; None when the document is no fault."""
    try:
        root = soap.parsed(document)
        soap.only(root, "Fault")
        text = (soap.only(root, "StatusCode").text or "").strip()
    except soap.NotSoap:
        return None
    found = _CODE.fullmatch(text)
    return f"0x{found[1].upper()}" if found else None


def _printable(text: str) -> str:
    """Without what XML cannot say."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
