"""Upload: one file of 1 GiB of noise, by gRPC and by tus through the whole mesh, beside nginx's PUT and the official tus server.

What is compared are servers, and a client that is busy itself would take a good part of two cores away from them. So files are sent by
curl, and by gRPC as messages that were made before and that h2load, a client in C, sends as they are. How fast our own client library is, which reads, sums and hashes the file as it
goes, is recorded beside.

All servers write to a RAM disk where there is one with room. Ours makes bytes durable before it counts them and the peers leave that to
the kernel; on a disk of 100 MB/s one would measure just that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

import google_crc32c
import httpx
import psutil
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2

from services.kit.ids import new_id
from services.kit.memory import keep_freed_memory
from tests.bench import upload_peers
from tests.bench.harness import SCRATCH, Measurement, median, take_turns
from tests.support.mesh import Mesh, running_mesh

MIB: Final = 1024 * 1024
SIZE: Final = 1024 * MIB
ROUNDS: Final = 5
_TUS: Final = {"tus-resumable": "1.0.0"}
_SERVING: Final = ("upload", "envoy")

_RAM_DISK: Final = Path("/dev/shm")
_NEEDED_BYTES: Final = 8 * SIZE

Lane = Callable[[], Awaitable[float]]


async def measure() -> list[Measurement]:
    """Takes about four minutes on two cores."""
    keep_freed_memory()
    with _workplace() as folder:
        film = await asyncio.to_thread(_noise, folder)
        objects = folder / "objects"
        with running_mesh(
            REELMESH_STORAGE_URL=f"file://{objects}", REELMESH_UPLOAD_STAGING_DIR=f"{objects}/staging"
        ) as mesh:
            async with _peers(folder, film) as peers, _Ours(mesh, film, objects) as ours:
                lanes = {**peers, "grpc": ours.grpc, "tus": ours.tus, "sdk": ours.sdk}
                await take_turns(lanes, 1)  # warms files, connections and memory up
                before = _memory(mesh)
                seen = await take_turns({name: partial(_settled, lane) for name, lane in lanes.items()}, ROUNDS)
                growth = _memory(mesh) - before
        speeds = {name: median(SIZE / 1e6 / seconds for seconds in taken) for name, taken in seen.items()}
        return _measurements(speeds, growth, "RAM disk" if folder.is_relative_to(_RAM_DISK) else "disk")


@contextlib.contextmanager
def _workplace() -> Iterator[Path]:
    """A folder for everything: on a RAM disk with room for it, else on disk."""
    SCRATCH.mkdir(exist_ok=True)
    ram = _RAM_DISK.is_dir() and shutil.disk_usage(_RAM_DISK).free > _NEEDED_BYTES
    with tempfile.TemporaryDirectory(prefix="reelmesh-uploads-", dir=_RAM_DISK if ram else SCRATCH) as folder:
        yield Path(folder)


def _measurements(speeds: dict[str, float], growth: int, place: str) -> list[Measurement]:
    note = "; ".join(f"{name} {speed:.0f} MB/s" for name, speed in speeds.items())
    node = f"@tus/server {upload_peers.version_of('@tus/server')}"
    rounds = f"1 GiB through Envoy to {place}, committed, median of {ROUNDS} alternating rounds"
    return [
        Measurement(
            "upload.grpc_vs_nginx", speeds["grpc"] / speeds["nginx"], "ratio", "nginx PUT", f"{rounds}; {note}"
        ),
        Measurement(
            "upload.grpc_vs_nginx_behind_envoy",
            speeds["grpc"] / speeds["nginx behind Envoy"],
            "ratio",
            "nginx PUT behind a plain Envoy",
            rounds,
        ),
        Measurement("upload.grpc_vs_node_tus", speeds["grpc"] / speeds["node"], "ratio", node, rounds),
        Measurement("upload.tus_vs_node_tus", speeds["tus"] / speeds["node"], "ratio", f"{node}, bare", rounds),
        Measurement(
            "upload.tus_vs_node_tus_behind_envoy",
            speeds["tus"] / speeds["node behind Envoy"],
            "ratio",
            f"{node} behind a plain Envoy",
            rounds,
        ),
        Measurement("upload.grpc_mb_per_s", speeds["grpc"], "MB/s", "", rounds),
        Measurement("upload.tus_mb_per_s", speeds["tus"], "MB/s", "", rounds),
        Measurement("upload.sdk_mb_per_s", speeds["sdk"], "MB/s", "", f"{rounds}, by the Python client library"),
        Measurement(
            "upload.memory_growth_mib",
            growth / MIB,
            "MiB",
            "",
            f"resident memory of {', '.join(_SERVING)} after {3 * ROUNDS + 3} GiB, beyond that after the first 3 GiB",
        ),
    ]


@contextlib.asynccontextmanager
async def _peers(folder: Path, film: Path) -> AsyncIterator[dict[str, Lane]]:
    async with contextlib.AsyncExitStack() as stack:
        put = await stack.enter_async_context(upload_peers.nginx(folder / "nginx"))
        node = await stack.enter_async_context(upload_peers.node_tus(folder / "node"))
        envoy = await stack.enter_async_context(upload_peers.plain_envoy(folder / "envoy", node))
        put_envoy = await stack.enter_async_context(upload_peers.plain_envoy(folder / "envoy-put", put))

        async def by_nginx(edge: str | None = None) -> float:
            _emptied(folder / "nginx/put")
            return await _timed(_curl("-T", str(film), put if edge is None else f"{edge}/film.mp4"))

        async def by_node(edge: str | None = None) -> float:
            _emptied(folder / "node")
            endpoint = node if edge is None else f"{edge}/node"
            return await _timed(_by_tus(endpoint, film, {}))

        yield {
            "nginx": by_nginx,
            "nginx behind Envoy": partial(by_nginx, put_envoy),
            "node": by_node,
            "node behind Envoy": partial(by_node, envoy),
        }


@dataclass
class _Ours:
    """The ways into the mesh."""

    mesh: Mesh
    film: Path
    objects: Path

    async def __aenter__(self) -> Self:
        self._client = await self.mesh.client().__aenter__()
        self._messages = await asyncio.to_thread(_messages, self.film)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__(None, None, None)

    async def grpc(self) -> float:
        """CreateUpload, WriteUpload, CompleteUpload."""
        self._forget()
        return await _timed(self._by_grpc())

    async def tus(self) -> float:
        """POST and PATCH."""
        self._forget()
        return await _timed(_by_tus(f"{self.mesh.url}/files/", self.film, {"authorization": f"Bearer {self.mesh.key}"}))

    async def sdk(self) -> float:
        """The client library, which reads, hashes and sums the file as well."""
        self._forget()
        os.utime(self.film)  # or it would find the upload of the round before, finished
        return await _timed(self._client.upload_file(self.film))

    def _forget(self) -> None:
        """Removes the master of the round before, which has the same name and would be kept in place of the new one."""
        masters = self.objects / "masters"
        if masters.is_dir():
            _emptied(masters)

    async def _by_grpc(self) -> None:
        metadata = self._client.metadata
        request = upload_service_pb2.CreateUploadRequest(request_id=new_id("req"), filename="film.mp4", size_bytes=SIZE)
        upload = (await self._client.uploads.CreateUpload(request, metadata=metadata)).upload
        with self._messages.open("r+b") as file:
            file.write(_framed(_first(upload.upload_id)))
        await _h2load(f"{self.mesh.url}/reelmesh.upload.v1.UploadService/WriteUpload", self._messages, metadata)
        done = upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id)
        upload = (await self._client.uploads.CompleteUpload(done, metadata=metadata, timeout=60)).upload
        if upload.state != upload_pb2.UPLOAD_STATE_COMMITTED:
            raise AssertionError(upload)


async def _by_tus(endpoint: str, film: Path, fields: dict[str, str]) -> None:
    """What tus-js-client does: POST, then everything in one PATCH."""
    async with httpx.AsyncClient(trust_env=False) as http:
        created = await http.post(endpoint, headers={**_TUS, **fields, "upload-length": str(SIZE)})
        created.raise_for_status()
    url = str(httpx.URL(endpoint).join(created.headers["location"]))
    sent = {**_TUS, **fields, "upload-offset": "0", "content-type": "application/offset+octet-stream"}
    words = [word for name, value in sent.items() for word in ("-H", f"{name}: {value}")]
    await _curl("-X", "PATCH", "-T", str(film), *words, url)


async def _curl(*words: str) -> None:
    # Secrets of this mesh, which lives for minutes, may be seen in the process table.
    always = ("--silent", "--show-error", "--fail", "--output", "/dev/null", "-H", "Expect:")
    child = await asyncio.create_subprocess_exec("curl", *always, *words)
    if await child.wait() != 0:
        raise AssertionError(f"curl failed on {words[-1]}")


async def _h2load(url: str, messages: Path, metadata: Iterable[tuple[str, str]]) -> None:
    """One gRPC call. What came of it is seen when the upload is completed: grpc-status is not among what h2load tells."""
    program = shutil.which("h2load")
    if program is None:
        raise upload_peers.PeerMissing("h2load is missing: apt-get install --no-install-recommends nghttp2-client")
    fields = {"content-type": "application/grpc", "te": "trailers", **dict(metadata)}
    words = [word for name, value in fields.items() for word in ("-H", f"{name}: {value}")]
    child = await asyncio.create_subprocess_exec(
        program, "--requests=1", "--clients=1", f"--data={messages}", *words, url, stdout=asyncio.subprocess.DEVNULL
    )
    if await child.wait() != 0:
        raise AssertionError("h2load failed")


async def _timed(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def _settled(lane: Lane) -> float:
    """A lane that does not pay for what the one before left to be written to disk."""
    await asyncio.to_thread(os.sync)
    return await lane()


def _noise(folder: Path) -> Path:
    film = folder / "noise.mp4"
    with film.open("wb") as file:
        for _ in range(SIZE // MIB):
            file.write(os.urandom(MIB))
    return film


def _messages(film: Path) -> Path:
    """The body of a call of WriteUpload: a first message that names the upload, then the file, a MiB in each message."""
    target = film.with_suffix(".messages")
    with film.open("rb") as file, target.open("wb") as messages:
        messages.write(_framed(_first(new_id("upl"))))
        while data := file.read(MIB):
            request = upload_service_pb2.WriteUploadRequest(crc32c=google_crc32c.value(data))
            request.chunk.data = data
            messages.write(_framed(request))
    return target


def _first(upload_id: str) -> upload_service_pb2.WriteUploadRequest:
    return upload_service_pb2.WriteUploadRequest(upload_id=upload_id, offset=0)


def _framed(request: upload_service_pb2.WriteUploadRequest) -> bytes:
    """A message as gRPC sends it: not compressed, then its length."""
    message = request.SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


def _emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _memory(mesh: Mesh) -> int:
    return sum(psutil.Process(mesh.installation.pid(name)).memory_info().rss for name in _SERVING)
