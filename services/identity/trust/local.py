"""How the identity service itself recognises its callers: by the same rules as everybody, without asking itself over a socket."""

from __future__ import annotations

import hashlib

from services.identity.api_keys.recognition import ApiKeyRecognition
from services.identity.trust.feed import TrustFeed
from services.identity.trust.signing import Signer
from services.kit.access import Principal
from services.kit.clock import Clock
from services.kit.trust import AccessTokens


class LocalTrust:
    """Trust from the source."""

    def __init__(self, clock: Clock, signer: Signer, feed: TrustFeed, api_keys: ApiKeyRecognition) -> None:
        self._signer = signer
        self._api_keys = api_keys
        self._tokens = AccessTokens(clock, feed.stands)
        self._trusted: tuple[str, ...] = ()

    async def person(self, token: str) -> Principal:
        """Who an access token belongs to."""
        current = tuple(key.key_id for key in self._signer.keys)
        if current != self._trusted:
            self._tokens.trust(self._signer.issuer, {key.key_id: key.public_key for key in self._signer.keys})
            self._trusted = current
        return self._tokens.check(token)

    async def api_key(self, key: str) -> Principal:
        """Who an API key belongs to."""
        answer = await self._api_keys.resolved(hashlib.sha256(key.encode()).digest())
        return Principal(
            name=f"api_key/{answer.key_id}",
            organisation_id=answer.organisation_id,
            permissions=frozenset(answer.permissions),
            tier=answer.tier,
        )
