"""Many messages at once, on a real NATS: all of them, in order, each once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

import nats.errors
import pytest
from nats.aio.client import Client as NatsClient
from nats.js.errors import NoStreamResponseError

from services.kit.events import EVENTS_PREFIX, EVENTS_STREAM, connect, ensure_events
from services.kit.ids import new_id
from services.kit.publishing import LARGEST_BATCH, Publisher
from services.kit.settings import ProcessSettings


@dataclass(frozen=True)
class Message:
    payload: bytes
    subject: str = "reelmesh.test.v1.Published"
    message_id: str = field(default_factory=lambda: new_id("evt"))

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Nats-Msg-Id": self.message_id}


@pytest.fixture
async def client(mesh: ProcessSettings) -> AsyncIterator[NatsClient]:
    connection = await connect(mesh, "test")
    await ensure_events(connection.jetstream())
    yield connection
    await connection.close()


def some(number: int) -> list[Message]:
    return [Message(f"{at}".encode()) for at in range(number)]


async def kept(client: NatsClient, after: int) -> list[bytes]:
    """What the stream holds behind a place."""
    js = client.jetstream()
    last = (await js.stream_info(EVENTS_STREAM)).state.last_seq
    return [(await js.get_msg(EVENTS_STREAM, number)).data or b"" for number in range(after + 1, last + 1)]


async def place(client: NatsClient) -> int:
    return int((await client.jetstream().stream_info(EVENTS_STREAM)).state.last_seq)


@pytest.mark.parametrize("number", [0, 1, 2, 300])
async def test_all_are_kept_in_their_order(client: NatsClient, number: int) -> None:
    start, messages = await place(client), some(number)
    await Publisher(client, EVENTS_PREFIX).publish(messages)
    assert await kept(client, start) == [message.payload for message in messages]


async def test_more_than_a_batch_takes_are_several(client: NatsClient) -> None:
    start, messages = await place(client), some(LARGEST_BATCH + 7)
    await Publisher(client, EVENTS_PREFIX).publish(messages)
    assert await place(client) == start + len(messages)


async def test_what_was_published_before_is_not_published_again(client: NatsClient) -> None:
    """As by a relay that died before it could note what it had done."""
    start, messages = await place(client), some(20)
    publisher = Publisher(client, EVENTS_PREFIX)
    await publisher.publish(messages[:8])
    await publisher.publish(messages)
    await publisher.publish(messages)
    assert await kept(client, start) == [message.payload for message in messages]


async def test_a_batch_that_was_not_finished_leaves_nothing(client: NatsClient) -> None:
    start = await place(client)
    headers = {"Nats-Batch-Id": new_id("bat"), "Nats-Batch-Sequence": "1"}
    await client.publish("reelmesh.test.v1.Published", b"lost", headers=headers)
    messages = some(3)
    await Publisher(client, EVENTS_PREFIX).publish(messages)
    assert await kept(client, start) == [message.payload for message in messages]


async def test_a_stream_that_takes_no_batches_gets_one_by_one_until_somebody_changes_that(client: NatsClient) -> None:
    """As on a bus from before there were batches."""
    js = client.jetstream()
    config = (await js.stream_info(EVENTS_STREAM)).config
    await js.update_stream(replace(config, allow_atomic=False))
    start, messages = await place(client), some(10)
    await Publisher(client, EVENTS_PREFIX).publish(messages)
    assert await kept(client, start) == [message.payload for message in messages]
    await ensure_events(js)
    assert (await js.stream_info(EVENTS_STREAM)).config == replace(config, allow_atomic=True)


async def test_what_goes_to_nobody_is_told_and_stays_with_the_caller(client: NatsClient) -> None:
    with pytest.raises((NoStreamResponseError, nats.errors.Error)):
        await Publisher(client, EVENTS_PREFIX).publish([*some(2), Message(b"x", subject="nowhere.at.all")])
