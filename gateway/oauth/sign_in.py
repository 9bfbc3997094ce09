"""The way to an outside OpenID provider and back (OpenID Connect Core §3.1), with Authlib as the client."""

from __future__ import annotations

import asyncio
import re
import warnings
from dataclasses import dataclass
from typing import Any, Final

import httpx
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from reelmesh.identity.v1 import sso_service_pb2 as api
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.oauth.fetching import SECONDS, GuardedTransport, Networks, Unreachable, check_url
from gateway.oauth.identity import Identity, answered, origin
from gateway.oauth.pages import error_page
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.errors import Refusal
from services.kit.ids import is_id, new_id

with warnings.catch_warnings():
    # Authlib would rather use a library that is not there yet.
    warnings.simplefilter("ignore")
    from authlib.integrations.httpx_client import AsyncOAuth2Client

log = structlog.stdlib.get_logger()

_KEPT_SECONDS: Final = 600.0
_MOST_PROVIDERS: Final = 256
_CLOCKS_APART: Final = 60
_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures that only the holder of a private key can make: neither `none`, nor a secret shared with us."""
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SCOPE: Final = "openid email profile"
_HEADERS: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a provider says of itself.

    Attributes:
        metadata: its discovery document.
        keys: its JWK Set.
        until: moment of the loop until which both are taken as they are.
    """

    metadata: dict[str, Any]
    keys: dict[str, Any]
    until: float


