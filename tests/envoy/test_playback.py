"""Who may have published files, licences and keys, and that there is no other way to them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from services.kit.tls import read_identity
from tests.envoy.conftest import SEGMENT
from tests.envoy.edge import MEMORY_OF_ONE_STREAM, Edge, Growth, running_edge
from tests.envoy.parts import KEY_ID, PACKAGE, REFUSED_PACKAGE, TICKET

BASE = f"/p/{TICKET}/{PACKAGE}"


@pytest.mark.parametrize("query", ["", "?segment=1.m4s"])
async def test_a_manifest_is_served_and_never_kept(edge: Edge, query: str) -> None:
    answer = await edge.http.get(f"{BASE}/manifest.mpd{query}")
    assert (answer.status_code, answer.content) == (200, b"<MPD/>")
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/dash+xml", "no-store")


async def test_a_segment_is_served_and_kept_as_long_as_its_ticket_may_last(edge: Edge) -> None:
    answer = await edge.http.get(f"{BASE}/video/1.m4s?any=thing")
    assert (answer.status_code, answer.content) == (200, SEGMENT)
    assert (answer.headers["content-type"], answer.headers["accept-ranges"]) == ("video/iso.segment", "bytes")
    assert answer.headers["cache-control"] == "private, max-age=86400, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=16-31", 16, 31), ("bytes=1000-", 1000, 1023), ("bytes=1023-1023", 1023, 1023)],
)
async def test_a_range_of_a_segment_is_served(edge: Edge, asked: str, first: int, last: int) -> None:
    answer = await edge.http.get(f"{BASE}/video/1.m4s", headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, SEGMENT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/1024"


async def test_a_slow_player_does_not_fill_the_edge(edge: Edge) -> None:
    large = edge.settings.objects / "published" / PACKAGE / "large.mp4"
    with large.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    received = 0
    async with Growth(edge) as growth, edge.http.stream("GET", f"{BASE}/large.mp4") as answer:
        await asyncio.sleep(0.5)
        async for part in answer.aiter_raw():
            received += len(part)
    assert received == 64 * 1024 * 1024
    assert growth.bytes < MEMORY_OF_ONE_STREAM


async def test_a_range_beyond_the_file_is_refused(edge: Edge) -> None:
    answer = await edge.http.get(f"{BASE}/video/1.m4s", headers={"range": "bytes=2000-3000"})
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (416, "REQUEST_INVALID")


async def test_a_head_request_tells_the_size(edge: Edge) -> None:
    answer = await edge.http.head(f"{BASE}/video/1.m4s")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "1024", b"")


async def test_a_file_that_is_not_there_is_not_kept_as_missing(edge: Edge) -> None:
    answer = await edge.http.get(f"{BASE}/video/2.m4s")
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    assert answer.json()["details"][0]["reason"] == "ROUTE_UNKNOWN"


async def test_policy_is_shown_who_asks_and_told_no_more_than_it_needs(edge: Edge) -> None:
    edge.parts.authoriser.asked.clear()
    headers = {
        "authorization": "Bearer rmk_secret",
        "cookie": "a=b",
        "x-correlation-id": "test-12345678",
        "x-reelmesh-session": "forged",
    }
    await edge.http.get(f"{BASE}/manifest.mpd", headers=headers)
    certificate = x509.load_pem_x509_certificate(read_identity(edge.settings.tls).certificate)
    assert edge.parts.authoriser.shown[-1] == certificate.serial_number
    (request,) = edge.parts.authoriser.asked
    assert (request.target, request.method) == (f"{BASE}/manifest.mpd", "GET")
    assert request.headers["x-correlation-id"] == "test-12345678"
    assert not {"authorization", "cookie", "x-reelmesh-session"} & set(request.headers)
    assert request.headers["x-reelmesh-address"] == "127.0.0.1"
    assert request.headers["host"] == edge.address


async def test_policy_sees_those_cookies_only_that_are_credentials_for_playback(edge: Edge) -> None:
    for cookies, shown in (
        ("a=b; reelmesh_ticket=t1.t2.t3; c=d", "reelmesh_ticket=t1.t2.t3"),
        ("CTA-Common-Access-Token=abc;a=b", "CTA-Common-Access-Token=abc"),
        ("session=secret; xreelmesh_ticket=no; reelmesh_ticket2=no", None),
        ("", None),
    ):
        edge.parts.authoriser.asked.clear()
        await edge.http.get(f"{BASE}/manifest.mpd", headers={"cookie": cookies, "x-reelmesh-cookies": "forged=1"})
        (asked,) = edge.parts.authoriser.asked
        headers = asked.headers
        assert headers.get("x-reelmesh-cookies") == shown
        assert "cookie" not in headers


async def test_a_refusal_is_policys_own(edge: Edge) -> None:
    answer = await edge.http.get(f"/p/other/{PACKAGE}/manifest.mpd")
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/json")
    assert (answer.headers["x-reelmesh-reason"], answer.headers["cache-control"]) == ("TICKET_INVALID", "no-store")
    body = answer.json()
    assert (body["code"], body["details"][0]["domain"], body["details"][0]["reason"]) == (
        7,
        "policy.reelmesh",
        "TICKET_INVALID",
    )


async def test_players_on_any_origin_may_play_and_read_refusals(edge: Edge) -> None:
    origin = {"origin": "https://player.example"}
    preflight = await edge.http.options(
        f"{BASE}/licence/clearkey",
        headers={
            **origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,range",
        },
    )
    assert preflight.status_code == 200
    assert "range" in preflight.headers["access-control-allow-headers"]
    for path in (f"{BASE}/video/1.m4s", f"/p/other/{PACKAGE}/manifest.mpd", f"{BASE}/key/{KEY_ID}"):
        answer = await edge.http.get(path, headers=origin)
        assert answer.headers["access-control-allow-origin"] == origin["origin"]
        assert "x-reelmesh-reason" in answer.headers["access-control-expose-headers"]


async def test_a_licence_is_asked_of_drm_which_asks_policy_itself(edge: Edge) -> None:
    """The body goes through as it is, and comes back so; for a proof of possession the request is told as its sender knows it."""
    edge.parts.authoriser.asked.clear()
    body = '{"kids":  ["MDEyMw"], "type": "temporary", "a member": [1]}'
    answer = await edge.http.post(f"{BASE}/licence/clearkey", content=body)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["keys"] == [{"kty": "oct", "kid": "MDEyMw", "k": PACKAGE}]
    assert told["rest"] == f"POST {BASE}/licence/clearkey"
    assert edge.parts.authoriser.asked == []


async def test_an_answer_by_grpc_has_the_status_that_its_content_type_says(edge: Edge) -> None:
    answer = await edge.http.get(f"/p/{TICKET}/{REFUSED_PACKAGE}/licence/fairplay")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (answer.headers["retry-after"], answer.headers["x-reelmesh-reason"]) == ("5", "KEYSTORE_LOCKED")
    assert answer.json() == {"status": 503}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_refused_licence_comes_as_it_is(edge: Edge) -> None:
    answer = await edge.http.post(f"/p/{TICKET}/{REFUSED_PACKAGE}/licence/clearkey", content="{}")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (answer.headers["retry-after"], answer.headers["x-reelmesh-reason"]) == ("5", "LICENCE_UNRECORDED")
    assert answer.json() == {"status": 503}
    entry = await edge.log(answer.headers["x-correlation-id"])
    assert (entry["status"], entry["reason"]) == (503, "LICENCE_UNRECORDED")


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "application/x-www-form-urlencoded", "text/plain", ""]
)
async def test_an_spc_and_its_answer_are_raw_bytes(edge: Edge, content_type: str) -> None:
    """Whatever a player calls them."""
    spc = bytes(range(256)) * 12
    headers = {"content-type": content_type} if content_type else {}
    answer = await edge.http.post(f"{BASE}/licence/fairplay", content=spc, headers=headers)
    assert (answer.status_code, answer.content) == (200, spc[::-1])
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/octet-stream", "no-store")


async def test_a_player_gets_the_certificate_where_it_asks_for_licences(edge: Edge) -> None:
    answer = await edge.http.get(f"{BASE}/licence/fairplay", headers={"origin": "https://player.example"})
    assert (answer.status_code, answer.content) == (200, bytes(range(256)))
    assert answer.headers["content-type"] == "application/pkix-cert"
    assert answer.headers["access-control-allow-origin"] == "https://player.example"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_licences_are_asked_for_by_post_only(edge: Edge, method: str) -> None:
    answer = await edge.http.request(method, f"{BASE}/licence/clearkey")
    assert answer.status_code in {404, 405}


async def test_a_licence_request_of_any_size_does_not_get_through(edge: Edge) -> None:
    answer = await edge.http.post(f"{BASE}/licence/clearkey", content=b"x" * (2 << 20))
    assert answer.status_code == 413


async def test_a_licence_is_asked_for_again_when_a_connection_ends_under_it(edge: Edge) -> None:
    body = b'{"kids": ["MDEyMw"]}'
    for _ in range(3):
        assert (await edge.http.post(f"{BASE}/licence/clearkey", content=body)).status_code == 200
        await edge.parts.stop("drm")
        assert (await edge.http.post(f"{BASE}/licence/clearkey", content=body)).status_code == 503
        await edge.parts.start("drm")


async def test_a_key_is_raw_bytes(edge: Edge) -> None:
    answer = await edge.http.get(f"{BASE}/key/{KEY_ID}")
    assert (answer.status_code, answer.content) == (200, bytes.fromhex(KEY_ID))
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/octet-stream", "no-store")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("rest", ["licence/clearkey", f"key/{KEY_ID}"])
async def test_neither_licence_nor_key_is_had_without_a_ticket(edge: Edge, method: str, rest: str) -> None:
    answer = await edge.http.request(method, f"/p/other/{PACKAGE}/{rest}", json={"kids": ["MDEyMw"]})
    assert (answer.status_code, answer.headers["x-reelmesh-reason"]) == (403, "TICKET_INVALID")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_published_files_are_only_read(edge: Edge, method: str) -> None:
    answer = await edge.http.request(method, f"{BASE}/manifest.mpd")
    assert answer.status_code == 405
    assert (edge.parts.folder / f"objects/published/{PACKAGE}/manifest.mpd").exists()


FILE = f"{PACKAGE}/manifest.mpd"
WAYS_IN = [
    f"/published/{FILE}",
    f"/Published/{FILE}",
    f"/published//{FILE}",
    f"//published/{FILE}",
    f"/./published/{FILE}",
    f"/%70ublished/{FILE}",
    f"/published%2f{FILE}",
    f"/published/{PACKAGE}%2fmanifest.mpd",
    "/masters/secret.mp4",
    "/objects/masters/secret.mp4",
    f"/p/../published/{FILE}",
    f"/p/%2e%2e/published/{FILE}",
    f"/p/..%2fpublished/{FILE}",
    f"/P/{TICKET}/{FILE}",
    f"/p//{FILE}",
    f"/p//published/{FILE}",
    f"//p/other/{FILE}",
    f"/p/other/published/{FILE}",
    f"/assets/../../objects/published/{FILE}",
    f"/assets/%2e%2e/%2e%2e/objects/published/{FILE}",
    f"/assets/..%5c..%5cobjects/published/{FILE}",
    f"/assets/%252e%252e/objects/published/{FILE}",
    "/assets/../secret.txt",
    "/assets/..%2fsecret.txt",
    "/assets/%2e%2e%2fsecret.txt",
    "/..;/secret.txt",
    "/secret.txt",
    f"/watch/../published/{FILE}",
    f"/v1/../published/{FILE}",
    f"/files/../published/{FILE}",
    f"/docs/../objects/published/{FILE}",
    f"/index.html/../../objects/published/{FILE}",
    f"http://127.0.0.1/published/{FILE}",
    f"http://127.0.0.1//published/{FILE}",
    f"file:///published/{FILE}",
    f"/published/{FILE}?/p/{TICKET}/{FILE}",
    f"/published/{FILE}#/p/{TICKET}/{FILE}",
    f"/x?/../p/{TICKET}/{FILE}",
]
"""Paths that must lead nowhere. None of them has the good ticket in its place."""

FORGED = (
    b"x-envoy-original-path: /p/x\r\nx-original-url: /p/x\r\nx-rewrite-url: /p/x\r\nx-reelmesh-session: pbs\r\n"
    b"x-reelmesh-authorised: true\r\nx-envoy-auth-partial-body: true\r\nx-forwarded-prefix: /p\r\nx-http-method-override: GET\r\n"
)
SECRETS = (b"<MPD/>", b"master", b"secret")


@pytest.mark.parametrize("path", WAYS_IN)
async def test_no_other_path_leads_to_published_files(edge: Edge, path: str) -> None:
    """Sent as raw bytes, with everything in the headers that a forger might hope for."""
    answer = await edge.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nhost: x\r\n" + FORGED + b"\r\n")
    status = int(answer.split(b" ", 2)[1])
    assert status in {400, 403, 404}, answer
    assert not [secret for secret in SECRETS if answer.partition(b"\r\n\r\n")[2].startswith(secret)]


OUT_OF_THE_PACKAGES = [
    f"{BASE}/../../masters/secret.mp4",
    f"{BASE}/%2e%2e/%2e%2e/masters/secret.mp4",
    f"{BASE}/..%2f..%2fmasters/secret.mp4",
    f"{BASE}/%252e%252e/%252e%252e/masters/secret.mp4",
    f"/p/{TICKET}/../masters/secret.mp4",
    f"/p/{TICKET}/%2e%2e/masters/secret.mp4",
    f"/p/{TICKET}/../../masters/secret.mp4",
    f"{BASE}/video/..%5c..%5c..%5cmasters/secret.mp4",
    f"{BASE}/video/./../../../masters/secret.mp4",
    f"{BASE}//etc/passwd",
    f"{BASE}/video",
    f"{BASE}/",
    f"{BASE}/manifest.mpd%00.m4s",
    f"{BASE}/manifest.mpd/",
]
"""Paths with a good ticket that the careless authoriser of this test lets through as they are."""


@pytest.mark.parametrize("path", OUT_OF_THE_PACKAGES)
async def test_even_a_careless_authoriser_gives_nothing_but_published_files_away(edge: Edge, path: str) -> None:
    answer = await edge.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert int(answer.split(b" ", 2)[1]) in {400, 403, 404}, answer
    assert not [secret for secret in SECRETS if answer.partition(b"\r\n\r\n")[2].startswith(secret)]


async def test_without_policy_nobody_gets_in(edge: Edge) -> None:
    await edge.parts.stop("policy")
    try:
        for path in (f"{BASE}/manifest.mpd", f"{BASE}/key/{KEY_ID}"):
            answer = await edge.http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, 14)
            info = answer.json()["details"][0]
            assert (info["reason"], info["metadata"]["dependency"]) == ("DEPENDENCY_UNAVAILABLE", "policy")
    finally:
        await edge.parts.start("policy")
    async with asyncio.timeout(30):
        while (await edge.http.get(f"{BASE}/manifest.mpd")).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_policy_that_takes_too_long_lets_nobody_in() -> None:
    async with running_edge(authorizer_patience=1) as hasty:
        hasty.parts.authoriser.delay = 20
        assert (await hasty.http.get(f"{BASE}/manifest.mpd")).status_code == 503


async def test_links_out_of_the_published_files_are_the_stores_business(edge: Edge) -> None:
    """The edge follows links, so whoever publishes must make none. This pins what Envoy does."""
    link = Path(edge.settings.objects) / "published" / PACKAGE / "link.mp4"
    link.symlink_to(edge.settings.objects / "masters/secret.mp4")
    try:
        assert (await edge.http.get(f"{BASE}/link.mp4")).status_code == 200
    finally:
        link.unlink()
