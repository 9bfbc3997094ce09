"""What our own Envoy is answered, by HTTP/1.1: the same doors as by gRPC, and nobody else is let near them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.policy.authorizer import SERVER
from tests.policy.scene import Scene
from tests.support.plain_line import Line, a_line
from tests.support.stores import operator_key


@pytest.fixture
async def line(scene: Scene) -> AsyncIterator[Line]:
    async with a_line(scene.settings, SERVER) as line:
        yield line


def below(url: str) -> str:
    return url[url.index("/p/") :]


async def test_a_good_request_goes_on_by_the_path_of_its_file(scene: Scene, line: Line) -> None:
    answer = await scene.play()
    status, fields, body = await line.asks(below(answer.playback.dash_url))
    assert (status, body) == (200, b"")
    assert fields["x-reelmesh-session"] == answer.session.session_id
    assert fields["x-reelmesh-path"] == f"/published/{answer.session.package_id}/manifest.mpd"
    assert "authorization" in fields["x-envoy-auth-headers-to-remove"].split(",")


async def test_one_connection_answers_many_in_turn(scene: Scene, line: Line) -> None:
    path = below((await scene.play()).playback.dash_url)
    assert [(await line.asks(path, method))[0] for method in ("GET", "HEAD", "OPTIONS", "GET")] == [200] * 4


async def test_a_refusal_is_the_answer_that_the_player_gets(scene: Scene, line: Line) -> None:
    answer = await scene.play()
    await scene.revoke(answer.session.session_id)
    status, fields, body = await line.asks(below(answer.playback.dash_url), x_correlation_id="test-0001")
    assert (status, fields["x-reelmesh-reason"], fields["cache-control"]) == (403, "SESSION_REVOKED", "no-store")
    assert fields["content-type"] == "application/json"
    assert fields["x-correlation-id"] == "test-0001"
    assert json.loads(body)["details"][0]["reason"] == "SESSION_REVOKED"
    status, fields, body = await line.asks(below(answer.playback.dash_url), "HEAD")
    assert (status, body) == (403, b"")


@pytest.mark.parametrize("caller", ["drm", "packaging", "supervisor", "stranger"])
async def test_nobody_but_envoy_is_answered(scene: Scene, caller: str) -> None:
    path = below((await scene.play()).playback.dash_url)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        async with a_line(scene.settings, SERVER, caller) as line:
            await line.asks(path, authorization=f"Bearer {operator_key(scene.settings)}")


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01",
        b"GET /p/x HTTP/1.1\r\ncontent-length: 1\r\n\r\nx",
        b"POST /p/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"GET /p/x HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /p/x HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"CONNECT films.example:443 HTTP/1.1\r\n\r\n",
        b"GET /p/x HTTP/1.1\r\n\r\nGET /p/x HTTP/1.1\r\n\r\nGET /p/x HTTP/1.1\r\n\r\n",
    ],
)
async def test_who_does_not_speak_as_envoy_does_is_hung_up_on(scene: Scene, raw: bytes) -> None:
    async with a_line(scene.settings, SERVER) as line:
        with pytest.raises(ConnectionError):
            while True:
                await line.says(raw)


async def test_no_target_or_header_makes_it_say_yes_or_fall_over(scene: Scene) -> None:
    answer = await scene.play()
    good = below(answer.playback.dash_url)
    text = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40)
    targets = st.one_of(
        st.tuples(st.integers(0, len(good)), text).map(lambda part: good[: part[0]] + part[1]),
        st.tuples(st.integers(0, len(good)), text).map(lambda part: good[: part[0]] + part[1] + good[part[0] :]),
        text.map(lambda part: f"/p/{part}"),
    )

    async def once(target: str, header: str) -> None:
        async with a_line(scene.settings, SERVER) as line:
            try:
                status, fields, _ = await line.asks(target, user_agent=header, x_correlation_id=header)
            except ConnectionError:
                return
            assert status == 403 or fields["x-reelmesh-path"].startswith(f"/published/{answer.session.package_id}/"), (
                target
            )

    loop = asyncio.get_running_loop()

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(targets, text)
    def check(target: str, header: str) -> None:
        asyncio.run_coroutine_threadsafe(once(target, header), loop).result(30)

    await asyncio.to_thread(check)
    async with a_line(scene.settings, SERVER) as line:
        assert (await line.asks(good))[0] == 200
