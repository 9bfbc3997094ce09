"""The assets service on real stores, the other services being played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from reelmesh.assets.v1 import assets_pb2, assets_service_pb2_grpc
from reelmesh.assets.v1 import assets_service_pb2 as api
from reelmesh.assets.v1 import events_pb2 as announced
from reelmesh.compliance.v1 import events_pb2 as compliance
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.protection.v1 import events_pb2 as protection
from reelmesh.transcode.v1 import events_pb2 as transcode
from reelmesh.upload.v1 import events_pb2 as upload
from reelmesh.upload.v1 import upload_pb2

from services.assets.__main__ import CONTRACT, AssetsSettings, wire
from services.assets.holds import standing
from services.assets.watch import SHORTEST_PAUSE
from services.kit.clock import timestamp
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator, with_api_key
from tests.support.running import connected, running

T0 = datetime(2026, 11, 21, 12, tzinfo=UTC)
if TYPE_CHECKING:
    Stub = assets_service_pb2_grpc.AssetsServiceAsyncStub


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Mesh:
    """The running service, a caller, and the bus on which the test plays everybody else."""

    def __init__(self, settings: AssetsSettings, stub: Stub, bus: Bus) -> None:
        self.settings = settings
        self.stub = stub
        self.bus = bus
        self.organisation_id = organisation_of_operator(settings)

    def committed(self, asset_id: str, title: str = "A film") -> upload.UploadCommitted:
        return upload.UploadCommitted(
            upload_id=new_id("upl"),
            asset_id=asset_id,
            organisation_id=self.organisation_id,
            object_key="masters/" + "0" * 64,
            sha256="0" * 64,
            size_bytes=1234,
            filename="film.mp4",
            title=title,
            commit_time=timestamp(at(0)),
        )

    def probed(self, asset_id: str) -> transcode.MasterProbed:
        return transcode.MasterProbed(
            job_id=new_id("job"),
            asset_id=asset_id,
            organisation_id=self.organisation_id,
            width=640,
            height=360,
            frame_rate=25,
            container="mp4",
            video_codec="h264",
            dynamic_range="SDR",
            audio_tracks=[transcode.ProbedTrack(codec="aac", channels=2, language="en", used=True)],
            subtitle_tracks=[transcode.ProbedTrack(codec="subrip", language="de", used=True)],
            probe_time=timestamp(at(1)),
        )

    def transcoded(self, asset_id: str) -> transcode.TranscodeCompleted:
        return transcode.TranscodeCompleted(
            job_id=new_id("job"),
            asset_id=asset_id,
            organisation_id=self.organisation_id,
            complete_time=timestamp(at(2)),
        )

    def published(self, asset_id: str, package_id: str, seconds: float = 4) -> packaging.PackagePublished:
        return packaging.PackagePublished(
            package_id=package_id,
            asset_id=asset_id,
            organisation_id=self.organisation_id,
            publish_time=timestamp(at(seconds)),
        )

    async def film(self, title: str = "A film") -> assets_pb2.Asset:
        """An asset whose upload was just committed."""
        asset_id = new_id("ast")
        await self.bus.publish(self.committed(asset_id, title))
        return await self.comes_to(asset_id, assets_pb2.ASSET_STATE_PROCESSING)

    async def held(self, asset_id: str) -> bool:
        """Whether the service knows of a hold that stands on an asset."""
        database = Database.of("assets", self.settings)
        async with database.transaction() as tx:
            found = await standing(tx, asset_id)
        await database.close()
        return bool(found)

    async def comes_to(self, asset_id: str, state: assets_pb2.AssetState.ValueType) -> assets_pb2.Asset:
        """Watches until the asset is in a state."""
        request = api.WatchAssetRequest(asset_id=asset_id, wait_for_commit=True)
        async for answer in self.stub.WatchAsset(request, timeout=60):
            if answer.asset.state == state:
                return answer.asset
        pytest.fail(f"the asset never came to state {state}")

    async def becomes(self, asset_id: str, state: assets_pb2.AssetState.ValueType) -> assets_pb2.Asset:
        """Asks until the asset is in a state, whatever it was in before."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    asset = (await self.stub.GetAsset(api.GetAssetRequest(asset_id=asset_id))).asset
                    if asset.state == state:
                        return asset
                await asyncio.sleep(0.02)


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Mesh]:
    settings = AssetsSettings(**mesh.model_dump(), assets_wait_for_commit=30)
    async with (
        on_the_bus(settings) as bus,
        running("assets", settings, wire),
        connected(settings, "assets", CONTRACT) as channel,
    ):
        yield Mesh(settings, assets_service_pb2_grpc.AssetsServiceStub(channel), bus)


