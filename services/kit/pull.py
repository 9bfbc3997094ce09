"""Messages of a durable JetStream consumer, handed out as they come.

`PullSubscription.fetch` of nats-py holds messages back: a request that the server answers a moment later than the client gave it up stays
there, takes the next message, and the fetch that follows waits its whole time for the rest of its batch (nats-io/nats.py#933, #986).
Here one request is open at a time, under an inbox of its own, and nothing waits for a batch to be full.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Final

from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from services.kit.uncancelled import heed_cancellation

EXPIRES: Final = 30.0
"""Seconds for which the server keeps a request."""
_HEARTBEAT: Final = 1.0
_SILENCE: Final = 4.0
"""Seconds without so much as a heartbeat after which the server is taken to have forgotten the request, such as by a restart."""
_ONE_SECOND: Final = 1_000_000_000

_LAST_LOOK: Final = 0.5
_ENDING: Final = 2.0

# Answers of the server that end a request because nothing came in its time. Others tell that something is not as it should be.
_REQUEST_ENDED: Final = frozenset({"404", "408"})
_HEARTBEAT_STATUS: Final = "100"


class Interrupted(Exception):
    """The consumer must be bound anew: the server is away, has forgotten the request, or the consumer or its stream is gone."""


async def messages(
    bus: NatsClient, stream: str, consumer: str, *, batch: int, expires: float = EXPIRES
) -> AsyncGenerator[Msg, None]:
    """Yields messages for as long as the server gives any. What was received and not handed out goes back when the caller stops.

    The caller acknowledges. It must close the generator (`contextlib.aclosing`), so that the request ends with it.

    Args:
        bus: a connection.
        stream: name of the stream.
        consumer: its durable name.
        batch: most messages that are on their way or waiting here at any time.
        expires: seconds for which one request stays at the server.

    Raises:
        Interrupted: bind again, after a pause.
    """
    arrived: asyncio.Queue[Msg] = asyncio.Queue()

    async def keep(message: Msg) -> None:
        arrived.put_nowait(message)

    inbox = bus.new_inbox()
    subscription = await bus.subscribe(inbox, cb=keep)
    body = json.dumps(
        {
            "batch": batch,
            "expires": int(expires * _ONE_SECOND),
            "idle_heartbeat": int(min(_HEARTBEAT, expires / 4) * _ONE_SECOND),
        }
    ).encode()
    try:
        while True:
            await bus.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", body, reply=inbox)
            left = batch
            while left:
                heed_cancellation()
                message = await _next(bus, arrived)
                if message.reply:  # it can be acknowledged, so it is no word of the server's own
                    left -= 1
                    yield message
                    continue
                status = (message.headers or {}).get("Status")
                if status in _REQUEST_ENDED:
                    break
                elif status != _HEARTBEAT_STATUS:
                    why = (message.headers or {}).get("Description", "no reason given")
                    raise Interrupted(f"the server ended the request of {stream}/{consumer}: {status} {why}")
    finally:
        await _given_back(subscription, arrived)


async def _next(bus: NatsClient, arrived: asyncio.Queue[Msg]) -> Msg:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SILENCE):
            return await arrived.get()
    # Was it the server that was silent, or this process that stood still and has not read yet what came meanwhile?
    with contextlib.suppress(TimeoutError, NatsError):
        async with asyncio.timeout(_SILENCE):
            await bus.flush()
        async with asyncio.timeout(_LAST_LOOK):
            return await arrived.get()
    raise Interrupted("no sign of life from the server")


async def _given_back(subscription: Subscription, arrived: asyncio.Queue[Msg]) -> None:
    """Ends the request, waits for what is on its way here, and gives it back. Without a connection all of it goes back by itself."""
    with contextlib.suppress(TimeoutError, NatsError):
        async with asyncio.timeout(_ENDING):
            await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py gives it no types
    with contextlib.suppress(NatsError):
        while not arrived.empty():
            message = arrived.get_nowait()
            if message.reply:
                await message.nak()
