"""The service: which message is sent, how often, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import pytest
from reelmesh.notifications.v1 import events_pb2, notifications_pb2, notifications_service_pb2_grpc
from reelmesh.notifications.v1 import notifications_service_pb2 as api

from services.kit.breaker import FAILURES, PAUSE
from services.kit.clock import FixedClock, SystemClock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.notifications import store
from services.notifications.__main__ import wire
from services.notifications.settings import NotificationsSettings
from tests.notifications.carriers import SECRET, Provider, twilio
from tests.support.bus import Bus, on_the_bus
from tests.support.http_server import serving
from tests.support.running import connected, running

if TYPE_CHECKING:
    Stub = notifications_service_pb2_grpc.NotificationsServiceAsyncStub

EMAIL, SMS = notifications_pb2.CHANNEL_EMAIL, notifications_pb2.CHANNEL_SMS
CODE = "73012984"
NUMBER = "+4915123456789"


@dataclass(frozen=True)
class Scene:
    """The running service, seen by identity."""

    settings: NotificationsSettings
    stub: Stub
    bus: Bus
    clock: FixedClock
    provider: Provider

    async def deliver(self, **fields: Any) -> api.DeliverMessageResponse:
        """Sends a code by SMS, or what is said."""
        request = {
            "message_id": new_id("msg"),
            "channel": SMS,
            "to": NUMBER,
            "template": "sign-in-code",
            "parameters": {"code": CODE},
        }
        return await self.stub.DeliverMessage(api.DeliverMessageRequest(**{**request, **fields}))

    def written(self) -> list[dict[str, Any]]:
        """What the console holds."""
        return [json.loads(file.read_text()) for file in sorted(self.settings.messages_folder.glob("*.json"))]


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[Scene]:
    """SMS by Twilio, as we play it; mail by the console."""
    provider = Provider()
    (mesh.secrets_dir / "twilio_auth_token").write_text(SECRET + "\n")
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(twilio(provider)))
        settings = NotificationsSettings(
            **mesh.model_dump(),
            notifications_sms="twilio",
            notifications_twilio_url=url,
            notifications_twilio_account_sid="AC1",
            notifications_twilio_sender="+15005550006",
        )
        clock = FixedClock(SystemClock().now())
        bus = await stack.enter_async_context(on_the_bus(settings))
        await stack.enter_async_context(running("notifications", settings, wire, clock=clock))
        channel = await stack.enter_async_context(connected(settings, "notifications", key="", caller="identity"))
        stub = notifications_service_pb2_grpc.NotificationsServiceStub(channel)
        yield Scene(settings, stub, bus, clock, provider)
    for file in settings.messages_folder.glob("*"):
        file.unlink()


async def refused(call: Awaitable[object]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Refusal.from_rpc_error(caught.value)


async def rows(settings: ProcessSettings) -> str:
    """Everything that the service keeps, as text."""
    connection = await asyncpg.connect(
        host=settings.database_host, user=settings.database_admin, database=settings.database_name
    )
    try:
        return str(await connection.fetch("SELECT * FROM notifications.deliveries")) + str(
            await connection.fetch("SELECT * FROM notifications.outbox")
        )
    finally:
        await connection.close()


async def test_a_message_is_sent_once_however_often_it_is_asked_for(scene: Scene) -> None:
    message_id = new_id("msg")
    first = await scene.deliver(message_id=message_id)
    scene.clock.advance(timedelta(minutes=30))
    assert await scene.deliver(message_id=message_id) == first
    assert await scene.deliver(message_id=message_id, parameters={"code": "00000000"}) == first
    assert scene.provider.taken == [(NUMBER, f"{CODE} is your code to sign in to Reelmesh. Tell it to nobody.")]
    told = await scene.bus.hears(events_pb2.MessageDelivered)
    assert (told.message_id, told.channel, told.template, told.provider) == (message_id, SMS, "sign-in-code", "twilio")


async def test_neither_address_nor_code_is_kept_or_announced(scene: Scene) -> None:
    await scene.deliver()
    scene.provider.mood = "refuses address"
    await refused(scene.deliver())
    await scene.bus.hears(events_pb2.MessageFailed)
    for secret in (CODE, NUMBER, NUMBER.strip("+")):
        assert secret not in await rows(scene.settings)
        assert not any(secret.encode() in said for said in scene.bus.said())


async def test_at_the_same_moment_it_is_sent_once(scene: Scene) -> None:
    message_id = new_id("msg")
    answers = await asyncio.gather(*(scene.deliver(message_id=message_id) for _ in range(8)), return_exceptions=True)
    reasons = {Refusal.from_rpc_error(one).reason for one in answers if isinstance(one, grpc.aio.AioRpcError)}
    assert reasons <= {"DELIVERY_UNDER_WAY"}
    assert len(scene.provider.taken) == 1


async def test_what_was_certainly_not_taken_can_be_asked_for_again(scene: Scene) -> None:
    message_id = new_id("msg")
    scene.provider.mood = "busy"
    refusal = await refused(scene.deliver(message_id=message_id))
    assert (refusal.reason, refusal.retry_after) == ("PROVIDER_UNAVAILABLE", timedelta(seconds=7))
    scene.provider.mood = "takes"
    waiting = await refused(scene.deliver())
    assert (waiting.reason, scene.provider.asked) == ("PROVIDER_UNAVAILABLE", 1), "it asked for a pause"
    scene.clock.advance(timedelta(seconds=7))
    await scene.deliver(message_id=message_id)
    assert len(scene.provider.taken) == 1


async def test_what_may_have_been_taken_is_never_sent_again(scene: Scene) -> None:
    message_id = new_id("msg")
    scene.provider.mood = "says nothing"
    assert (await refused(scene.deliver(message_id=message_id))).reason == "OUTCOME_UNKNOWN"
    scene.provider.mood = "takes"
    assert (await refused(scene.deliver(message_id=message_id))).reason == "OUTCOME_UNKNOWN"
    assert scene.provider.asked == 1
    told = await scene.bus.hears(events_pb2.MessageFailed)
    assert (told.message_id, told.reason, told.provider) == (message_id, "OUTCOME_UNKNOWN", "twilio")


async def test_an_address_that_is_refused_stays_so_for_this_message(scene: Scene) -> None:
    message_id = new_id("msg")
    scene.provider.mood = "refuses address"
    refusal = await refused(scene.deliver(message_id=message_id))
    assert (refusal.reason, refusal.metadata["status"]) == ("ADDRESS_REFUSED", "21614")
    scene.provider.mood = "takes"
    assert (await refused(scene.deliver(message_id=message_id))).reason == "ADDRESS_REFUSED"
    assert scene.provider.taken == []


async def test_a_wrong_credential_is_the_operators_to_mend_and_the_message_waits(scene: Scene) -> None:
    message_id = new_id("msg")
    scene.provider.mood = "refuses us"
    refusal = await refused(scene.deliver(message_id=message_id))
    assert (refusal.reason, refusal.metadata["status"]) == ("PROVIDER_REFUSED", "20003")
    assert SECRET not in refusal.message
    scene.provider.mood = "takes"
    await scene.deliver(message_id=message_id)
    assert len(scene.provider.taken) == 1


async def test_a_provider_that_fails_again_and_again_is_left_alone_for_a_while(scene: Scene) -> None:
    scene.provider.mood = "says nothing"
    for _ in range(FAILURES):
        await refused(scene.deliver())
    refusal = await refused(scene.deliver())
    assert (refusal.reason, refusal.retry_after) == ("PROVIDER_UNAVAILABLE", PAUSE)
    assert scene.provider.asked == FAILURES
    scene.provider.mood = "takes"
    scene.clock.advance(PAUSE)
    await scene.deliver()
    await scene.deliver()
    assert len(scene.provider.taken) == 2


async def test_a_message_whose_sender_was_killed_is_sent_by_another(scene: Scene) -> None:
    """It claimed the message and died: after its lease anybody may."""
    message_id = new_id("msg")
    database = Database.of("notifications", scene.settings)
    async with database.transaction() as tx:
        assert (await store.claim(tx, message_id, scene.clock.now())).claimed
    await database.close()
    assert (await refused(scene.deliver(message_id=message_id))).reason == "DELIVERY_UNDER_WAY"
    scene.clock.advance(store.LEASE)
    await scene.deliver(message_id=message_id)
    assert len(scene.provider.taken) == 1


async def test_a_caller_that_goes_away_changes_nothing(scene: Scene) -> None:
    message_id = new_id("msg")
    call = asyncio.ensure_future(scene.deliver(message_id=message_id))
    while not scene.provider.asked:
        await asyncio.sleep(0.005)
    call.cancel()
    await scene.bus.hears(events_pb2.MessageDelivered)
    await scene.deliver(message_id=message_id)
    assert len(scene.provider.taken) == 1


async def test_the_console_keeps_messages_in_files_that_only_their_owner_reads(scene: Scene) -> None:
    await scene.deliver(channel=EMAIL, to="ada@example.com", template="verify-email")
    (message,) = scene.written()
    assert (message["channel"], message["to"], message["code"]) == ("email", "ada@example.com", CODE)
    assert CODE in message["text"]
    (file,) = scene.settings.messages_folder.glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(scene.settings.messages_folder.stat().st_mode) == 0o700


async def test_nothing_secret_gets_into_the_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        await scene.deliver()
        await scene.deliver(channel=EMAIL, to="ada@example.com", template="verify-email")
        scene.provider.mood = "refuses us"
        await refused(scene.deliver())
    for secret in (CODE, NUMBER, "ada@example.com", SECRET):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"to": "ada@example.com"}, "ADDRESS_INVALID"),
        ({"template": "no-such-text"}, "TEMPLATE_UNKNOWN"),
        ({"parameters": {}}, "PARAMETER_INVALID"),
        ({"message_id": "msg_1"}, "REQUEST_INVALID"),
        ({"channel": 0}, "REQUEST_INVALID"),
        ({"channel": 9}, "REQUEST_INVALID"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_is_noted(
    scene: Scene, fields: dict[str, Any], reason: str
) -> None:
    assert (await refused(scene.deliver(**fields))).reason == reason
    assert scene.provider.asked == 0


@pytest.mark.parametrize("caller", ["drm", "envoy"])
async def test_only_services_that_the_contract_names_may_send(scene: Scene, caller: str) -> None:
    async with connected(scene.settings, "notifications", caller=caller) as channel:
        stub = notifications_service_pb2_grpc.NotificationsServiceStub(channel)
        request = api.DeliverMessageRequest(message_id=new_id("msg"), channel=SMS, to=NUMBER, template="sign-in-code")
        assert (await refused(stub.DeliverMessage(request))).reason == "PERMISSION_MISSING"
    assert scene.provider.asked == 0
