"""Licences: Clear Key, by a player's own request through Envoy: ticket, decision, keys out of their envelopes, and a record on disk before the
answer. How many a second there are at most, how long they take at the rate that we aim at, and how soon the database has them all.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg

from tests.bench.edge_lanes import cpu_seconds
from tests.bench.harness import Measurement, percentile
from tests.bench.load import Load, load
from tests.bench.screening import Screening, screening

PER_SECOND: Final = 1_667
"""The aim: 100,000 a minute."""
_GENTLY: Final = 100
_SECONDS: Final = 12
_CONNECTIONS: Final = 256
_SESSIONS: Final = 256
"""Many, since what is watched for signs of abuse costs more the more often one viewer asks."""
_AT_A_TIME: Final = 16
_FEW: Final = 20
_PROCESSES: Final = ("envoy", "drm", "policy", "postgres", "nats")

Ask = Callable[..., Awaitable[Load]]


@dataclass(frozen=True, slots=True)
class Flood:
    """As many as go.

    Attributes:
        cpu: microseconds of processor time a licence, by process.
        answered: licences in all.
        behind: seconds after the last answer until the database had the last one.
    """

    load: Load
    cpu: dict[str, float]
    answered: int
    behind: float


async def measure() -> list[Measurement]:
    """Takes about a minute and a half."""
    async with screening() as ours:
        ask = await _ask(ours)
        await ask(seconds=3)  # fills pools and caches
        await _drained(ours)
        flood = await _flood(ours, ask)
        steady = await ask(seconds=_SECONDS, per_second=PER_SECOND)
        await _drained(ours)
        gentle = await ask(seconds=_SECONDS, per_second=_GENTLY, connections=_FEW)
    return [*_flooded(flood), *_steady("licence.clearkey_", steady, PER_SECOND), *_steady("licence.", gentle, _GENTLY)]


async def _ask(ours: Screening) -> Ask:
    """Asks for licences of many playbacks in turn."""
    playbacks = []
    for _ in range(_SESSIONS // _AT_A_TIME):
        opened = await asyncio.gather(*(ours.playback() for _ in range(_AT_A_TIME)))
        playbacks += [one.playback for one in opened]
    manifest = (ours.published / playbacks[0].package_id / "manifest.mpd").read_text(encoding="utf-8")
    body = json.dumps({"kids": key_ids(manifest), "type": "temporary"}).encode()
    urls = [playback.licence_url for playback in playbacks]
    return partial(load, urls, connections=_CONNECTIONS, body=body, fields={"content-type": "application/json"})


async def _flood(ours: Screening, ask: Ask) -> Flood:
    before = await _recorded(ours)
    cpu = {name: cpu_seconds(ours.mesh.installation.pid(name)) for name in _PROCESSES}
    seen = await ask(seconds=_SECONDS)
    end = time.monotonic()
    cpu = {name: cpu_seconds(ours.mesh.installation.pid(name)) - start for name, start in cpu.items()}
    answered = len(seen.milliseconds)
    while (recorded := await _recorded(ours) - before) < answered:
        if time.monotonic() > end + 60:
            raise AssertionError(f"{answered} licences were answered, {recorded} recorded")
        await asyncio.sleep(0.1)
    return Flood(seen, {name: spent / answered * 1e6 for name, spent in cpu.items()}, answered, time.monotonic() - end)


async def _recorded(ours: Screening) -> int:
    """How many licences the database has."""
    socket = ours.mesh.installation.layout.postgres_socket
    connection = await asyncpg.connect(host=str(socket), user="drm", database="reelmesh")
    try:
        return int(await connection.fetchval("SELECT count(*) FROM licences"))
    finally:
        await connection.close()


async def _drained(ours: Screening) -> None:
    """Waits until no more come."""
    before = -1
    while (now := await _recorded(ours)) != before:
        before = now
        await asyncio.sleep(1)


def _flooded(flood: Flood) -> list[Measurement]:
    cpu = ", ".join(f"{name} {microseconds:.0f}" for name, microseconds in flood.cpu.items())
    late = _late(flood.load.milliseconds)
    return [
        Measurement(
            "licence.clearkey_per_s",
            flood.load.per_second,
            "licences/s",
            "",
            f"Clear Key licences of {_SESSIONS} playbacks over {_CONNECTIONS} connections for {_SECONDS} s through Envoy, as many as go, each with its "
            f"ticket, decision and envelopes, and on disk before it is answered; {late}; processor time a licence in µs: {cpu}; of "
            f"{flood.answered} answered the database had the last {flood.behind:.1f} s after",
        )
    ]


def _steady(prefix: str, seen: Load, rate: int) -> list[Measurement]:
    how = (
        f"{rate} Clear Key licences a second asked for over {_CONNECTIONS if rate > _GENTLY else _FEW} connections for {_SECONDS} s through Envoy, "
        f"{seen.per_second:.0f} answered; {_late(seen.milliseconds)}"
    )
    return [
        Measurement(f"{prefix}p{percent}_ms", percentile(seen.milliseconds, percent), "ms", "", how)
        for percent in (95, 99)
    ]


def _late(milliseconds: Sequence[float]) -> str:
    parts = [f"p{percent} {percentile(milliseconds, percent):.1f}" for percent in (50, 95, 99)]
    return ", ".join(parts) + " ms"


def key_ids(manifest: str) -> list[str]:
    """Key ids in a manifest, as a licence request names them: base64url without padding (W3C EME, Clear Key)."""
    found = sorted(set(re.findall(r'default_KID="([0-9a-fA-F-]{36})"', manifest)))
    return [base64.urlsafe_b64encode(bytes.fromhex(kid.replace("-", ""))).decode().rstrip("=") for kid in found]
