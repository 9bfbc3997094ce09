"""Files that mean harm: a typed error, nothing left behind, no outgoing connection, and workers that go on."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reelmesh.assets.v1 import assets_pb2

from services.kit.errors import Refusal
from tests.support import clips
from tests.support.counted_films import film
from tests.support.leaks import files_below
from tests.support.mesh import Mesh
from tools.reelmesh_sdk import AssetFailed


class Listener:
    """A server that counts who connects."""

    def __init__(self) -> None:
        self.visitors = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _listen(self) -> None:
        while self._open:
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            self.visitors += 1
            connection.close()

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    yield running
    running.close()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("film.mp4", b"x" * 1000)
    return out.getvalue()


def playlist(url: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n".encode()


HOSTILE: dict[str, tuple[Callable[[str], bytes], set[str]]] = {
    "truncated": (
        lambda url: film(seconds=2, height=144).read_bytes()[:5000],
        {"MASTER_TRUNCATED", "MASTER_UNDECODABLE"},
    ),
    "zip": (lambda url: zipped(), {"MASTER_NOT_MEDIA"}),
    "html": (lambda url: b"<!doctype html><title>hello</title>" + b" " * 500, {"MASTER_NOT_MEDIA"}),
    "playlist of a local file": (lambda url: playlist("file:///etc/passwd"), {"MASTER_PLAYLIST"}),
    "playlist of a URL": (lambda url: playlist(f"{url}/segment.ts"), {"MASTER_PLAYLIST"}),
    "concat script": (lambda url: b"ffconcat version 1.0\nfile /etc/passwd\n", {"MASTER_PLAYLIST", "MASTER_NOT_MEDIA"}),
    "DASH manifest": (
        lambda url: (
            f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}/</BaseURL></MPD>'.encode()
        ),
        {"MASTER_PLAYLIST", "MASTER_NOT_MEDIA"},
    ),
    "absurd dimensions": (lambda url: clips.huge_picture(30_000, 30_000).read_bytes(), {"MASTER_DIMENSIONS"}),
    "10,000 streams in MP4": (lambda url: clips.many_tracks_mp4(10_000).read_bytes(), {"MASTER_TOO_MANY_STREAMS"}),
    "10,000 streams in Matroska": (
        lambda url: clips.many_tracks_matroska(10_000).read_bytes(),
        {"MASTER_TOO_MANY_STREAMS"},
    ),
    "sound without a picture": (lambda url: clips.sound_only().read_bytes(), {"MASTER_NO_VIDEO"}),
    "noise": (lambda url: bytes(range(256)) * 40, {"MASTER_NOT_MEDIA"}),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
async def test_a_hostile_master_is_refused_with_a_reason(
    fragile_mesh: Mesh, tmp_path: Path, listener: Listener, kind: str
) -> None:
    make, reasons = HOSTILE[kind]
    disguised = tmp_path / "film.mp4"
    disguised.write_bytes(make(listener.url))
    async with fragile_mesh.client() as client:
        upload = await client.upload_file(disguised, title=kind)
        with pytest.raises(AssetFailed) as caught:
            async with asyncio.timeout(120):
                await client.wait_for_asset(upload.asset_id)
    failure = caught.value.asset.failure
    assert failure.reason in reasons
    assert failure.stage == assets_pb2.STAGE_PROBE
    assert failure.message
    assert listener.visitors == 0
    await nothing_is_left(fragile_mesh)


async def nothing_is_left(mesh: Mesh) -> None:
    """Waits until no file lies where work is done and where uploads arrive."""
    async with asyncio.timeout(60):
        while any(any(files_below(mesh.data / "objects" / name)) for name in ("work", "staging")):
            await asyncio.sleep(0.05)


async def test_bytes_that_do_not_fit_are_refused_at_the_edge_of_the_mesh(fragile_mesh: Mesh) -> None:
    async with fragile_mesh.http() as http:

        async def reason(method: str, path: str, **options: Any) -> str:
            answer = await http.request(method, path, **options)
            found: str = answer.json()["details"][0]["reason"]
            return found

        created = {"request_id": "hostile-bytes-1", "filename": "film.mp4"}
        too_large = {**created, "size_bytes": str(10**15)}
        assert await reason("POST", "/v1/uploads", json=too_large) == "FILE_TOO_LARGE"
        assert await reason("POST", "/v1/uploads", json={**created, "size_bytes": "-1"}) == "REQUEST_INVALID"
        upload = (await http.post("/v1/uploads", json={**created, "size_bytes": "10"})).json()["upload"]
        content = f"/v1/uploads/{upload['upload_id']}/content"
        assert await reason("PUT", content, params={"offset": 3}, content=b"x") == "OFFSET_MISMATCH"
        assert await reason("PUT", content, params={"offset": 0}, content=b"x" * 11) == "BEYOND_SIZE"
        complete = f"/v1/uploads/{upload['upload_id']}:complete"
        assert await reason("POST", complete, json={"sha256": "0" * 64}) == "FILE_CORRUPT"
        assert (await http.delete(f"/v1/uploads/{upload['upload_id']}")).status_code == 200
    await nothing_is_left(fragile_mesh)


async def test_an_empty_file_is_refused_before_anything_is_sent(fragile_mesh: Mesh, tmp_path: Path) -> None:
    empty = tmp_path / "film.mp4"
    empty.touch()
    async with fragile_mesh.client() as client:
        with pytest.raises(Refusal) as caught:
            await client.upload_file(empty)
    assert caught.value.reason == "REQUEST_INVALID"
    assert "size_bytes" in caught.value.message


async def test_the_workers_go_on_after_all_that(fragile_mesh: Mesh, tmp_path: Path) -> None:
    restarts = fragile_mesh.installation.process("transcode-worker").restarts
    good = tmp_path / "good.mp4"
    good.write_bytes(film(seconds=2, height=144).read_bytes())
    async with fragile_mesh.client() as client:
        upload = await client.upload_file(good, title="Still good")
        async with asyncio.timeout(150):
            await client.wait_for_asset(upload.asset_id)
    assert fragile_mesh.installation.process("transcode-worker").restarts == restarts
