"""What our own Envoy is answered for players, by HTTP/1.1: the same licences as by gRPC, and nobody else is let near them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator

import pytest

from services.drm.domain import kid_of
from services.drm.licences.players import LARGEST, SERVER
from tests.drm.scene import Film, Keys
from tests.support.dpop import KeyHolder
from tests.support.plain_line import Line, a_line


@pytest.fixture
async def line(keys: Keys) -> AsyncIterator[Line]:
    async with a_line(keys.settings, SERVER) as line:
        yield line


def path_of(film: Film, system: str = "clearkey", *, ticket: str = "", package_id: str = "") -> str:
    return f"/p/{ticket or film.ticket}/{package_id or film.package_id}/licence/{system}"


def asked(film: Film) -> bytes:
    return json.dumps({"kids": [kid_of(key.key_id) for key in film.keys], "type": "temporary"}).encode()


def reason(body: bytes) -> str:
    return str(json.loads(body)["details"][0]["reason"])


async def test_a_player_gets_its_keys(keys: Keys, line: Line) -> None:
    film = await keys.film("AUDIO", "HD")
    status, fields, body = await line.asks(path_of(film) + "?asked=again", "POST", asked(film))
    assert (status, fields["content-type"], fields["cache-control"]) == (200, "application/json", "no-store")
    expected = [{"kty": "oct", "kid": kid_of(key.key_id), "k": kid_of(key.key)} for key in film.keys]
    assert json.loads(body) == {"keys": expected, "type": "temporary"}


async def test_a_body_may_come_in_pieces(keys: Keys, line: Line) -> None:
    film = await keys.film()
    body = asked(film)
    pieces = b"".join(
        f"{len(body[at : at + 7]):x}\r\n".encode() + body[at : at + 7] + b"\r\n" for at in range(0, len(body), 7)
    )
    head = f"POST {path_of(film)} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    assert (await line.says(head + pieces + b"0\r\n\r\n"))[0] == 200


async def test_a_refusal_comes_in_the_key_systems_own_form(keys: Keys, line: Line) -> None:
    film = await keys.film()
    await keys.scene.revoke(film.session_id)
    status, fields, body = await line.asks(path_of(film), "POST", asked(film), x_correlation_id="test-0001")
    assert (status, fields["x-reelmesh-reason"], fields["cache-control"]) == (403, "SESSION_REVOKED", "no-store")
    assert fields["content-type"] == "application/problem+json"
    assert json.loads(body)["details"][0]["metadata"]["correlation_id"] == "test-0001"
    status, fields, body = await line.asks(path_of(film, "playready"), "POST", b"<x/>")
    assert (status, fields["content-type"]) == (500, "text/xml; charset=utf-8")
    assert b"Fault" in body


async def test_each_system_is_asked_and_others_are_not_there(keys: Keys, line: Line) -> None:
    film = await keys.film()
    for system in ("fairplay", "widevine", "playready"):
        assert (await line.asks(path_of(film, system), "POST", b"no message"))[0] in {400, 409, 500, 501, 503}
    for path in (path_of(film, "none"), "/", f"/p/{film.ticket}/licence/clearkey", path_of(film) + "/"):
        status, _, body = await line.asks(path, "POST", asked(film))
        assert (status, "fairplay" in json.loads(body)["detail"]) == (404, True), path


async def test_what_is_no_ticket_and_no_package_is_refused(keys: Keys, line: Line) -> None:
    film = await keys.film()
    for path, why in (
        (path_of(film, ticket="a.b.c"), "TICKET_INVALID"),
        (path_of(film, ticket="a" * 4097), "REQUEST_INVALID"),
        (path_of(film, package_id="pkg_other"), "REQUEST_INVALID"),
        (path_of(film, package_id="ast_01h455vb4pex5vsknk084sn02q"), "REQUEST_INVALID"),
    ):
        status, _, body = await line.asks(path, "POST", asked(film))
        assert (status >= 400, reason(body)) == (True, why)


async def test_what_is_too_large_is_told_so_and_the_connection_lives(keys: Keys, line: Line) -> None:
    film = await keys.film()
    status, _, body = await line.asks(path_of(film), "POST", b"x" * (LARGEST + 1))
    assert (status, reason(body)) == (400, "REQUEST_INVALID")
    assert (await line.asks(path_of(film), "POST", asked(film)))[0] == 200


async def test_a_device_proves_itself_for_the_request_that_it_made(keys: Keys, line: Line) -> None:
    film, holder = await keys.film(), KeyHolder()
    rest = f"POST {path_of(film)}"
    for made_for, status in ((path_of(film), 200), (path_of(film, "fairplay"), 401)):
        url = keys.settings.public_url + made_for
        proof = holder.proof(keys.scene.clock.now(), "POST", url, film.ticket)
        found = await line.asks(path_of(film), "POST", asked(film), dpop=proof, x_reelmesh_rest=rest)
        assert found[0] == status, found


async def test_many_are_answered_at_once(keys: Keys) -> None:
    film = await keys.film()

    async def one() -> int:
        async with a_line(keys.settings, SERVER) as line:
            return (await line.asks(path_of(film), "POST", asked(film)))[0]

    assert await asyncio.gather(*(one() for _ in range(20))) == [200] * 20


@pytest.mark.parametrize("caller", ["packaging", "policy", "stranger"])
async def test_nobody_but_envoy_is_answered(keys: Keys, caller: str) -> None:
    film = await keys.film()
    with pytest.raises((ConnectionError, ssl.SSLError)):
        async with a_line(keys.settings, SERVER, caller) as line:
            await line.asks(path_of(film), "POST", asked(film))
