"""Asks the DRM service to change keys, and waits until it has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
from reelmesh.drm.v1 import keys_service_pb2 as api

from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings

if TYPE_CHECKING:
    from tests.drm.scene import Keys


@contextlib.asynccontextmanager
async def database(settings: ProcessSettings) -> AsyncIterator[Database]:
    """The DRM service's own schema, as another process of it sees it."""
    tables = Database.of("drm", settings)
    try:
        yield tables
    finally:
        await tables.close()


async def rows(settings: ProcessSettings, statement: str, *values: object) -> Sequence[Any]:
    """What a statement finds in the DRM service's schema."""
    connection: Any = await asyncpg.connect(host=settings.database_host, user="drm", database=settings.database_name)
    try:
        found: Sequence[Any] = await connection.fetch(statement, *values)
    finally:
        await connection.close()
    return found


async def start(keys: Keys, reason: str = "") -> api.Rotation:
    """Asks for a rotation."""
    request = api.StartRotationRequest(request_id=new_id("req"), reason=reason)
    return (await keys.keeping.StartRotation(request)).rotation


async def emergency(keys: Keys, *package_ids: str, **fields: Any) -> api.Rotation:
    """Says that keys were stolen."""
    request = api.StartEmergencyRequest(
        request_id=new_id("req"), reason="a laptop was stolen", package_ids=package_ids, **fields
    )
    return (await keys.keeping.StartEmergency(request)).rotation


async def completed(keys: Keys, rotation: api.Rotation, state: Any = api.ROTATION_STATE_COMPLETED) -> api.Rotation:
    """Waits until a rotation is as far as that."""
    request = api.GetRotationRequest(rotation_id=rotation.rotation_id)
    async with asyncio.timeout(60):
        while (now := (await keys.keeping.GetRotation(request)).rotation).state != state:
            await asyncio.sleep(0.02)
    return now
