"""Registered devices: known by their keys, as identity announces them, in whichever order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from google.protobuf.message import Message
from reelmesh.identity.v1 import events_pb2 as identity

from services.kit.clock import timestamp
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy import devices
from services.policy.domain import Wanted

ADA, DEVICE, KEY = new_id("usr"), new_id("dev"), "k" * 43
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def registered(hours: int) -> identity.DeviceRegistered:
    moment = timestamp(NOW + timedelta(hours=hours))
    return identity.DeviceRegistered(account_id=ADA, device_id=DEVICE, key_thumbprint=KEY, register_time=moment)


def revoked(hours: int) -> identity.DeviceRevoked:
    moment = timestamp(NOW + timedelta(hours=hours))
    return identity.DeviceRevoked(account_id=ADA, device_id=DEVICE, key_thumbprint=KEY, revoke_time=moment)


@pytest.fixture
async def database(mesh: ProcessSettings) -> AsyncIterator[Database]:
    database = Database.of("policy", mesh)
    yield database
    await database.close()


async def known(database: Database, events: tuple[Message, ...], **wanted: object) -> Wanted:
    """What is wanted on the device whose key was proved, after these events, which arrive twice."""
    async with database.transaction() as tx:
        for event in (*events, *events):
            await devices.handlers()[type(event)](tx, event.SerializeToString())
        fields = {"viewer_id": ADA, "key_thumbprint": KEY, "person": True, **wanted}
        return await devices.proven(tx, Wanted(**fields))  # type: ignore[arg-type]  # names of its own


@pytest.mark.parametrize("order", list(permutations([registered(0), revoked(1), registered(2)])))
async def test_what_was_announced_last_counts(database: Database, order: tuple[Message, ...]) -> None:
    assert (await known(database, order)).device_id == DEVICE


@pytest.mark.parametrize("order", list(permutations([registered(0), revoked(1)])))
async def test_a_revoked_device_proves_nothing(database: Database, order: tuple[Message, ...]) -> None:
    found = await known(database, order, device_id="dev_of_my_own_word")
    assert (found.key_thumbprint, found.device_id) == ("", "dev_of_my_own_word")


async def test_a_key_is_of_its_owners_device_only(database: Database) -> None:
    assert (await known(database, (registered(0),), viewer_id=new_id("usr"))).key_thumbprint == ""


async def test_the_proved_device_stands_in_place_of_the_claimed_one(database: Database) -> None:
    assert (await known(database, (registered(0),), device_id=new_id("dev"))).device_id == DEVICE


async def test_what_another_system_says_of_its_viewers_devices_is_left_alone(database: Database) -> None:
    found = await known(database, (), person=False, device_id=DEVICE, key_thumbprint="x" * 43)
    assert (found.device_id, found.key_thumbprint) == (DEVICE, "x" * 43)
