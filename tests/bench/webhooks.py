"""Webhooks of payment processors, through Envoy: each with a signature of its own that is checked, kept in the database, and only then answered.
How many a second at most, how late the answers are at the rate that we aim at; and how soon after a webhook its buyer may watch, or may not any more.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import httpx

from services.payments.processors.stand_in.signing import HEADER, signature
from tests.bench.edge_lanes import cpu_seconds
from tests.bench.harness import Measurement, percentile
from tests.bench.screening import Screening, screening
from tests.support import till
from tests.support.http1 import Connections
from tests.support.ports import free_port
from tools.stand_in_processor import keys

AIM: Final = 1_000
SECONDS: Final = 10.0
_CONNECTIONS: Final = 64
_SAMPLES: Final = 20
_MOST_OF_A_FLOOD: Final = 2_500
"""A second, prepared beforehand."""
_LOOK_AGAIN: Final = 0.03
"""Seconds between two looks at whether somebody may watch: calls are limited."""
_LOOK_AGAIN_AT_EDGE: Final = 0.002
_PATIENCE: Final = 20.0
_PATH: Final = f"/webhooks/stand_in/{till.ACCOUNT}"
_PROCESSES: Final = ("envoy", "webhooks", "payments", "postgres")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that is ready to be sent."""

    body: bytes
    signature: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of many.

    Attributes:
        milliseconds: of each answer with status 200, from when it was due.
        seconds: until the last answer.
        own: seconds of processor time that the load took, which runs on the cores that are measured.
        refused: answers with another status.
    """

    milliseconds: list[float]
    seconds: float
    own: float
    refused: int


async def measure(seconds: float = SECONDS, samples: int = _SAMPLES) -> list[Measurement]:
    """Takes about two minutes."""
    url = f"http://127.0.0.1:{free_port()}"
    async with screening(environment={"REELMESH_PAYMENTS_STAND_IN_URL": url}) as ours:
        await till.opened(ours.mesh)
        secret = keys.webhook_secret(ours.mesh.data / "secrets")
        address = f"127.0.0.1:{ours.mesh.installation.port}"
        times = await _to_play(ours, address, secret, samples)
        await _sent(address, _deliveries(secret, 500), _CONNECTIONS, 60.0)
        await _worked_on(ours)
        pids = {name: ours.mesh.installation.pid(name) for name in _PROCESSES}
        cpu = {name: cpu_seconds(pid) for name, pid in pids.items()}
        flood = await _sent(address, _deliveries(secret, round(_MOST_OF_A_FLOOD * seconds)), _CONNECTIONS, seconds)
        cpu = {name: cpu_seconds(pid) - cpu[name] for name, pid in pids.items()}
        behind = await _worked_on(ours)
        steady = await _sent(address, _deliveries(secret, round(AIM * seconds)), 256, seconds, per_second=AIM)
        kept = await _worked_on(ours)
    return [*_received(flood, steady, cpu, (behind, kept)), _played(times)]


def _event(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "id": f"evt_{uuid.uuid4().hex}",
        "type": "sale.approved",
        "time": int(time.time()),
        "transaction": f"tx_{uuid.uuid4().hex}",
        "original": "",
        "checkout_id": "",
        "minor_units": 499,
        "currency": "EUR",
        "payment_method": "",
        "reason": "",
    }
    return usual | changes


def _signed(secret: str, event: dict[str, Any]) -> Delivery:
    body = json.dumps(event).encode()
    return Delivery(body, signature(secret, body, datetime.now(UTC)))


def _deliveries(secret: str, count: int) -> list[Delivery]:
    """Refunds of sales that were not told of yet, so that each is worked on too, and set aside."""
    return [_signed(secret, _event(type="refund.made", original=f"tx_{uuid.uuid4().hex}")) for _ in range(count)]


async def _send(server: Connections, one: Delivery) -> int:
    fields = {HEADER.replace("-", "_"): one.signature, "content_type": "application/json"}
    return (await server.ask("POST", _PATH, one.body, **fields)).status


async def _sent(
    address: str, deliveries: Sequence[Delivery], connections: int, seconds: float, *, per_second: float = 0
) -> Answered:
    """Sends deliveries for so long: as many as go, or at a constant rate that waits for no answer."""
    left: Iterator[Delivery] = iter(deliveries)
    milliseconds: list[float] = []
    refused = 0
    gc.collect()
    gc.freeze()
    async with Connections(address, connections) as server:
        start, busy = time.perf_counter(), time.process_time()

        async def one(delivery: Delivery, due: float) -> None:
            nonlocal refused
            if await _send(server, delivery) == 200:
                milliseconds.append((time.perf_counter() - due) * 1000)
            else:
                refused += 1

        async def lane() -> None:
            for delivery in left:
                due = time.perf_counter()
                if due > start + seconds:
                    return
                await one(delivery, due)

        if per_second:
            async with asyncio.TaskGroup() as running:
                for number, delivery in enumerate(left):
                    due = start + number / per_second
                    if (wait := due - time.perf_counter()) > 0:
                        await asyncio.sleep(wait)
                    running.create_task(one(delivery, due))
        else:
            await asyncio.gather(*(lane() for _ in range(connections)))
        took, busy = time.perf_counter() - start, time.process_time() - busy
    gc.unfreeze()
    return Answered(milliseconds, took, busy, refused)


async def _worked_on(ours: Screening) -> float:
    """Waits until the queue has nothing left to work on; returns how many seconds that took."""
    began = time.monotonic()
    socket = ours.mesh.installation.layout.postgres_socket
    connection = await asyncpg.connect(host=str(socket), user="payments", database="reelmesh")
    try:
        async with asyncio.timeout(600):
            while await connection.fetchval("SELECT count(*) FROM webhook_events WHERE state = 1"):
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
    return time.monotonic() - began


async def _to_play(ours: Screening, address: str, secret: str, samples: int) -> dict[str, list[float]]:
    """Milliseconds from a sale's webhook until its buyer may watch, and from a refund's until the edge refuses them."""
    offer_id = await till.for_rent(ours.mesh, ours.asset_id)
    found: dict[str, list[float]] = {"granted": [], "refused": []}
    async with ours.mesh.http() as http, Connections(address, 4) as edge:
        for number in range(samples):
            viewer_id = f"viewer-{number}"
            wish = {"request_id": till.once(), "offer_id": offer_id, "territory": "DE", "viewer_id": viewer_id}
            checkout = (await till.done(http, "POST", "/v1/checkouts", wish))["checkout"]
            sale = _event(checkout_id=checkout["checkout_id"])
            began = time.perf_counter()
            assert await _send(edge, _signed(secret, sale)) == 200
            await _may_watch(http, ours.asset_id, viewer_id)
            found["granted"].append((time.perf_counter() - began) * 1000)
            asked = {"request_id": till.once(), "asset_id": ours.asset_id, "viewer_id": viewer_id}
            playback = (await till.done(http, "POST", "/v1/playback", asked))["playback"]
            path = urlsplit(playback["dash_url"]).path
            await _becomes(edge, path, 200)
            began = time.perf_counter()
            refund = _event(type="refund.made", original=sale["transaction"])
            assert await _send(edge, _signed(secret, refund)) == 200
            await _becomes(edge, path, 403)
            found["refused"].append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.3)
    return found


async def _may_watch(http: httpx.AsyncClient, asset_id: str, viewer_id: str) -> None:
    give_up = time.monotonic() + _PATIENCE
    while True:
        answer = await http.get(f"/v1/assets/{asset_id}/access", params={"viewer_id": viewer_id})
        if answer.status_code == 200 and not answer.json()["decision"]["reason"]:
            return
        if time.monotonic() > give_up:
            raise AssertionError(f"{viewer_id} never came to be entitled: {answer.text}")
        await asyncio.sleep(_LOOK_AGAIN)


async def _becomes(edge: Connections, path: str, status: int) -> None:
    give_up = time.monotonic() + _PATIENCE
    while (await edge.ask("HEAD", path)).status != status:
        if time.monotonic() > give_up:
            raise AssertionError(f"it never became {status}")
        await asyncio.sleep(_LOOK_AGAIN_AT_EDGE)


def _received(
    flood: Answered, steady: Answered, cpu: dict[str, float], behind: tuple[float, float]
) -> list[Measurement]:
    count = len(flood.milliseconds)
    spent = ", ".join(f"{name} {seconds / count * 1e6:.0f}" for name, seconds in cpu.items())
    per_s = (
        f"signed webhooks over {_CONNECTIONS} connections for {flood.seconds:.1f} s through Envoy, as many as go (aim {AIM}), each verified and in the database "
        f"before it is answered, while the queue works on them; {_late(flood.milliseconds)}; {flood.refused} refused; processor time each in µs: {spent}, "
        f"and the load itself {flood.own / count * 1e6:.0f}; the queue was done {behind[0]:.1f} s after the last answer"
    )
    p95 = (
        f"{AIM} a second at a constant rate that waits for no answer, each timed from when it was due, for {steady.seconds:.1f} s through Envoy; "
        f"{len(steady.milliseconds)} answered, {steady.refused} refused; {_late(steady.milliseconds)}; the queue was done {behind[1]:.1f} s after the last answer"
    )
    return [
        Measurement("webhooks.per_s", count / flood.seconds, "webhooks/s", "", per_s),
        Measurement("webhooks.p95_ms", percentile(steady.milliseconds, 95), "ms", "", p95),
    ]


def _played(times: dict[str, list[float]]) -> Measurement:
    worst = max(percentile(found, 95) for found in times.values())
    note = (
        f"from the moment at which a webhook is sent, the worse of two: a sale's until its buyer may watch ({_late(times['granted'])}, looked at every "
        f"{_LOOK_AGAIN * 1000:.0f} ms), a refund's until the edge refuses the manifest ({_late(times['refused'])}); {len(times['refused'])} samples each, p95"
    )
    return Measurement("entitlement.webhook_to_play_ms", worst, "ms", "", note)


def _late(milliseconds: Sequence[float]) -> str:
    return ", ".join(f"p{percent} {percentile(milliseconds, percent):.1f}" for percent in (50, 95, 99)) + " ms"
