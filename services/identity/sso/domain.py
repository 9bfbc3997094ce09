"""Rules of outside providers."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import grpc

from services.identity.oauth.domain import UNUSED, Use, challenge_of
from services.identity.refusals import IDENTITY_DOMAIN, field_not_updatable, refusal
from services.kit.errors import RPC_DOMAIN, Refusal

UPDATABLE: Final = ("display_name", "client_id", "email_domains", "provisioning", "role_ids")
LIFETIME: Final = timedelta(minutes=10)
"""How long a person may take at the provider."""
CODE_LIFETIME: Final = timedelta(minutes=1)
_DOMAIN: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Provider:
    """An outside provider.

    Attributes:
        provider_id: `idp_…`.
        organisation_id: whose people sign in there.
        version: counts changes.
        display_name: name to show.
        issuer: who signs its tokens, and where its discovery document is.
        client_id: ours there.
        sealed_secret: ours there, sealed for `provider_id`.
        email_domains: of addresses that may come, in lower case.
        provisioning: whether who was never here gets an account.
        role_ids: roles of who does.
        create_time: when it was added.
    """

    provider_id: str
    organisation_id: str
    version: int
    display_name: str
    issuer: str
    client_id: str
    sealed_secret: bytes
    email_domains: tuple[str, ...]
    provisioning: bool
    role_ids: tuple[str, ...]
    create_time: datetime

    @property
    def etag(self) -> str:
        """Version as the contract shows it."""
        return str(self.version)

    def takes(self, email: str) -> bool:
        """Whether people with this address may come."""
        return email.rpartition("@")[2].lower() in self.email_domains

    def checked(self, etag: str) -> Provider:
        """The provider, for whoever last saw it in this state.

        Raises:
            Refusal: ABORTED `ETAG_MISMATCH`.
        """
        if etag and etag != self.etag:
            message = "the provider changed since you read it; read it again"
            raise Refusal(
                grpc.StatusCode.ABORTED, "ETAG_MISMATCH", message, domain=RPC_DOMAIN, metadata={"etag": self.etag}
            )
        return self

    def changed(self, paths: Sequence[str], wanted: Provider) -> Provider:
        """The provider with what can be changed.

        Raises:
            Refusal: INVALID_ARGUMENT `FIELD_NOT_UPDATABLE`, `SSO_PROVIDER_INVALID`.
        """
        for path in paths:
            if path not in UPDATABLE:
                raise field_not_updatable(path, ", ".join(UPDATABLE))
        fresh = {path: getattr(wanted, path) for path in paths}
        return replace(self, version=self.version + 1, **fresh).possible()

    def possible(self) -> Provider:
        """The provider, if its settings are possible.

        Raises:
            Refusal: INVALID_ARGUMENT `SSO_PROVIDER_INVALID`.
        """
        if not 0 < len(self.display_name) <= 100:
            raise provider_invalid("display_name", "give it a name of 1 to 100 characters")
        if not 0 < len(self.client_id) <= 500:
            raise provider_invalid("client_id", "the client id has 1 to 500 characters")
        if not 0 < len(self.email_domains) <= 50 or len(self.role_ids) > 20:
            raise provider_invalid("email_domains", "a provider has 1 to 50 domains, and 20 roles at most")
        domains = tuple(domain.lower() for domain in self.email_domains)
        for domain in domains:
            if not _DOMAIN.fullmatch(domain):
                raise provider_invalid("email_domains", f"{domain!r} is not the domain of an address")
        return replace(self, email_domains=domains)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person on the way to a provider and back.

    Attributes:
        sign_in_id: `sgn_…`.
        provider_id: where.
        state_sha256: of the `state` that must come back.
        challenge: of the verifier of the page that began it: nobody can be signed in by a link that somebody else sent.
        link_account_id, link_code_sha256: account that shall be linked, and by which code; empty and None for a sign-in.
        create_time, expire_time: its life.
        take_time, take_request: when it came back, and digest of the request that took it up; None while it did not.
        subject, email, email_verified, display_name: whom the provider vouched for; empty while it did not.
        code_sha256, code_expire_time: of the code with which the page gets its tokens; None while there is none.
        use: of the code.
    """

    sign_in_id: str
    provider_id: str
    state_sha256: bytes
    challenge: str
    link_account_id: str
    link_code_sha256: bytes | None
    create_time: datetime
    expire_time: datetime
    take_time: datetime | None = None
    take_request: bytes | None = None
    subject: str = ""
    email: str = ""
    email_verified: bool = False
    display_name: str = ""
    code_sha256: bytes | None = None
    code_expire_time: datetime | None = None
    use: Use = UNUSED

    def takeable(self, provider_id: str, request: bytes, now: datetime) -> bool:
        """Whether it may be taken up: once, or again by the same request."""
        fresh = self.take_time is None or self.take_request == request
        return fresh and self.provider_id == provider_id and now < self.expire_time

    def completable(self, subject: str, now: datetime) -> bool:
        """Whether it came back, and the provider vouched for somebody: once, or again for the same person."""
        came_back = self.take_time is not None and self.use.use_time is None and now < self.expire_time
        return came_back and bool(subject) and self.subject in {"", subject}

    def fits(self, verifier: str, now: datetime) -> bool:
        """Whether whoever has the code is the page that began it, and in time."""
        in_time = self.code_expire_time is not None and now < self.code_expire_time
        return in_time and hmac.compare_digest(challenge_of(verifier), self.challenge)


