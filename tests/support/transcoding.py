"""A running transcode service with its workers, for tests that play all the others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from reelmesh.transcode.v1 import transcode_pb2, transcode_service_pb2_grpc
from reelmesh.transcode.v1 import transcode_service_pb2 as api

from services.kit.database import Database
from services.kit.process import Process
from services.kit.settings import ProcessSettings
from services.transcode import store, worker
from services.transcode.__main__ import CONTRACT, TranscodeSettings, wire
from services.transcode.domain import Task
from services.transcode.worker import TranscodeWorkerSettings
from tests.support.bus import Bus, on_the_bus
from tests.support.films import cleared, committed
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running

if TYPE_CHECKING:
    Stub = transcode_service_pb2_grpc.TranscodeServiceAsyncStub

REPOSITORY = Path(__file__).resolve().parents[2]


class Transcoding:
    """The running service, a caller, and the bus."""

    def __init__(self, settings: ProcessSettings, stub: Stub, bus: Bus, database: Database) -> None:
        self.settings = settings
        self.stub = stub
        self.bus = bus
        self.organisation_id = organisation_of_operator(settings)
        self.objects = settings.data_dir / "objects"
        self._database = database

    def a_worker(self, **changes: Any) -> AbstractAsyncContextManager[Process]:
        """A worker in this process."""
        return running("transcode", self.worker_settings(**changes), worker.wire)

    def worker_settings(self, **changes: Any) -> TranscodeWorkerSettings:
        """Settings for a worker that makes chunks as short as they come."""
        values: dict[str, Any] = self.settings.model_dump(include=set(ProcessSettings.model_fields))
        values |= {"transcode_chunk_seconds": 2, "transcode_preset": "ultrafast", **changes}
        return TranscodeWorkerSettings(**values)

    @contextmanager
    def a_worker_process(self, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker in a process of its own, which a test may kill."""
        settings = self.settings
        environment = {
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen/python'}",
            "REELMESH_DATA_DIR": str(settings.data_dir),
            "REELMESH_RUN_DIR": str(settings.run_dir),
            "REELMESH_SECRETS_DIR": str(settings.secrets_dir),
            "REELMESH_DATABASE_HOST": settings.database_host,
            "REELMESH_NATS_URL": settings.nats_url,
            "REELMESH_NATS_TOKEN_FILE": str(settings.nats_token_file),
            "REELMESH_TRANSCODE_CHUNK_SECONDS": "2",
            **changes,
        }
        log = (settings.data_dir / "logs/test-worker.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "services.transcode.worker"], cwd=REPOSITORY, env=environment, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            log.close()

    async def upload(self, master: Path | bytes) -> str:
        """Lets a master come in. Returns the id of its asset."""
        event = committed(self.settings, master, organisation_id=self.organisation_id)
        await self.bus.publish(event)
        await self.bus.publish(cleared(event))
        return event.asset_id

    async def job_of(self, asset_id: str) -> transcode_pb2.Job:
        """The asset's job, as soon as there is one."""
        async with asyncio.timeout(30):
            while not (jobs := (await self.stub.ListJobs(api.ListJobsRequest(asset_id=asset_id))).jobs):
                await asyncio.sleep(0.02)
        return jobs[0]

    async def tasks(self) -> list[Task]:
        """All tasks as they stand."""
        async with self._database.transaction() as tx:
            rows = (await tx.execute(sa.select(store.tasks).order_by(store.tasks.c.task_id))).all()
        return [store.task_of(row) for row in rows]

    async def task_in_hand(self, kind: str) -> Task:
        """A task of this kind that a worker is at."""
        async with asyncio.timeout(60):
            while True:
                for task in await self.tasks():
                    if task.kind == kind and task.lease_until is not None:
                        return task
                await asyncio.sleep(0.02)

    async def tidy(self, *prefixes: str) -> None:
        """Waits until nothing is left below these prefixes of the object store."""
        async with asyncio.timeout(60):
            while any(self.files(prefix) for prefix in prefixes):
                await asyncio.sleep(0.05)

    def files(self, prefix: str) -> list[Path]:
        """What lies below a prefix of the object store, folders too."""
        return list((self.objects / prefix).glob("*"))


@asynccontextmanager
async def transcoding(mesh: ProcessSettings) -> AsyncIterator[Transcoding]:
    """Runs the service for the length of the block; workers are the test's business."""
    settings = TranscodeSettings(**mesh.model_dump(), transcode_care_seconds=0.1)
    database = Database.of("transcode", settings)
    async with (
        on_the_bus(settings) as bus,
        running("transcode", settings, wire),
        connected(settings, "transcode", CONTRACT) as channel,
    ):
        yield Transcoding(settings, transcode_service_pb2_grpc.TranscodeServiceStub(channel), bus, database)
    await database.close()