@contextlib.asynccontextmanager
async def refused(reason: str) -> AsyncIterator[list[Refusal]]:
    caught: list[Refusal] = []
    with pytest.raises(grpc.aio.AioRpcError) as error:
        yield caught
    caught.append(Refusal.from_rpc_error(error.value))
    assert caught[0].reason == reason


async def test_a_committed_upload_becomes_an_asset_with_the_id_it_was_promised(here: Mesh) -> None:
    asset = await here.film("Night train")
    assert asset.title == "Night train"
    assert asset.organisation_id == here.organisation_id
    assert (asset.master.filename, asset.master.size_bytes, asset.master.sha256) == ("film.mp4", 1234, "0" * 64)
    assert asset.create_time.ToDatetime(tzinfo=UTC) == at(0)
    created = await here.bus.hears(announced.AssetCreated)
    assert (created.asset_id, created.title) == (asset.asset_id, "Night train")


async def test_events_in_reverse_order_and_twice_end_in_one_ready_asset(here: Mesh) -> None:
    """Handlers must not depend on the order of events, nor on each coming once."""
    asset_id, package_id = new_id("ast"), new_id("pkg")
    story = [
        here.committed(asset_id),
        here.probed(asset_id),
        here.transcoded(asset_id),
        here.published(asset_id, package_id),
    ]
    for event in reversed(story):
        event_id = await here.bus.publish(event)
        await here.bus.publish(event, event_id=event_id)  # the same once more
        await here.bus.publish(event)  # the same fact under another id
    asset = await here.comes_to(asset_id, assets_pb2.ASSET_STATE_READY)
    assert asset.package_id == package_id
    assert [stage.state for stage in asset.stages] == [assets_pb2.STAGE_STATE_DONE] * 5
    assert asset.media.width == 640
    assert asset.media.audio_tracks[0].language == "en"
    assert asset.media.subtitle_tracks[0].converted
    await here.bus.hears(announced.AssetReady)
    await asyncio.sleep(0.3)
    assert len(here.bus.heard(announced.AssetCreated)) == 1
    assert len(here.bus.heard(announced.AssetReady)) == 1


async def test_an_asset_is_withheld_while_somebodys_record_is_missing(here: Mesh) -> None:
    """Whichever comes first, the package or the word about records; and what was said later counts."""
    asset_id, package_id = new_id("ast"), new_id("pkg")

    def consent(state: compliance.ConsentState.ValueType, seconds: int) -> compliance.ConsentChanged:
        return compliance.ConsentChanged(
            asset_id=asset_id,
            organisation_id=here.organisation_id,
            state=state,
            change_time=timestamp(at(seconds)),
        )

    await here.bus.publish(consent(compliance.CONSENT_STATE_MISSING, 1))
    await here.bus.publish(here.committed(asset_id))
    await here.bus.publish(here.published(asset_id, package_id))
    asset = await here.becomes(asset_id, assets_pb2.ASSET_STATE_WITHHELD)
    assert asset.package_id == package_id
    assert not here.bus.heard(announced.AssetReady)
    await here.bus.publish(consent(compliance.CONSENT_STATE_COMPLETE, 2))
    await here.becomes(asset_id, assets_pb2.ASSET_STATE_READY)
    assert (await here.bus.hears(announced.AssetReady)).package_id == package_id
    await here.bus.publish(consent(compliance.CONSENT_STATE_MISSING, 1))
    await here.bus.publish(consent(compliance.CONSENT_STATE_WITHDRAWN, 3))
    await here.becomes(asset_id, assets_pb2.ASSET_STATE_WITHHELD)
    await here.bus.publish(consent(compliance.CONSENT_STATE_NOT_REQUIRED, 4))
    await here.becomes(asset_id, assets_pb2.ASSET_STATE_READY)
    await here.bus.hears(announced.AssetReady, count=2)


