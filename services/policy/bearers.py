"""What a playback request shows beside our own ticket in the path: an access token, or a ticket in a cookie, and what it asks for by it.

An access token stands in the place of the ticket in the path, in the header or the cookie `CTA-Common-Access-Token`, or in the query as `CAT`; a
ticket in the cookie `reelmesh_ticket`. With all but the first the path is `/p/<package>/<file>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from services.kit.ids import is_id
from services.policy import paths
from services.policy.cat import uris
from services.policy.cat.acceptance import Asked
from services.policy.cat.renewal import NAME, Carrier
from services.policy.cat.uris import Url
from services.policy.paths import Kind, PlaybackPath
from services.policy.verdicts import COOKIES_HEADER

TICKET_COOKIE: Final = "reelmesh_ticket"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,}")
# Where the rules of paths want a ticket but none stands there. It is never read.
_PLACEHOLDER: Final = "x.x.x"


@dataclass(frozen=True, slots=True)
class EdgeRequest:
    """A request at an edge.

    Attributes:
        path: from `/p/` or `/v/` on, as it came, query included.
        host: with its port where it has one.
        address: IP address of the client; empty when it is not known.
        headers: names in lower case.
    """

    method: str
    path: str
    scheme: str = "https"
    host: str = ""
    address: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown and what is asked for by it.

    Attributes:
        credential: unchecked as yet.
        is_ticket: whether it is one of our own tickets, by a cookie; otherwise an access token.
        carrier: how it came.
        playback: what is asked for; its own `ticket` means nothing.
        asked: the request as tokens see it.
    """

    credential: str
    is_ticket: bool
    carrier: Carrier
    playback: PlaybackPath
    asked: Asked


def shown(request: EdgeRequest) -> Shown | None:
    """Looks for what a request shows; None when there is nothing but perhaps a ticket in the path.

    Raises:
        Refusal: PATH_INVALID, when there is something and the rest of the path is not plain.
    """
    bare, _, query = request.path.partition("?")
    root, _, rest = bare.removeprefix("/p/").partition("/") if bare.startswith("/p/") else ("", "", "")
    if is_id("pkg", root):
        found, file = _beside(request.headers, query), f"{root}/{rest}"
    elif _TOKEN.fullmatch(root):
        found, file = (root, False, Carrier.PATH), rest
    else:
        return None
    if found is None:
        return None
    credential, is_ticket, carrier = found
    left = uris.without_token(query) if carrier is Carrier.QUERY else query
    playback = paths.read(f"/p/{_PLACEHOLDER}/{file}" + (f"?{left}" if left else ""))
    url = Url(request.scheme, request.host, f"/p/{file}", query)
    asked = Asked(request.method, url, request.address, request.headers)
    return Shown(credential, is_ticket, carrier, playback, asked)


def _beside(headers: Mapping[str, str], query: str) -> tuple[str, bool, Carrier] | None:
    if token := headers.get(NAME.lower(), ""):
        return token.strip(), False, Carrier.HEADER
    cookies = _cookies(headers.get(COOKIES_HEADER, "") or headers.get("cookie", ""))
    if token := cookies.get(NAME.lower(), ""):
        return token, False, Carrier.COOKIE
    if ticket := cookies.get(TICKET_COOKIE, ""):
        return ticket, True, Carrier.COOKIE
    if token := uris.token_in(query):
        return token, False, Carrier.QUERY
    return None


def _cookies(header: str) -> Mapping[str, str]:
    """Cookies by name in lower case (RFC 6265 §5.4); of two of one name the first, which is that of the longer path."""
    found: dict[str, str] = {}
    for pair in header.split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals:
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def leads_to_drm(playback: PlaybackPath) -> bool:
    """Whether it is a licence or a key, which another service hands out by the ticket in the path."""
    return playback.kind in {Kind.LICENCE, Kind.KEY}
