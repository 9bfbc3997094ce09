"""Bodies of FairPlay licence requests: the SPC as it is, or in a form, as browsers and Apple's own examples send it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from services.drm.fairplay.spc import MOST_BYTES
from services.drm.licences.answers import Reply
from services.drm.licences.refusals import request_malformed
from services.kit.errors import Refusal
from services.kit.ids import SUFFIX_PATTERN

KEY_SYSTEM: Final = "com.apple.fps"
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 8
_KEY_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
_LICENCE: Final = re.compile(f"lic_{SUFFIX_PATTERN}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a player sent.

    Attributes:
        in_form: whether it came in a form, and so is to be answered in base64.
        offline: whether the licence is to be kept.
        key_id: of the key that is asked for, where the player says it beside the SPC; None when it does not.
        renewal_of: licence that is renewed; empty when none is.
    """

    spc: bytes = field(repr=False)
    in_form: bool = False
    offline: bool = False
    key_id: bytes | None = None
    renewal_of: str = ""

    def answer(self, ckc: bytes) -> Reply:
        """The answer in the form of the question."""
        if self.in_form:
            return Reply(base64.b64encode(ckc), "text/plain")
        return Reply(ckc, "application/octet-stream")


def read(data: bytes, content_type: str) -> Challenge:
    """Reads a body. A form is known by its content type, or by beginning with `spc=`, which no SPC does.

    Raises:
        Refusal: LICENCE_REQUEST_MALFORMED: it is a form, and no good one. SPCs themselves are not looked at.
    """
    bare = content_type.partition(";")[0].strip().lower()
    if not data.startswith(b"spc=") and (bare != _FORM or data[:3] == b"\0\0\0"):
        return Challenge(data)
    if len(data) > 2 * MOST_BYTES:
        raise _malformed(f"it is larger than {2 * MOST_BYTES} bytes")
    try:
        fields = dict(parse_qsl(data.decode("ascii"), max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise _malformed(f"it is no form with at most {_MOST_FIELDS} fields") from None
    return _of_form(fields)


def _of_form(fields: Mapping[str, str]) -> Challenge:
    key_id, renewal_of = fields.get("key_id", ""), fields.get("renewal_of", "")
    if key_id and not _KEY_ID.fullmatch(key_id):
        raise _malformed("`key_id` must be 32 hex digits")
    if renewal_of and not _LICENCE.fullmatch(renewal_of):
        raise _malformed("`renewal_of` must be the id of a licence")
    if fields.get("offline", "false") not in {"true", "false"}:
        raise _malformed("`offline` must be `true` or `false`")
    return Challenge(
        _of_base64(fields.get("spc", "")),
        in_form=True,
        offline=fields.get("offline") == "true",
        key_id=bytes.fromhex(key_id) or None,
        renewal_of=renewal_of,
    )


def _of_base64(text: str) -> bytes:
    """Base64 in either alphabet, padded or not; a `+` that was not escaped has become a space."""
    plain = text.strip().replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        spc = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        spc = b""
    if not spc:
        raise _malformed("`spc` must be an SPC in base64")
    return spc


def _malformed(what: str) -> Refusal:
    return request_malformed(KEY_SYSTEM, what)
