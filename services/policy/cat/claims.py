"""What a token says: its claims, read from their map and written into one.

Sources of the numbers: RFC 8392 §4 for 1 to 7; IANA's registry and Eyevinn/node-cat for those of CTA-5007-B. Claims that could restrict a
token and cannot be judged here, or are not known at all, are refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any, Final

from services.policy.cat import networks, renewal, uris
from services.policy.cat.matching import Condition, Unsupported, conditions
from services.policy.cat.networks import Network
from services.policy.cat.otherwise import Otherwise
from services.policy.cat.otherwise import read as read_otherwise
from services.policy.cat.renewal import Renewal
from services.policy.cat.uris import UriConditions
from services.policy.token_refusals import access_token_claim_unsupported

_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_TERRITORY: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")


class Label(IntEnum):
    """Claims that are understood here."""

    ISS = 1
    SUB = 2
    AUD = 3
    EXP = 4
    NBF = 5
    IAT = 6
    CTI = 7
    CATREPLAY = 308
    CATV = 310
    CATNIP = 311
    CATU = 312
    CATM = 313
    CATH = 315
    CATGEOISO3166 = 316
    CATIF = 322
    CATR = 323


_NOT_JUDGED: Final[Mapping[int, str]] = {
    8: "cnf",
    282: "geohash",
    309: "catpor",  # how a share of requests is to be chosen cannot be had from public sources
    314: "catalpn",  # the protocol that TLS agreed on is not told to whoever authorises
    317: "catgeocoord",
    318: "catgeoalt",
    319: "cattpk",
    320: "catifdata",
    321: "catdpop",
}


class Reuse(IntEnum):
    """Values of `catreplay`."""

    PERMITTED = 0
    PROHIBITED = 1
    DETECTED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of a token. What is absent is empty or None.

    Attributes:
        expires, starts, issued: Unix time in seconds.
        countries: ISO 3166 codes.
        otherwise: what to answer with when a claim is not met, by the claim's number.
    """

    issuer: str = ""
    subject: str = ""
    audience: frozenset[str] = frozenset()
    expires: float | None = None
    starts: float | None = None
    issued: float | None = None
    token_id: bytes = b""
    reuse: Reuse = Reuse.PERMITTED
    networks: tuple[Network, ...] = ()
    uri: UriConditions = field(default_factory=dict)
    methods: frozenset[str] = frozenset()
    headers: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    territories: frozenset[str] = frozenset()
    renewal: Renewal | None = None
    otherwise: Mapping[int, Otherwise] = field(default_factory=dict)

    def written(self) -> dict[int, object]:
        """The claims as a map, without those that are absent. Header conditions and `catif` are not written: we issue none."""
        found: dict[int, object] = {
            Label.ISS: self.issuer,
            Label.SUB: self.subject,
            Label.AUD: sorted(self.audience),
            Label.EXP: self.expires,
            Label.NBF: self.starts,
            Label.IAT: self.issued,
            Label.CTI: self.token_id,
            Label.CATNIP: networks.written(self.networks),
            Label.CATU: uris.written(self.uri),
            Label.CATM: sorted(self.methods),
            Label.CATGEOISO3166: sorted(self.territories),
            Label.CATREPLAY: self.reuse.value or None,
            Label.CATR: self.renewal.written() if self.renewal else None,
        }
        return {int(label): value for label, value in found.items() if value not in (None, "", b"", [], {})} | {
            Label.CATV.value: 1
        }


def read(payload: Mapping[Any, Any]) -> Claims:
    """Reads the map of claims.

    Raises:
        Refusal: ACCESS_TOKEN_CLAIM_UNSUPPORTED, for the first claim that is malformed or not understood.
    """
    found: dict[str, Any] = {}
    for number, value in payload.items():
        if type(number) is not int or number not in Label.__members__.values():
            known = _NOT_JUDGED.get(number) if isinstance(number, int) else None
            raise access_token_claim_unsupported(known or str(number)[:32])
        label = Label(number)
        try:
            name, read_one = _READERS[label]
            found[name] = read_one(value)
        except Unsupported as error:
            raise access_token_claim_unsupported(label.name.lower()) from error
    found.pop("version", None)
    return Claims(**found)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Unsupported("not a text")
    return value


def _texts(value: Any, form: re.Pattern[str] = re.compile(r".+", re.DOTALL)) -> frozenset[str]:
    if not isinstance(value, list | tuple) or not value:
        raise Unsupported("not a list of texts")
    if not all(isinstance(item, str) and form.fullmatch(item) for item in value):
        raise Unsupported("not a list of such texts")
    return frozenset(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes) or not value:
        raise Unsupported("not bytes")
    return value


def _moment(value: Any) -> float:
    """A NumericDate without tag (RFC 8392 §2), within the years that a clock can tell."""
    if type(value) not in {int, float} or not math.isfinite(value) or not 0 <= value < 253_402_300_800:
        raise Unsupported("not a moment")
    return float(value)


def _reuse(value: Any) -> Reuse:
    if type(value) is not int or value not in Reuse.__members__.values():
        raise Unsupported("not a known policy")
    return Reuse(value)


def _version(value: Any) -> int:
    if type(value) is not int or value != 1:
        raise Unsupported("not a known version")
    return value


def _audience(value: Any) -> frozenset[str]:
    return _texts([value] if isinstance(value, str) else value)


def _headers(value: Any) -> Mapping[str, tuple[Condition, ...]]:
    if not isinstance(value, Mapping) or not value:
        raise Unsupported("not a map of headers")
    if not all(isinstance(name, str) and _HEADER.fullmatch(name.lower()) for name in value):
        raise Unsupported("not names of headers")
    return {name.lower(): conditions(wanted) for name, wanted in value.items()}


_READERS: Final[Mapping[Label, tuple[str, Callable[[Any], Any]]]] = {
    Label.ISS: ("issuer", _text),
    Label.SUB: ("subject", _text),
    Label.AUD: ("audience", _audience),
    Label.EXP: ("expires", _moment),
    Label.NBF: ("starts", _moment),
    Label.IAT: ("issued", _moment),
    Label.CTI: ("token_id", _bytes),
    Label.CATREPLAY: ("reuse", _reuse),
    Label.CATV: ("version", _version),
    Label.CATNIP: ("networks", networks.read),
    Label.CATU: ("uri", uris.read),
    Label.CATM: ("methods", partial(_texts, form=_METHOD)),
    Label.CATH: ("headers", _headers),
    Label.CATGEOISO3166: ("territories", partial(_texts, form=_TERRITORY)),
    Label.CATIF: ("otherwise", read_otherwise),
    Label.CATR: ("renewal", renewal.read),
}
"""Which attribute each claim becomes, and who reads it."""
