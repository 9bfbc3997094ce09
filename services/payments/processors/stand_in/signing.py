"""How the stand-in signs: `stand-in-signature: t=<seconds>,v1=<hex of HMAC-SHA256 over "t.body">`."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from typing import Final

HEADER: Final = "stand-in-signature"
_FORM: Final = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", re.ASCII)


def signature(secret: str, body: bytes, moment: datetime) -> str:
    """The header's value for a body that is sent now."""
    seconds = int(moment.timestamp())
    return f"t={seconds},v1={_digest(secret, seconds, body)}"


def signed_at(secret: str, body: bytes, header: str) -> int | None:
    """The second at which a body was signed with the secret; None when it was not."""
    found = _FORM.fullmatch(header)
    if found is None:
        return None
    seconds = int(found[1])
    return seconds if hmac.compare_digest(_digest(secret, seconds, body), found[2]) else None


def _digest(secret: str, seconds: int, body: bytes) -> str:
    return hmac.new(secret.encode(), b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()