@dataclass(frozen=True, slots=True)
class Identity:
    """A person at a provider who is linked with an account."""

    provider_id: str
    subject: str
    account_id: str
    email: str
    link_time: datetime


def check_issuer(issuer: str, *, loopback: bool) -> None:
    """Refuses an issuer that is no address of a provider.

    Args:
        issuer: the URL.
        loopback: whether `http` on this very machine is taken.

    Raises:
        Refusal: INVALID_ARGUMENT `SSO_PROVIDER_INVALID`.
    """
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not issuer.isascii() or not issuer.isprintable() or " " in issuer:
        raise provider_invalid("issuer", "the issuer is not a URL")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise provider_invalid("issuer", "an issuer has no query, no fragment and no user in it")
    here = loopback and parts.scheme == "http" and host in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme != "https" and not here:
        raise provider_invalid("issuer", "an issuer is an https URL")


def provider_invalid(field: str, message: str) -> Refusal:
    """Settings that cannot be."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "SSO_PROVIDER_INVALID",
        message,
        domain=IDENTITY_DOMAIN,
        metadata={"field": field},
        fields=[(field, message)],
    )


def provider_not_found(provider_id: str) -> Refusal:
    """None, or none that the caller may see."""
    message = f"there is no outside provider {provider_id}"
    return refusal(grpc.StatusCode.NOT_FOUND, "SSO_PROVIDER_NOT_FOUND", message, provider_id=provider_id)


def role_not_found(role_id: str) -> Refusal:
    """None that the organisation could give."""
    return refusal(grpc.StatusCode.NOT_FOUND, "ROLE_NOT_FOUND", f"there is no role {role_id}", role_id=role_id)


def sso_failed() -> Refusal:
    """It did not come to its end; it is not told which part was wrong."""
    message = "the sign-in at the provider did not come to its end, or took too long; begin again"
    return refusal(grpc.StatusCode.PERMISSION_DENIED, "SSO_FAILED", message)


def email_unverified() -> Refusal:
    """Anybody could have typed the address there."""
    message = "the provider does not say that the e-mail address is yours; verify it there first"
    return refusal(grpc.StatusCode.PERMISSION_DENIED, "SSO_EMAIL_UNVERIFIED", message)


def account_unlinked() -> Refusal:
    """An address alone links nothing: whoever runs the provider could come in as anybody."""
    message = "this account is not linked with the provider; sign in another way, then link it in your account"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "SSO_ACCOUNT_UNLINKED", message)


def account_unknown() -> Refusal:
    """Nobody here."""
    message = (
        "you have no account here that this provider may sign in; ask whoever runs this platform for an invitation"
    )
    return refusal(grpc.StatusCode.PERMISSION_DENIED, "SSO_ACCOUNT_UNKNOWN", message)
