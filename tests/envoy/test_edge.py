"""Health, limits, correlation ids, and what the edge writes down about requests."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest

from tests.envoy.edge import Edge, running_edge, until_ready
from tests.envoy.parts import ASSET, KEY_ID, PACKAGE, TICKET
from tests.support import streams

WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{8,64}")


async def test_the_edge_is_alive_whatever_stands_behind_it(edge: Edge) -> None:
    assert (await edge.http.get("/healthz")).status_code == 200


async def test_the_edge_is_ready_when_every_service_is(edge: Edge) -> None:
    await until_ready(edge)  # another test may have stopped a service just before
    await edge.parts.stop("packaging")
    try:
        async with asyncio.timeout(30):
            while (answer := await edge.http.get("/readyz")).status_code != 503:
                await asyncio.sleep(0.05)
        assert answer.json()["details"][0]["reason"] == "DEPENDENCY_UNAVAILABLE"
        assert (await edge.http.get("/healthz")).status_code == 200
    finally:
        await edge.parts.start("packaging")
    await until_ready(edge)


@pytest.mark.parametrize("offered", ["12345678", "a" * 64, "01jd-ABC_xyz"])
async def test_a_well_formed_correlation_id_of_the_client_is_kept(edge: Edge, offered: str) -> None:
    answer = await edge.http.get(f"/v1/assets/{ASSET}", headers={"x-correlation-id": offered})
    assert answer.headers["x-correlation-id"] == offered
    assert edge.parts.assets.seen[-1]["x-correlation-id"] == offered


@pytest.mark.parametrize("offered", ["1234567", "a" * 65, "with space", "semi;colon", "%0d%0aline", "", 'quote"quote'])
async def test_any_other_correlation_id_is_replaced(edge: Edge, offered: str) -> None:
    answer = await edge.http.get(f"/v1/assets/{ASSET}", headers={"x-correlation-id": offered})
    given = answer.headers["x-correlation-id"]
    assert given != offered
    assert WELL_FORMED.fullmatch(given)
    assert edge.parts.assets.seen[-1]["x-correlation-id"] == given


async def test_two_correlation_ids_are_replaced_by_one(edge: Edge) -> None:
    headers = [("x-correlation-id", "first-12345"), ("x-correlation-id", "second-12345")]
    answer = await edge.http.get(f"/v1/assets/{ASSET}", headers=headers)
    assert WELL_FORMED.fullmatch(answer.headers["x-correlation-id"])
    assert WELL_FORMED.fullmatch(edge.parts.assets.seen[-1]["x-correlation-id"])


async def test_clients_cannot_speak_to_services_in_the_meshs_own_headers(edge: Edge) -> None:
    await edge.http.get(
        f"/v1/assets/{ASSET}",
        headers={"x-envoy-max-retries": "9", "x-reelmesh-caller": "service/drm", "X-Envoy-Internal": "true"},
    )
    seen = edge.parts.assets.seen[-1]
    assert not {"x-envoy-max-retries", "x-reelmesh-caller", "x-envoy-internal", "x-envoy-original-path"} & set(seen)


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET /v1/assets HTTP/1.1", [f"x-padding: {'x' * 20000}"], 431),
        (f"GET /v1/assets/{'x' * 20000} HTTP/1.1", [], 431),
        ("GET /v1/assets HTTP/1.1", [f"x-{number}: 1" for number in range(80)], 431),
        ("GET /v1/assets HTTP/1.1", ["x_underscored: 1"], 400),
        ("GET /v1/assets%2fx HTTP/1.1", [], 400),
        ("GET /v1/assets HTTP/1.1", ["content-length: 5", "transfer-encoding: chunked"], 400),
    ],
)
async def test_requests_beyond_the_limits_are_refused(
    edge: Edge, request_line: str, headers: list[str], status: int
) -> None:
    answer = await edge.raw("\r\n".join([request_line, "host: x", *headers, "", ""]).encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer


async def test_a_ticket_of_the_greatest_size_passes(edge: Edge) -> None:
    """4 KiB, as the contract allows; it reaches policy, which refuses it."""
    answer = await edge.http.get(f"/p/{'t' * 4096}/{PACKAGE}/manifest.mpd")
    assert (answer.status_code, answer.headers["x-reelmesh-reason"]) == (403, "TICKET_INVALID")


async def test_the_log_tells_what_happened(edge: Edge) -> None:
    await edge.http.get(f"/v1/assets/{ASSET}", headers={"x-correlation-id": "log-of-a-call"})
    entry = await edge.log("log-of-a-call")
    told = {
        name: entry[name]
        for name in ("method", "path", "status", "grpc_status", "upstream", "protocol", "client", "service")
    }
    assert told == {
        "method": "GET",
        "path": f"/v1/assets/{ASSET}",
        "status": 200,
        "grpc_status": "OK",
        "upstream": "assets",
        "protocol": "HTTP/1.1",
        "client": "127.0.0.0/24",
        "service": "envoy",
    }


async def test_the_log_tells_why_playback_was_refused(edge: Edge) -> None:
    await edge.http.get(f"/p/other/{PACKAGE}/manifest.mpd", headers={"x-correlation-id": "log-of-a-refusal"})
    entry = await edge.log("log-of-a-refusal")
    assert (entry["status"], entry["reason"], entry["path"]) == (403, "TICKET_INVALID", f"/p/-/{PACKAGE}/manifest.mpd")


CREDENTIAL = "eyJhbGciOiJFUzI1NiJ9.c2VjcmV0LWNyZWRlbnRpYWw." + "q" * 86
KEPT_OUT = [
    f"/p/{TICKET}/{PACKAGE}/manifest.mpd",
    f"/p/{TICKET}/{PACKAGE}/key/{KEY_ID}",
    f"/p/{CREDENTIAL}/{PACKAGE}/video/1.m4s",
    f"/p/{CREDENTIAL}",
    f"/P/{CREDENTIAL}/{PACKAGE}/x",
    f"//p//{CREDENTIAL}/x",
    f"/x/p/{CREDENTIAL}/{PACKAGE}/x",
    f"/v1/assets/{CREDENTIAL}",
    f"/v1/assets?page_token={CREDENTIAL}",
    f"/?code={CREDENTIAL}",
    f"/watch/{ASSET}?code={CREDENTIAL}",
    f"/p/{CREDENTIAL}%2f{PACKAGE}/x",
    f"/p/../{CREDENTIAL}",
]


async def test_nothing_that_opens_a_door_gets_into_the_log(edge: Edge) -> None:
    """Not from the path, well formed or not; not from the query; not from a header."""
    headers = {
        "authorization": "Bearer rmk_secret_of_the_operator",
        "referer": f"http://x/p/{CREDENTIAL}/",
        "user-agent": CREDENTIAL,
    }
    for path in KEPT_OUT:
        await edge.http.get(path, headers=headers)
        await edge.raw(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await edge.http.get("/", headers={"x-correlation-id": "after-all-of-them"})
    await edge.log("after-all-of-them")
    log = Path(edge.settings.access_log).read_text(encoding="utf-8") + (edge.parts.folder / "envoy.log").read_text(
        encoding="utf-8"
    )
    for secret in (TICKET, CREDENTIAL, CREDENTIAL.split(".")[1], CREDENTIAL.split(".")[2][:20], "rmk_secret"):
        assert secret not in log


async def test_what_envoy_is_configured_with_holds_no_secret(edge: Edge) -> None:
    for file in (edge.parts.folder / "envoy.yaml", *edge.settings.certificate_sources.iterdir()):
        assert "PRIVATE KEY" not in file.read_text()


async def test_the_admin_interface_is_no_tcp_port(edge: Edge) -> None:
    """It can stop Envoy, so it is a socket in the install's private folder."""
    ports = {
        connection.laddr.port for connection in edge.process.net_connections("tcp") if connection.status == "LISTEN"
    }
    assert ports == {int(edge.settings.listen.rpartition(":")[2])}
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=edge.settings.admin.removeprefix("unix:"))
    ) as admin:
        state = (await admin.get("http://admin/server_info")).json()["state"]
    assert state == "LIVE"


async def test_more_connections_than_allowed_are_turned_away() -> None:
    async with running_edge(max_connections=3) as small:
        held = [await streams.tcp(small.address) for _ in range(6)]
        await asyncio.sleep(0.2)
        open_ones = 0
        for reader, writer in held:
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            open_ones += bool(await asyncio.wait_for(reader.read(10), 30))
            writer.close()
        assert 1 <= open_ones <= 3


async def test_an_idle_edge_is_small(edge: Edge) -> None:
    """Of the idle mesh's 1 GiB it may take a tenth and a bit, its own program text included."""
    assert edge.process.memory_info().rss < 150 * 1024 * 1024


async def test_each_line_of_the_log_is_json(edge: Edge) -> None:
    await edge.http.get("/", headers={"x-correlation-id": "last-of-the-log"})
    await edge.log("last-of-the-log")
    for line in Path(edge.settings.access_log).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        assert {"timestamp", "level", "message", "status", "milliseconds"} <= set(entry)
