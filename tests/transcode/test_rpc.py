"""The transcode service on real stores, without a worker: what becomes of events, and what callers see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
import pytest
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.protection.v1.events_pb2 import MasterCleared
from reelmesh.transcode.v1 import events_pb2 as announced
from reelmesh.transcode.v1 import transcode_pb2, transcode_service_pb2_grpc
from reelmesh.transcode.v1 import transcode_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.transcode.__main__ import CONTRACT, TranscodeSettings, wire
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator, with_api_key
from tests.support.running import connected, running

if TYPE_CHECKING:
    Stub = transcode_service_pb2_grpc.TranscodeServiceAsyncStub


class Mesh:
    """The running service, a caller, and the bus on which the test plays everybody else."""

    def __init__(self, settings: ProcessSettings, stub: Stub, bus: Bus) -> None:
        self.settings = settings
        self.stub = stub
        self.bus = bus
        self.organisation_id = organisation_of_operator(settings)

    def cleared(self) -> MasterCleared:
        return MasterCleared(
            upload_id=new_id("upl"),
            asset_id=new_id("ast"),
            organisation_id=self.organisation_id,
            object_key="masters/" + "0" * 64,
            clear_time=timestamp(datetime.now(UTC)),
        )

    async def job_of(self, asset_id: str) -> transcode_pb2.Job:
        """The asset's job, as soon as there is one."""
        async with asyncio.timeout(60):
            while not (jobs := (await self.stub.ListJobs(api.ListJobsRequest(asset_id=asset_id))).jobs):
                await asyncio.sleep(0.02)
        return jobs[0]

    async def job(self) -> transcode_pb2.Job:
        """A new job."""
        event = self.cleared()
        await self.bus.publish(event)
        return await self.job_of(event.asset_id)


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Mesh]:
    settings = TranscodeSettings(**mesh.model_dump(), transcode_care_seconds=0.1)
    async with (
        on_the_bus(settings) as bus,
        running("transcode", settings, wire),
        connected(settings, "transcode", CONTRACT) as channel,
    ):
        yield Mesh(settings, transcode_service_pb2_grpc.TranscodeServiceStub(channel), bus)


async def test_a_cleared_master_begins_one_job_however_often_it_is_told(here: Mesh) -> None:
    event = here.cleared()
    for _ in range(3):
        await here.bus.publish(event)
    job = await here.job_of(event.asset_id)
    await asyncio.sleep(0.2)
    assert len((await here.stub.ListJobs(api.ListJobsRequest())).jobs) == 1
    assert job.state == transcode_pb2.JOB_STATE_QUEUED
    assert job == (await here.stub.GetJob(api.GetJobRequest(job_id=job.job_id))).job


async def test_cancelling_twice_gives_the_same_answer_and_one_event(here: Mesh) -> None:
    job = await here.job()
    first = await here.stub.CancelJob(api.CancelJobRequest(job_id=job.job_id))
    assert first == await here.stub.CancelJob(api.CancelJobRequest(job_id=job.job_id))
    assert first.job.state == transcode_pb2.JOB_STATE_CANCELLED
    failed = await here.bus.hears(announced.TranscodeFailed)
    assert (failed.asset_id, failed.reason, failed.while_probing) == (job.asset_id, "JOB_CANCELLED", True)
    await asyncio.sleep(0.2)
    assert len(here.bus.heard(announced.TranscodeFailed)) == 1


async def test_a_deleted_asset_stops_its_job_without_calling_it_a_failure(here: Mesh) -> None:
    job = await here.job()
    await here.bus.publish(AssetDeleted(asset_id=job.asset_id, organisation_id=here.organisation_id))
    async with asyncio.timeout(60):
        while (await here.job_of(job.asset_id)).state != transcode_pb2.JOB_STATE_CANCELLED:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    assert not here.bus.heard(announced.TranscodeFailed)


async def test_an_asset_deleted_before_its_clearance_is_heard_of_gets_no_job(here: Mesh) -> None:
    event = here.cleared()
    await here.bus.publish(AssetDeleted(asset_id=event.asset_id, organisation_id=here.organisation_id))
    await asyncio.sleep(0.3)
    await here.bus.publish(event)
    await asyncio.sleep(0.3)
    assert not (await here.stub.ListJobs(api.ListJobsRequest())).jobs


async def test_jobs_are_listed_newest_first_and_only_to_their_organisation(here: Mesh) -> None:
    jobs = [await here.job() for _ in range(3)]
    first = await here.stub.ListJobs(api.ListJobsRequest(page_size=2))
    second = await here.stub.ListJobs(api.ListJobsRequest(page_size=2, page_token=first.next_page_token))
    assert [*first.jobs, *second.jobs] == list(reversed(jobs))
    assert not second.next_page_token
    with with_api_key(
        here.settings, organisation_id=new_id("org"), permissions=["transcode.read", "transcode.write"]
    ) as key:
        async with connected(here.settings, "transcode", CONTRACT, key=key) as channel:
            stranger = transcode_service_pb2_grpc.TranscodeServiceStub(channel)
            assert not (await stranger.ListJobs(api.ListJobsRequest())).jobs
            for call in (
                stranger.GetJob(api.GetJobRequest(job_id=jobs[0].job_id)),
                stranger.CancelJob(api.CancelJobRequest(job_id=jobs[0].job_id)),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await call
                assert Refusal.from_rpc_error(error.value).reason == "JOB_NOT_FOUND"
