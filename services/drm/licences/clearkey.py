"""Clear Key (W3C Encrypted Media Extensions, section 9.1): licence requests and licences as JSON.

Keys reach the player in the clear. It is protection against casual copying and no DRM, and is asked about as decryption in software without
any hold on outputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from services.drm.domain import CLEAR_KEY, ContentKey, key_id_of, kid_of
from services.drm.licences.refusals import request_malformed
from services.kit.errors import Refusal
from services.kit.ids import SUFFIX_PATTERN

LARGEST: Final = 16 * 1024
MOST_KEYS: Final = 64
_LICENCE: Final = re.compile(f"lic_{SUFFIX_PATTERN}")


@dataclass(frozen=True, slots=True)
class ClearKeyRequest:
    """What a player asks for.

    Attributes:
        key_ids: each once, in the order asked.
        renewal_of: licence that it has; empty when it has none.
    """

    key_ids: tuple[bytes, ...]
    renewal_of: str = ""


def read(body: bytes) -> ClearKeyRequest:
    """Reads a licence request (section 9.1.3). Members that are not known are ignored.

    Raises:
        Refusal: LICENCE_REQUEST_MALFORMED or KEY_ID_MALFORMED.
    """
    if len(body) > LARGEST:
        raise _malformed(f"it is larger than {LARGEST} bytes")
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise _malformed("it is not JSON") from None
    if not isinstance(asked, dict):
        raise _malformed("it is no JSON object")
    kids, renewal_of = asked.get("kids"), asked.get("renewal_of", "")
    if not isinstance(kids, list) or not kids or len(kids) > MOST_KEYS or not all(isinstance(kid, str) for kid in kids):
        raise _malformed(f"`kids` must be an array of 1 to {MOST_KEYS} strings")
    if asked.get("type", "temporary") != "temporary":
        raise _malformed("the only `type` is `temporary`")
    if not isinstance(renewal_of, str) or (renewal_of and not _LICENCE.fullmatch(renewal_of)):
        raise _malformed("`renewal_of` must be the `licence_id` of a licence")
    return ClearKeyRequest(tuple(dict.fromkeys(key_id_of(kid) for kid in kids)), renewal_of)


def written(keys: Sequence[ContentKey], licence_id: str = "", renew_after: timedelta | None = None) -> bytes:
    """A licence (section 9.1.4): a JSON Web Key Set (RFC 7517), whose readers ignore members that they do not know (section 5).

    Args:
        keys: what it holds.
        licence_id: named where it is to be renewed.
        renew_after: when; None: never, and nothing is said of it.
    """
    # Nothing in it needs escaping: base64url and numbers.
    jwks = ",".join(f'{{"kty":"oct","kid":"{kid_of(key.key_id)}","k":"{kid_of(key.key)}"}}' for key in keys)
    renewal = ""
    if renew_after is not None:
        renewal = f',"licence_id":"{licence_id}","renew_after":{round(renew_after.total_seconds())}'
    return f'{{"keys":[{jwks}],"type":"temporary"{renewal}}}'.encode()


def _malformed(what: str) -> Refusal:
    return request_malformed(CLEAR_KEY, what)
