"""What happens to a tus upload when something breaks."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from google.api.httpbody_pb2 import HttpBody
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2

from services.kit.settings import ProcessSettings
from tests.support.stores import Stores, mortal_stores, without_environment
from tests.support.tus import MIB, TusClient, tus_client, upload_service

pytestmark = pytest.mark.timeout(240)

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
async def tus(mesh: ProcessSettings) -> AsyncIterator[TusClient]:
    async with upload_service(mesh, tus_most_bodies=2), tus_client(mesh) as client:
        yield client


@pytest.fixture
def stores() -> Iterator[Stores]:
    without_environment()
    with mortal_stores() as found:
        yield found


@contextlib.contextmanager
def process(module: str, settings: ProcessSettings, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the mesh as it really runs, to be killed."""
    names = ("data_dir", "run_dir", "secrets_dir", "database_host", "nats_url", "nats_token_file")
    environment = {f"REELMESH_{name.upper()}": str(getattr(settings, name)) for name in names}
    environment |= {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/gen/python", "PATH": os.environ["PATH"], **more}
    running = subprocess.Popen(
        [sys.executable, "-m", module], env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of an answer on a raw connection."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    status = int(head.split()[1])
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    return status, await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def taken(writer: asyncio.StreamWriter) -> None:
    """Waits until the other end has taken from the socket what was written to it."""
    descriptor = writer.get_extra_info("socket").fileno()
    while struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))) != (0,):
        await asyncio.sleep(0.02)


async def offset_reaches(tus: TusClient, path: str, least: int) -> int:
    give_up = time.monotonic() + 30
    while (offset := (await tus.upload(path)).received_bytes) < least:
        assert time.monotonic() < give_up, f"only {offset} of {least} bytes arrived"
        await asyncio.sleep(0.02)
    return offset


async def test_what_arrived_before_the_client_vanished_is_kept(tus: TusClient) -> None:
    data = os.urandom(8 * MIB)
    path = await tus.created(len(data))
    _, writer = await tus.begin(path, 0, len(data), data[: 5 * MIB])
    await offset_reaches(tus, path, 2 * MIB)
    writer.transport.abort()
    offset = await offset_reaches(tus, path, 4 * MIB)
    assert offset <= 5 * MIB
    offset = await tus.offset(path)
    assert (await tus.append(path, offset, data[offset:])).status_code == 204
    assert tus.master(hashlib.sha256(data).hexdigest()) == data


async def test_who_asks_for_the_offset_is_told_what_the_stalled_connection_brought(tus: TusClient) -> None:
    """The old connection is still open and looks alive: the network in between lost it."""
    data = os.urandom(3 * MIB)
    path = await tus.created(len(data))
    reader, writer = await tus.begin(path, 0, len(data), data[: MIB + 1000])
    await tus.written(path, MIB)
    await asyncio.sleep(0.3)  # the last thousand bytes wait in the door for more
    assert await tus.offset(path) == MIB + 1000
    status, body = await answered(reader)
    assert status == 400
    assert b"SUPERSEDED" in body
    assert (await tus.append(path, MIB + 1000, data[MIB + 1000 :])).status_code == 204
    assert tus.master(hashlib.sha256(data).hexdigest()) == data
    writer.close()


async def test_nobody_else_can_end_a_running_upload(tus: TusClient, other_organisation_key: str) -> None:
    path = await tus.created(2 * MIB)
    reader, writer = await tus.begin(path, 0, 2 * MIB, bytes(MIB))
    await asyncio.sleep(0.2)
    stranger = {**tus.fields(), "authorization": f"Bearer {other_organisation_key}"}
    assert (await tus.http.head(path, headers=stranger)).status_code == 404
    writer.write(bytes(MIB))
    assert (await answered(reader))[0] == 204
    writer.close()


async def test_an_offset_is_judged_before_the_body_has_come(tus: TusClient) -> None:
    path = await tus.created(2 * MIB)
    reader, writer = await tus.begin(path, 5, MIB, b"")
    status, body = await answered(reader)
    assert status == 409
    assert b"OFFSET_MISMATCH" in body
    writer.close()


