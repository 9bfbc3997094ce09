"""From the call that revokes a session until each of three edges refuses it, with ten thousand others on the list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from reelmesh.policy.v1 import policy_service_pb2 as api

from tests.bench.edge_audience import audience
from tests.bench.edge_lanes import another_edge, decisions
from tests.bench.harness import Measurement, percentile
from tests.bench.screening import Screening
from tests.support.http1 import Connections

LIVE: Final = 10_000
_EDGES: Final = 3
_APART: Final = 0.15
"""Seconds from one revocation's last refusal to the next: the operator's own limit of calls must not be met."""
_LOOK_AGAIN: Final = 0.002
_PATIENCE: Final = 30.0


async def measured(
    ours: Screening, like: api.CreatePlaybackResponse, file: str, *, samples: int, live: int = LIVE
) -> list[Measurement]:
    """Revokes so many sessions, one after another.

    Args:
        file: below the package; asked for by HEAD.
    """
    async with AsyncExitStack() as stack:
        own = f"127.0.0.1:{ours.mesh.installation.port}"
        more = [await stack.enter_async_context(another_edge(ours, strict=False)) for _ in range(_EDGES - 1)]
        addresses = [own, *(address for address, _ in more)]
        edges = [await stack.enter_async_context(Connections(address, 4)) for address in addresses]
        barred = await audience(ours, like, live, revoked=True)
        playing = await audience(ours, like, samples)
        # Until policy knows them all, and does not look at them again each second.
        await asyncio.gather(*(_becomes(edge, f"{barred.base[-1]}/{file}", 403) for edge in edges))
        await asyncio.sleep(12)
        await _warm(ours, edges, [f"{base}/{file}" for base in playing.base])
        seen: list[list[float]] = []
        for session, base in zip(playing.sessions, playing.base, strict=True):
            seen.append(await _revoked(ours, edges, session.session_id, f"{base}/{file}"))
            await asyncio.sleep(_APART)
    every = [one for times in seen for one in times]
    last = [max(times) for times in seen]
    note = (
        f"RevokePlaybackSession called through one edge until the last of {_EDGES} edges, which all let the segment through by themselves "
        f"before, answers 403; {live} other live revocations on the list, {samples} samples, polled every {_LOOK_AGAIN * 1000:.0f} ms; "
        f"the last edge p50 {percentile(last, 50):.0f}, p95 {percentile(last, 95):.0f}, greatest {max(last):.0f} ms; "
        f"any edge p50 {percentile(every, 50):.0f}, p99 {percentile(every, 99):.0f} ms"
    )
    return [Measurement("edge.revoke_p99_ms", percentile(last, 99), "ms", "", note)]


async def _warm(ours: Screening, edges: Sequence[Connections], paths: Sequence[str]) -> None:
    """Sees that each edge lets all of them through without asking."""
    for edge in edges:
        give_up = time.monotonic() + _PATIENCE
        while True:
            before = await decisions(ours)
            if {(await edge.ask("HEAD", path)).status for path in paths} == {200} and await decisions(ours) == before:
                break
            if time.monotonic() > give_up:
                raise AssertionError("the warm lane does not open")
            await asyncio.sleep(0.1)


async def _revoked(ours: Screening, edges: Sequence[Connections], session_id: str, path: str) -> list[float]:
    """Milliseconds until each edge refuses, from when the call began."""
    began = time.perf_counter()

    async def until_refused(edge: Connections) -> float:
        await _becomes(edge, path, 403)
        return (time.perf_counter() - began) * 1000

    request = api.RevokePlaybackSessionRequest(session_id=session_id)
    call = ours.client.policy.RevokePlaybackSession(request, metadata=ours.client.metadata)
    times = await asyncio.gather(*(until_refused(edge) for edge in edges))
    await call
    return times


async def _becomes(edge: Connections, path: str, status: int) -> None:
    give_up = time.monotonic() + _PATIENCE
    while (await edge.ask("HEAD", path)).status != status:
        if time.monotonic() > give_up:
            raise AssertionError(f"it never became {status}")
        await asyncio.sleep(_LOOK_AGAIN)
