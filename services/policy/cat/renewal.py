"""Claim `catr`: how an edge hands out a new token when one is about to end.

Renewal is a favour, not a restriction: where it is not possible, as by a redirect, the token is simply not renewed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from services.policy.cat.matching import Unsupported

NAME: Final = "CTA-Common-Access-Token"
"""Header and cookie of tokens; cookie names are compared exactly by browsers, by us in any case."""
_LEAD: Final = 60.0
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_PARAMETER: Final = re.compile(r"[A-Za-z-]+(?:=[A-Za-z0-9._/-]*)?")
_OURS: Final = re.compile(r"(?:cta-|x-cta-|common-).*", re.IGNORECASE)


class Kind(IntEnum):
    """Ways to hand a new token over; the numbers are those of tokens."""

    AUTOMATIC = 0
    COOKIE = 1
    HEADER = 2
    REDIRECT = 3


class _Label(IntEnum):
    KIND = 0
    LASTS = 1
    LEAD = 2
    COOKIE_NAME = 3
    HEADER_NAME = 4
    COOKIE_PARAMETERS = 5
    HEADER_PARAMETERS = 6
    STATUS = 7


class Carrier(IntEnum):
    """How a token came."""

    PATH = 0
    HEADER = 1
    COOKIE = 2
    QUERY = 3


@dataclass(frozen=True, slots=True)
class Renewal:
    """What the claim says.

    Attributes:
        lasts: seconds for which a new token is good.
        lead: seconds before the end of a token from which on it is renewed.
    """

    kind: Kind
    lasts: float
    lead: float = _LEAD
    cookie_name: str = NAME
    header_name: str = NAME
    cookie_parameters: tuple[str, ...] = ("Secure", "HttpOnly", "SameSite=None", "Path=/p/")

    def due(self, now: float, expires: float) -> bool:
        """Whether a token that ends then is to be renewed now."""
        return expires - self.lead <= now < expires

    def header(self, carrier: Carrier, token: str) -> tuple[str, str] | None:
        """The response header that hands a new token over; None when there is no way for one that came so."""
        kind = self.kind
        if kind is Kind.AUTOMATIC:
            kind = {Carrier.HEADER: Kind.HEADER, Carrier.COOKIE: Kind.COOKIE}.get(carrier, Kind.REDIRECT)
        match kind:
            case Kind.HEADER:
                return self.header_name, token
            case Kind.COOKIE:
                return "Set-Cookie", "; ".join([f"{self.cookie_name}={token}", *self.cookie_parameters])
            case _:
                return None

    def written(self) -> dict[int, object]:
        """The claim."""
        return {_Label.KIND.value: self.kind.value, _Label.LASTS.value: self.lasts, _Label.LEAD.value: self.lead}


def read(value: Any) -> Renewal:
    """Reads the claim.

    Raises:
        Unsupported: it is malformed, or would have us send a header that is not a token's.
    """
    if not isinstance(value, Mapping) or not {_Label.KIND.value, _Label.LASTS.value} <= value.keys() <= set(_Label):
        raise Unsupported("not a renewal")
    kind, lasts, lead = value[_Label.KIND], value[_Label.LASTS], value.get(_Label.LEAD, _LEAD)
    if type(kind) is not int or kind not in Kind.__members__.values() or not (_is_span(lasts) and _is_span(lead)):
        raise Unsupported("not a renewal")
    return Renewal(
        Kind(kind),
        float(lasts),
        float(lead),
        cookie_name=_name(value.get(_Label.COOKIE_NAME, NAME)),
        header_name=_name(value.get(_Label.HEADER_NAME, NAME)),
        cookie_parameters=_parameters(
            value.get(_Label.COOKIE_PARAMETERS, Renewal.__dataclass_fields__["cookie_parameters"].default)
        ),
    )


def _is_span(value: Any) -> bool:
    return type(value) in {int, float} and 0 < value <= 86_400 * 31


def _name(value: Any) -> str:
    """A header or a cookie of one's choice could undo others of ours."""
    if not isinstance(value, str) or not _FIELD_NAME.fullmatch(value) or not _OURS.fullmatch(value):
        raise Unsupported("not a name for a token")
    return value


def _parameters(value: Any) -> tuple[str, ...]:
    parameters = (value,) if isinstance(value, str) else value
    if not isinstance(parameters, list | tuple) or len(parameters) > 8:
        raise Unsupported("not parameters of a cookie")
    if not all(isinstance(parameter, str) and _PARAMETER.fullmatch(parameter) for parameter in parameters):
        raise Unsupported("not parameters of a cookie")
    return tuple(parameters)
