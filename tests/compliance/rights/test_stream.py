"""Whose reading an erasure of events waits for: whoever is declared, and whoever reads; not who was left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from prometheus_client import REGISTRY
from reelmesh.identity.v1 import events_pb2 as identity

from services.compliance.rights.stream import SILENT, EventStream, StillRead
from services.kit.clock import FixedClock
from services.kit.events import EVENTS_STREAM
from services.kit.ids import new_id
from services.kit.personal import DataSubject
from services.kit.settings import ProcessSettings
from tests.compliance.rights.test_kill import without_readers
from tests.support.bus import Bus, on_the_bus


@dataclass
class Reading:
    """A stream with an event about a person, which the audit log has."""

    bus: Bus
    clock: FixedClock
    subject: DataSubject
    stream: EventStream

    async def durable(self, name: str) -> None:
        """Somebody makes a durable consumer, and does not read."""
        config = ConsumerConfig(
            durable_name=name, deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT, max_deliver=-1
        )
        await self.bus.client.jetstream().add_consumer(EVENTS_STREAM, config)

    async def waits_for(self) -> str:
        """Who is waited for; nothing when the event went."""
        try:
            assert await self.stream.erased(self.subject, whoever_lags=False) == 1
        except StillRead as by:
            return str(by)
        return ""


@pytest.fixture
async def reading(mesh: ProcessSettings) -> AsyncIterator[Reading]:
    await without_readers(mesh)
    clock, person = FixedClock(datetime.now(UTC)), new_id("usr")

    async def logged(_stream: str) -> int:
        return 2**62

    async with on_the_bus(mesh) as bus:
        await bus.publish(identity.AccountChanged(account_id=person))
        yield Reading(bus, clock, DataSubject("", person), EventStream(bus.client, logged, clock, {"ours"}))


def left_behind() -> float | None:
    """How many the operator is told of."""
    return REGISTRY.get_sample_value("reelmesh_events_consumers_left_behind")


async def test_who_was_left_behind_is_told_of_and_not_waited_for(reading: Reading) -> None:
    await reading.durable("of-an-older-version")
    assert await reading.waits_for() == "of-an-older-version", "it may be somebody who only just begins"
    reading.clock.advance(SILENT + timedelta(minutes=1))
    assert await reading.waits_for() == ""
    assert left_behind() == 1


async def test_who_is_declared_is_waited_for_even_while_it_does_not_run(reading: Reading) -> None:
    await reading.durable("ours")
    reading.clock.advance(timedelta(days=3))
    assert await reading.waits_for() == "ours"
    assert left_behind() == 0
    js = reading.bus.client.jetstream()
    for message in await (await js.pull_subscribe("", "ours", EVENTS_STREAM)).fetch(100, timeout=5):
        await message.ack_sync()
    assert await reading.waits_for() == ""


async def test_who_reads_is_waited_for_though_nobody_declares_it(reading: Reading) -> None:
    await reading.durable("theirs")
    client = reading.bus.client
    inbox = client.new_inbox()
    given: asyncio.Queue[object] = asyncio.Queue()
    await client.subscribe(inbox, cb=given.put)
    asked = json.dumps({"batch": 1000, "expires": 60 * 10**9}).encode()
    await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.theirs", asked, reply=inbox)
    await asyncio.wait_for(given.get(), 10)  # which it has in its hands, and asks for more
    reading.clock.advance(timedelta(days=3))
    assert await reading.waits_for() == "theirs"
    assert left_behind() == 0
