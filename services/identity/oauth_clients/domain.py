"""Rules of OAuth clients."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import grpc
from reelmesh.identity.v1 import oauth_pb2

from services.identity.organisations.roles import EVERYTHING, methods_by_permission
from services.identity.refusals import IDENTITY_DOMAIN, field_not_updatable, refusal
from services.kit.errors import RPC_DOMAIN, Refusal

OPENID: Final = "openid"
PROFILE: Final = "profile"
EMAIL: Final = "email"
OFFLINE: Final = "offline_access"
ABOUT_PEOPLE: Final = (OPENID, PROFILE, EMAIL, OFFLINE)
"""Scopes of OpenID Connect (Core §5.4, §11). All others are permissions of the contracts."""
UPDATABLE: Final = ("display_name", "redirect_uris", "post_logout_redirect_uris", "grants", "scopes")

CODE: Final = oauth_pb2.O_AUTH_GRANT_AUTHORIZATION_CODE
REFRESH: Final = oauth_pb2.O_AUTH_GRANT_REFRESH_TOKEN
CLIENT: Final = oauth_pb2.O_AUTH_GRANT_CLIENT_CREDENTIALS
DEVICE: Final = oauth_pb2.O_AUTH_GRANT_DEVICE_CODE

# RFC 8252 §7.3. What follows the port must begin a path or a query: nothing else can be smuggled in behind it.
_LOOPBACK: Final = re.compile(r"http://(127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?((?:[/?][^#]*)?)")
# RFC 3986 §2, without the percent-encoded dots and slashes that some parsers undo.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()+,;=%-]+")
# RFC 8252 §7.1: a domain name of the app's owner, turned round.
_OWN_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A client.

    Attributes:
        client_id: `cli_…`, or the name of a built-in one.
        organisation_id: who registered it; empty for built-in ones.
        version: counts changes; 0 for built-in ones.
        display_name: name to show.
        redirect_uris: where people may be sent back to.
        secret_sha256: of its secret; None for clients that cannot keep one.
        grants: `OAuthGrant` values.
        scopes: what it may ask for; `*` is everything.
        create_time: when it was registered; None for built-in ones.
        use_time: when it last got a token for itself; None when it never did.
        post_logout_redirect_uris: where people may be sent after they signed out because it asked so.
    """

    client_id: str
    organisation_id: str
    version: int
    display_name: str
    redirect_uris: tuple[str, ...]
    secret_sha256: bytes | None
    grants: tuple[int, ...]
    scopes: tuple[str, ...]
    create_time: datetime | None = None
    use_time: datetime | None = None
    post_logout_redirect_uris: tuple[str, ...] = ()

    @property
    def etag(self) -> str:
        """Version as the contract shows it."""
        return str(self.version) if self.organisation_id else ""

    @property
    def confidential(self) -> bool:
        """Whether it has a secret."""
        return self.secret_sha256 is not None

    @property
    def first_party(self) -> bool:
        """Whether it is Reelmesh's own."""
        return not self.organisation_id

    def redirects_to(self, uri: str) -> bool:
        """Whether people may be sent to a URI: one of its own, character by character, but for the port on loopback addresses."""
        return any(uri == own or _same_loopback(uri, own) for own in self.redirect_uris)

    def returns_to(self, uri: str) -> bool:
        """Whether people may be sent to a URI after signing out: one of its own, character by character (RP-Initiated Logout §3)."""
        return uri in self.post_logout_redirect_uris

    def knows(self, secret_sha256: bytes) -> bool:
        """Whether this is the digest of its secret."""
        return self.secret_sha256 is not None and hmac.compare_digest(self.secret_sha256, secret_sha256)

    def may(self, grant: int) -> bool:
        """Whether it may get tokens in a way."""
        return grant in self.grants

    @property
    def allowed(self) -> frozenset[str]:
        """All scopes that it may ask for, spelt out."""
        return all_scopes() if EVERYTHING in self.scopes else frozenset(self.scopes) & all_scopes()

    def granted(self, asked: Iterable[str]) -> tuple[str, ...]:
        """Scopes that were asked for, in order and each once.

        Raises:
            Refusal: INVALID_ARGUMENT `SCOPE_INVALID` when none were, or one is not for this client.
        """
        scopes = tuple(sorted(set(asked)))
        if not scopes:
            raise scope_invalid("", "say which scopes are wanted, such as `openid playback.create`")
        for scope in scopes:
            if scope not in self.allowed:
                raise scope_invalid(scope, f"this client may not ask for the scope {scope!r}")
        return scopes

    def checked(self, etag: str) -> OAuthClient:
        """The client, for whoever last saw it in this state.

        Raises:
            Refusal: ABORTED `ETAG_MISMATCH`.
        """
        if etag and etag != self.etag:
            message = "the client changed since you read it; read it again"
            raise Refusal(
                grpc.StatusCode.ABORTED, "ETAG_MISMATCH", message, domain=RPC_DOMAIN, metadata={"etag": self.etag}
            )
        return self

    def changed(self, paths: Sequence[str], wanted: OAuthClient) -> OAuthClient:
        """The client with what can be changed.

        Raises:
            Refusal: INVALID_ARGUMENT `FIELD_NOT_UPDATABLE`, `OAUTH_CLIENT_INVALID`, `SCOPE_INVALID`.
        """
        for path in paths:
            if path not in UPDATABLE:
                raise field_not_updatable(path, ", ".join(UPDATABLE))
        return replace(
            self,
            version=self.version + 1,
            display_name=wanted.display_name if "display_name" in paths else self.display_name,
            redirect_uris=wanted.redirect_uris if "redirect_uris" in paths else self.redirect_uris,
            post_logout_redirect_uris=(
                wanted.post_logout_redirect_uris
                if "post_logout_redirect_uris" in paths
                else self.post_logout_redirect_uris
            ),
            grants=wanted.grants if "grants" in paths else self.grants,
            scopes=wanted.scopes if "scopes" in paths else self.scopes,
        ).possible()

    def possible(self) -> OAuthClient:
        """The client, if its settings are possible together.

        Raises:
            Refusal: INVALID_ARGUMENT `OAUTH_CLIENT_INVALID`, `SCOPE_INVALID`.
        """
        if not 0 < len(self.display_name) <= 100:
            raise client_invalid("display_name", "give it a name of 1 to 100 characters")
        if max(len(self.redirect_uris), len(self.post_logout_redirect_uris)) > 20 or len(self.scopes) > 200:
            raise client_invalid("client", "a client has 20 redirect URIs of each kind and 200 scopes at most")
        _check_redirects("redirect_uris", self.redirect_uris)
        _check_redirects("post_logout_redirect_uris", self.post_logout_redirect_uris)
        if set(self.grants) - {CODE, REFRESH, CLIENT, DEVICE}:
            raise client_invalid("grants", "there is no such way to get tokens")
        if self.may(CODE) and not self.redirect_uris:
            raise client_invalid("redirect_uris", "a client that gets authorization codes needs a redirect URI")
        if self.may(CLIENT) and not self.confidential:
            raise client_invalid("grants", "only a confidential client can act for its organisation")
        if not {CODE, CLIENT, DEVICE} & set(self.grants):
            raise client_invalid("grants", "there is no way for this client to get a first token")
        for scope in self.scopes:
            if scope not in all_scopes():
                raise scope_invalid(scope, f"there is no scope {scope!r}")
        return self


