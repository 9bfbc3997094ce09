"""Refusals of the other credentials than tickets: access tokens, preview URLs, URLs of outside CDNs. Reasons are those of `policy.proto`."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc

from services.kit.errors import Refusal
from services.policy.refusals import DOMAIN


def access_token_invalid() -> Refusal:
    """Says no more than that, whatever is wrong: who tampers with tokens gets no help."""
    return _denied("ACCESS_TOKEN_INVALID", "the access token is not valid; ask for a new one")


def access_token_expired(expires: float) -> Refusal:
    """The token's time is over."""
    moment = _moment(expires)
    return _denied("ACCESS_TOKEN_EXPIRED", f"the access token ended at {moment}; ask for a new one", expire_time=moment)


def access_token_early(starts: float) -> Refusal:
    """The token's time has not come."""
    moment = _moment(starts)
    return _denied(
        "ACCESS_TOKEN_EARLY",
        f"the access token begins at {moment}; wait until then, or set the clock",
        start_time=moment,
    )


def access_token_claim_unmet(claim: str) -> Refusal:
    """The request is not one that the token is for."""
    return _denied(
        "ACCESS_TOKEN_CLAIM_UNMET",
        f"the access token is not for this request, by its claim {claim}; ask for one that is",
        claim=claim,
    )


def access_token_claim_unsupported(claim: str) -> Refusal:
    """What cannot be judged is refused."""
    return _denied(
        "ACCESS_TOKEN_CLAIM_UNSUPPORTED",
        f"the access token's claim {claim} is missing, malformed, or cannot be judged by this edge; have it issued otherwise",
        claim=claim,
    )


def access_token_reused() -> Refusal:
    """The token forbids this use by its claim `catreplay`."""
    return _denied(
        "ACCESS_TOKEN_REUSED", "the access token was used before, or elsewhere, and forbids that; ask for a new one"
    )


def access_token_too_long() -> Refusal:
    """Edges would not take it."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "ACCESS_TOKEN_TOO_LONG",
        "with so many conditions the token would be longer than edges take; leave some out",
        domain=DOMAIN,
    )


def preview_url_invalid() -> Refusal:
    """Says no more than that, whatever is wrong."""
    return _denied("PREVIEW_URL_INVALID", "the preview link is not valid; ask for a new one")


def preview_url_expired(expires: float) -> Refusal:
    """The URL's time is over."""
    moment = _moment(expires)
    return _denied("PREVIEW_URL_EXPIRED", f"the preview link ended at {moment}; ask for a new one", expire_time=moment)


def preview_url_elsewhere() -> Refusal:
    """The URL is bound to a network, which is not told."""
    return _denied("PREVIEW_URL_ELSEWHERE", "the preview link works from another network only; open it there")


def preview_lifetime_invalid(least: int, most: int) -> Refusal:
    """A preview is short."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "PREVIEW_LIFETIME_INVALID",
        f"a preview URL lasts {least} to {most} whole seconds; ask for a lifetime in between",
        domain=DOMAIN,
        metadata={"least_seconds": str(least), "most_seconds": str(most)},
    )


def preview_not_found(package_id: str) -> Refusal:
    """The package is unknown, belongs to someone else, or has no such file: which of them is not told."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "PREVIEW_NOT_FOUND",
        f"{package_id} is not published here, or has no such file that may be shown without a session; ask for its poster or thumbnails",
        domain=DOMAIN,
        metadata={"package_id": package_id},
    )


def network_invalid(text: str) -> Refusal:
    """What should be an address or a network is none."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "NETWORK_INVALID",
        "send an IP address, or a network in CIDR form without bits beyond its prefix, such as 203.0.113.0/24",
        domain=DOMAIN,
        metadata={"network": text},
    )


def uri_condition_invalid(text: str) -> Refusal:
    """Edges could not check the condition."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "URI_CONDITION_INVALID",
        "edges cannot check this condition: a regular expression repeats no group and has one quantifier, or two after ^; a digest has 64 hex digits",
        domain=DOMAIN,
        metadata={"text": text},
    )


def cdn_not_found(name: str) -> Refusal:
    """The settings name no such CDN."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "CDN_NOT_FOUND",
        f"there is no CDN {name!r}; the operator names CDNs in REELMESH_POLICY_CDNS",
        domain=DOMAIN,
        metadata={"cdn": name},
    )


def watermark_key_not_found(name: str) -> Refusal:
    """There is no key for watermark tokens of that name."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "WATERMARK_KEY_NOT_FOUND",
        f'there is no key {name!r} for watermark tokens; the operator puts an HS256 key with `"issuers": ["watermark"]` into cat_keys.json',
        domain=DOMAIN,
        metadata={"key": name},
    )


def package_unmarked(package_id: str) -> Refusal:
    """A package has no watermark."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "PACKAGE_UNMARKED",
        "the session's package has no watermark, so there is nothing to choose; upload the film with watermarking",
        domain=DOMAIN,
        metadata={"package_id": package_id},
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _denied(reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, reason, message, domain=DOMAIN, metadata=metadata)