async def test_a_failed_stage_shows_its_reason_and_message(here: Mesh) -> None:
    asset = await here.film()
    await here.bus.publish(
        transcode.TranscodeFailed(
            asset_id=asset.asset_id,
            organisation_id=here.organisation_id,
            while_probing=True,
            reason="MASTER_NOT_MEDIA",
            message="this is an archive; send the film itself",
            fail_time=timestamp(at(2)),
        )
    )
    asset = await here.comes_to(asset.asset_id, assets_pb2.ASSET_STATE_FAILED)
    assert asset.failure == assets_pb2.Failure(
        stage=assets_pb2.STAGE_PROBE, reason="MASTER_NOT_MEDIA", message="this is an archive; send the film itself"
    )
    assert asset.stages[2].state == assets_pb2.STAGE_STATE_FAILED


async def test_a_held_master_is_said_to_be_held_and_not_why(here: Mesh) -> None:
    asset = await here.film()
    delayed = protection.MasterDelayed(asset_id=asset.asset_id, organisation_id=here.organisation_id, check="clamav")
    delayed.delay_time.FromDatetime(at(1))
    await here.bus.publish(delayed)
    held = protection.MasterHeld(
        asset_id=asset.asset_id,
        organisation_id=here.organisation_id,
        hold_id=new_id("hld"),
        check="clamav",
        entry="Eicar-Signature",
        hold_time=timestamp(at(2)),
    )
    await here.bus.publish(held)
    asset = await here.comes_to(asset.asset_id, assets_pb2.ASSET_STATE_HELD)
    assert asset.stages[1] == assets_pb2.StageProgress(
        stage=assets_pb2.STAGE_SCREEN, state=assets_pb2.STAGE_STATE_WAITING, start_time=asset.create_time
    )
    assert b"clamav" not in asset.SerializeToString()
    assert b"Eicar" not in asset.SerializeToString()
    cleared = protection.MasterCleared(asset_id=asset.asset_id, organisation_id=here.organisation_id)
    cleared.clear_time.FromDatetime(at(3))
    await here.bus.publish(cleared)
    await here.comes_to(asset.asset_id, assets_pb2.ASSET_STATE_PROCESSING)


async def test_evidence_ends_as_kept_once_it_was_checked_and_is_not_among_the_titles(here: Mesh) -> None:
    asset_id = new_id("ast")
    event = here.committed(asset_id, "A copy")
    event.purpose = upload_pb2.UPLOAD_PURPOSE_EVIDENCE
    await here.bus.publish(event)
    cleared = protection.MasterCleared(asset_id=asset_id, organisation_id=here.organisation_id)
    cleared.clear_time.FromDatetime(at(3))
    await here.bus.publish(cleared)
    asset = await here.comes_to(asset_id, assets_pb2.ASSET_STATE_KEPT)
    assert asset.purpose == upload_pb2.UPLOAD_PURPOSE_EVIDENCE
    assert [stage.stage for stage in asset.stages] == [assets_pb2.STAGE_UPLOAD, assets_pb2.STAGE_SCREEN]
    assert not (await here.stub.ListAssets(api.ListAssetsRequest())).assets
    kept = await here.stub.ListAssets(api.ListAssetsRequest(state=assets_pb2.ASSET_STATE_KEPT))
    assert [one.title for one in kept.assets] == ["A copy"]


async def test_watching_begins_before_the_upload_is_committed_and_ends_when_the_asset_is_ready(here: Mesh) -> None:
    asset_id = new_id("ast")
    call = here.stub.WatchAsset(api.WatchAssetRequest(asset_id=asset_id, wait_for_commit=True), timeout=60)
    await asyncio.sleep(0.2)
    seen, answers = [], aiter(call)
    for event in (here.committed(asset_id), here.probed(asset_id), here.transcoded(asset_id)):
        await here.bus.publish(event)
        seen.append((await anext(answers)).asset)
    await here.bus.publish(here.published(asset_id, new_id("pkg")))
    seen += [answer.asset async for answer in answers]
    assert [asset.state for asset in seen] == [assets_pb2.ASSET_STATE_PROCESSING] * 3 + [assets_pb2.ASSET_STATE_READY]
    assert [asset.stages[3].state for asset in seen[:3]] == [
        assets_pb2.STAGE_STATE_PENDING,
        assets_pb2.STAGE_STATE_RUNNING,
        assets_pb2.STAGE_STATE_DONE,
    ]


async def test_encoding_progress_reaches_watchers_a_few_times_a_second_at_most(here: Mesh) -> None:
    asset = await here.film()
    await here.bus.publish(here.probed(asset.asset_id))
    call = here.stub.WatchAsset(api.WatchAssetRequest(asset_id=asset.asset_id), timeout=60)
    watching = asyncio.create_task(_all(call))
    subject, began = f"progress.{transcode.TranscodeProgressed.DESCRIPTOR.full_name}", time.monotonic()
    for step in range(101):
        progress = transcode.TranscodeProgressed(asset_id=asset.asset_id, fraction=step / 100)
        await here.bus.client.publish(subject, progress.SerializeToString())
        await asyncio.sleep(0.01)
    request = api.GetAssetRequest(asset_id=asset.asset_id)
    async with asyncio.timeout(30):
        while (await here.stub.GetAsset(request)).asset.stages[3].fraction != 1.0:
            await asyncio.sleep(0.05)
    await here.bus.publish(here.published(asset.asset_id, new_id("pkg")))
    fractions = [seen.stages[3].fraction for seen in await watching]
    assert fractions == sorted(fractions)
    # The first at once, then one for each pause, and what the other events tell of.
    assert 4 <= len(fractions) <= 3 + (time.monotonic() - began) / SHORTEST_PAUSE


async def test_a_change_made_by_another_replica_is_seen(here: Mesh) -> None:
    asset = await here.film()
    other = here.settings.model_copy(update={"listen": f"unix:{here.settings.run_dir}/assets-2.sock"})
    reached = other.model_copy(update={"peers": {"assets": other.listen}})
    async with running("assets", other, wire), connected(reached, "assets", CONTRACT) as channel:
        call = here.stub.WatchAsset(api.WatchAssetRequest(asset_id=asset.asset_id), timeout=60)
        watching = asyncio.create_task(_all(call))
        await asyncio.sleep(0.3)
        elsewhere = assets_service_pb2_grpc.AssetsServiceStub(channel)
        await elsewhere.DeleteAsset(api.DeleteAssetRequest(asset_id=asset.asset_id))
        async with asyncio.timeout(30):
            assert (await watching)[-1].state == assets_pb2.ASSET_STATE_DELETED


async def test_waiting_for_a_commit_that_never_comes_ends_in_not_found(mesh: ProcessSettings) -> None:
    settings = AssetsSettings(**mesh.model_dump(), assets_wait_for_commit=0.5)
    async with running("assets", settings, wire), connected(settings, "assets", CONTRACT) as channel:
        stub = assets_service_pb2_grpc.AssetsServiceStub(channel)
        async with refused("ASSET_NOT_FOUND"):
            await _all(stub.WatchAsset(api.WatchAssetRequest(asset_id=new_id("ast"), wait_for_commit=True)))
        async with refused("ASSET_NOT_FOUND"):
            await _all(stub.WatchAsset(api.WatchAssetRequest(asset_id=new_id("ast"))))


async def test_watchers_are_told_to_come_back_when_the_service_stops(mesh: ProcessSettings) -> None:
    settings = AssetsSettings(**mesh.model_dump())
    async with on_the_bus(settings) as bus, connected(settings, "assets", CONTRACT) as channel:
        async with running("assets", settings, wire):
            here = Mesh(settings, assets_service_pb2_grpc.AssetsServiceStub(channel), bus)
            asset = await here.film()
            call = here.stub.WatchAsset(api.WatchAssetRequest(asset_id=asset.asset_id))
            await call.read()
        async with refused("DRAINING"), asyncio.timeout(30):
            await call.read()


async def test_another_organisation_sees_nothing(here: Mesh) -> None:
    asset = await here.film()
    with with_api_key(here.settings, organisation_id=new_id("org"), permissions=["assets.read", "assets.write"]) as key:
        async with connected(here.settings, "assets", CONTRACT, key=key) as channel:
            stranger = assets_service_pb2_grpc.AssetsServiceStub(channel)
            async with refused("ASSET_NOT_FOUND"):
                await stranger.GetAsset(api.GetAssetRequest(asset_id=asset.asset_id))
            async with refused("ASSET_NOT_FOUND"):
                await stranger.DeleteAsset(api.DeleteAssetRequest(asset_id=asset.asset_id))
            async with refused("ASSET_NOT_FOUND"):
                await stranger.UpdateAsset(_rename(asset, "Mine now"))
            async with refused("ASSET_NOT_FOUND"):
                await _all(stranger.WatchAsset(api.WatchAssetRequest(asset_id=asset.asset_id)))
            assert not (await stranger.ListAssets(api.ListAssetsRequest())).assets


async def test_a_title_is_changed_once_however_often_the_request_comes(here: Mesh) -> None:
    asset = await here.film()
    request = _rename(asset, "Day train", etag=asset.etag)
    first = await here.stub.UpdateAsset(request)
    again = await here.stub.UpdateAsset(request)
    assert first == again
    assert first.asset.title == "Day train"
    assert first.asset.etag != asset.etag
    await here.bus.hears(announced.AssetUpdated)
    await asyncio.sleep(0.2)
    assert [event.title for event in here.bus.heard(announced.AssetUpdated)] == ["Day train"]
    request.asset.title = "Another"
    async with refused("REQUEST_ID_REUSED"):
        await here.stub.UpdateAsset(request)


async def test_an_update_from_an_old_read_is_refused_with_the_current_etag(here: Mesh) -> None:
    asset = await here.film()
    changed = await here.stub.UpdateAsset(_rename(asset, "Day train"))
    async with refused("ETAG_MISMATCH") as refusal:
        await here.stub.UpdateAsset(_rename(asset, "Late train", etag=asset.etag))
    assert refusal[0].metadata["etag"] == changed.asset.etag


async def test_only_the_title_can_be_changed(here: Mesh) -> None:
    asset = await here.film()
    request = api.UpdateAssetRequest(request_id=new_id("req"), asset=asset, update_mask=FieldMask(paths=["state"]))
    async with refused("FIELD_NOT_UPDATABLE") as refusal:
        await here.stub.UpdateAsset(request)
    assert refusal[0].metadata["field"] == "state"


async def test_deleting_twice_gives_the_same_answer_and_one_event(here: Mesh) -> None:
    asset = await here.film()
    first = await here.stub.DeleteAsset(api.DeleteAssetRequest(asset_id=asset.asset_id))
    assert first == await here.stub.DeleteAsset(api.DeleteAssetRequest(asset_id=asset.asset_id))
    assert first.asset.state == assets_pb2.ASSET_STATE_DELETED
    await here.bus.hears(announced.AssetDeleted)
    await asyncio.sleep(0.2)
    assert len(here.bus.heard(announced.AssetDeleted)) == 1
    async with refused("ASSET_DELETED"):
        await here.stub.UpdateAsset(_rename(asset, "Back again"))
    await here.bus.publish(here.published(asset.asset_id, new_id("pkg")))
    await asyncio.sleep(0.3)
    assert not here.bus.heard(announced.AssetReady)


async def test_what_a_legal_hold_is_on_is_not_deleted_until_that_is_released(here: Mesh) -> None:
    """A hold on a person says nothing about assets; a release that comes before its placing counts."""
    held, free = await here.film("Held"), await here.film("Free")
    moment = timestamp(at(0))
    hold_id, other_id = new_id("hld"), new_id("hld")
    await here.bus.publish(compliance.LegalHoldReleased(hold_id=other_id, asset_id=free.asset_id, release_time=moment))
    await here.bus.publish(compliance.LegalHoldPlaced(hold_id=other_id, asset_id=free.asset_id, place_time=moment))
    await here.bus.publish(compliance.LegalHoldPlaced(hold_id=new_id("hld"), place_time=moment))
    await here.bus.publish(compliance.LegalHoldPlaced(hold_id=hold_id, asset_id=held.asset_id, place_time=moment))
    request = api.DeleteAssetRequest(asset_id=held.asset_id)
    async with asyncio.timeout(60):
        while not await here.held(held.asset_id):
            await asyncio.sleep(0.02)
    async with refused("ASSET_HELD"):
        await here.stub.DeleteAsset(request)
    await here.stub.DeleteAsset(api.DeleteAssetRequest(asset_id=free.asset_id))
    await here.bus.publish(compliance.LegalHoldReleased(hold_id=hold_id, asset_id=held.asset_id))
    async with asyncio.timeout(60):
        while await here.held(held.asset_id):
            await asyncio.sleep(0.02)
    deleted = await here.stub.DeleteAsset(request)
    assert deleted.asset.state == assets_pb2.ASSET_STATE_DELETED


async def test_pages_go_through_all_assets_newest_first_without_the_deleted(here: Mesh) -> None:
    films = [await here.film(f"Film {number}") for number in range(5)]
    await here.stub.DeleteAsset(api.DeleteAssetRequest(asset_id=films[2].asset_id))
    titles, request = [], api.ListAssetsRequest(page_size=2)
    while True:
        page = await here.stub.ListAssets(request)
        titles.append([asset.title for asset in page.assets])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert titles == [["Film 4", "Film 3"], ["Film 1", "Film 0"]]
    deleted = await here.stub.ListAssets(api.ListAssetsRequest(state=assets_pb2.ASSET_STATE_DELETED))
    assert [asset.title for asset in deleted.assets] == ["Film 2"]


async def test_a_page_token_of_another_filter_or_of_nobody_is_refused(here: Mesh) -> None:
    for number in range(2):
        await here.film(f"Film {number}")
    token = (await here.stub.ListAssets(api.ListAssetsRequest(page_size=1))).next_page_token
    for page_token in (token, "nonsense", "NQ", "WyJhIiwgIlx1MDAwMCJd"):
        async with refused("PAGE_TOKEN_INVALID"):
            await here.stub.ListAssets(
                api.ListAssetsRequest(state=assets_pb2.ASSET_STATE_PROCESSING, page_token=page_token)
            )


def _rename(asset: assets_pb2.Asset, title: str, etag: str = "") -> api.UpdateAssetRequest:
    return api.UpdateAssetRequest(
        request_id=new_id("req"),
        asset=assets_pb2.Asset(asset_id=asset.asset_id, title=title, etag=etag),
        update_mask=FieldMask(paths=["title"]),
    )


async def _all(call: grpc.aio.UnaryStreamCall[api.WatchAssetRequest, api.WatchAssetResponse]) -> list[assets_pb2.Asset]:
    return [answer.asset async for answer in call]
