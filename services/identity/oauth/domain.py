"""Rules of authorization requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import grpc

from services.identity.refusals import refusal
from services.kit.errors import RPC_DOMAIN, Refusal

ANSWERABLE_FOR: Final = timedelta(minutes=30)
"""A person may have to register first."""
CODE_LIFETIME: Final = timedelta(seconds=60)
REPEATABLE_FOR: Final = timedelta(minutes=1)
"""How long an exchange may be repeated by the same request, because its answer was lost."""
DEVICE_LIFETIME: Final = timedelta(minutes=10)
DEVICE_INTERVAL: Final = timedelta(seconds=5)
SLOWED_BY: Final = timedelta(seconds=5)
"""RFC 8628 §3.5."""
KEPT_AFTER_END: Final = timedelta(days=1)
"""How long a code is remembered to have been used."""

# Without vowels, so that no words come up (RFC 8628 §6.1): 20^8 codes.
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
_USER_CODE: Final = re.compile(f"[{_LETTERS}]{{8}}")


@dataclass(frozen=True, slots=True)
class Use:
    """That something which works once was used.

    Attributes:
        use_time: when; None while it was not.
        use_request: digest of the request that used it.
        session_id: session that was opened for it; empty for none.
    """

    use_time: datetime | None = None
    use_request: bytes | None = None
    session_id: str = ""

    def repeated_by(self, request_id: str, now: datetime) -> bool:
        """Whether this is the request that used it, again, because its answer was lost."""
        return (
            self.use_time is not None
            and self.use_request == digest(request_id)
            and now - self.use_time <= REPEATABLE_FOR
        )


UNUSED: Final = Use()


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a client asks a person, and what became of it (RFC 6749 §4.1).

    Attributes:
        authorization_id: `aut_…`.
        client_id, redirect_uri, scopes, state, nonce, code_challenge, login_hint: as they were asked.
        silent, fresh_sign_in, fresh_consent: what `prompt` said.
        max_age: how old a sign-in may be; None for any.
        create_time, expire_time: when it was asked, and until when it can be answered.
        answer_time: when it was answered; None while it was not.
        account_id, organisation_id, sign_in_time, user_agent, network: who answered; empty while nobody did.
        code_sha256, code_expire_time: of the code, where the answer was yes.
        use: of the code.
    """

    authorization_id: str
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    nonce: str
    code_challenge: str
    silent: bool
    fresh_sign_in: bool
    fresh_consent: bool
    max_age: timedelta | None
    login_hint: str
    create_time: datetime
    expire_time: datetime
    answer_time: datetime | None = None
    account_id: str = ""
    organisation_id: str = ""
    sign_in_time: datetime | None = None
    user_agent: str = ""
    network: str = ""
    code_sha256: bytes | None = None
    code_expire_time: datetime | None = None
    use: Use = UNUSED

    def answerable(self, now: datetime, account_id: str, *, approve: bool) -> bool:
        """Whether a person may answer so. The same answer may be given again by the same person, until the code was used."""
        if self.expire_time <= now or self.use.use_time is not None:
            return False
        return self.answer_time is None or (self.account_id == account_id and approve == (self.code_sha256 is not None))

    def too_old(self, signed_in: datetime, now: datetime) -> bool:
        """Whether the client wants a fresher sign-in."""
        if self.fresh_sign_in and signed_in < self.create_time:
            return True
        return self.max_age is not None and now - signed_in > self.max_age

    def granted(self, answer: Authorization, code: str, now: datetime) -> Authorization:
        """With yes as the answer, by who is named in `answer`."""
        return replace(answer, answer_time=now, code_sha256=digest(code), code_expire_time=now + CODE_LIFETIME)

    def fits(self, client_id: str, redirect_uri: str, verifier: str, now: datetime) -> bool:
        """Whether a client may have tokens for the code: it must be the one that asked, with the same URI, and know the verifier."""
        return (
            self.client_id == client_id
            and self.redirect_uri == redirect_uri
            and hmac.compare_digest(challenge_of(verifier), self.code_challenge)
            and self.code_expire_time is not None
            and now < self.code_expire_time
        )

    def answered(self, issuer: str, **parameters: str) -> str:
        """Where the browser goes: the redirect URI with the parameters, `state` and `iss` (RFC 9207)."""
        return with_parameters(self.redirect_uri, {**parameters, "state": self.state, "iss": issuer})


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What a device asks, and what became of it (RFC 8628).

    Attributes:
        device_authorization_id: `dva_…`.
        device_sha256: of the code that the device asks with.
        user_code_digest: keyed, of the code that the person types.
        client_id, scopes: as they were asked.
        user_agent, network: where the device is.
        create_time, expire_time: its life.
        interval: how long the device must wait between two questions.
        poll_time: when it asked last; None when it never did.
        finder: account that found it by its code; empty for none.
        answer_time: when it was answered; None while it was not.
        approved: what the answer was.
        organisation_id, sign_in_time: of who answered.
        use: of the code.
    """

    device_authorization_id: str
    device_sha256: bytes
    user_code_digest: bytes
    client_id: str
    scopes: tuple[str, ...]
    user_agent: str
    network: str
    create_time: datetime
    expire_time: datetime
    interval: timedelta
    poll_time: datetime | None = None
    finder: str = ""
    answer_time: datetime | None = None
    approved: bool = False
    organisation_id: str = ""
    sign_in_time: datetime | None = None
    use: Use = UNUSED

    def waiting(self, now: datetime) -> bool:
        """Whether it can still be answered."""
        return self.answer_time is None and now < self.expire_time

    def polled(self, now: datetime) -> tuple[DeviceAuthorization, bool]:
        """After a question of the device, and whether it came too soon: then the device must wait longer from now on."""
        too_soon = self.poll_time is not None and now - self.poll_time < self.interval
        return replace(self, poll_time=now, interval=self.interval + SLOWED_BY if too_soon else self.interval), too_soon


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person lets a client do."""

    account_id: str
    client_id: str
    scopes: tuple[str, ...]
    grant_time: datetime

    def covers(self, scopes: Sequence[str]) -> bool:
        """Whether the person said yes to all of this."""
        return set(scopes) <= set(self.scopes)


