"""What is marked and who watched it is kept as others announce it, and goes with the title."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.policy.v1.events_pb2 import PlaybackCreated
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted
from reelmesh.transcode.v1.transcode_pb2 import TRACK_KIND_VIDEO, Rendition

from services.kit.clock import duration
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.protection import store
from services.protection.__main__ import ProtectionSettings, wire
from services.protection.store import MarkedTitle, Viewing
from tests.support.bus import Bus, on_the_bus
from tests.support.running import running


class Here:
    """The running service, the bus on which the test plays everybody else, and a look into the tables."""

    def __init__(self, bus: Bus, database: Database) -> None:
        self.bus = bus
        self.database = database

    async def titles(self) -> list[MarkedTitle]:
        async with self.database.transaction() as tx:
            return list(await store.marked_titles(tx))

    async def viewings(self, asset_id: str) -> list[Viewing]:
        async with self.database.transaction() as tx:
            return list(await store.viewings(tx, asset_id))


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Here]:
    settings = ProtectionSettings(**mesh.model_dump())
    database = Database.of("protection", settings)
    async with on_the_bus(settings) as bus, running("protection", settings, wire):
        yield Here(bus, database)
    await database.close()


async def eventually(holds: Callable[[], Awaitable[bool]], within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not await holds():
            await asyncio.sleep(0.02)


def completed(asset_id: str, colluders: int) -> TranscodeCompleted:
    def picture(height: int) -> Rendition:
        other = f"renditions/j/{height}-b.mp4" if colluders else ""
        return Rendition(
            name=f"video-{height}p",
            kind=TRACK_KIND_VIDEO,
            width=height * 16 // 9,
            height=height,
            frame_rate=25,
            object_key=f"renditions/j/{height}.mp4",
            variant_object_key=other,
        )

    return TranscodeCompleted(
        asset_id=asset_id,
        organisation_id=new_id("org"),
        renditions=[picture(180), picture(360)],
        segment_duration=duration(2),
        watermark_colluders=colluders,
    )


def played(asset_id: str, ago: timedelta = timedelta()) -> PlaybackCreated:
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) - ago)
    return PlaybackCreated(session_id=new_id("pbs"), asset_id=asset_id, viewer_id="ada", create_time=moment)


async def test_sessions_of_marked_titles_are_kept_until_the_title_goes(here: Here) -> None:
    marked, plain = new_id("ast"), new_id("ast")
    await here.bus.publish(completed(plain, 0))
    await here.bus.publish(completed(marked, 2))
    first, second = played(marked), played(marked)
    for event in (played(plain), first, first, second):
        await here.bus.publish(event)

    async def both() -> bool:
        return len(await here.viewings(marked)) == 2

    await eventually(both)
    (title,) = await here.titles()
    assert (title.asset_id, title.colluders, title.segment_seconds) == (marked, 2, 2.0)
    assert [one.longer for one in title.renditions] == [640, 320]
    assert title.renditions[0].variant_b == "renditions/j/360-b.mp4"
    assert {one.session_id for one in await here.viewings(marked)} == {first.session_id, second.session_id}
    assert not await here.viewings(plain)
    await here.bus.publish(AssetDeleted(asset_id=marked))

    async def gone() -> bool:
        return not await here.titles() and not await here.viewings(marked)

    await eventually(gone)


async def test_sessions_are_forgotten_when_their_time_is_over(here: Here) -> None:
    asset_id = new_id("ast")
    await here.bus.publish(completed(asset_id, 2))
    old, new = played(asset_id, timedelta(days=731)), played(asset_id)
    for event in (old, new):
        await here.bus.publish(event)

    async def both() -> bool:
        return len(await here.viewings(asset_id)) == 2

    await eventually(both)
    async with here.database.transaction() as tx:
        await store.forget_sessions(tx, datetime.now(UTC) - timedelta(days=730))
    assert [one.session_id for one in await here.viewings(asset_id)] == [new.session_id]
