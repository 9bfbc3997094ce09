"""Large bodies pass through the edge without staying in it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from tests.envoy.edge import FRIENDLY_ORIGIN, MEMORY_OF_ONE_STREAM, Edge, Growth
from tests.envoy.parts import FULL_UPLOAD, UPLOAD

MIB = 1024 * 1024
CONTENT = f"/v1/uploads/{UPLOAD}/content"


async def body(mib: int) -> AsyncIterator[bytes]:
    """So many MiB, a MiB at a time."""
    for number in range(mib):
        yield bytes([number % 256]) * MIB


async def test_a_body_by_rest_becomes_a_stream_of_messages(edge: Edge) -> None:
    """The first message names the upload and the offset; each is at most 1 MiB, far below what a gRPC server takes."""
    sha256 = hashlib.sha256()
    async for part in body(64):
        sha256.update(part)
    async with Growth(edge) as growth:
        answer = await edge.http.put(
            CONTENT, params={"offset": "7"}, content=body(64), headers={"content-type": "video/mp4"}, timeout=60
        )
    uploads = edge.parts.uploads
    assert answer.status_code == 200, answer.text
    assert (answer.json()["upload"]["received_bytes"], answer.json()["upload"]["sha256"]) == (
        str(64 * MIB),
        sha256.hexdigest(),
    )
    assert (uploads.first.upload_id, uploads.first.offset, uploads.first.chunk.content_type) == (UPLOAD, 7, "video/mp4")
    assert max(uploads.sizes) <= MIB
    assert growth.bytes < MEMORY_OF_ONE_STREAM


async def test_a_slow_service_slows_the_uploader_down(edge: Edge) -> None:
    """Nothing piles up in the edge while the service takes nothing."""
    edge.parts.uploads.open.clear()
    given = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal given
        async for part in body(64):
            given += len(part)
            yield part

    async with Growth(edge) as growth:
        upload = asyncio.create_task(edge.http.put(CONTENT, content=counted(), timeout=60))
        await asyncio.sleep(1)
        assert given < MEMORY_OF_ONE_STREAM
        edge.parts.uploads.open.set()
        assert (await upload).json()["upload"]["received_bytes"] == str(64 * MIB)
    assert growth.bytes < MEMORY_OF_ONE_STREAM


async def test_an_empty_body_by_rest_is_one_message_without_bytes(edge: Edge) -> None:
    answer = await edge.http.put(CONTENT, content=b"")
    assert (answer.status_code, edge.parts.uploads.sizes, edge.parts.uploads.first.upload_id) == (200, [0], UPLOAD)


async def test_an_upload_that_is_refused_on_its_way_says_why(edge: Edge) -> None:
    answer = await edge.raw(
        f"PUT /v1/uploads/{FULL_UPLOAD}/content HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n".encode()
        + b"x" * 1000
    )
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400"), answer
    assert b"BEYOND_SIZE" in content


async def test_a_body_by_tus_is_streamed_to_the_gateway(edge: Edge) -> None:
    headers = {"tus-resumable": "1.0.0", "upload-offset": "0", "content-type": "application/offset+octet-stream"}
    async with Growth(edge) as growth:
        answer = await edge.http.patch(f"/files/{UPLOAD}", content=body(64), headers=headers, timeout=60)
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(64 * MIB))
    assert growth.bytes < MEMORY_OF_ONE_STREAM


async def test_a_slow_gateway_slows_the_uploader_down(edge: Edge) -> None:
    edge.parts.tus.open.clear()
    async with Growth(edge) as growth:
        upload = asyncio.create_task(edge.http.patch(f"/files/{UPLOAD}", content=body(64), timeout=60))
        await asyncio.sleep(1)
        edge.parts.tus.open.set()
        assert (await upload).headers["upload-offset"] == str(64 * MIB)
    assert growth.bytes < MEMORY_OF_ONE_STREAM


async def test_a_gateway_sees_who_uploads_and_not_what_the_client_claims(edge: Edge) -> None:
    headers = {
        "authorization": "Bearer rmk_x",
        "x-forwarded-for": "10.0.0.1",
        "x-envoy-original-path": "/p/x",
        "x-reelmesh-organisation": "org",
    }
    await edge.http.post("/files/", headers=headers)
    seen = edge.parts.tus.headers
    assert seen["authorization"] == "Bearer rmk_x"
    assert not {"x-envoy-original-path", "x-reelmesh-organisation"} & set(seen)
    # What the client claims stands first; the last entry is the edge's own observation (of a client on loopback: this machine).
    assert seen["x-forwarded-for"].startswith("10.0.0.1,")
    assert seen["x-forwarded-proto"] == "http"


@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD", "DELETE"])
async def test_pages_of_a_friendly_origin_may_upload(edge: Edge, method: str) -> None:
    asked = {
        "origin": FRIENDLY_ORIGIN,
        "access-control-request-method": method,
        "access-control-request-headers": "tus-resumable,upload-length",
    }
    preflight = await edge.http.options("/files/", headers=asked)
    assert preflight.headers["access-control-allow-origin"] == FRIENDLY_ORIGIN
    assert method in preflight.headers["access-control-allow-methods"]
    assert "upload-length" in preflight.headers["access-control-allow-headers"]
    answer = await edge.http.post("/files/", headers={"origin": FRIENDLY_ORIGIN})
    assert {"location", "upload-offset", "tus-resumable"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )


async def test_what_the_gateway_can_do_is_asked_of_the_gateway(edge: Edge) -> None:
    """An OPTIONS request of tus itself is no preflight."""
    assert (await edge.http.options("/files/")).headers["tus-resumable"] == "1.0.0"
