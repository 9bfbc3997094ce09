"""Hands deliveries on in groups, so that many share one call, and behind it one statement and one flush of the database's log."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import grpc
import structlog
from reelmesh.payments.v1 import webhooks_service_pb2 as api
from reelmesh.payments.v1 import webhooks_service_pb2_grpc

from services.kit.errors import Refusal

if TYPE_CHECKING:
    Stub = webhooks_service_pb2_grpc.WebhooksServiceAsyncStub

log = structlog.stdlib.get_logger()

MOST: Final = 256
"""Deliveries of a group."""
MOST_BYTES: Final = 2 * 1024 * 1024
"""Of a group, but for one delivery that is larger by itself."""
LINGER: Final = 0.004
"""Seconds for which the first of a group waits for others."""
PATIENCE: Final = 10.0
"""Seconds for a call. Envoy waits a little longer."""
LANES: Final = 2
"""Calls at a time: one is on its way while the next is put together."""


@dataclass(slots=True)
class _Waiting:
    delivery: api.WebhookDelivery = field(repr=False)
    answer: asyncio.Future[api.WebhookAnswer]
    size: int


class Grouping:
    """Groups deliveries.

    Args:
        payments: takes them.
    """

    def __init__(self, payments: Stub) -> None:
        self._payments = payments
        self._waiting: deque[_Waiting] = deque()
        self._news = asyncio.Event()

    async def answer(self, delivery: api.WebhookDelivery) -> api.WebhookAnswer:
        """What the processor is to be answered.

        Raises:
            Refusal: nobody could take it; it is to be sent again.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(delivery, future, delivery.ByteSize()))
        self._news.set()
        answer: api.WebhookAnswer = await future
        return answer

    async def run(self) -> None:
        """Hands on until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            for _ in range(LANES):
                lanes.create_task(self._lane())

    async def _lane(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(LINGER)
            if group := self._group():
                await self._handed_on(group)

    def _group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < MOST and (not group or size + self._waiting[0].size <= MOST_BYTES):
            one = self._waiting.popleft()
            if not one.answer.done():  # whoever hung up
                group.append(one)
                size += one.size
        if not self._waiting:
            self._news.clear()
        return group

    async def _handed_on(self, group: list[_Waiting]) -> None:
        request = api.ReceiveWebhooksRequest(deliveries=[one.delivery for one in group])
        try:
            answers = (await self._payments.ReceiveWebhooks(request, timeout=PATIENCE)).answers
        except grpc.RpcError as error:
            refusal = Refusal.from_rpc_error(error)
            log.warning("webhooks could not be handed on", deliveries=len(group), reason=refusal.reason)
            for one in group:
                if not one.answer.done():
                    one.answer.set_exception(refusal)
            return
        for one, answer in zip(group, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)
