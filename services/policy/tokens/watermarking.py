"""Tokens by which an outside CDN chooses variants: CBOR Web Tokens with the claims of ETSI TS 104 002 §5.4 (table 1)."""

from __future__ import annotations

import base64
from enum import IntEnum
from typing import Any, Final

from services.kit.codewords import POSITIONS_PER_CHARACTER
from services.policy import token_refusals
from services.policy.cat.cose import Algorithm, Key, KeyRing, sealed
from services.policy.domain import Package

ISSUER: Final = "watermark"
"""What keys that CDNs have are for: no access token says that this issued it."""
_VERSION: Final = 1
_KEY_VERSION: Final = 1
"""Of the derivation of codewords, `services.kit.codewords`."""
_OPERATOR: Final = 1
"""Whose identifiers `wmid` holds: an install has one operator."""


class Label(IntEnum):
    """Claims. `wmsegduration` (303) is left out: edges go by WMPaceInfo, where it would be ignored."""

    EXP = 4
    IAT = 6
    WMVER = 300
    WMVND = 301
    WMPATLEN = 302
    WMSEGDURATION = 303
    WMPATTERN = 304
    WMID = 305
    WMOPID = 306
    WMKEYVER = 307


Claims = dict[int, Any]


def key_of(keys: KeyRing, name: str) -> Key:
    """A key that a CDN has.

    Raises:
        Refusal: WATERMARK_KEY_NOT_FOUND, also for keys that access tokens are signed with.
    """
    for key in keys:
        fits: bool = key.key_id == name and key.algorithm is Algorithm.HS256 and key.issuers == {ISSUER}
        if fits:
            found: Key = key
            return found
    raise token_refusals.watermark_key_not_found(name)


def pattern_of(codeword: str) -> bytes:
    """A codeword as bytes, the first position in the highest bit of the first. What is left of the last byte is zero."""
    whole = base64.urlsafe_b64decode(codeword + "A" * (-len(codeword) % 4))
    return whole[: -(-length_of(codeword) // 8)]


def length_of(codeword: str) -> int:
    """Positions of a codeword."""
    return len(codeword) * POSITIONS_PER_CHARACTER


def direct(codeword: str) -> Claims:
    """Claims that carry the pattern."""
    return {Label.WMPATLEN: length_of(codeword), Label.WMPATTERN: pattern_of(codeword)}


def indirect(package: Package, session_id: str, codeword: str) -> Claims:
    """Claims that the pattern follows from, with the watermark key: `wmid` is the title, the colluders its code is made for, the segments and the
    session, with full stops between."""
    wmid = f"{package.asset_id}.{package.watermark_colluders}.{package.watermark_segments}.{session_id}"
    return {
        Label.WMPATLEN: length_of(codeword),
        Label.WMID: wmid,
        Label.WMOPID: _OPERATOR,
        Label.WMKEYVER: _KEY_VERSION,
    }


def made(told: Claims, key: Key, *, vendor: int, issued: int, expires: int) -> str:
    """The token, base64url without padding."""
    frame: Claims = {Label.EXP: expires, Label.IAT: issued, Label.WMVER: _VERSION, Label.WMVND: vendor}
    return sealed({int(label): value for label, value in (frame | told).items()}, key)
