"""Tells people what was done because of a leaked copy, and when it is taken back: `protection` orders it by event and knows no addresses."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from google.protobuf.message import Message
from nats.aio.client import Client as NatsClient
from reelmesh.protection.v1.events_pb2 import LeakActionOrdered, LeakActionReversed
from reelmesh.protection.v1.leaks_service_pb2 import LEAK_ACTION_KIND_NOTIFY_VIEWER

from services.identity.accounts import store
from services.identity.messages import Messages, OutgoingMessage
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.events import Consumer, Handler

WORTH_SENDING: Final = timedelta(days=7)
"""It holds no code that expires: it is tried for as long as the notifications service knows its id."""


class LeakLetters:
    """Writes the letters. Viewers who are no accounts here are told by whoever calls them so."""

    def __init__(self, clock: Clock, messages: Messages) -> None:
        self._clock = clock
        self._messages = messages

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Listens to what is done and taken back."""
        handlers: dict[type[Message], Handler] = {LeakActionOrdered: self.ordered, LeakActionReversed: self.reversed}
        return Consumer("identity", database, bus, handlers)

    async def ordered(self, tx: Tx, data: bytes) -> None:
        """Something is done."""
        event = LeakActionOrdered.FromString(data)
        if event.kind == LEAK_ACTION_KIND_NOTIFY_VIEWER:
            until = event.appeal_end_time.ToDatetime().strftime("%Y-%m-%d")
            parameters = {"explanation": event.explanation, "action": event.action_id, "until": until}
            await self._write(tx, event.viewer_id, "leak-action", parameters)

    async def reversed(self, tx: Tx, data: bytes) -> None:
        """Something is taken back."""
        event = LeakActionReversed.FromString(data)
        if event.kind == LEAK_ACTION_KIND_NOTIFY_VIEWER:
            await self._write(tx, event.viewer_id, "leak-action-reversed", {"action": event.action_id})

    async def _write(self, tx: Tx, account_id: str, template: str, parameters: dict[str, str]) -> None:
        account = await store.find(tx, account_id)
        if account is not None:
            message = OutgoingMessage("email", account.email, template, account.language, parameters)
            await self._messages.put(tx, message, self._clock.now(), lasts=WORTH_SENDING)
