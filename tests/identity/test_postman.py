"""Messages leave the box once, in spite of everything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_status import rpc_status
from reelmesh.notifications.v1 import notifications_service_pb2 as api
from reelmesh.notifications.v1 import notifications_service_pb2_grpc

from services.identity.messages import NOWHERE, Messages, OutgoingMessage
from services.identity.postman import Found, Postman
from services.kit.clock import FixedClock, SystemClock
from services.kit.database import Database
from services.kit.errors import Refusal, unavailable
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from services.notifications.__main__ import wire as wire_notifications
from services.notifications.settings import NotificationsSettings
from tests.identity.scene import a_scene
from tests.support.running import running

MAIL = OutgoingMessage("email", "ada@example.com", "verify-email", "en", {"code": "73012984"})


class Notifications(notifications_service_pb2_grpc.NotificationsServiceServicer):
    """The other end, as we play it: it refuses when told to."""

    def __init__(self) -> None:
        self.refusal: Refusal | None = None
        self.taken: list[api.DeliverMessageRequest] = []
        self.asked = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def DeliverMessage(self, request: api.DeliverMessageRequest, context: Any) -> api.DeliverMessageResponse:
        self.asked += 1
        await self.hold.wait()
        if self.refusal is not None:
            await context.abort_with_status(rpc_status.to_status(self.refusal.status("")))
        self.taken.append(request)
        return api.DeliverMessageResponse()


@dataclass
class Box:
    """A box, somebody who fills it, and postmen."""

    database: Database
    settings: ProcessSettings
    channel: grpc.aio.Channel
    notifications: Notifications
    clock: FixedClock
    messages: Messages = field(default_factory=lambda: Messages(Seal(bytes(32), "identity")))

    def postman(self, idle: float = 60) -> Postman:
        return Postman(self.database, self.clock, self.messages, self.channel, idle=idle)

    async def put(self, message: OutgoingMessage = MAIL) -> str:
        async with self.database.transaction() as tx:
            return await self.messages.put(tx, message, self.clock.now())

    async def rows(self) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(
            host=self.settings.database_host, user=self.settings.database_admin, database=self.settings.database_name
        )
        try:
            rows: list[asyncpg.Record] = await connection.fetch("SELECT * FROM identity.messages ORDER BY message_id")
        finally:
            await connection.close()
        return rows


@pytest.fixture
async def box(mesh: ProcessSettings) -> AsyncIterator[Box]:
    notifications = Notifications()
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    notifications_service_pb2_grpc.add_NotificationsServiceServicer_to_server(notifications, server)
    target = f"unix:{mesh.run_dir}/played-notifications.sock"
    server.add_insecure_port(target)
    await server.start()
    channel = grpc.aio.insecure_channel(target)
    database = Database.of("identity", mesh)
    try:
        yield Box(database, mesh, channel, notifications, FixedClock(SystemClock().now()))
    finally:
        notifications.hold.set()
        await channel.close(None)
        await server.stop(None)
        await database.close()


async def test_a_message_is_handed_over_whole_and_leaves_the_box(box: Box) -> None:
    message_id = await box.put()
    assert await box.postman().once() is Found.MESSAGE
    (taken,) = box.notifications.taken
    assert (taken.message_id, taken.to, taken.template, taken.language, dict(taken.parameters)) == (
        message_id,
        MAIL.to,
        MAIL.template,
        MAIL.language,
        MAIL.parameters,
    )
    assert await box.rows() == []
    assert await box.postman().once() is Found.NOTHING


async def test_what_is_not_taken_now_is_tried_again_after_growing_pauses(box: Box) -> None:
    box.notifications.refusal = unavailable("the provider")
    await box.put()
    pauses = []
    for _ in range(5):
        assert await box.postman().once() is Found.MESSAGE
        assert await box.postman().once() is Found.NOTHING
        (row,) = await box.rows()
        next_try: datetime = row["next_try_time"]
        pauses.append((next_try - box.clock.now()).total_seconds())
        box.clock.advance(next_try - box.clock.now())
    assert pauses == [1, 2, 4, 8, 16]
    box.notifications.refusal = None
    await box.postman().once()
    assert await box.rows() == []


async def test_a_provider_that_names_a_pause_gets_it(box: Box) -> None:
    box.notifications.refusal = unavailable("the provider", timedelta(seconds=45))
    await box.put()
    await box.postman().once()
    (row,) = await box.rows()
    assert row["next_try_time"] - box.clock.now() == timedelta(seconds=45)


@pytest.mark.parametrize("reason", ["ADDRESS_REFUSED", "OUTCOME_UNKNOWN", "TEMPLATE_UNKNOWN"])
async def test_what_nobody_can_deliver_is_given_up_at_once(box: Box, reason: str) -> None:
    box.notifications.refusal = Refusal(
        grpc.StatusCode.FAILED_PRECONDITION, reason, "no", domain="notifications.reelmesh"
    )
    await box.put()
    await box.postman().once()
    assert await box.rows() == []


async def test_what_has_expired_is_given_up(box: Box) -> None:
    await box.put()
    box.clock.advance(timedelta(minutes=15))
    await box.postman().once()
    assert (box.notifications.asked, await box.rows()) == (0, [])


async def test_a_message_to_nobody_is_only_removed(box: Box) -> None:
    await box.put(OutgoingMessage(NOWHERE, "", "reset-password", "", {"code": "1"}))
    await box.postman().once()
    assert (box.notifications.asked, await box.rows()) == (0, [])


async def test_two_postmen_never_carry_the_same_message(box: Box) -> None:
    ids = {await box.put() for _ in range(6)}
    postmen = [box.postman() for _ in range(3)]

    async def empty(postman: Postman) -> None:
        while await postman.once() is Found.MESSAGE:
            pass

    await asyncio.gather(*map(empty, postmen))
    assert sorted(taken.message_id for taken in box.notifications.taken) == sorted(ids)


async def test_a_postman_who_dies_on_the_way_leaves_the_message_to_the_next(box: Box) -> None:
    message_id = await box.put()
    box.notifications.hold.clear()
    dying = asyncio.ensure_future(box.postman().once())
    while not box.notifications.asked:
        await asyncio.sleep(0.005)
    assert await box.postman().once() is Found.NOTHING
    dying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dying
    box.notifications.hold.set()
    assert await box.postman().once() is Found.MESSAGE
    assert {taken.message_id for taken in box.notifications.taken} == {message_id}


async def test_a_postman_sleeps_until_something_is_put_in(box: Box) -> None:
    running_postman = asyncio.ensure_future(box.postman(idle=3600).run())
    try:
        await asyncio.sleep(0.05)
        await box.put()
        async with asyncio.timeout(30):
            while await box.rows():
                await asyncio.sleep(0.01)
        assert len(box.notifications.taken) == 1
    finally:
        running_postman.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running_postman


async def test_a_code_reaches_who_registers_through_both_services(mesh: ProcessSettings) -> None:
    settings = NotificationsSettings(**mesh.model_dump())
    async with running("notifications", settings, wire_notifications), a_scene(mesh) as scene:
        address = "ada.through.both@example.com"
        begun = await scene.begin_registration(address)
        assert begun.registration_id.startswith("reg_")

        def arrived() -> list[Path]:
            # The folder belongs to the whole install: messages of other tests may still arrive in it.
            return [file for file in settings.messages_folder.glob("*.json") if address in file.read_text()]

        async with asyncio.timeout(30):
            while not (files := arrived()):
                await asyncio.sleep(0.02)
        (file,) = files
        file.unlink()
