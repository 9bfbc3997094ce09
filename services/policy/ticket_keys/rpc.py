"""TicketKeysService: the contract, put in terms of the keeping."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.policy.v1 import ticket_keys_service_pb2 as api
from reelmesh.policy.v1 import ticket_keys_service_pb2_grpc

from services.kit.clock import timestamp
from services.policy.ticket_keys.keeping import TicketKeys

Context = grpc.aio.ServicerContext[Any, Any]


class TicketKeysServicer(ticket_keys_service_pb2_grpc.TicketKeysServiceServicer):
    """Serves `reelmesh.policy.v1.TicketKeysService`."""

    def __init__(self, keys: TicketKeys) -> None:
        self._keys = keys

    async def RotateTicketKey(
        self, request: api.RotateTicketKeyRequest, context: Context
    ) -> api.RotateTicketKeyResponse:
        """Makes the next key."""
        key_id, sign_time = await self._keys.rotate()
        return api.RotateTicketKeyResponse(key_id=key_id, sign_time=timestamp(sign_time))
