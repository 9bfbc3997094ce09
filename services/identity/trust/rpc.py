"""The trust contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from reelmesh.rpc.v1 import trust_service_pb2 as api
from reelmesh.rpc.v1 import trust_service_pb2_grpc

from services.identity.api_keys.recognition import ApiKeyRecognition
from services.identity.trust.feed import TrustFeed

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
