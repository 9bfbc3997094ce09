"""The trust contract, and the one that changes what it tells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from reelmesh.identity.v1 import signing_keys_service_pb2, signing_keys_service_pb2_grpc
from reelmesh.rpc.v1 import trust_service_pb2 as api
from reelmesh.rpc.v1 import trust_service_pb2_grpc

from services.identity.api_keys.recognition import ApiKeyRecognition
from services.identity.trust.feed import TrustFeed
from services.identity.trust.signing import Signer
from services.kit.clock import timestamp
from services.kit.database import Database

Context = grpc.aio.ServicerContext[Any, Any]


class TrustServicer(trust_service_pb2_grpc.TrustServiceServicer):
    """Answers to servers that want to recognise a caller."""

    def __init__(self, feed: TrustFeed, api_keys: ApiKeyRecognition) -> None:
        self._feed = feed
        self._api_keys = api_keys

    async def WatchTrust(
        self, request: api.WatchTrustRequest, context: Context
    ) -> AsyncIterator[api.WatchTrustResponse]:
        """Everything, and then each change."""
        async with aclosing(self._feed.watch()) as messages:
            async for message in messages:
                yield message

    async def ResolveApiKey(self, request: api.ResolveApiKeyRequest, context: Context) -> api.ResolveApiKeyResponse:
        """What a key is good for."""
        return await self._api_keys.resolved(request.key_sha256)


class SigningKeysServicer(signing_keys_service_pb2_grpc.SigningKeysServiceServicer):
    """Serves `reelmesh.identity.v1.SigningKeysService`."""

    def __init__(self, database: Database, signer: Signer, feed: TrustFeed) -> None:
        self._database = database
        self._signer = signer
        self._feed = feed

    async def RotateSigningKey(
        self, request: signing_keys_service_pb2.RotateSigningKeyRequest, context: Context
    ) -> signing_keys_service_pb2.RotateSigningKeyResponse:
        """Makes the next key and tells everybody."""
        async with self._database.transaction() as tx:
            key_id, sign_time = await self._signer.rotate(tx)
            self._feed.changed_keys(tx)
        return signing_keys_service_pb2.RotateSigningKeyResponse(key_id=key_id, sign_time=timestamp(sign_time))
