"""Work queues: tasks in JetStream, taken by any number of workers, each by one at a time.

A task is given again when its worker dies (the server hears no sign of life for `SIGN_OF_LIFE`), so work must be safe to begin again; that it
*completes* once is for the service to see to in its own tables.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final, TypeVar

import structlog
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from services.kit import pull, telemetry
from services.kit.events import ensure_stream
from services.kit.uncancelled import heed_cancellation

log = structlog.stdlib.get_logger()

SIGN_OF_LIFE = 5.0
"""Seconds after which a silent worker's task is given to another."""

_CONSUMER: Final = "workers"

Work = Callable[[bytes], Awaitable[None]]
Result = TypeVar("Result")


class TryAgain(Exception):
    """The task could not be done now; it goes back to the queue and is given again after `delay` seconds."""

    def __init__(self, why: str, delay: float = 1.0) -> None:
        super().__init__(why)
        self.delay = delay


class Overtaken(Exception):
    """The task is no longer this worker's: another has it, or nobody needs it any more. Nothing is said to the queue, because
    it is the other's word that counts; should there be no other, the silence gives the task to the next."""


async def while_ours(
    work: Coroutine[Any, Any, Result], still_ours: Callable[[], Awaitable[bool]], *, every: float = 1.0
) -> Result:
    """Works for as long as `still_ours` says so, which is asked again and again and best renews the worker's lease.

    When it cannot be asked the work goes on: whoever ends a task looks once more whether it is still its own.

    Raises:
        Overtaken: it said no, and the work was stopped.
    """
    task = asyncio.create_task(work)
    try:
        while True:
            await asyncio.wait([task], timeout=every)
            if task.done():
                return task.result()
            try:
                ours = await still_ours()
            except Exception as error:  # the database is away; it may be back before the work is done
                log.warning("lease cannot be renewed now", error=f"{type(error).__name__}: {error}"[:300])
                continue
            if not ours:
                raise Overtaken
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen, so that it is not reported as forgotten


class WorkQueue:
    """One queue; its tasks are put in through the outbox (`services.kit.events.enqueue`) on `subject`."""

    def __init__(self, name: str) -> None:
        self.stream = f"WORK_{name.upper().replace('-', '_')}"
        self.subject = f"work.{name}"

    async def ensure(self, js: JetStreamContext) -> None:
        """Makes the queue's stream when it does not exist."""
        await ensure_stream(js, self.stream, [self.subject], work_queue=True)

    async def run(self, bus: NatsClient, work: Work, *, parallel: int = 1) -> None:
        """Works until cancelled; a task that is being worked on then goes back to the queue at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(parallel):
                group.create_task(self._one_worker(bus, work))

    async def _one_worker(self, bus: NatsClient, work: Work) -> None:
        js = bus.jetstream()
        while True:
            try:
                await self.ensure(js)
                config = ConsumerConfig(
                    durable_name=_CONSUMER,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=SIGN_OF_LIFE * 2,
                    max_deliver=-1,
                    max_ack_pending=1024,
                )
                await js.add_consumer(self.stream, config)
                # One at a time: a task that waits here behind another could be worked on elsewhere.
                async with aclosing(pull.messages(bus, self.stream, _CONSUMER, batch=1)) as messages:
                    async for message in messages:
                        await self._one_task(message, work)
                        heed_cancellation()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # NATS is away or the consumer is gone: begin again
                log.warning("worker is waiting", queue=self.stream, error=f"{type(error).__name__}: {error}"[:300])
                await asyncio.sleep(1)

    async def _one_task(self, message: Msg, work: Work) -> None:
        alive = asyncio.create_task(self._signs_of_life(message))
        try:
            headers = message.headers or {}
            with (
                telemetry.correlated(headers.get(telemetry.CORRELATION_HEADER)),
                telemetry.traced(self.subject, headers),
            ):
                await work(message.data)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # the server may be away; then the silence says it
                await message.nak()
            raise
        except Overtaken:
            telemetry.TASKS_WORKED.labels(self.stream, "overtaken").inc()
        except TryAgain as error:
            telemetry.TASKS_WORKED.labels(self.stream, "again").inc()
            log.info("task goes back", queue=self.stream, why=str(error))
            await message.nak(delay=error.delay)
        except Exception:  # a defect, or a dependency that is away: the task must not be lost
            telemetry.TASKS_WORKED.labels(self.stream, "failed").inc()
            tries = message.metadata.num_delivered
            log.exception("task was not done", queue=self.stream, tries=tries)
            await message.nak(delay=min(2.0 ** min(tries, 6), 60.0))
        else:
            telemetry.TASKS_WORKED.labels(self.stream, "done").inc()
            await message.ack()
        finally:
            alive.cancel()

    async def _signs_of_life(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(SIGN_OF_LIFE / 2)
            with contextlib.suppress(Exception):  # NATS may be away for a moment; the next sign may get through
                await message.in_progress()