async def test_a_refused_body_is_read_away_so_that_the_connection_goes_on(tus: TusClient) -> None:
    path = await tus.created(4 * MIB)
    reader, writer = await tus.begin(path, 5, 2 * MIB, b"x")
    assert (await answered(reader))[0] == 409
    writer.write(bytes(2 * MIB - 1))
    writer.write(
        f"HEAD {path} HTTP/1.1\r\nhost: edge\r\ntus-resumable: 1.0.0\r\nauthorization: Bearer {tus.key}\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert b" 200 " in head
    writer.close()


async def test_a_file_whose_last_writer_died_is_completed_by_who_asks_for_it(tus: TusClient) -> None:
    """A client that is told that all bytes are there never sends anything again."""
    path = await tus.created(1000)
    chunk = HttpBody(data=bytes(1000))
    await tus.uploads.WriteUpload(
        iter([upload_service_pb2.WriteUploadRequest(upload_id=path.rpartition("/")[2], offset=0, chunk=chunk)])
    )
    assert (await tus.upload(path)).state == upload_pb2.UPLOAD_STATE_RECEIVING
    assert await tus.offset(path) == 1000
    assert (await tus.upload(path)).state == upload_pb2.UPLOAD_STATE_COMMITTED


async def test_more_bodies_than_there_is_memory_for_are_turned_away(tus: TusClient) -> None:
    running = []
    for _ in range(2):
        path = await tus.created(100)
        running.append(await tus.begin(path, 0, 100, b"x"))
    for _, writer in running:
        await taken(writer)
    await asyncio.sleep(0.2)
    path = await tus.created(100)
    answer = await tus.append(path, 0, bytes(100))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    for reader, writer in running:
        writer.write(bytes(99))
        assert (await answered(reader))[0] == 204
        writer.close()
    assert (await tus.append(path, 0, bytes(100))).status_code == 204


async def test_a_killed_upload_service_costs_the_client_only_a_resumption(mesh: ProcessSettings) -> None:
    data = os.urandom(24 * MIB)
    async with tus_client(mesh) as tus:
        with process("services.upload", mesh, REELMESH_UPLOAD_CHECKPOINT_BYTES=str(MIB)) as service:
            await listening(tus.socket)
            path = await tus.created(len(data))
            reader, writer = await tus.begin(path, 0, len(data), data[: 12 * MIB])
            await offset_reaches(tus, path, 8 * MIB)
            service.kill()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await answered(reader)
            writer.close()
        with process("services.upload", mesh):
            await listening(tus.socket)
            offset = await tus.offset(path)
            assert 8 * MIB <= offset <= 12 * MIB
            assert (await tus.append(path, offset, data[offset:])).status_code == 204
            assert tus.master(hashlib.sha256(data).hexdigest()) == data


async def test_a_database_that_is_gone_is_a_reason_to_try_again(stores: Stores) -> None:
    data = os.urandom(3 * MIB)
    async with upload_service(stores.settings), tus_client(stores.settings) as tus:
        path = await tus.created(len(data))
        reader, writer = await tus.begin(path, 0, len(data), data[: MIB + 1])
        await tus.written(path, MIB)
        await taken(writer)
        stores.kill("postgres")
        writer.write(data[MIB + 1 :])
        status, body = await answered(reader)
        writer.close()
        assert (status, b"UNAVAILABLE" in body) == (503, True), body
        stores.start("postgres")
        offset = await offset_when_told(tus, path)
        assert (await tus.append(path, offset, data[offset:])).status_code == 204
        assert tus.master(hashlib.sha256(data).hexdigest()) == data


async def test_a_service_that_is_told_to_stop_ends_bodies_in_good_order(mesh: ProcessSettings) -> None:
    """What arrived is counted, the client is told to come back, and the process ends without waiting for the rest of the body."""
    data = os.urandom(8 * MIB)
    async with tus_client(mesh) as tus:
        with process("services.upload", mesh) as running:
            await listening(tus.socket)
            path = await tus.created(len(data))
            reader, writer = await tus.begin(path, 0, len(data), data[: 5 * MIB + 3])
            await tus.written(path, 4 * MIB)
            await taken(writer)
            await asyncio.sleep(0.5)
            running.terminate()
            status, body = await answered(reader)
            assert status == 503
            assert b"DRAINING" in body
            writer.close()
            assert await asyncio.to_thread(running.wait, 60) == 0
        async with upload_service(mesh):
            assert await tus.offset(path) == 5 * MIB + 3


async def test_a_stream_by_grpc_takes_an_upload_over_from_one_by_tus(tus: TusClient) -> None:
    path = await tus.created(2 * MIB)
    reader, writer = await tus.begin(path, 0, 2 * MIB, bytes(MIB))
    await tus.written(path, MIB)
    request = upload_service_pb2.WriteUploadRequest(
        upload_id=path.rpartition("/")[2], offset=MIB, chunk=HttpBody(data=bytes(MIB))
    )
    answer = await tus.uploads.WriteUpload(iter([request]))
    assert answer.upload.received_bytes == 2 * MIB
    status, body = await answered(reader)
    assert status == 423
    assert b"WRITER_BUSY" in body
    writer.close()


async def test_memory_does_not_grow_with_the_file(mesh: ProcessSettings) -> None:
    with process("services.upload", mesh) as running:
        sizes = []
        async with tus_client(mesh) as client:
            await listening(client.socket)
            for mebibytes in (32, 256):
                path = await client.created(mebibytes * MIB)
                assert (await client.append(path, 0, zeros(mebibytes))).status_code == 204
                sizes.append(psutil.Process(running.pid).memory_info().rss)
    assert sizes[1] - sizes[0] < 16 * MIB, sizes


async def zeros(mebibytes: int) -> AsyncIterator[bytes]:
    for _ in range(mebibytes):
        yield bytes(MIB)


async def listening(socket: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(str(socket))
        except OSError:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def offset_when_told(tus: TusClient, path: str) -> int:
    give_up = time.monotonic() + 60
    while (answer := await tus.head(path)).status_code == 503 and time.monotonic() < give_up:
        await asyncio.sleep(0.1)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])