def challenge_of(verifier: str) -> str:
    """PKCE challenge of a verifier by S256 (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def half_hash(token: str) -> str:
    """`at_hash` of an access token beside an ES256 ID token (OpenID Connect Core §3.1.3.6)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).decode().rstrip("=")


def digest(secret: str) -> bytes:
    """SHA-256 of what is random enough not to be guessed."""
    return hashlib.sha256(secret.encode()).digest()


def with_parameters(uri: str, parameters: dict[str, str]) -> str:
    """A URI with more parameters in its query, which is kept as it is; empty ones are left out."""
    added = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value)
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))


def new_user_code() -> str:
    """A code for a person to type, without its dash."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def user_code_typed(text: str) -> str:
    """A code as it was typed: small letters, spaces and dashes do not matter. Empty for what can be none."""
    code = re.sub(r"[\s-]", "", text).upper()
    return code if _USER_CODE.fullmatch(code) else ""


def authorization_not_found() -> Refusal:
    """None, expired, answered, or found by somebody else."""
    message = "this request is not waiting for an answer any more; begin again in the app that sent you here"
    return refusal(grpc.StatusCode.NOT_FOUND, "AUTHORIZATION_NOT_FOUND", message)


def sign_in_too_old() -> Refusal:
    """The client wants to know that the person is there now."""
    message = "the app wants you to sign in once more before you let it in"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "SIGN_IN_TOO_OLD", message)


def client_foreign(client_id: str) -> Refusal:
    """A client of an organisation that the person does not belong to."""
    message = "this app is for members of another organisation only"
    return refusal(grpc.StatusCode.PERMISSION_DENIED, "OAUTH_CLIENT_FOREIGN", message, client_id=client_id)


def user_code_invalid() -> Refusal:
    """No device shows it."""
    message = "no device shows this code now; check it, or let the device show a new one"
    return refusal(grpc.StatusCode.NOT_FOUND, "USER_CODE_INVALID", message)


def grant_invalid(what: str) -> Refusal:
    """What a client showed is not good; it is not told why."""
    message = f"the {what} is not good, not good any more, or not this client's; begin again"
    return refusal(grpc.StatusCode.PERMISSION_DENIED, "GRANT_INVALID", message)


def logout_invalid(parameter: str, message: str) -> Refusal:
    """A request to sign a person out that cannot be followed."""
    return refusal(grpc.StatusCode.INVALID_ARGUMENT, "LOGOUT_INVALID", message, parameter=parameter)


def only_our_pages() -> Refusal:
    """A program that may act for a person within limits must not let others in without them."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "PERMISSION_MISSING",
        "this is done on Reelmesh's own pages only, by a person who signed in there",
        domain=RPC_DOMAIN,
        metadata={"caller": "person"},
    )
