"""Packages made by a real worker from real renditions, the other services being played by the test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import sqlalchemy as sa
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.packaging.v1 import events_pb2 as announced
from reelmesh.packaging.v1 import packaging_pb2, packaging_service_pb2_grpc
from reelmesh.packaging.v1 import packaging_service_pb2 as api
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted

from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.process import Process
from services.kit.settings import ProcessSettings
from services.packaging import store, worker
from services.packaging.__main__ import CONTRACT, PackagingSettings, wire
from services.packaging.consumers import QUEUE
from services.packaging.worker import PackagingWorkerSettings
from tests.support.bus import Bus, on_the_bus
from tests.support.drm_double import DrmDouble, drm_double, key_of
from tests.support.keys import organisation_of_operator, with_api_key
from tests.support.renditions import transcoded
from tests.support.running import connected, running

if TYPE_CHECKING:
    Stub = packaging_service_pb2_grpc.PackagingServiceAsyncStub


class Mesh:
    """The running service and worker, a caller, and the bus on which the test plays everybody else."""

    def __init__(self, settings: ProcessSettings, stub: Stub, bus: Bus, drm: DrmDouble) -> None:
        self.settings = settings
        self.stub = stub
        self.bus = bus
        self.drm = drm
        self.organisation_id = organisation_of_operator(settings)
        self.objects = settings.data_dir / "objects"

    def transcoded(self) -> TranscodeCompleted:
        return transcoded(self.settings, organisation_id=self.organisation_id)

    async def package_of(self, asset_id: str) -> packaging_pb2.Package:
        """The asset's package, as soon as there is one."""
        async with asyncio.timeout(60):
            while not (found := (await self.stub.ListPackages(api.ListPackagesRequest(asset_id=asset_id))).packages):
                await asyncio.sleep(0.02)
        return found[0]

    def files(self, prefix: str) -> list[Path]:
        """Files below a prefix; a walk takes it when what it is at goes away."""
        return [Path(folder) / name for folder, _, names in os.walk(self.objects / prefix) for name in names]


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Mesh]:
    settings = PackagingSettings(
        **mesh.model_dump(), packaging_removal_delay=timedelta(seconds=0.5), packaging_care_seconds=0.1
    )
    async with (
        on_the_bus(settings) as bus,
        drm_double(settings) as drm,
        running("packaging", settings, wire),
        connected(settings, "packaging", CONTRACT) as channel,
    ):
        yield Mesh(settings, packaging_service_pb2_grpc.PackagingServiceStub(channel), bus, drm)


def a_worker(here: Mesh, **settings: object) -> AbstractAsyncContextManager[Process]:
    ours = here.settings.model_dump(include=set(ProcessSettings.model_fields))
    return running("packaging", PackagingWorkerSettings.model_validate(ours | settings), worker.wire)


async def test_renditions_become_an_encrypted_package_that_is_announced(here: Mesh) -> None:
    event = here.transcoded()
    async with a_worker(here):
        await here.bus.publish(event)
        started = await here.bus.hears(announced.PackagingStarted)
        published = await here.bus.hears(announced.PackagePublished, within=60)
    assert (published.asset_id, published.package_id) == (event.asset_id, started.package_id)
    assert published.scheme == packaging_pb2.PROTECTION_SCHEME_CBCS
    assert [key.label for key in published.track_keys] == ["AUDIO", "SD"]
    assert published.duration.ToTimedelta() == timedelta(seconds=4)
    package = (await here.stub.GetPackage(api.GetPackageRequest(package_id=published.package_id))).package
    assert package.state == packaging_pb2.PACKAGE_STATE_PUBLISHED
    files = here.files(f"published/{package.package_id}")
    assert sum(path.stat().st_size for path in files) == package.size_bytes
    for path in (package.dash_path, package.hls_path, package.poster_path, package.thumbnails_path):
        assert (here.objects / "published" / package.package_id / path) in files
    assert not here.files("work")
    assert not list((here.objects / "work").iterdir())
    asked = here.drm.asked[0]
    assert (asked.organisation_id, asked.package_id, list(asked.labels)) == (
        here.organisation_id,
        package.package_id,
        ["AUDIO", "SD"],
    )


async def test_no_key_of_any_key_period_is_left_on_disk_or_announced(here: Mesh) -> None:
    """The film lasts four seconds."""
    event = here.transcoded()
    async with a_worker(here, packaging_key_period_seconds=2):
        await here.bus.publish(event)
        published = await here.bus.hears(announced.PackagePublished, within=60)
    labels = [key.label for key in published.track_keys]
    assert labels == ["AUDIO", "AUDIO_P2", "SD", "SD_P2"]
    assert [list(asked.labels) for asked in here.drm.asked] == [["AUDIO", "SD"], ["AUDIO_P2", "SD_P2"]]
    secrets = [key_of(published.package_id, label) for label in labels]
    said = here.bus.said()
    said.extend(path.read_bytes() for path in here.files("."))
    for secret in secrets:
        assert not any(secret in data or secret.hex().encode() in data.lower() for data in said)


