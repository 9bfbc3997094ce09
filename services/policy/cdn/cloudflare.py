"""Cloudflare: tokens that a WAF custom rule checks by `is_timed_hmac_valid_v0`, or a Worker by the same few lines.

Sources: Cloudflare's documentation of its Rules language, "HMAC validation", and of the WAF, "Configure token authentication", whose Worker
example "Sign requests" makes the same tokens. A token is `<seconds>-<mac>`, the MAC being HMAC-SHA256 of the message and the seconds in
base64, percent-encoded, or URL-safe without padding where the rule has the flag `s`. It says when it was made; for how long it is good stands
in the rule.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

SHORTEST_SECRET: Final = 16


@dataclass(frozen=True, slots=True)
class Cloudflare:
    """A zone that serves published packages.

    Attributes:
        base: `https://<host><prefix>`, below which packages lie.
        secret: first argument of the rule's function.
        parameter: name of the query parameter and cookie.
        lifetime: seconds that the rule allows.
        url_safe: whether the rule has the flag `s`.
    """

    base: str
    secret: bytes = field(repr=False)
    parameter: str = "verify"
    lifetime: int = 3600
    url_safe: bool = False

    def token(self, message: str, made: int) -> str:
        """A token for a message, such as the path of a URL, made at a moment in Unix time, of ten digits."""
        mac = hmac.digest(self.secret, f"{message}{made:010d}".encode(), hashlib.sha256)
        if self.url_safe:
            return f"{made:010d}-{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        return f"{made:010d}-{quote(base64.b64encode(mac), safe='')}"

    def query(self, message: str, made: int) -> str:
        """The token as the query that a URL ends with."""
        return f"{self.parameter}={self.token(message, made)}"
