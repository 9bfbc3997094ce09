"""A PlayReady player of ours. Its messages have the form of PlayReady's; what Microsoft keeps to itself is replaced: who it is stands in the
clear in `EncryptedData`, and licences are sealed under a secret of its."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree

HEADER = "http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader"
MESSAGES = "http://schemas.microsoft.com/DRM/2007/03/protocols/messages"
PROTOCOLS = "http://schemas.microsoft.com/DRM/2007/03/protocols"


def kid(key_id: bytes) -> str:
    """A key id as headers have it."""
    return base64.b64encode(uuid.UUID(bytes=key_id).bytes_le).decode()


def header(version: str, key_ids: tuple[bytes, ...]) -> str:
    """A WRMHEADER, as https://learn.microsoft.com/playready/specifications/playready-header-specification has it."""
    kids = [kid(key_id) for key_id in key_ids]
    match version:
        case "4.0.0.0":
            data = f"<PROTECTINFO><KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO><KID>{kids[0]}</KID>"
        case "4.1.0.0":
            data = f'<PROTECTINFO><KID ALGID="AESCTR" VALUE="{kids[0]}"></KID></PROTECTINFO>'
        case _:
            each = "".join(f'<KID ALGID="AESCBC" VALUE="{one}"></KID>' for one in kids)
            data = f"<PROTECTINFO><KIDS>{each}</KIDS></PROTECTINFO>"
    return f'<WRMHEADER xmlns="{HEADER}" version="{version}"><DATA>{data}</DATA></WRMHEADER>'


@dataclass(frozen=True)
class Device:
    """One player.

    Attributes:
        level: security level, 2000 or 3000.
        state: `OK`, or a status code that the licence server refuses it with.
    """

    level: int = 2000
    state: str = "OK"
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def challenge(self, *key_ids: bytes, version: str = "4.3.0.0", custom: str = "", **parts: str) -> bytes:
        """Asks for keys. `parts`: what stands in the place of a part of the message."""
        about = json.dumps({"level": self.level, "state": self.state, "secret": base64.b64encode(self.secret).decode()})
        content = {
            "before": '<?xml version="1.0" encoding="utf-8"?>',
            "header": header(version, key_ids),
            "nonce": f"<LicenseNonce>{base64.b64encode(b'n' * 16).decode()}</LicenseNonce>",
            "custom": f"<CustomData>{custom}</CustomData>" if custom else "",
            "identity": "SignedData",
            "beside": "",
        } | parts
        return (
            f'{content["before"]}<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
            f'<AcquireLicense xmlns="{PROTOCOLS}"><challenge><Challenge xmlns="{MESSAGES}">'
            f'<LA xmlns="{PROTOCOLS}" Id="{content["identity"]}" xml:space="preserve"><Version>4</Version>'
            f"<ContentHeader>{content['header']}</ContentHeader>"
            "<CLIENTINFO><CLIENTVERSION>10.0.16384.10011</CLIENTVERSION></CLIENTINFO>"
            f"{content['nonce']}<ClientTime>1790000000</ClientTime>{content['custom']}"
            '<EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#"><CipherData><CipherValue>'
            f"{base64.b64encode(about.encode()).decode()}</CipherValue></CipherData></EncryptedData></LA>"
            '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignatureValue>c2lnbmVk</SignatureValue></Signature>'
            f"{content['beside']}</Challenge></challenge></AcquireLicense></soap:Body></soap:Envelope>"
        ).encode()

    def licences(self, answer: bytes) -> list[dict[str, Any]]:
        """What is in the licences of an answer."""
        found = etree.fromstring(answer).iter(f"{{{PROTOCOLS}}}License")
        sealed = [base64.b64decode(element.text or "") for element in found]
        return [json.loads(AESGCM(self.secret).decrypt(one[:12], one[12:], None)) for one in sealed]

    def keys(self, answer: bytes) -> dict[bytes, bytes]:
        """Its keys by their ids."""
        return {bytes.fromhex(one["key_id"]): bytes.fromhex(one["key"]) for one in self.licences(answer)}


def about(challenge: bytes) -> dict[str, Any]:
    """Who sent a challenge."""
    values = etree.fromstring(challenge).iter("{http://www.w3.org/2001/04/xmlenc#}CipherValue")
    facts = json.loads(base64.b64decode(next(values).text or ""))
    assert isinstance(facts, dict)
    return facts


def answer(secret: bytes, licences: list[dict[str, Any]]) -> bytes:
    """An answer with licences that only one player opens."""
    sealed = []
    for content in licences:
        nonce = secrets.token_bytes(12)
        sealed.append(base64.b64encode(nonce + AESGCM(secret).encrypt(nonce, json.dumps(content).encode(), None)))
    each = "".join(f"<License>{one.decode()}</License>" for one in sealed)
    return (
        '<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        f'<AcquireLicenseResponse xmlns="{PROTOCOLS}"><AcquireLicenseResult><Response xmlns="{MESSAGES}">'
        f'<LicenseResponse xmlns="{PROTOCOLS}"><Version>1</Version><Licenses>{each}</Licenses></LicenseResponse>'
        "</Response></AcquireLicenseResult></AcquireLicenseResponse></soap:Body></soap:Envelope>"
    ).encode()