async def test_the_same_renditions_told_twice_are_packaged_once(here: Mesh) -> None:
    event = here.transcoded()
    async with a_worker(here):
        await here.bus.publish(event)
        await here.bus.publish(event)
        published = await here.bus.hears(announced.PackagePublished, within=60)
        # And the task once more, as after a worker that died between its commit and its word to the queue.
        inode = (here.objects / "published" / published.package_id).stat().st_ino
        await here.bus.client.jetstream().publish(QUEUE.subject, published.package_id.encode())
        await asyncio.sleep(1)
    assert len(here.bus.heard(announced.PackagePublished)) == 1
    assert (here.objects / "published" / published.package_id).stat().st_ino == inode


async def test_packaging_waits_for_the_drm_service_without_losing_patience(here: Mesh) -> None:
    """A dependency that is away is no failure of the package."""
    here.drm.refuse_with = grpc.StatusCode.UNAVAILABLE
    event = here.transcoded()
    async with a_worker(here):
        await here.bus.publish(event)
        async with asyncio.timeout(60):
            while len(here.drm.asked) < 5:
                await asyncio.sleep(0.05)
        here.drm.refuse_with = None
        published = await here.bus.hears(announced.PackagePublished, within=60)
    assert published.asset_id == event.asset_id
    assert not here.bus.heard(announced.PackagingFailed)


async def test_renditions_that_cannot_be_packaged_fail_with_a_typed_reason_and_leave_nothing(here: Mesh) -> None:
    event = here.transcoded()
    (here.objects / event.renditions[0].object_key).write_bytes(b"this is no film")
    database = Database.of("packaging", here.settings)
    async with a_worker(here):
        await here.bus.publish(event)
        package = await here.package_of(event.asset_id)
        async with database.transaction() as tx:  # spare the test three rounds of growing pauses
            await tx.execute(sa.update(store.packages).values(failures=3))
        failed = await here.bus.hears(announced.PackagingFailed, within=60)
    await database.close()
    assert (failed.package_id, failed.reason) == (package.package_id, "PACKAGER_FAILED")
    assert failed.message
    package = (await here.stub.GetPackage(api.GetPackageRequest(package_id=package.package_id))).package
    assert package.state == packaging_pb2.PACKAGE_STATE_FAILED
    assert not here.files(f"published/{package.package_id}")
    assert not here.files("work")


async def test_an_attempt_that_comes_too_late_publishes_nothing(here: Mesh) -> None:
    """Two workers on one package: the one whose attempt is the newest publishes, the other throws its work away."""
    event = here.transcoded()
    await here.bus.publish(event)
    package_id = (await here.package_of(event.asset_id)).package_id
    database = Database.of("packaging", here.settings)
    async with a_worker(here):
        while not here.drm.asked:
            await asyncio.sleep(0.01)
        async with database.transaction() as tx:  # another worker takes it over
            await tx.execute(sa.update(store.packages).values(attempt=store.packages.c.attempt + 1))
        await asyncio.sleep(2)
    await database.close()
    assert not here.bus.heard(announced.PackagePublished)
    assert not here.files(f"published/{package_id}")
    assert not here.files("work")


async def test_a_deleted_asset_takes_its_package_along_after_a_moment(here: Mesh) -> None:
    event = here.transcoded()
    async with a_worker(here):
        await here.bus.publish(event)
        published = await here.bus.hears(announced.PackagePublished, within=60)
    await here.bus.publish(AssetDeleted(asset_id=event.asset_id, organisation_id=here.organisation_id))
    folder = here.objects / "published" / published.package_id
    async with asyncio.timeout(60):
        while folder.exists():
            await asyncio.sleep(0.05)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await here.stub.GetPackage(api.GetPackageRequest(package_id=published.package_id))
    assert Refusal.from_rpc_error(error.value).reason == "PACKAGE_NOT_FOUND"


async def test_an_asset_deleted_before_its_renditions_are_heard_of_is_never_packaged(here: Mesh) -> None:
    event = here.transcoded()
    await here.bus.publish(AssetDeleted(asset_id=event.asset_id, organisation_id=here.organisation_id))
    await asyncio.sleep(0.2)
    async with a_worker(here):
        await here.bus.publish(event)
        await asyncio.sleep(0.7)
    assert not here.bus.heard(announced.PackagingStarted)
    assert not (await here.stub.ListPackages(api.ListPackagesRequest(asset_id=event.asset_id))).packages


async def test_packages_are_listed_newest_first_and_only_to_their_organisation(here: Mesh) -> None:
    events = [here.transcoded() for _ in range(3)]
    for event in events:
        await here.bus.publish(event)
        await here.package_of(event.asset_id)
    first = await here.stub.ListPackages(api.ListPackagesRequest(page_size=2))
    second = await here.stub.ListPackages(api.ListPackagesRequest(page_size=2, page_token=first.next_page_token))
    assert [package.asset_id for package in (*first.packages, *second.packages)] == [
        event.asset_id for event in reversed(events)
    ]
    assert not second.next_page_token
    with with_api_key(here.settings, organisation_id=new_id("org"), permissions=["packages.read"]) as key:
        async with connected(here.settings, "packaging", CONTRACT, key=key) as channel:
            stranger = packaging_service_pb2_grpc.PackagingServiceStub(channel)
            assert not (await stranger.ListPackages(api.ListPackagesRequest())).packages
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stranger.GetPackage(api.GetPackageRequest(package_id=first.packages[0].package_id))
            assert Refusal.from_rpc_error(error.value).reason == "PACKAGE_NOT_FOUND"
