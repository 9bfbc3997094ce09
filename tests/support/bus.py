"""Says and hears events the way services do, for tests that play the other services."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

from google.protobuf.message import Message
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from services.kit import events
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings

AnyEvent = TypeVar("AnyEvent", bound=Message)


class Bus:
    """The event bus, seen by a service that a test plays. Everything that is announced while it listens is kept, once: what is published
    again under the id of before, by a relay that was killed over it, the stream does not keep either."""

    def __init__(self, client: NatsClient) -> None:
        self.client = client
        self._heard: list[tuple[str, bytes]] = []
        self._ids: set[str] = set()
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        """Keeps every event from now on, in order."""
        await events.ensure_events(self.client.jetstream())

        async def keep(message: Msg) -> None:
            event_id = (message.headers or {}).get("Nats-Msg-Id", "")
            if event_id in self._ids:
                return
            if event_id:
                self._ids.add(event_id)
            async with self._news:
                self._heard.append((message.subject, message.data))
                self._news.notify_all()

        await self.client.subscribe(events.EVENTS_SUBJECTS, cb=keep)
        await self.client.flush()

    async def publish(self, event: Message, *, event_id: str = "") -> str:
        """Announces an event; with the id of one announced before, it is that same event once more."""
        headers = {"Nats-Msg-Id": event_id or new_id("evt")}
        subject = event.DESCRIPTOR.full_name
        await self.client.jetstream().publish(subject, event.SerializeToString(), headers=headers)
        return headers["Nats-Msg-Id"]

    def heard(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """All events of one kind so far."""
        return [kind.FromString(data) for subject, data in self._heard if subject == kind.DESCRIPTOR.full_name]

    def said(self) -> list[bytes]:
        """What all events so far looked like on the wire."""
        return [data for _, data in self._heard]

    async def hears(self, kind: type[AnyEvent], *, count: int = 1, within: float = 30) -> AnyEvent:
        """Waits for the `count`th event of a kind and returns it.

        Raises:
            TimeoutError: it did not come in time.
        """
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: len(self.heard(kind)) >= count)
        return self.heard(kind)[count - 1]


@contextlib.asynccontextmanager
async def on_the_bus(settings: ProcessSettings) -> AsyncIterator[Bus]:
    """A bus that listens for the length of the block."""
    client = await events.connect(settings, "test")
    bus = Bus(client)
    try:
        await bus.listen()
        yield bus
    finally:
        await events.disconnect(client)
