"""The notifications contract."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.notifications.v1 import notifications_service_pb2 as api
from reelmesh.notifications.v1 import notifications_service_pb2_grpc

from services.kit.clock import timestamp
from services.notifications.delivery import Deliveries
from services.notifications.domain import CHANNELS, checked_address
from services.notifications.texts import Texts

Context = grpc.aio.ServicerContext[Any, Any]


class NotificationsServicer(notifications_service_pb2_grpc.NotificationsServiceServicer):
    """Serves `reelmesh.notifications.v1.NotificationsService`."""

    def __init__(self, texts: Texts, deliveries: Deliveries) -> None:
        self._texts = texts
        self._deliveries = deliveries

    async def DeliverMessage(self, request: api.DeliverMessageRequest, context: Context) -> api.DeliverMessageResponse:
        """Sends a message."""
        channel = CHANNELS[request.channel]
        letter = self._texts.letter(
            request.message_id,
            channel=channel,
            to=checked_address(channel, request.to),
            template=request.template,
            language=request.language,
            parameters=request.parameters,
        )
        taken = await self._deliveries.deliver(request.channel, letter)
        return api.DeliverMessageResponse(accept_time=timestamp(taken))