def all_scopes() -> frozenset[str]:
    """All scopes that there are."""
    return frozenset(ABOUT_PEOPLE) | frozenset(methods_by_permission())


def _same_loopback(uri: str, own: str) -> bool:
    given, registered = _LOOPBACK.fullmatch(uri), _LOOPBACK.fullmatch(own)
    return bool(given and registered and given.groups() == registered.groups())


def _check_redirects(field: str, uris: Iterable[str]) -> None:
    for uri in uris:
        _check_redirect(field, uri)


def _check_redirect(field: str, uri: str) -> None:
    try:
        parts = urlsplit(uri)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise client_invalid(field, f"{uri!r} is not a URI") from None
    if not _PLAIN.fullmatch(uri) or not port_is_fine or parts.fragment or "#" in uri or "@" in parts.netloc:
        raise client_invalid(field, f"{uri!r} holds what a redirect URI must not: a fragment, a user, a blank")
    if len(uri) > 500:
        raise client_invalid(field, "a redirect URI has 500 characters at most")
    https = parts.scheme == "https" and bool(parts.hostname)
    if https or _LOOPBACK.fullmatch(uri) or _OWN_SCHEME.fullmatch(parts.scheme):
        return
    message = f"{uri!r} is neither https, nor http on 127.0.0.1 or [::1], nor a scheme such as com.example.app"
    raise client_invalid(field, message)


def client_invalid(field: str, message: str) -> Refusal:
    """Settings that cannot be."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "OAUTH_CLIENT_INVALID",
        message,
        domain=IDENTITY_DOMAIN,
        metadata={"field": field},
        fields=[(field, message)],
    )


def scope_invalid(scope: str, message: str) -> Refusal:
    """A scope that is not, or not for this client."""
    return refusal(grpc.StatusCode.INVALID_ARGUMENT, "SCOPE_INVALID", message, scope=scope)


def client_not_found(client_id: str) -> Refusal:
    """None, or none that the caller may see."""
    message = f"there is no OAuth client {client_id}"
    return refusal(grpc.StatusCode.NOT_FOUND, "OAUTH_CLIENT_NOT_FOUND", message, client_id=client_id)


def client_built_in(client_id: str) -> Refusal:
    """Reelmesh's own."""
    message = f"the OAuth client {client_id} is built in and cannot be changed; register one of your own"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "OAUTH_CLIENT_BUILT_IN", message, client_id=client_id)
