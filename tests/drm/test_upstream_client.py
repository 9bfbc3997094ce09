"""How a licence server is asked: against a real one that behaves badly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from services.drm.upstream.client import Limits, Reply, Troubled, Upstream
from services.kit.breaker import FAILURES, PAUSE
from services.kit.clock import FixedClock
from services.kit.errors import Refusal
from tests.support.licence_servers import RETRY_AFTER, Mood, Servers, licence_servers

PATIENT = Limits(connect=5, whole=30, bytes=100_000, connections=2, before_again=0.01)
HASTY = Limits(connect=1, whole=1, bytes=100_000, connections=2, before_again=0.01)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with licence_servers() as servers:
        yield servers


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 28, tzinfo=UTC))


async def asking(upstream: Upstream, *, repeatable: bool = False) -> int:
    """Asks as somebody who takes every reply but those of a server in trouble."""

    def read(reply: Reply) -> int:
        if reply.status >= 500:
            raise Troubled("failing")
        return reply.status

    return await upstream.ask(b"{}", {"content-type": "application/json"}, read, repeatable=repeatable)


async def refusal(upstream: Upstream, *, repeatable: bool = False) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await asking(upstream, repeatable=repeatable)
    return caught.value


@pytest.fixture
async def upstream(servers: Servers, clock: FixedClock) -> AsyncIterator[Upstream]:
    upstream = Upstream("playready", servers.url + "/rightsmanager.asmx", clock, limits=PATIENT)
    yield upstream
    await upstream.close()


@pytest.fixture
async def hasty(servers: Servers, clock: FixedClock) -> AsyncIterator[Upstream]:
    upstream = Upstream("playready", servers.url + "/rightsmanager.asmx", clock, limits=HASTY)
    yield upstream
    await upstream.close()


@pytest.mark.parametrize("mood", ["hangs", "drips"])
async def test_who_does_not_come_to_an_end_is_not_waited_for(servers: Servers, hasty: Upstream, mood: Mood) -> None:
    """However often a byte comes: the time is for the whole."""
    servers.mood = mood
    found = await refusal(hasty)
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
    assert found.metadata == {"upstream": "playready", "why": "timeout"}
    assert found.retry_after is not None
    assert servers.asked == 1, "it may have done what it was asked for"


@pytest.mark.parametrize("mood", ["floods", "squeezes"])
async def test_an_answer_without_end_is_cut_off(servers: Servers, upstream: Upstream, mood: Mood) -> None:
    """Packed ones are not unpacked at all: 50 MB of nothing are 50 kB on the way."""
    servers.mood = mood
    assert (await refusal(upstream)).metadata["why"] == "unusable"


@pytest.mark.parametrize(("mood", "why"), [("fails", "failing"), ("hangs up", "unreachable")])
async def test_what_may_have_been_done_is_asked_again_only_where_that_does_no_harm(
    servers: Servers, upstream: Upstream, mood: Mood, why: str
) -> None:
    servers.mood = mood
    assert (await refusal(upstream)).metadata["why"] == why
    assert servers.asked == 1
    assert (await refusal(upstream, repeatable=True)).metadata["why"] == why
    assert servers.asked == 3


async def test_what_was_certainly_not_taken_is_asked_again_once(servers: Servers, upstream: Upstream) -> None:
    servers.moods = ["busy"]
    assert await asking_well(upstream) == 403
    assert servers.asked == 2
    servers.moods = ["busy", "busy"]
    assert (await refusal(upstream)).metadata["why"] == "busy"
    assert servers.asked == 4


async def asking_well(upstream: Upstream) -> int:
    """Asks PlayReady's with a statement, if a bad one."""
    headers = {
        "content-type": "text/xml; charset=utf-8",
        "soapaction": '"http://schemas.microsoft.com/DRM/2007/03/protocols/AcquireLicense"',
        "x-reelmesh-licence-statement": "x",
    }
    return await upstream.ask(b"<x/>", headers, lambda reply: reply.status)


async def test_who_says_when_is_left_alone_until_then(servers: Servers, upstream: Upstream, clock: FixedClock) -> None:
    servers.moods = ["says when"]
    found = await refusal(upstream)
    assert found.retry_after == timedelta(seconds=RETRY_AFTER)
    found = await refusal(upstream)
    assert (found.metadata["why"], found.retry_after) == ("paused", timedelta(seconds=RETRY_AFTER))
    assert servers.asked == 1
    clock.advance(timedelta(seconds=RETRY_AFTER))
    assert await asking_well(upstream) == 403


async def test_a_server_that_fails_in_a_row_is_left_alone_and_then_tried_by_one(
    servers: Servers, upstream: Upstream, clock: FixedClock
) -> None:
    servers.mood = "fails"
    for _ in range(FAILURES):
        assert (await refusal(upstream)).metadata["why"] == "failing"
    found = await refusal(upstream)
    assert (found.metadata["why"], found.retry_after) == ("paused", PAUSE)
    assert servers.asked == FAILURES, "players hear at once, and the server hears nothing"
    clock.advance(PAUSE)
    assert (await refusal(upstream)).metadata["why"] == "failing"
    assert (await refusal(upstream)).metadata["why"] == "paused"
    clock.advance(PAUSE)
    servers.mood = "serves"
    assert await asking_well(upstream) == 403
    assert await asking_well(upstream) == 403
    assert servers.asked == FAILURES + 3


async def test_while_it_is_tried_the_others_are_not_kept_waiting(
    servers: Servers, hasty: Upstream, clock: FixedClock
) -> None:
    servers.mood = "fails"
    for _ in range(FAILURES):
        await refusal(hasty)
    clock.advance(PAUSE)
    servers.mood = "hangs"
    found = await asyncio.gather(*(refusal(hasty) for _ in range(10)))
    assert sorted(one.metadata["why"] for one in found) == ["paused"] * 9 + ["timeout"]
    assert servers.asked == FAILURES + 1


async def test_an_answer_that_refuses_is_no_failure(servers: Servers, upstream: Upstream) -> None:
    for _ in range(2 * FAILURES):
        assert await asking_well(upstream) == 403
    assert servers.asked == 2 * FAILURES


async def test_nobody_there(clock: FixedClock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        upstream = Upstream("widevine", f"http://127.0.0.1:{taken.getsockname()[1]}/x", clock, limits=PATIENT)
        found = await refusal(upstream)
        await upstream.close()
    assert found.metadata == {"upstream": "widevine", "why": "unreachable"}
    assert "127.0.0.1" not in found.message


async def test_nobody_is_followed_elsewhere(servers: Servers, upstream: Upstream) -> None:
    """What is sent holds keys."""
    servers.mood = "moved"
    assert await asking(upstream) == 307
    assert servers.elsewhere == 0


async def test_more_at_a_time_than_there_are_connections_wait_for_their_turn(
    servers: Servers, upstream: Upstream
) -> None:
    assert await asyncio.gather(*(asking_well(upstream) for _ in range(30))) == [403] * 30


async def test_who_goes_away_is_no_failure_of_the_server(servers: Servers, upstream: Upstream) -> None:
    servers.mood = "hangs"
    for _ in range(2 * FAILURES):
        asked, task = servers.asked, asyncio.create_task(asking(upstream))
        while servers.asked == asked:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    servers.mood = "serves"
    assert await asking_well(upstream) == 403
