"""kill -9 is a normal event: the work finishes, nothing that was acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import collections
import hashlib
from pathlib import Path

import asyncpg
import httpx
import pytest
from reelmesh.assets.v1 import assets_pb2
from reelmesh.packaging.v1 import events_pb2 as packaging_events
from reelmesh.transcode.v1 import events_pb2 as transcode_events

from services.kit import events
from services.kit.settings import ProcessSettings
from tests.support.counted_films import film, large_file
from tests.support.mesh import Mesh
from tools.reelmesh_cli.supervisor import nats_server
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_sdk import Client


async def announced(mesh: Mesh, asset_id: str) -> collections.Counter[str]:
    """How often each final event of an asset stands in the stream of events."""
    layout = Layout.of(mesh.data)
    settings = ProcessSettings(
        nats_url=f"nats://{nats_server.HOST}:{(layout.nats / 'port').read_text().strip()}",
        nats_token_file=nats_server.token_file(layout),
    )
    bus = await events.connect(settings, "test")
    found: collections.Counter[str] = collections.Counter()
    try:
        for kind in (transcode_events.TranscodeCompleted, packaging_events.PackagePublished):
            subject = kind.DESCRIPTOR.full_name
            stream = await bus.jetstream().stream_info(events.EVENTS_STREAM, subjects_filter=subject)
            subscription = await bus.jetstream().subscribe(subject, ordered_consumer=True)
            for _ in range((stream.state.subjects or {}).get(subject, 0)):
                message = await subscription.next_msg(timeout=30)
                if kind.FromString(message.data).asset_id == asset_id:
                    found[kind.DESCRIPTOR.name] += 1
    finally:
        await bus.close()
    return found


async def stage_begun(client: Client, asset_id: str, stage: assets_pb2.Stage.ValueType) -> None:
    """Waits until a stage of an asset is under way."""
    async with asyncio.timeout(60):
        async for asset in client.watch_asset(asset_id):
            if any(one.stage == stage and one.state != assets_pb2.STAGE_STATE_PENDING for one in asset.stages):
                return


async def test_an_upload_goes_on_where_it_was_when_its_service_is_killed(fragile_mesh: Mesh, tmp_path: Path) -> None:
    source = large_file(64)
    killed: list[int] = []

    def kill_once(sent: int, total: int) -> None:
        if not killed and sent > total // 3:
            killed.append(fragile_mesh.installation.pid("upload"))
            fragile_mesh.kill("upload")

    async with fragile_mesh.client() as client:
        upload = await client.upload_file(source, title="Large", on_progress=kill_once)
    assert killed
    master = fragile_mesh.data / "objects/masters" / upload.sha256
    assert upload.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert hashlib.sha256(master.read_bytes()).hexdigest() == upload.sha256
    await fragile_mesh.repaired("upload", killed[0])


async def test_an_upload_goes_on_when_the_edge_is_killed(fragile_mesh: Mesh, tmp_path: Path) -> None:
    source = tmp_path / "other.bin"
    source.write_bytes(large_file(64).read_bytes()[::-1])
    killed: list[int] = []

    def kill_once(sent: int, total: int) -> None:
        if not killed and sent > total // 3:
            killed.append(fragile_mesh.installation.pid("envoy"))
            fragile_mesh.kill("envoy")

    async with fragile_mesh.client() as client:
        upload = await client.upload_file(source, on_progress=kill_once)
    assert killed
    assert upload.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    await fragile_mesh.repaired("envoy", killed[0])


@pytest.mark.parametrize(
    ("victim", "stage"),
    [
        ("transcode-worker", assets_pb2.STAGE_TRANSCODE),
        ("nats", assets_pb2.STAGE_TRANSCODE),
        ("postgres", assets_pb2.STAGE_TRANSCODE),
        ("transcode", assets_pb2.STAGE_PROBE),
        ("packaging-worker", assets_pb2.STAGE_PACKAGE),
        ("assets", assets_pb2.STAGE_PROBE),
    ],
)
async def test_the_work_finishes_once_whoever_is_killed_in_the_middle(
    fragile_mesh: Mesh, tmp_path: Path, victim: str, stage: assets_pb2.Stage.ValueType
) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(film(seconds=8, height=144).read_bytes())
    async with fragile_mesh.client() as client:
        upload = await client.upload_file(source, title=f"Survives the death of {victim}")
        await stage_begun(client, upload.asset_id, stage)
        pid = fragile_mesh.installation.pid(victim)
        fragile_mesh.kill(victim)
        async with asyncio.timeout(180):
            asset = await client.wait_for_asset(upload.asset_id)
        await fragile_mesh.repaired(victim, pid)
        playback = (await client.create_playback(upload.asset_id)).playback
    assert asset.state == assets_pb2.ASSET_STATE_READY
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(playback.dash_url)).status_code == 200
    assert await announced(fragile_mesh, upload.asset_id) == {"TranscodeCompleted": 1, "PackagePublished": 1}


async def test_what_was_acknowledged_is_there_after_everything_was_killed_at_once(
    fragile_mesh: Mesh, tmp_path: Path
) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(film(seconds=2, height=144).read_bytes())
    async with fragile_mesh.client() as client:
        upload = await client.upload_file(source, title="Acknowledged")
        everything = "upload assets transcode policy limits drm packaging nats postgres envoy"
        for process in everything.split():
            fragile_mesh.kill(process)
        async with asyncio.timeout(180):
            asset = await client.wait_for_asset(upload.asset_id)
    assert asset.title == "Acknowledged"
    assert await announced(fragile_mesh, upload.asset_id) == {"TranscodeCompleted": 1, "PackagePublished": 1}


async def test_no_task_was_done_twice(fragile_mesh: Mesh) -> None:
    """Runs last: looks back at everything that the tests above put the mesh through."""
    layout = Layout.of(fragile_mesh.data)
    connection = await asyncpg.connect(host=str(layout.postgres_socket), user="transcode", database="reelmesh")
    try:
        assert await connection.fetchval("SELECT count(*) FROM jobs") >= 1
        async with asyncio.timeout(30):
            while await connection.fetchval("SELECT count(*) FROM outbox"):
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
