"""Stopping: what is under way may end; what does not end in time is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from services.kit.ids import new_id
from tests.support.mesh import Mesh, running_mesh


@pytest.fixture
def stopping_mesh() -> Iterator[Mesh]:
    """A mesh that the test itself stops."""
    with running_mesh() as mesh:
        yield mesh


async def stopping(mesh: Mesh) -> asyncio.Task[subprocess.CompletedProcess[str]]:
    """Says `reelmesh down`, and returns once the edge takes nobody in any more."""
    down = asyncio.create_task(asyncio.to_thread(mesh.installation.run, "down"))
    async with asyncio.timeout(60):
        with contextlib.suppress(httpx.TransportError):
            while True:
                async with httpx.AsyncClient(trust_env=False, timeout=60) as late:
                    await late.get(f"{mesh.url}/readyz")
                await asyncio.sleep(0.02)
    return down


async def test_a_request_that_is_under_way_ends_before_the_edge_does(stopping_mesh: Mesh) -> None:
    data = os.urandom(200_000)
    async with stopping_mesh.http() as http:
        body = {"request_id": new_id("req"), "filename": "film.mp4", "size_bytes": str(len(data))}
        upload_id = (await http.post("/v1/uploads", json=body)).json()["upload"]["upload_id"]
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield data[:100_000]
            begun.set()
            await go_on.wait()
            yield data[100_000:]

        fields = {"content-type": "application/octet-stream"}
        writing = asyncio.ensure_future(http.put(f"/v1/uploads/{upload_id}/content", content=slowly(), headers=fields))
        await begun.wait()
        await asyncio.sleep(0.3)
        down = await stopping(stopping_mesh)
        assert stopping_mesh.installation.process("envoy").state == "stopping"
        await asyncio.sleep(1)
        go_on.set()
        answer = await writing
        assert answer.status_code == 200, answer.text
        assert answer.json()["upload"]["received_bytes"] == str(len(data))
    await down


async def test_a_request_that_does_not_end_is_cut_off(stopping_mesh: Mesh) -> None:
    async with stopping_mesh.http() as http:
        body = {"request_id": new_id("req"), "filename": "film.mp4", "size_bytes": "1000"}
        upload = (await http.post("/v1/uploads", json=body)).json()["upload"]

        watching = f"/v1/assets/{upload['asset_id']}:watch?wait_for_commit=true"

        async def watch() -> None:
            async with http.stream("GET", watching) as stream:
                async for _ in stream.aiter_bytes():
                    pass

        endless = asyncio.create_task(watch())
        await asyncio.wait([endless], timeout=0.5)
        assert not endless.done()
        down = await stopping(stopping_mesh)
        assert not endless.done()
        await down
        await asyncio.wait([endless], timeout=60)
        assert isinstance(endless.exception(), httpx.TransportError)
    assert stopping_mesh.installation.living() == []
