"""Which site passkeys belong to (WebAuthn Level 3 §4, "relying party identifier")."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

NAME: Final = "Reelmesh"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The site.

    Attributes:
        rp_id: host that passkeys are bound to; they work on it and below it. Empty where there is none.
        origins: origins of pages that may ask for passkeys, such as `https://video.example`.
    """

    rp_id: str
    origins: tuple[str, ...]

    @classmethod
    def of(cls, public_url: str, rp_id: str = "", origins: Sequence[str] = ()) -> RelyingParty:
        """What follows from the address of the edge, where nothing else is set.

        An IP address cannot be a relying party. On this very machine `localhost` takes its place: passkeys work for who opens the pages
        there. Elsewhere there are no passkeys until the install has a name.

        Args:
            public_url: where people reach the edge.
            rp_id: host to bind to; empty for that of `public_url`.
            origins: of pages; empty for that of `public_url`.

        Raises:
            ValueError: an origin is none, or does not lie below `rp_id`.
        """
        at = urlsplit(public_url)
        host = at.hostname or ""
        if _is_loopback(host):
            host = "localhost"
        named = rp_id or ("" if _is_address(host) else host)
        if not named:
            return cls("", ())
        own = tuple(_origin(origin) for origin in origins) or (_origin(f"{at.scheme}://{host}{_port(at.port)}"),)
        for origin in own:
            below = urlsplit(origin).hostname or ""
            if below != named and not below.endswith(f".{named}"):
                raise ValueError(f"passkeys bound to {named!r} cannot be used by pages of {origin!r}")
        return cls(named, own)


def _origin(text: str) -> str:
    """An origin as browsers write it: without path and without the scheme's own port."""
    parts = urlsplit(text)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{text!r} is no origin such as `https://video.example`")
    port = "" if parts.port == _DEFAULT_PORTS[parts.scheme] else _port(parts.port)
    return f"{parts.scheme}://{parts.hostname}{port}"


def _port(port: int | None) -> str:
    return "" if port is None else f":{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback
