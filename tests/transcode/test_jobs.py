"""Whole jobs by real workers on real, tiny films."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import grpc
import psutil
import pytest
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.transcode.v1 import events_pb2 as announced
from reelmesh.transcode.v1 import transcode_pb2
from reelmesh.transcode.v1 import transcode_service_pb2 as api
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE

from services.kit.errors import Refusal
from services.kit.settings import ProcessSettings
from services.transcode.domain import TaskState
from tests.support import clips
from tests.support.films import cleared, committed, film
from tests.support.transcoding import Transcoding, transcoding


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Transcoding]:
    async with transcoding(mesh) as here:
        yield here


async def test_a_film_becomes_renditions_and_nothing_else_is_left(here: Transcoding) -> None:
    fractions: list[float] = []

    async def note(message: object) -> None:
        fractions.append(announced.TranscodeProgressed.FromString(message.data).fraction)  # type: ignore[attr-defined]

    await here.bus.client.subscribe("progress.>", cb=note)
    async with here.a_worker():
        asset_id = await here.upload(film())
        probed = await here.bus.hears(announced.MasterProbed)
        completed = await here.bus.hears(announced.TranscodeCompleted, within=100)
        await here.tidy("work")
    assert (probed.asset_id, probed.width, probed.height, probed.container) == (asset_id, 320, 180, "mp4")
    assert [(track.codec, track.language, track.used) for track in probed.audio_tracks] == [("aac", "en", True)]
    assert completed.segment_duration.ToSeconds() == 2
    names = [rendition.name for rendition in completed.renditions]
    assert names == ["video-180p", "video-144p", "audio-en-2ch", "poster", "sprite", "sprite-000"]
    for rendition in completed.renditions:
        assert (here.objects / rendition.object_key).stat().st_size > 0
    job = await here.job_of(asset_id)
    assert (job.state, job.fraction) == (transcode_pb2.JOB_STATE_COMPLETED, 1.0)
    assert list(job.renditions) == list(completed.renditions)
    tasks = await here.tasks()
    assert sorted(task.kind for task in tasks) == ["audio", "chunk", "chunk", "join", "probe"]
    assert {(task.state, task.attempt) for task in tasks} == {(TaskState.DONE, 1)}
    async with asyncio.timeout(30):  # they come by another way than the events
        while fractions[-1:] != [1.0]:
            await asyncio.sleep(0.02)
    assert fractions == sorted(fractions)


@pytest.mark.timeout(300)
async def test_the_work_of_a_killed_worker_is_finished_by_another(here: Transcoding) -> None:
    """kill -9 in the middle of a chunk costs that chunk's work and no other, and no task is done twice."""
    with here.a_worker_process(REELMESH_TRANSCODE_PRESET="veryslow") as doomed:
        await here.upload(film(4, "640x360", 50))
        task = await here.task_in_hand("chunk")
        encoders = await _at_work(doomed.pid)
        doomed.send_signal(signal.SIGKILL)
        doomed.wait()
        _, alive = psutil.wait_procs(encoders, timeout=30)
        assert not alive
    async with here.a_worker():
        await here.bus.hears(announced.TranscodeCompleted, within=100)
        await here.tidy("work")
    tasks = await here.tasks()
    assert {one.state for one in tasks} == {TaskState.DONE}
    assert [one.task_id for one in tasks if one.attempt != 1] == [task.task_id]
    assert [one.losses for one in tasks if one.attempt != 1] == [1]
    await asyncio.sleep(0.3)
    assert len(here.bus.heard(announced.TranscodeCompleted)) == 1


@pytest.mark.timeout(300)
async def test_workers_share_a_film_and_do_each_task_once(here: Transcoding) -> None:
    async with here.a_worker(), here.a_worker(transcode_parallel=2):
        await here.upload(film(8))
        await here.bus.hears(announced.TranscodeCompleted, within=100)
        await here.tidy("work")
    tasks = await here.tasks()
    assert sum(task.kind == "chunk" for task in tasks) == 4
    assert {(task.state, task.attempt) for task in tasks} == {(TaskState.DONE, 1)}


@pytest.mark.parametrize(
    ("master", "reason"),
    [
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "MASTER_PLAYLIST"),
        (b"PK\x03\x04" + b"\x00" * 100, "MASTER_NOT_MEDIA"),
        (b"<html><body>Sign in</body></html>", "MASTER_NOT_MEDIA"),
        (b"", "MASTER_EMPTY"),
    ],
)
async def test_a_master_that_is_no_film_fails_with_its_reason_and_leaves_nothing(
    here: Transcoding, master: bytes, reason: str
) -> None:
    async with here.a_worker():
        asset_id = await here.upload(master)
        failed = await here.bus.hears(announced.TranscodeFailed)
        await here.tidy("work", "renditions")
        assert (failed.asset_id, failed.reason, failed.while_probing) == (asset_id, reason, True)
        assert failed.message
        job = await here.job_of(asset_id)
        assert (job.state, job.failure_reason) == (transcode_pb2.JOB_STATE_FAILED, reason)
        assert len(await here.tasks()) == 1  # at once, not after several tries


