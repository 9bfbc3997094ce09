"""Publishes many messages of JetStream, all of which are kept when it returns.

Events go in atomic batches (NATS 2.12, ADR-50): the server writes all of a batch and acknowledges it once, or takes none of it. For the two of us an event
costs a fifth of what it does by itself (DECISIONS.md). Whatever a batch is refused for, its messages are published one by one, as all others are: repeats
among them are then dropped by their ids, which a batch does not do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog
from nats.aio.client import Client as NatsClient
from nats.js.errors import APIError

from services.kit.ids import new_id

log = structlog.stdlib.get_logger()

LARGEST_BATCH: Final = 1000
"""Messages; the server takes no more."""
_PATIENCE: Final = 5.0
_BATCH: Final = "Nats-Batch-Id"
_SEQUENCE: Final = "Nats-Batch-Sequence"
_COMMIT: Final = "Nats-Batch-Commit"
_SWITCHED_OFF: Final = 10174
"""The server's code for a stream that takes no batches."""


class Outgoing(Protocol):
    """A message to be published."""

    @property
    def subject(self) -> str:
        """Where it goes."""
        ...

    @property
    def payload(self) -> bytes:
        """What it says."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Among them `Nats-Msg-Id`, by which a repeat is known."""
        ...


class Publisher:
    """Publishes over one connection.

    Args:
        prefix: subjects that begin so belong to one stream, which takes batches.
    """

    def __init__(self, bus: NatsClient, prefix: str) -> None:
        self._bus = bus
        self._js = bus.jetstream()
        self._prefix = prefix
        self._batches = True

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publishes messages: those of the stream in their order, and so the others. When it raises, some may have been kept.

        Raises:
            nats.errors.Error: the server is away, or does not take one of them.
        """
        events = [message for message in messages if message.subject.startswith(self._prefix)]
        others = [message for message in messages if not message.subject.startswith(self._prefix)]
        while events:
            part, events = events[:LARGEST_BATCH], events[LARGEST_BATCH:]
            if len(part) == 1 or not self._batches or not await self._as_batch(part):
                await self._singly(part)
        await self._singly(others)

    async def _as_batch(self, messages: Sequence[Outgoing]) -> bool:
        """Publishes messages all together; False when the server took none of them."""
        batch = new_id("bat")
        *first, last = messages
        for number, message in enumerate(first, 1):
            headers = {**message.headers, _BATCH: batch, _SEQUENCE: str(number)}
            await self._bus.publish(message.subject, message.payload, headers=headers)
        headers = {**last.headers, _BATCH: batch, _SEQUENCE: str(len(messages)), _COMMIT: "1"}
        try:
            await self._js.publish(last.subject, last.payload, timeout=_PATIENCE, headers=headers)
        except APIError as error:
            self._batches = error.err_code != _SWITCHED_OFF
            log.info("a batch of events goes one by one", events=len(messages), why=error.description)
            return False
        return True

    async def _singly(self, messages: Sequence[Outgoing]) -> None:
        """Publishes messages one by one, but all at once on one connection: NATS takes them in this order, and each need not wait for the one
        before to be on disk."""
        answers = await asyncio.gather(
            *(
                self._js.publish(message.subject, message.payload, headers=dict(message.headers), timeout=_PATIENCE)
                for message in messages
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
