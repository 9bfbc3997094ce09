"""Whether a token is for a request: each of its claims against what is known of who asks for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.kit.errors import Refusal
from services.policy import token_refusals as refusals
from services.policy.cat import networks
from services.policy.cat.claims import Claims, Label
from services.policy.cat.cose import Key
from services.policy.cat.uris import Url


class Territory(Protocol):
    """Anything that can tell where an address is."""

    def codes_of(self, address: str) -> frozenset[str]:
        """ISO 3166 codes of the country, and of the subdivision where that is known, of an IP address. Empty when nobody knows."""
        ...


class Nowhere:
    """Knows of no address where it is: tokens that are bound to countries are refused."""

    def codes_of(self, address: str) -> frozenset[str]:  # noqa: ARG002  # the protocol's
        """None."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as tokens care.

    Attributes:
        address: IP address of the client; empty when it is not known.
        headers: names in lower case.
    """

    method: str
    url: Url
    address: str
    headers: Mapping[str, str]


class NotFor(Refusal):
    """A claim of a good token is not met.

    Attributes:
        label: the claim.
        claims: all that the token says.
    """

    def __init__(self, refusal: Refusal, label: Label, claims: Claims) -> None:
        super().__init__(
            refusal.code, refusal.reason, refusal.message, domain=refusal.domain, metadata=refusal.metadata
        )
        self.label = label
        self.claims = claims


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The place at which tokens are judged.

    Attributes:
        audience: names by which it is meant in `aud`.
    """

    audience: frozenset[str]
    territory: Territory

    def check(self, claims: Claims, key: Key, asked: Asked, now: float) -> None:
        """Judges every claim but `sub` and `catreplay`, of which this knows nothing.

        Raises:
            NotFor: the first that is not met, with reason ACCESS_TOKEN_EXPIRED, ACCESS_TOKEN_EARLY or ACCESS_TOKEN_CLAIM_UNMET.
        """
        if claims.expires is not None and now >= claims.expires:
            raise NotFor(refusals.access_token_expired(claims.expires), Label.EXP, claims)
        if claims.starts is not None and now < claims.starts:
            raise NotFor(refusals.access_token_early(claims.starts), Label.NBF, claims)
        for label, met in self._met(claims, key, asked):
            if not met:
                raise NotFor(refusals.access_token_claim_unmet(label.name.lower()), label, claims)

    def _met(self, claims: Claims, key: Key, asked: Asked) -> list[tuple[Label, bool]]:
        return [
            (Label.ISS, not key.issuers or claims.issuer in key.issuers),
            (Label.AUD, not claims.audience or bool(claims.audience & self.audience)),
            (Label.CATM, not claims.methods or asked.method in claims.methods),
            (Label.CATNIP, not claims.networks or networks.within(asked.address, claims.networks)),
            (
                Label.CATGEOISO3166,
                not claims.territories or bool(claims.territories & self.territory.codes_of(asked.address)),
            ),
            (Label.CATH, all(self._has(asked, name, claims) for name in claims.headers)),
            (Label.CATU, asked.url.meets(claims.uri)),
        ]

    @staticmethod
    def _has(asked: Asked, name: str, claims: Claims) -> bool:
        value = asked.headers.get(name)
        return value is not None and all(condition.met_by(value) for condition in claims.headers[name])
