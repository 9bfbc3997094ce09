"""Whether a document was revoked: status lists of issuers (IETF draft-ietf-oauth-status-list, section 5.2: a CWT), fetched and kept until they run out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from services.compliance.age import cose
from services.compliance.age.cose import Malformed, as_bytes, as_map
from services.compliance.age.mdoc import Invalid, StatusReference
from services.compliance.age.trust import TrustList, Untrusted
from services.kit.errors import unavailable

_SUBJECT: Final = 2
_EXPIRY: Final = 4
_ISSUED: Final = 6
_TTL: Final = 65534
_LIST: Final = 65533
_MEDIA_TYPE: Final = "application/statuslist+cwt"
_MOST_BYTES: Final = 1024 * 1024
_MOST_UNPACKED: Final = 16 * 1024 * 1024
_MOST_LISTS: Final = 64
_KEPT: Final = timedelta(hours=1)
_VALID: Final = 0


@dataclass(frozen=True, slots=True)
class _List:
    bits: int
    packed: bytes
    until: datetime


class StatusLists:
    """Looks statuses up.

    Args:
        http: with time limits set.
        trust: whose lists are believed.
    """

    def __init__(self, http: httpx.AsyncClient, trust: TrustList) -> None:
        self._http = http
        self._trust = trust
        self._kept: dict[str, _List] = {}

    async def check(self, reference: StatusReference, now: datetime) -> None:
        """Goes on when the document was not revoked.

        Raises:
            Invalid: `revoked`, or `untrusted` when the list is nobody's who is believed.
            Malformed: the list is none, or does not go so far.
            Refusal: UNAVAILABLE when it cannot be had: nobody is believed unlooked.
        """
        found = self._kept.get(reference.uri)
        if found is None or found.until <= now:
            found = self._read(reference.uri, await self._fetched(reference.uri), now)
            while len(self._kept) >= _MOST_LISTS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[reference.uri] = found
        if _status(found, reference.index) != _VALID:
            raise Invalid("revoked", "its issuer took it back")

    async def _fetched(self, uri: str) -> bytes:
        try:
            async with self._http.stream("GET", uri, headers={"accept": _MEDIA_TYPE}) as response:
                if not response.is_success:
                    raise unavailable("the issuer's list of revoked proofs")
                data = bytearray()
                async for part in response.aiter_bytes():
                    data += part
                    if len(data) > _MOST_BYTES:
                        raise Malformed("the status list is too long")
                return bytes(data)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unavailable("the issuer's list of revoked proofs") from error

    def _read(self, uri: str, data: bytes, now: datetime) -> _List:
        token = cose.read(cose.decoded(data, most=_MOST_BYTES), "the status list")
        try:
            key, _ = self._trust.key_of(token.chain, now)
        except Untrusted as error:
            raise Invalid("untrusted", f"the status list: {error}") from error
        if not token.is_by(key):
            raise Invalid("untrusted", "the status list's signature is not good")
        claims = as_map(cose.decoded(token.payload, most=_MOST_BYTES), "the status list's claims")
        if claims.get(_SUBJECT) != uri or _seconds(claims, _ISSUED, now) > now:
            raise Invalid("untrusted", "the status list is another one")
        end = _seconds(claims, _EXPIRY, now + _KEPT)
        if end <= now:
            raise Invalid("untrusted", "the status list is not in force any more")
        ttl = claims.get(_TTL)
        kept = timedelta(seconds=ttl) if isinstance(ttl, int) and 0 < ttl < _KEPT.total_seconds() else _KEPT
        found = as_map(claims.get(_LIST), "status_list")
        bits = found.get("bits")
        if bits not in {1, 2, 4, 8}:
            raise Malformed("a status has an odd number of bits")
        return _List(bits, _unpacked(as_bytes(found.get("lst"), "lst")), min(end, now + kept))


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(data, _MOST_UNPACKED)
    except zlib.error as error:
        raise Malformed("the status list cannot be unpacked") from error
    if not unpacking.eof:
        raise Malformed("the status list is too long, or was cut off")
    return unpacked


def _status(found: _List, index: int) -> int:
    byte, place = divmod(index * found.bits, 8)
    if byte >= len(found.packed):
        raise Malformed("the status list does not go so far")
    return (found.packed[byte] >> place) & ((1 << found.bits) - 1)


def _seconds(claims: Mapping[Any, Any], name: int, otherwise: datetime) -> datetime:
    value = claims.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, int) or not 0 <= value < 2**33:
        raise Malformed("a time of the status list is none")
    return datetime.fromtimestamp(value, UTC)