async def test_cancelling_stops_the_encoder_and_the_worker_goes_on_with_the_next_job(here: Transcoding) -> None:
    async with here.a_worker(transcode_preset="veryslow", transcode_chunk_seconds=20):
        asset_id = await here.upload(film(20, "640x360", 50, sound=False))
        await here.task_in_hand("chunk")
        await _at_work()
        job = await here.job_of(asset_id)
        await here.stub.CancelJob(api.CancelJobRequest(job_id=job.job_id))
        async with asyncio.timeout(15):  # the chunk itself would take longer
            while _encoders():
                await asyncio.sleep(0.05)
        await here.tidy("work", "renditions")
        assert (await here.job_of(asset_id)).state == transcode_pb2.JOB_STATE_CANCELLED
        await here.upload(b"")
        await here.bus.hears(announced.TranscodeFailed, count=2, within=60)
    assert not here.bus.heard(announced.TranscodeCompleted)


async def test_a_worker_that_is_told_to_stop_gives_its_task_back_at_once(here: Transcoding) -> None:
    async with here.a_worker(transcode_preset="veryslow", transcode_chunk_seconds=20):
        await here.upload(film(20, "640x360", 50, sound=False))
        task = await here.task_in_hand("chunk")
        await _at_work()
    assert not _encoders()
    given_back = next(one for one in await here.tasks() if one.task_id == task.task_id)
    assert (given_back.lease_until, given_back.losses, given_back.failures) == (None, 0, 0)
    async with here.a_worker(transcode_preset="veryslow"):
        assert (await here.task_in_hand("chunk")).task_id == task.task_id


async def test_evidence_is_never_encoded(here: Transcoding) -> None:
    evidence = committed(here.settings, film(), organisation_id=here.organisation_id)
    evidence.purpose = UPLOAD_PURPOSE_EVIDENCE
    await here.bus.publish(cleared(evidence))
    # Events come in their order: whoever knows of the second has seen the first.
    await here.job_of(await here.upload(film()))
    assert not (await here.stub.ListJobs(api.ListJobsRequest(asset_id=evidence.asset_id))).jobs


async def test_renditions_go_when_the_asset_is_deleted(here: Transcoding) -> None:
    async with here.a_worker():
        asset_id = await here.upload(film())
        await here.bus.hears(announced.TranscodeCompleted, within=100)
    assert here.files("renditions")
    await here.bus.publish(AssetDeleted(asset_id=asset_id, organisation_id=here.organisation_id))
    await here.tidy("work", "renditions")
    job = await here.job_of(asset_id)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await here.stub.CancelJob(api.CancelJobRequest(job_id=job.job_id))
    refusal = Refusal.from_rpc_error(error.value)
    assert (refusal.reason, refusal.metadata["state"]) == ("JOB_WRONG_STATE", "COMPLETED")


@pytest.mark.timeout(300)
async def test_odd_films_come_through_with_all_their_tracks(here: Transcoding) -> None:
    """Several languages, 5.1, subtitles, and a container that can only be entered through a copy with an index."""
    masters = {"surround": clips.surround(), "subtitled": clips.subtitled(), "stream": clips.plain(suffix="ts")}
    async with here.a_worker():
        uploads = {await here.upload(master): name for name, master in masters.items()}
        await here.bus.hears(announced.TranscodeCompleted, count=len(masters), within=200)
        await here.tidy("work")
    jobs = {uploads[event.asset_id]: event for event in here.bus.heard(announced.TranscodeCompleted)}
    sounds = [one for one in jobs["surround"].renditions if one.kind == transcode_pb2.TRACK_KIND_AUDIO]
    assert {(one.language, one.channels, one.title) for one in sounds} == {
        ("en", 2, ""),
        ("en", 6, ""),
        ("de", 2, "Kommentar"),
        ("fa", 2, ""),
    }
    texts = [one for one in jobs["subtitled"].renditions if one.kind == transcode_pb2.TRACK_KIND_TEXT]
    assert {(one.language, one.forced) for one in texts} == {("en", False), ("de", True)}
    assert all((here.objects / one.object_key).read_text().startswith("WEBVTT") for one in texts)
    assert {one.kind for one in jobs["stream"].renditions} >= {
        transcode_pb2.TRACK_KIND_VIDEO,
        transcode_pb2.TRACK_KIND_AUDIO,
    }
    probed = {uploads[event.asset_id]: event for event in here.bus.heard(announced.MasterProbed)}
    assert probed["stream"].container == "mpegts"


def _encoders(pid: int | None = None) -> list[psutil.Process]:
    """Those that a process has started, this one unless another is named."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if "ffmpeg" in process.name():
                found.append(process)
    return found


async def _at_work(pid: int | None = None) -> list[psutil.Process]:
    """Waits until it has some, and returns them."""
    async with asyncio.timeout(30):
        while not (found := _encoders(pid)):
            await asyncio.sleep(0.02)
    return found
