"""The way of a film from its committed upload to a published package, through every service on it."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from reelmesh.assets.v1 import assets_pb2, assets_service_pb2_grpc
from reelmesh.assets.v1 import assets_service_pb2 as assets_api
from reelmesh.assets.v1 import events_pb2 as assets_announced
from reelmesh.packaging.v1 import events_pb2 as packaging_announced

from services.assets import __main__ as assets
from services.drm import __main__ as drm
from services.kit.settings import ProcessSettings
from services.packaging import __main__ as packaging
from services.packaging import worker as packaging_worker
from tests.support.films import film
from tests.support.running import connected, running
from tests.support.transcoding import transcoding


@pytest.mark.timeout(300)
async def test_a_film_comes_from_its_upload_to_a_published_package(mesh: ProcessSettings) -> None:
    plain: dict[str, Any] = mesh.model_dump()
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(transcoding(mesh))
        await stack.enter_async_context(running("assets", assets.AssetsSettings(**plain), assets.wire))
        await stack.enter_async_context(running("drm", drm.DrmSettings(**plain), drm.wire))
        care: dict[str, Any] = {"packaging_removal_delay": timedelta(0), "packaging_care_seconds": 0.1}
        await stack.enter_async_context(
            running("packaging", packaging.PackagingSettings(**plain, **care), packaging.wire)
        )
        worker_settings = packaging_worker.PackagingWorkerSettings(**plain)
        await stack.enter_async_context(running("packaging", worker_settings, packaging_worker.wire))
        await stack.enter_async_context(here.a_worker())
        channel = await stack.enter_async_context(connected(mesh, "assets", assets.CONTRACT))
        stub = assets_service_pb2_grpc.AssetsServiceStub(channel)

        asset_id = await here.upload(film())
        request = assets_api.WatchAssetRequest(asset_id=asset_id, wait_for_commit=True)
        seen = [answer.asset async for answer in stub.WatchAsset(request, timeout=150)]
        ready = seen[-1]
        assert ready.state == assets_pb2.ASSET_STATE_READY, ready
        assert [stage.state for stage in ready.stages] == [assets_pb2.STAGE_STATE_DONE] * 5
        assert ready.media.duration.ToTimedelta() == timedelta(seconds=4)
        running_stages = [
            place
            for asset in seen
            for place, stage in enumerate(asset.stages)
            if stage.state == assets_pb2.STAGE_STATE_RUNNING
        ]
        assert running_stages == sorted(running_stages)

        published = await here.bus.hears(packaging_announced.PackagePublished)
        announced = await here.bus.hears(assets_announced.AssetReady)
        assert announced.package_id == published.package_id == ready.package_id
        folder = here.objects / "published" / ready.package_id
        assert (folder / published.hls_path).read_text().startswith("#EXTM3U")
        assert (folder / published.dash_path).read_text().lstrip().startswith("<?xml")
        assert {key.label for key in published.track_keys} == {"AUDIO", "SD"}
        assert (folder / published.poster_path).exists()
        assert (folder / published.thumbnails_path).exists()
        await here.tidy("work")

        await stub.DeleteAsset(assets_api.DeleteAssetRequest(asset_id=asset_id))
        await here.tidy("published", "renditions", "work")
