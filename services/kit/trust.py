"""Recognises people by their access tokens and servers by their API keys.

Keys and revocations are pushed by whoever issues credentials (`reelmesh.rpc.v1.TrustService`), so a token costs no call: a signature
check the first time, a look-up after that. An API key costs a call a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from reelmesh.rpc.v1 import trust_service_pb2 as api
from reelmesh.rpc.v1 import trust_service_pb2_grpc

from services.kit.access import Principal, credential_invalid
from services.kit.clock import Clock
from services.kit.errors import Refusal, unavailable
from services.kit.uncancelled import stopped

log = structlog.stdlib.get_logger()

AUDIENCE: Final = "reelmesh-api"
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105  # RFC 9068 §2.1
CLOCKS_APART: Final = 60.0
"""Seconds by which the issuer's clock may be ahead."""
_REMEMBERED: Final = 4096
_API_KEY: Final = re.compile(r"rmk_[A-Za-z0-9_-]{43}")
_FIRST_NEWS: Final = 3.0
_PATIENCE: Final = 3.0
_AWAY: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
_SILENCE: Final = 15.0
_UNKNOWN_FOR: Final = 5.0

Stands = Callable[[str, float], bool]
"""Tells whether what was issued for a subject at a moment (Unix seconds) is not revoked."""


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    issued: float
    expires: float


class AccessTokens:
    """Checks access tokens (RFC 9068) against keys that it is given.

    Args:
        clock: tells what has expired.
        stands: see there.
    """

    def __init__(self, clock: Clock, stands: Stands) -> None:
        self._clock = clock
        self._stands = stands
        self._issuer = ""
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._checked: dict[str, _Known] = {}

    def trust(self, issuer: str, keys: Mapping[str, bytes]) -> None:
        """Takes the place of the keys known before: SubjectPublicKeyInfo in DER, by key id."""
        if set(keys) != set(self._keys) or issuer != self._issuer:
            self._checked.clear()
        self._issuer = issuer
        self._keys = {key_id: _public(encoded) for key_id, encoded in keys.items()}

    def check(self, token: str) -> Principal:
        """Who a token belongs to.

        Raises:
            Refusal: UNAUTHENTICATED `CREDENTIAL_INVALID`.
        """
        known = self._checked.get(token) or self._verified(token)
        if self._clock.now().timestamp() >= known.expires:
            self._checked.pop(token, None)
            raise credential_invalid("the access token has expired; refresh the session")
        who = known.principal
        if not all(self._stands(name, known.issued) for name in (who.account_id, who.session_id, who.client_id)):
            raise credential_invalid("the access token was revoked; refresh the session, or sign in again")
        return known.principal

    def _verified(self, token: str) -> _Known:
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(str(header.get("kid")))
            if key is None or header.get("typ") != TOKEN_TYPE:
                raise jwt.InvalidTokenError
            claims = jwt.decode(
                token,
                key,
                algorithms=["ES256"],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={"require": ["exp", "iat", "sub", "sid"], "verify_exp": False, "verify_iat": False},
            )
            known = _known(claims)
        except (jwt.InvalidTokenError, ValueError, TypeError, KeyError) as error:
            raise credential_invalid("the access token is not valid; sign in again") from error
        if known.issued > self._clock.now().timestamp() + CLOCKS_APART:
            raise credential_invalid("the access token is from the future; check the clocks")
        if len(self._checked) >= _REMEMBERED:
            self._checked.clear()
        self._checked[token] = known
        return known


def _is_access_token(token: str) -> bool:
    try:
        return jwt.get_unverified_header(token).get("typ") == TOKEN_TYPE
    except (jwt.InvalidTokenError, RecursionError):
        return False


def _public(encoded: bytes) -> EllipticCurvePublicKey:
    key = load_der_public_key(encoded)
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError("a signing key must be an EC P-256 public key")
    return key


def _known(claims: dict[str, Any]) -> _Known:
    # An OAuth client that acts for itself is its own subject (RFC 9068 §2.2).
    kind = "client" if claims["sub"] == claims.get("client_id") else "user"
    principal = Principal(
        name=f"{kind}/{claims['sub']}",
        organisation_id=str(claims["org"]),
        permissions=frozenset(str(claims["scope"]).split()),
        session_id=str(claims["sid"]),
        tier=str(claims.get("tier", "")),
        profile_id=str(claims.get("profile", "")),
        client_id=str(claims.get("client_id", "")),
        key_thumbprint=(key := _bound_to(claims)),
        # A device is its key: without one a token names none.
        device_id=str(claims.get("device", "")) if key else "",
        profile_maturity=int(claims.get("profile_maturity", 0)),
    )
    return _Known(principal, float(claims["iat"]), float(claims["exp"]))


