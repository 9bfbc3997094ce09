"""Stopping: what is under way may end; what does not end in time is cut off. The last that is done to the mesh that was hurt: it is down then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator

import httpx

from services.kit.ids import new_id
from tests.support.mesh import Mesh


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


async def begun_upload(http: httpx.AsyncClient, size: int) -> dict[str, str]:
    """An upload of so many bytes, of which none is there yet."""
    body = {"request_id": new_id("req"), "filename": "film.mp4", "size_bytes": str(size)}
    upload: dict[str, str] = (await http.post("/v1/uploads", json=body)).json()["upload"]
    return upload


async def test_a_request_under_way_ends_before_the_edge_does_and_one_that_does_not_end_is_cut_off(
    fragile_mesh: Mesh,
) -> None:
    data = os.urandom(200_000)
    async with fragile_mesh.http() as http:
        upload = await begun_upload(http, len(data))
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield data[:100_000]
            begun.set()
            await go_on.wait()
            yield data[100_000:]

        async def watch() -> None:
            watching = f"/v1/assets/{upload['asset_id']}:watch?wait_for_commit=true"
            async with http.stream("GET", watching, timeout=None) as stream:  # nothing comes of it
                async for _ in stream.aiter_bytes():
                    pass

        fields = {"content-type": "application/octet-stream"}
        path = f"/v1/uploads/{upload['upload_id']}/content"
        writing = asyncio.ensure_future(http.put(path, content=slowly(), headers=fields))
        endless = asyncio.create_task(watch())
        await begun.wait()
        await asyncio.wait([endless], timeout=0.5)
        assert not endless.done()
        down = await stopping(fragile_mesh)
        assert fragile_mesh.installation.process("envoy").state == "stopping"
        await asyncio.sleep(1)
        go_on.set()
        answer = await writing
        assert answer.status_code == 200, answer.text
        assert answer.json()["upload"]["received_bytes"] == str(len(data))
        assert not endless.done()
        await down
        await asyncio.wait([endless], timeout=60)
        assert isinstance(endless.exception(), httpx.TransportError)
    assert fragile_mesh.installation.living() == []