class OutsideSignIn:
    """Takes people to their provider, and brings back whom it vouches for.

    Args:
        identity: keeps who is on their way, and decides who they are.
        clock: tells what has expired.
        public_url: where people reach the edge.
        networks: where providers may be.
    """

    def __init__(self, identity: Identity, clock: Clock, public_url: str, networks: Networks) -> None:
        self._identity = identity
        self._clock = clock
        self._public_url = public_url
        self._networks: Networks = networks
        self._transport = GuardedTransport(networks)
        self._http = httpx.AsyncClient(transport=self._transport, timeout=SECONDS, follow_redirects=False)
        self._discovered: dict[str, Discovered] = {}

    async def close(self) -> None:
        """Closes connections."""
        await self._http.aclose()

    async def start(self, request: Request) -> Response:
        """Sends the browser to the provider. The page that begins keeps a verifier, of which the address holds the challenge."""
        provider_id, query = str(request.path_params["provider_id"]), request.query_params
        challenge = query.get("challenge", "")
        if not is_id("idp", provider_id) or not _CHALLENGE.fullmatch(challenge):
            return _page(400, "invalid_request", "A sign-in begins on the sign-in page.")
        try:
            begun = await answered(
                self._identity.sso.BeginSignIn(
                    api.BeginSignInRequest(
                        provider_id=provider_id, challenge=challenge, link_code=query.get("link", "")[:128]
                    ),
                    metadata=origin(request.headers),
                )
            )
            found = await self._found(begun.issuer)
            endpoint = check_url(str(found.metadata.get("authorization_endpoint", "")), self._networks)
        except Refusal as refusal:
            return self._landed(refused=refusal.reason)
        except Unreachable as error:
            log.warning("provider cannot be asked", provider_id=provider_id, why=str(error))
            return self._landed(refused="SSO_FAILED")
        async with self._client(begun.client_id, None, provider_id) as client:
            location, _ = client.create_authorization_url(
                endpoint,
                state=begun.state,
                nonce=begun.nonce,
                code_challenge=begun.code_challenge,
                code_challenge_method="S256",
            )
        return RedirectResponse(location, 302, _HEADERS)

    async def callback(self, request: Request) -> Response:
        """Takes the browser that comes back to the page that began, with a code for it."""
        provider_id, query = str(request.path_params["provider_id"]), request.query_params
        where, state = origin(request.headers), query.get("state", "")
        if not is_id("idp", provider_id) or not 16 <= len(state) <= 128:
            return _page(400, "invalid_request", "This address is for people who come back from their provider.")
        try:
            taken = await answered(
                self._identity.sso.TakeSignIn(
                    api.TakeSignInRequest(request_id=new_id("req"), provider_id=provider_id, state=state),
                    metadata=where,
                )
            )
            claims = await self._claims(request, provider_id, taken)
            completed = await answered(
                self._identity.sso.CompleteSignIn(
                    api.CompleteSignInRequest(
                        sign_in_id=taken.sign_in_id,
                        subject=str(claims.get("sub", ""))[:256],
                        email=str(claims.get("email") or "")[:254],
                        email_verified=claims.get("email_verified") in (True, "true"),
                        display_name=str(claims.get("name") or "")[:100],
                    ),
                    metadata=where,
                )
            )
        except Refusal as refusal:
            return self._landed(refused=refusal.reason)
        return self._landed(sign_in=completed.code)

    async def _claims(self, request: Request, provider_id: str, taken: api.TakeSignInResponse) -> dict[str, Any]:
        """Whom the provider vouches for; nothing when it does not, or cannot be believed."""
        try:
            found = await self._found(taken.issuer)
            return await self._vouched(request, provider_id, taken, found)
        except (Unreachable, OAuthError, JoseError, httpx.HTTPError, ValueError) as error:
            # Neither addresses nor tokens: only what kind of trouble it was.
            log.warning("provider does not vouch", provider_id=provider_id, why=type(error).__name__)
            return {}

    async def _vouched(
        self, request: Request, provider_id: str, taken: api.TakeSignInResponse, found: Discovered
    ) -> dict[str, Any]:
        query = request.query_params
        # RFC 9207 §2.4: an answer that another provider gave is not for this one.
        if query.get("iss", taken.issuer) != taken.issuer:
            raise Unreachable("the answer is another provider's")
        if "error" in query or not query.get("code"):
            raise Unreachable("the provider refused")
        async with self._client(taken.client_id, taken.client_secret, provider_id) as client:
            token = await client.fetch_token(
                check_url(str(found.metadata.get("token_endpoint", "")), self._networks),
                grant_type="authorization_code",
                code=query["code"],
                code_verifier=taken.code_verifier,
            )
        claims = await self._verified(str(token.get("id_token", "")), str(token.get("access_token", "")), taken, found)
        if "email" not in claims and found.metadata.get("userinfo_endpoint"):
            claims |= await self._user_info(str(token.get("access_token", "")), str(claims["sub"]), found)
        return claims

    async def _verified(
        self, id_token: str, access_token: str, taken: api.TakeSignInResponse, found: Discovered
    ) -> dict[str, Any]:
        """The claims of an ID token (OpenID Connect Core §3.1.3.7)."""
        key_id = jws.extract_compact(id_token.encode()).headers().get("kid")
        if key_id and key_id not in {key.get("kid") for key in found.keys.get("keys", [])}:
            found = await self._found(taken.issuer, again=True)
        decoded = jwt.decode(id_token, KeySet.import_key_set(found.keys), algorithms=_ALGORITHMS)  # type: ignore[arg-type]  # it is a key set if it can be imported
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": taken.issuer},
                "aud": {"essential": True, "value": taken.client_id},
                "nonce": {"essential": True, "value": taken.nonce},
            },
            params={"nonce": taken.nonce, "client_id": taken.client_id, "access_token": access_token},
        )
        claims.validate(now=int(self._clock.now().timestamp()), leeway=_CLOCKS_APART)
        return dict(claims)

    async def _user_info(self, access_token: str, subject: str, found: Discovered) -> dict[str, Any]:
        """Claims that the provider keeps out of its ID token (OpenID Connect Core §5.3)."""
        endpoint = check_url(str(found.metadata["userinfo_endpoint"]), self._networks)
        told = await self._document(endpoint, {"authorization": f"Bearer {access_token}"})
        if told.get("sub") != subject:
            raise Unreachable("the provider tells of somebody else")
        return {name: told[name] for name in ("email", "email_verified", "name") if name in told}

    async def _found(self, issuer: str, *, again: bool = False) -> Discovered:
        """What a provider says of itself, which is asked anew when it is old, or signs by a key that was not there."""
        now = asyncio.get_running_loop().time()
        known = self._discovered.get(issuer)
        if known is not None and now < known.until and not again:
            return known
        check_url(issuer, self._networks)
        metadata = await self._document(get_well_known_url(issuer, external=True))
        if metadata.get("issuer") != issuer:
            raise Unreachable("the provider calls itself by another name")
        keys = await self._document(check_url(str(metadata.get("jwks_uri", "")), self._networks))
        if len(self._discovered) >= _MOST_PROVIDERS:
            self._discovered.clear()
        self._discovered[issuer] = Discovered(metadata, keys, now + _KEPT_SECONDS)
        return self._discovered[issuer]

    async def _document(self, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            answer = await self._http.get(url, headers=headers)
            document = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(f"the provider cannot be reached: {type(error).__name__}") from None
        if not isinstance(document, dict):
            raise Unreachable("the provider answers with no document")
        return document

    def _client(self, client_id: str, client_secret: str | None, provider_id: str) -> Any:
        return AsyncOAuth2Client(
            client_id=client_id,
            client_secret=client_secret,
            scope=_SCOPE,
            redirect_uri=f"{self._public_url}/sso/{provider_id}/callback",
            transport=GuardedTransport(self._networks),
            timeout=SECONDS,
            follow_redirects=False,
            trust_env=False,
        )

    def _landed(self, **fragment: str) -> Response:
        """The page that began, with what it needs in the fragment, which no server is sent."""
        ((name, value),) = fragment.items()
        return RedirectResponse(f"{self._public_url}/sso#{name}={value}", 302, _HEADERS)


def _page(status: int, error: str, detail: str) -> Response:
    return error_page(
        status,
        error,
        detail,
        telemetry.correlation_id(),
        title="This sign-in cannot go on",
        advice="Begin again on the sign-in page.",
    )