def _bound_to(claims: dict[str, Any]) -> str:
    """Key that a token is bound to (RFC 7800 §3.1, RFC 9449 §6.1). A token that is bound in a way that is not known here is good for
    nothing."""
    return str(claims["cnf"]["jkt"]) if "cnf" in claims else ""


class RemoteTrust:
    """Trust that comes from another process. Nothing is asked before the first credential is to be checked.

    Args:
        channel: leads to the TrustService.
        clock: tells what has expired.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._stub: Any = trust_service_pb2_grpc.TrustServiceStub(channel)
        self._clock = clock
        self._revoked: dict[str, tuple[float, float]] = {}
        self._tokens = AccessTokens(clock, self._stands)
        self._api_keys: dict[bytes, _Known] = {}
        self._unknown: dict[bytes, float] = {}
        self._told = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def person(self, token: str) -> Principal:
        """Who an access token belongs to. What is none at all is refused even while nobody can be asked."""
        if not _is_access_token(token):
            raise credential_invalid("the credential is neither an access token nor an API key; sign in again")
        await self._informed()
        return self._tokens.check(token)

    async def api_key(self, key: str) -> Principal:
        """Who an API key belongs to. What is none at all is refused even while nobody can be asked."""
        if not _API_KEY.fullmatch(key):
            raise credential_invalid("the API key is not whole; copy it once more, or make a new one")
        await self._informed()
        digest, now = hashlib.sha256(key.encode()).digest(), self._clock.now().timestamp()
        known = self._api_keys.get(digest)
        if known is None or now >= known.expires:
            if now < self._unknown.get(digest, 0.0):
                raise credential_invalid("the API key is unknown, revoked or expired; make a new one")
            known = await self._asked(digest, now)
        # A key is revoked for good, so no clocks are compared: the answer that it was good may be older than the news.
        if known.principal.name.removeprefix("api_key/") in self._revoked:
            raise credential_invalid("the API key was revoked; make a new one")
        return known.principal

    async def close(self) -> None:
        """Stops listening."""
        if self._watching is not None:
            await stopped(self._watching)

    async def _asked(self, digest: bytes, now: float) -> _Known:
        try:
            answer = await self._stub.ResolveApiKey(api.ResolveApiKeyRequest(key_sha256=digest), timeout=_PATIENCE)
        except grpc.RpcError as error:
            refusal = Refusal.from_rpc_error(error)
            if refusal.code in _AWAY:
                raise unavailable("the identity service") from None
            if refusal.reason == "CREDENTIAL_INVALID":
                if len(self._unknown) >= _REMEMBERED:
                    self._unknown.clear()
                self._unknown[digest] = now + _UNKNOWN_FOR
            raise refusal from None
        principal = Principal(
            name=f"api_key/{answer.key_id}",
            organisation_id=answer.organisation_id,
            permissions=frozenset(answer.permissions),
            tier=answer.tier,
        )
        if len(self._api_keys) >= _REMEMBERED:
            self._api_keys.clear()
        known = _Known(principal, now, answer.keep_until_time.ToDatetime().timestamp())
        self._api_keys[digest] = known
        return known

    def _stands(self, subject: str, issued: float) -> bool:
        revoked = self._revoked.get(subject)
        return revoked is None or issued > revoked[0]

    async def _informed(self) -> None:
        if self._told.is_set():
            return
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="trust")
        try:
            async with asyncio.timeout(_FIRST_NEWS):
                await self._told.wait()
        except TimeoutError:
            raise unavailable("the identity service") from None

    async def _watch(self) -> None:
        """Keeps what is known up to date. Whoever issues credentials may be away for a while: what was told last stays, and tokens live
        for minutes only."""
        while True:
            try:
                call = self._stub.WatchTrust(api.WatchTrustRequest())
                messages = aiter(call)
                while True:
                    async with asyncio.timeout(_SILENCE):
                        self._take(await anext(messages))
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever ended the stream, it is begun again
                log.info("trust is waiting", error=type(error).__name__)
            await asyncio.sleep(0.2 if not self._told.is_set() else 0.5)

    def _take(self, message: api.WatchTrustResponse) -> None:
        now = self._clock.now().timestamp()
        if message.complete:
            self._revoked.clear()
            self._tokens.trust(message.issuer, {key.key_id: key.public_key for key in message.signing_keys})
            self._told.set()
        for revocation in message.revocations:
            self._revoked[revocation.subject] = (
                revocation.not_before_time.ToNanoseconds() / 1e9,
                revocation.forget_time.ToNanoseconds() / 1e9,
            )
        if len(self._revoked) > _REMEMBERED:
            self._revoked = {subject: times for subject, times in self._revoked.items() if times[1] > now}
