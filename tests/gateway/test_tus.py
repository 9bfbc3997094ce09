"""tus 1.0 by raw HTTP, into the real upload service."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2

from gateway.tus.app import room_to_hold_back
from gateway.tus.refusals import http_status
from services.kit.clock import FixedClock, SystemClock
from services.kit.errors import Refusal
from services.kit.settings import ProcessSettings
from tests.support.tus import BODY_TYPE, LIMIT_BYTES, MIB, TusClient, metadata, tus_client, upload_service

MISSING = "/files/upl_01jd0000000000000000000000"


@pytest.fixture
async def clock() -> FixedClock:
    return FixedClock(SystemClock().now())


@pytest.fixture
async def tus(mesh: ProcessSettings, clock: FixedClock) -> AsyncIterator[TusClient]:
    async with upload_service(mesh, clock, tus_checksum_limit_bytes=16 * MIB), tus_client(mesh) as client:
        yield client


def reason(answer: httpx.Response) -> str:
    details = answer.json()["details"]
    return str(next(detail["reason"] for detail in details if detail["@type"].endswith("ErrorInfo")))


def sha1(body: bytes) -> str:
    return "sha1 " + b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()


async def test_a_client_can_ask_what_the_server_can_do(tus: TusClient) -> None:
    answer = await tus.http.options("/files/")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-max-size"] == str(LIMIT_BYTES)
    assert answer.headers["tus-extension"] == "creation,creation-with-upload,checksum,expiration,termination"
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,crc32c"


async def test_a_file_in_two_pieces_becomes_a_master(tus: TusClient) -> None:
    data = os.urandom(5 * MIB + 17)
    answer = await tus.create(
        len(data), upload_metadata=metadata(filename="film.mp4", filetype="video/mp4", title="Ночь")
    )
    assert answer.status_code == 201
    assert answer.headers["tus-resumable"] == "1.0.0"
    path = answer.headers["location"]
    assert path.startswith("/files/upl_")
    assert answer.headers["reelmesh-asset-id"].startswith("ast_")

    answer = await tus.append(path, 0, data[: 2 * MIB + 5])
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(2 * MIB + 5))
    found = await tus.head(path)
    assert found.headers["upload-offset"] == str(2 * MIB + 5)
    assert found.headers["upload-length"] == str(len(data))
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["upload-metadata"] == metadata(filename="film.mp4", filetype="video/mp4", title="Ночь")

    answer = await tus.append(path, 2 * MIB + 5, data[2 * MIB + 5 :])
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(len(data)))
    upload = await tus.upload(path)
    assert upload.state == upload_pb2.UPLOAD_STATE_COMMITTED
    assert (upload.filename, upload.content_type, upload.title) == ("film.mp4", "video/mp4", "Ночь")
    assert tus.master(hashlib.sha256(data).hexdigest()) == data
    assert tus.staged == []


async def test_the_first_bytes_can_come_with_the_creation(tus: TusClient) -> None:
    data = os.urandom(MIB + 1)
    answer = await tus.create(len(data), data[:MIB])
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(MIB))
    answer = await tus.append(answer.headers["location"], MIB, data[MIB:])
    assert answer.status_code == 204
    whole = await tus.create(len(data), data)
    assert (whole.status_code, whole.headers["upload-offset"]) == (201, str(len(data)))
    assert (await tus.upload(whole.headers["location"])).state == upload_pb2.UPLOAD_STATE_COMMITTED


async def test_a_body_of_unknown_length_is_taken(tus: TusClient) -> None:
    """Browsers that stream send no Content-Length over HTTP/2, and Envoy then sends chunks."""
    data = os.urandom(3 * MIB)
    path = await tus.created(len(data))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    assert (await tus.append(path, 0, pieces())).status_code == 204
    assert tus.master(hashlib.sha256(data).hexdigest()) == data


async def test_every_answer_says_when_an_unfinished_upload_expires(tus: TusClient, clock: FixedClock) -> None:
    created = await tus.create(10)
    expected = (clock.now() + timedelta(hours=24)).replace(microsecond=0)
    assert parsedate_to_datetime(created.headers["upload-expires"]) == expected
    patched = await tus.append(created.headers["location"], 0, b"12345")
    assert parsedate_to_datetime(patched.headers["upload-expires"]) == expected
    finished = await tus.append(created.headers["location"], 5, b"67890")
    assert "upload-expires" not in finished.headers


@pytest.mark.parametrize(
    "body", [b"", os.urandom(100), os.urandom(9 * MIB)], ids=["empty", "small", "longer than memory"]
)
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_body_with_its_checksum_is_taken(tus: TusClient, algorithm: str, body: bytes) -> None:
    path = await tus.created(len(body) + 1)
    digest = b64encode(hashlib.new(algorithm, body).digest()).decode()
    answer = await tus.append(path, 0, body, upload_checksum=f"{algorithm} {digest}")
    assert (answer.status_code, answer.headers.get("upload-offset")) == (204, str(len(body))), answer.text


@pytest.mark.parametrize("body", [os.urandom(100), os.urandom(9 * MIB)], ids=["small", "longer than memory"])
async def test_nothing_is_kept_of_a_body_with_another_checksum(tus: TusClient, body: bytes) -> None:
    path = await tus.created(len(body) + 1)
    answer = await tus.append(path, 0, body, upload_checksum=sha1(b"something else"))
    assert (answer.status_code, reason(answer)) == (460, "CHECKSUM_MISMATCH")
    assert await tus.offset(path) == 0
    assert (await tus.append(path, 0, body, upload_checksum=sha1(body))).status_code == 204


async def test_an_upload_that_begins_with_a_bad_checksum_is_not_created(tus: TusClient) -> None:
    answer = await tus.create(10, b"0123456789", upload_checksum=sha1(b"something else"))
    assert (answer.status_code, reason(answer)) == (460, "CHECKSUM_MISMATCH")
    assert (await tus.uploads.ListUploads(upload_service_pb2.ListUploadsRequest())).uploads == []


async def test_a_body_too_long_to_be_held_back_is_refused_unread(tus: TusClient) -> None:
    path = await tus.created(20 * MIB)
    answer = await tus.append(path, 0, bytes(17 * MIB), upload_checksum=sha1(bytes(17 * MIB)))
    assert (answer.status_code, reason(answer)) == (413, "BODY_TOO_LONG")


async def test_the_sha256_of_the_whole_file_can_be_announced(tus: TusClient) -> None:
    data = os.urandom(1000)
    good = await tus.created(1000, upload_metadata=metadata(sha256=hashlib.sha256(data).hexdigest()))
    assert (await tus.append(good, 0, data)).status_code == 204
    bad = await tus.created(1000, upload_metadata=metadata(sha256=hashlib.sha256(b"other").hexdigest()))
    answer = await tus.append(bad, 0, data)
    assert (answer.status_code, reason(answer)) == (460, "FILE_CORRUPT")
    assert (await tus.upload(bad)).state == upload_pb2.UPLOAD_STATE_RECEIVING


async def test_a_cancelled_upload_is_gone(tus: TusClient) -> None:
    path = await tus.created(10)
    await tus.append(path, 0, b"12345")
    assert (await tus.http.delete(path, headers=tus.fields())).status_code == 204
    assert tus.staged == []
    assert (await tus.head(path)).status_code == 410
    answer = await tus.append(path, 5, b"67890")
    assert (answer.status_code, reason(answer)) == (410, "NOT_RECEIVING")
    assert (await tus.http.delete(path, headers=tus.fields())).status_code == 204


async def test_a_committed_upload_can_neither_be_written_nor_removed(tus: TusClient) -> None:
    path = await tus.created(5)
    await tus.append(path, 0, b"12345")
    assert await tus.offset(path) == 5
    answer = await tus.append(path, 5, b"6")
    assert (answer.status_code, reason(answer)) == (409, "NOT_RECEIVING")
    assert (await tus.append(path, 5, b"")).status_code == 204
    assert (await tus.http.delete(path, headers=tus.fields())).status_code == 409


async def test_methods_can_be_overridden_where_a_client_can_only_post(tus: TusClient) -> None:
    path = await tus.created(5)
    fields = tus.fields(x_http_method_override="PATCH", upload_offset="0", content_type=BODY_TYPE)
    assert (await tus.http.post(path, headers=fields, content=b"12345")).headers["upload-offset"] == "5"
    assert (await tus.http.post(path, headers=tus.fields(x_http_method_override="HEAD"))).headers[
        "upload-offset"
    ] == "5"


@pytest.mark.parametrize("offset", [1, 4, 6, 10, 11, 2**62])
async def test_a_chunk_at_a_wrong_offset_is_refused(tus: TusClient, offset: int) -> None:
    path = await tus.created(10)
    await tus.append(path, 0, b"12345")
    answer = await tus.append(path, offset, b"x")
    assert (answer.status_code, reason(answer)) == (409, "OFFSET_MISMATCH")
    assert await tus.offset(path) == 5


async def test_a_body_beyond_the_end_of_the_file_is_refused_unread(tus: TusClient) -> None:
    path = await tus.created(10)
    answer = await tus.append(path, 0, b"12345678901")
    assert (answer.status_code, reason(answer)) == (413, "BODY_TOO_LONG")
    assert await tus.offset(path) == 0
    assert (await tus.create(10, b"12345678901")).status_code == 413


async def test_a_body_of_unknown_length_ends_at_the_end_of_the_file(tus: TusClient) -> None:
    path = await tus.created(10)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"1234"

    answer = await tus.append(path, 0, pieces())
    assert (answer.status_code, reason(answer)) == (413, "BODY_TOO_LONG")
    assert (await tus.upload(path)).received_bytes == 10


async def test_a_file_larger_than_the_limit_is_refused_with_the_limit(tus: TusClient) -> None:
    for size in (LIMIT_BYTES + 1, 2**63 - 1, 2**63, 10**30):
        answer = await tus.create(size)
        assert (answer.status_code, reason(answer)) == (413, "FILE_TOO_LARGE")
        assert answer.headers["tus-max-size"] == str(LIMIT_BYTES)


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1", "1.0.0, 1.0.0"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
async def test_another_version_of_the_protocol_is_refused(tus: TusClient, method: str, version: str | None) -> None:
    fields = {**tus.fields(upload_length="5", upload_offset="0"), "tus-resumable": version or ""}
    if version is None:
        del fields["tus-resumable"]
    answer = await tus.http.request(method, "/files/" if method == "POST" else MISSING, headers=fields)
    assert answer.status_code == 412
    assert answer.headers["tus-version"] == "1.0.0"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"upload-length": "-5"},
        {"upload-length": "0"},
        {"upload-length": "5.0"},
        {"upload-length": "five"},
        {"upload-defer-length": "1"},
        {"upload-length": "5", "upload-concat": "final;/files/a /files/b"},
        {"upload-length": "5", "upload-metadata": "filename ???"},
        {"upload-length": "5", "upload-metadata": metadata(title="t" * 501)},
        {"upload-length": "5", "upload-metadata": metadata(sha256="no digest")},
    ],
    ids=str,
)
async def test_a_creation_that_makes_no_sense_is_refused(tus: TusClient, fields: dict[str, str]) -> None:
    answer = await tus.http.post("/files/", headers={**tus.fields(), **fields})
    assert answer.status_code == 400, answer.text
    assert reason(answer) in {"HEADER_INVALID", "EXTENSION_UNSUPPORTED", "REQUEST_INVALID"}


async def test_a_chunk_must_say_what_it_is_and_where_it_goes(tus: TusClient) -> None:
    path = await tus.created(5)
    answer = await tus.http.patch(
        path, headers=tus.fields(upload_offset="0", content_type="video/mp4"), content=b"12345"
    )
    assert (answer.status_code, reason(answer)) == (415, "CONTENT_TYPE_UNSUPPORTED")
    answer = await tus.http.patch(path, headers=tus.fields(content_type=BODY_TYPE), content=b"12345")
    assert (answer.status_code, reason(answer)) == (400, "HEADER_INVALID")
    assert await tus.offset(path) == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/files/", 405),
        ("PATCH", "/files/", 405),
        ("GET", MISSING, 405),
        ("POST", MISSING, 405),
        ("HEAD", MISSING, 404),
        ("PATCH", MISSING, 404),
        ("DELETE", MISSING, 404),
        ("HEAD", "/files/upl_short", 404),
        ("HEAD", "/files/upl_01jd0000000000000000000000/more", 404),
        ("HEAD", "/files/%2e%2e/etc", 404),
        ("POST", "/other", 404),
    ],
)
async def test_addresses_that_are_none_are_refused(tus: TusClient, method: str, path: str, status: int) -> None:
    fields = tus.fields(upload_offset="0", content_type=BODY_TYPE)
    answer = await tus.http.request(method, path, headers=fields)
    assert answer.status_code == status
    assert "upload-offset" not in answer.headers


async def test_who_shows_no_credential_learns_and_changes_nothing(tus: TusClient, other_organisation_key: str) -> None:
    path = await tus.created(5)
    for authorization, status in (
        (None, 401),
        ("Bearer rmk_wrong", 401),
        ("Basic eA==", 401),
        (f"Bearer {other_organisation_key}", 404),
    ):
        fields = tus.fields(upload_offset="0", content_type=BODY_TYPE)
        del fields["authorization"]
        if authorization is not None:
            fields["authorization"] = authorization
        assert (await tus.http.head(path, headers=fields)).status_code == status
        assert (await tus.http.delete(path, headers=fields)).status_code == status
        answer = await tus.http.patch(path, headers=fields, content=b"12345")
        assert answer.status_code == status
        assert ("www-authenticate" in answer.headers) == (status == 401)
        if status == 401:
            assert (await tus.http.post("/files/", headers={**fields, "upload-length": "5"})).status_code == 401
            assert reason(answer) == "CREDENTIAL_INVALID"
    assert await tus.offset(path) == 0


async def test_the_correlation_id_goes_through(tus: TusClient) -> None:
    answer = await tus.http.head(MISSING, headers=tus.fields(x_correlation_id="0123456789abcdef"))
    assert answer.headers["x-correlation-id"] == "0123456789abcdef"
    answer = await tus.append(MISSING, 0, b"x", x_correlation_id="0123456789abcdef")
    assert answer.json()["details"][0]["metadata"]["correlation_id"] == "0123456789abcdef"
    answer = await tus.http.head(MISSING, headers=tus.fields(x_correlation_id="no good; id"))
    assert answer.headers["x-correlation-id"] != "no good; id"


async def test_nothing_is_held_back_for_strangers(tus: TusClient) -> None:
    """A body with a checksum lies on disk until it is whole. Who shows no credential hears so before sending it."""
    reader, writer = await tus.connected()
    head = (
        "POST /files/ HTTP/1.1\r\nhost: edge\r\ntus-resumable: 1.0.0\r\n"
        f"upload-length: 1000000\r\ncontent-length: 1000000\r\ncontent-type: {BODY_TYPE}\r\n"
        f"upload-checksum: {sha1(b'')}\r\n\r\n"
    )
    writer.write(head.encode() + b"only the beginning")
    status = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    assert b" 401 " in status


async def test_a_body_with_a_checksum_leaves_the_disk_to_the_masters(tus: TusClient) -> None:
    free = shutil.disk_usage(tus.settings.data_dir).free
    with pytest.raises(Refusal) as caught:
        room_to_hold_back(tus.settings.data_dir / "spool", free)
    assert (caught.value.reason, http_status(caught.value)) == ("OVERLOADED", 503)
