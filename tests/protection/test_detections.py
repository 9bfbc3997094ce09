"""Detections by the interface: a copy that was uploaded names its session, in the real service with everything it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from reelmesh.protection.v1 import detections_service_pb2 as api
from reelmesh.protection.v1 import detections_service_pb2_grpc, protection_pb2

from services.kit.clock import FixedClock, SystemClock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.protection import store
from services.protection.__main__ import CONTRACT, ProtectionSettings, wire
from services.protection.domain import Detection, picture_key
from services.protection.upkeep import ASK_AGAIN_AFTER, Upkeep
from tests.protection.leaks import ASSET, MarkedFilm, transcoded
from tests.protection.test_titles import eventually, played
from tests.support.bus import Bus, on_the_bus
from tests.support.films import committed
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running


class Here:
    """The running service, a caller, and the bus on which the test plays everybody else."""

    def __init__(self, settings: ProcessSettings, channel: grpc.aio.Channel, bus: Bus, database: Database) -> None:
        self.settings = settings
        self.stub = detections_service_pb2_grpc.DetectionsServiceStub(channel)
        self.bus = bus
        self.database = database
        self.organisation_id = organisation_of_operator(settings)

    async def uploaded(self, copy: Path | bytes) -> str:
        """Lets a suspicious file come in. Returns the id of its asset."""
        event = committed(self.settings, copy, organisation_id=self.organisation_id)
        await self.bus.publish(event)

        async def known() -> bool:
            try:
                async with self.database.transaction() as tx:
                    await store.master_of(tx, self.organisation_id, event.asset_id)
            except Refusal:
                return False
            return True

        await eventually(known)
        return event.asset_id

    async def ended(self, asset_id: str, **fields: str) -> protection_pb2.Detection:
        """A detection of a copy, watched to its end."""
        request = api.CreateDetectionRequest(request_id=new_id("req"), asset_id=asset_id, **fields)
        made = (await self.stub.CreateDetection(request)).detection
        assert (await self.stub.CreateDetection(request)).detection == made
        last = made
        async for answer in self.stub.WatchDetection(api.WatchDetectionRequest(detection_id=made.detection_id)):
            assert answer.detection.fraction >= last.fraction
            last = answer.detection
        return last


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Here]:
    settings = ProtectionSettings(**mesh.model_dump())
    database = Database.of("protection", settings)
    async with (
        on_the_bus(settings) as bus,
        running("protection", settings, wire),
        connected(settings, "protection", CONTRACT) as channel,
    ):
        yield Here(settings, channel, bus, database)
    await database.close()


@pytest.mark.timeout(400)
async def test_an_uploaded_copy_names_its_session(here: Here, title: MarkedFilm) -> None:
    await here.bus.publish(transcoded(here.settings, title, here.organisation_id))
    sessions = [played(ASSET) for _ in range(20)]
    for event in sessions:
        await here.bus.publish(event)

    async def all_known() -> bool:
        async with here.database.transaction() as tx:
            return len(await store.viewings(tx, ASSET)) == len(sessions)

    await eventually(all_known)
    leaker = sessions[7].session_id
    found = await here.ended(await here.uploaded(title.leak(leaker, "180p")), title_asset_id=ASSET)
    assert found.state == protection_pb2.DETECTION_STATE_COMPLETED, found.failure_message
    assert found.finding.outcome == protection_pb2.OUTCOME_ACCUSED
    assert [one.session_id for one in found.finding.suspects] == [leaker]
    assert found.finding.suspects[0].false_positive < 1e-6
    assert (found.finding.title_asset_id, found.finding.sessions) == (ASSET, 20)
    picture = await here.stub.GetDetectionPicture(api.GetDetectionPictureRequest(detection_id=found.detection_id))
    assert picture.picture.content_type == "image/png"
    assert picture.picture.data.startswith(b"\x89PNG")
    listed = await here.stub.ListDetections(api.ListDetectionsRequest())
    assert list(listed.detections) == [found]


async def test_what_cannot_be_searched_is_refused_or_fails_with_a_reason(here: Here) -> None:
    async def reason(call: object) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call  # type: ignore[misc]
        return Refusal.from_rpc_error(caught.value).reason

    nothing = api.CreateDetectionRequest(request_id=new_id("req"), asset_id=new_id("ast"))
    assert await reason(here.stub.CreateDetection(nothing)) == "COPY_NOT_FOUND"
    asset_id = await here.uploaded(b"no film at all")
    other = api.CreateDetectionRequest(request_id=new_id("req"), asset_id=asset_id, title_asset_id=new_id("ast"))
    assert await reason(here.stub.CreateDetection(other)) == "TITLE_NOT_MARKED"
    missing = api.GetDetectionRequest(detection_id=new_id("dtc"))
    assert await reason(here.stub.GetDetection(missing)) == "DETECTION_NOT_FOUND"
    async with here.database.transaction() as tx:
        size = (("a.mp4", "a-b.mp4"),)
        renditions = tuple(store.Rendition(320, 180, 10.0, a, b) for a, b in size)
        await store.add_title(tx, store.MarkedTitle(ASSET, here.organisation_id, 2, 2.0, renditions))
    failed = await here.ended(asset_id)
    assert (failed.state, failed.failure_reason) == (protection_pb2.DETECTION_STATE_FAILED, "COPY_UNDECODABLE")
    unfinished = api.GetDetectionPictureRequest(detection_id=failed.detection_id)
    assert await reason(here.stub.GetDetectionPicture(unfinished)) == "DETECTION_UNFINISHED"


async def test_where_nothing_is_marked_no_title_is_found(here: Here) -> None:
    found = await here.ended(await here.uploaded(b"whatever it is"))
    assert found.state == protection_pb2.DETECTION_STATE_COMPLETED
    assert found.finding.outcome == protection_pb2.OUTCOME_TITLE_NOT_FOUND


async def test_a_detection_that_was_begun_by_a_process_that_died_is_begun_anew(here: Here) -> None:
    """Upkeep finds it after its time, as it finds one that the queue lost."""
    asset_id, now = await here.uploaded(b"half looked at"), SystemClock().now()
    long_ago = now - ASK_AGAIN_AFTER * 2
    left = Detection(new_id("dtc"), here.organisation_id, asset_id, "", f"masters/{'0' * 64}", "a.mp4", now, long_ago)
    async with here.database.transaction() as tx:
        await store.add_detection(tx, left.running())
    upkeep = Upkeep(here.database, ObjectStore.at(here.settings.storage_location()), SystemClock(), timedelta(days=730))
    await upkeep.once()
    watched = here.stub.WatchDetection(api.WatchDetectionRequest(detection_id=left.detection_id))
    states = [answer.detection.state async for answer in watched]
    assert states[-1] == protection_pb2.DETECTION_STATE_COMPLETED


async def test_old_detections_go_with_their_pictures(here: Here) -> None:
    found = await here.ended(await here.uploaded(b"long ago"))
    picture = here.settings.data_dir / "objects" / picture_key(found.detection_id)
    assert picture.exists()
    later = FixedClock(SystemClock().now() + timedelta(days=731))
    objects = ObjectStore.at(here.settings.storage_location())
    await Upkeep(here.database, objects, later, timedelta(days=730)).once()
    assert not picture.exists()
    assert not (await here.stub.ListDetections(api.ListDetectionsRequest())).detections
