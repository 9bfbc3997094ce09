"""What a request of CreateAccessToken asks a token to claim."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from reelmesh.policy.v1 import tokens_pb2
from reelmesh.policy.v1 import tokens_service_pb2 as contract

from services.policy import token_refusals as refusals
from services.policy.cat.claims import Claims, Reuse
from services.policy.cat.matching import Condition, Match, Unsupported
from services.policy.cat.networks import Network, network_of
from services.policy.cat.renewal import Kind, Renewal
from services.policy.cat.uris import Part, UriConditions
from services.policy.domain import Session

_MATCHES: Final = {
    tokens_pb2.URI_MATCH_EXACT: Match.EXACT,
    tokens_pb2.URI_MATCH_PREFIX: Match.PREFIX,
    tokens_pb2.URI_MATCH_SUFFIX: Match.SUFFIX,
    tokens_pb2.URI_MATCH_CONTAINS: Match.CONTAINS,
    tokens_pb2.URI_MATCH_REGEX: Match.REGEX,
    tokens_pb2.URI_MATCH_SHA256: Match.SHA256,
}
_REUSES: Final = {
    tokens_pb2.TOKEN_REUSE_UNSPECIFIED: Reuse.PERMITTED,
    tokens_pb2.TOKEN_REUSE_PERMITTED: Reuse.PERMITTED,
    tokens_pb2.TOKEN_REUSE_PROHIBITED: Reuse.PROHIBITED,
    tokens_pb2.TOKEN_REUSE_DETECTED: Reuse.DETECTED,
}
_CARRIERS: Final = {
    tokens_pb2.RENEWAL_CARRIER_UNSPECIFIED: Kind.AUTOMATIC,
    tokens_pb2.RENEWAL_CARRIER_COOKIE: Kind.COOKIE,
    tokens_pb2.RENEWAL_CARRIER_HEADER: Kind.HEADER,
}


def claims_of(request: contract.CreateAccessTokenRequest, session: Session, expires: int) -> Claims:
    """The claims of a token for a session.

    Raises:
        Refusal: NETWORK_INVALID or URI_CONDITION_INVALID.
    """
    return Claims(
        subject=session.session_id,
        expires=expires,
        reuse=_REUSES[request.reuse],
        networks=tuple(_network(text) for text in request.networks),
        uri=_uri(request, session.package_id),
        methods=frozenset(request.methods),
        territories=frozenset(request.territories),
        renewal=_renewal(request),
    )


def _network(text: str) -> Network:
    try:
        return network_of(text)
    except ValueError as error:
        raise refusals.network_invalid(text) from error


def _uri(request: contract.CreateAccessTokenRequest, package_id: str) -> UriConditions:
    """The package's path first, so that other edges, which know of no sessions, keep to it too."""
    found: defaultdict[Part, dict[Match, Condition]] = defaultdict(dict)
    found[Part.PATH][Match.PREFIX] = Condition(Match.PREFIX, f"/p/{package_id}/")
    for wanted in request.uri_conditions:
        try:
            condition = Condition(_MATCHES[wanted.match], wanted.text)
        except Unsupported as error:
            raise refusals.uri_condition_invalid(wanted.text) from error
        # The contract numbers parts from 1 on, tokens from 0.
        part = Part(wanted.part - 1)
        if condition.match in found[part]:
            raise refusals.uri_condition_invalid(wanted.text)
        found[part][condition.match] = condition
    return {part: tuple(conditions.values()) for part, conditions in found.items()}


def _renewal(request: contract.CreateAccessTokenRequest) -> Renewal | None:
    if not request.HasField("renewal"):
        return None
    asked = request.renewal
    lasts = asked.lifetime.ToTimedelta().total_seconds() if asked.HasField("lifetime") else 600.0
    lead = asked.lead_duration.ToTimedelta().total_seconds() if asked.HasField("lead_duration") else 60.0
    return Renewal(_CARRIERS[asked.carrier], lasts, lead)
