"""Preview URLs: a poster, thumbnails or captions for anybody, for a while, without a session.

A URL is `/v/<key id>.<expiry>.<scope>.<network>.<mac>/<package>/<file>`. Everything before the package is a promise about what follows it: the
MAC (HMAC-SHA256, RFC 2104) covers key id, expiry, scope, network and package, and of the file what the scope says: the whole path (`f`), or
that it lies in one folder (`d`), so that the sheets that a WebVTT index names relatively work by the same URL. Only files that are never
encrypted can be had at all, so a folder of thumbnails gives nothing else away.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from typing import Final

from services.kit.clock import Clock
from services.kit.ids import SUFFIX_PATTERN
from services.policy import refusals
from services.policy.cat.networks import Network, network_of, within
from services.policy.token_refusals import (
    preview_lifetime_invalid,
    preview_url_elsewhere,
    preview_url_expired,
    preview_url_invalid,
)

PREVIEW_KEYS_FILE: Final = "preview_keys.json"
SHORTEST: Final = 60
LONGEST: Final = 3600
"""Seconds for which a URL works."""
DEFAULT: Final = 600
_LONGEST_PATH: Final = 1024
_MAC_LENGTH: Final = 43
_SHORTEST_SECRET: Final = 32
_SEGMENT: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_FILE: Final = re.compile(rf"(?:{_SEGMENT}/)*{_SEGMENT}\.(?:jpg|png|webp|vtt)")
_TOKEN: Final = (
    rf"([a-z0-9]{{1,32}})\.([1-9][0-9]{{0,11}})\.([df])\.(-|[A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{{{_MAC_LENGTH}}})"
)
_WHOLE: Final = re.compile(rf"/v/{_TOKEN}/(pkg_{SUFFIX_PATTERN})/({_SEGMENT}(?:/{_SEGMENT})*)")
_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def new_key_file() -> bytes:
    """Content of the file of keys of a new installation."""
    entry = {"key_id": secrets.token_hex(4), "secret": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}
    return json.dumps({"keys": [entry]}, indent=1).encode()


def is_open(file: str) -> bool:
    """Whether a file of a package is of a kind that is never encrypted, with a plain path below the package."""
    return len(file) <= _LONGEST_PATH and _FILE.fullmatch(file) is not None


@dataclass(frozen=True, slots=True)
class Preview:
    """A good preview URL."""

    package_id: str
    file: str


class Previews:
    """Makes and checks preview URLs.

    Args:
        content: of the file of keys, `{"keys": [{"key_id", "secret"}, …]}`, secrets in base64url. The first key signs, all check.
    """

    def __init__(self, content: bytes, clock: Clock) -> None:
        self._clock = clock
        try:
            entries = json.loads(content)["keys"]
            self._keys = {str(entry["key_id"]): base64.urlsafe_b64decode(entry["secret"]) for entry in entries}
            self._signing = str(entries[0]["key_id"])
        except (KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{PREVIEW_KEYS_FILE} is not as documented") from error
        if not all(
            len(secret) >= _SHORTEST_SECRET and re.fullmatch(r"[a-z0-9]{1,32}", name)
            for name, secret in self._keys.items()
        ):
            raise ValueError(f"{PREVIEW_KEYS_FILE} needs secrets of at least 32 bytes and names of a-z and 0-9")

    def path(self, package_id: str, file: str, lifetime: float, network: str, *, folder: bool) -> tuple[str, int]:
        """The path of a URL, and the moment in Unix time at which it stops working.

        Args:
            package_id: package that it is of.
            file: path below the package.
            lifetime: seconds for which it works.
            network: address or network that it works from, in canonical form; empty for all.
            folder: whether the other files beside it come along.

        Raises:
            Refusal: PREVIEW_LIFETIME_INVALID.
        """
        if not SHORTEST <= lifetime <= LONGEST:
            raise preview_lifetime_invalid(SHORTEST, LONGEST)
        expires = int(self._clock.now().timestamp() + lifetime)
        bound = base64.urlsafe_b64encode(network.encode()).rstrip(b"=").decode() if network else "-"
        token = f"{self._signing}.{expires}.{'d' if folder else 'f'}.{bound}"
        mac = _mac(self._keys[self._signing], token, package_id, _promised(file, folder=folder))
        return f"/v/{token}.{mac}/{package_id}/{file}", expires

    def read(self, method: str, path: str, address: str) -> Preview:
        """Checks a request.

        Args:
            method: as it came.
            path: as it came, query included, of which there must be none.
            address: IP address of the client; empty when it is not known.

        Raises:
            Refusal: PATH_INVALID, PREVIEW_URL_INVALID, PREVIEW_URL_EXPIRED or PREVIEW_URL_ELSEWHERE.
        """
        found = _WHOLE.fullmatch(path) if len(path) <= _LONGEST_PATH else None
        if found is None:
            raise _why_not(path)
        key_id, expiry, scope, bound, mac, package_id, file = found.groups()
        # An unknown key costs as much time as a wrong MAC, and gets the same answer.
        secret = self._keys.get(key_id, b"\0" * _SHORTEST_SECRET)
        token = f"{key_id}.{expiry}.{scope}.{bound}"
        good = hmac.compare_digest(_mac(secret, token, package_id, _promised(file, folder=scope == "d")), mac)
        if not good or key_id not in self._keys or not is_open(file):
            raise preview_url_invalid()
        if self._clock.now().timestamp() >= int(expiry):
            raise preview_url_expired(int(expiry))
        if bound != "-" and not within(address, [_network(bound)]):
            raise preview_url_elsewhere()
        if method not in _METHODS:
            raise refusals.path_invalid(f"this address answers to {', '.join(sorted(_METHODS))} only")
        return Preview(package_id, file)


def _promised(file: str, *, folder: bool) -> str:
    return file.rpartition("/")[0] + "/" if folder else file


def _mac(secret: bytes, token: str, package_id: str, promised: str) -> str:
    """None of the parts can hold a line end, so no two sets of parts make one message."""
    message = f"reelmesh preview 1\n{token}\n{package_id}\n{promised}".encode()
    return base64.urlsafe_b64encode(hmac.digest(secret, message, hashlib.sha256)).rstrip(b"=").decode()


def _network(bound: str) -> Network:
    return network_of(base64.urlsafe_b64decode(bound + "=" * (-len(bound) % 4)).decode())


def _why_not(path: str) -> Exception:
    """Says what is odd about a path, unless it is the token."""
    if len(path) > _LONGEST_PATH:
        return refusals.path_invalid(f"the address is longer than {_LONGEST_PATH} characters")
    if "?" in path or "#" in path:
        return refusals.path_invalid("previews are asked for without a query")
    segments = path.split("/")[3:]
    if not segments or not all(re.fullmatch(_SEGMENT, segment) for segment in segments):
        return refusals.path_invalid(
            "the address has an empty segment, one that begins with a dot, or characters other than letters, digits and . _ -"
        )
    return preview_url_invalid()
