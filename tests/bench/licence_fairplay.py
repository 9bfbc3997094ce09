"""Licences: FairPlay, by an Apple device's own request through Envoy. Each request is an SPC of its own, made beforehand, since none is answered
twice: ticket, decision, keys out of their envelopes, RSA, the D function (one of ours), a claim in the database, a CKC, and a record on disk
before the answer."""

from __future__ import annotations

import asyncio
import base64
import gc
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from tests.bench.edge_lanes import cpu_seconds
from tests.bench.harness import Measurement, percentile
from tests.bench.licence import key_ids
from tests.bench.screening import Screening, screening
from tests.support.fairplay_client import Asking
from tests.support.fairplay_provider import new_provider
from tests.support.http1 import Connections

ROOT: Final = Path(__file__).resolve().parents[2]
AIM: Final = 800
_SECONDS: Final = 8.0
_WARMING: Final = 400
_MADE: Final = 8_000
"""SPCs, of which the first warm up. Who runs out of them has a rate all the same, of fewer seconds."""
_CONNECTIONS: Final = 96
"""Players are many, and each waits for its answer."""
_SESSIONS: Final = 32
_PROCESSES: Final = ("envoy", "drm", "policy", "postgres", "nats")
_BYTES: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    path: str
    asking: Asking = field(repr=False)


@dataclass(frozen=True, slots=True)
class Flood:
    """As many as go.

    Attributes:
        seconds: that it took.
        own: of processor time that the load itself took, which runs on the cores that are measured.
        sample: answers, each with its question.
    """

    milliseconds: list[float]
    seconds: float
    own: float
    sample: list[tuple[Question, bytes]]


async def measure() -> list[Measurement]:
    """Takes about a minute."""
    d_function = f"{ROOT / 'tests/support/fairplay_d.py'}:derive"
    async with screening(environment={"REELMESH_DRM_FAIRPLAY_D_FUNCTION": d_function}) as ours:
        address = f"127.0.0.1:{ours.mesh.installation.port}"
        questions = await _questions(ours)
        await _flood(address, questions[:_WARMING], seconds=60)
        before = await _recorded(ours, _WARMING)
        pids = {name: ours.mesh.installation.pid(name) for name in _PROCESSES}
        cpu = {name: cpu_seconds(pid) for name, pid in pids.items()}
        flood = await _flood(address, questions[_WARMING:], seconds=_SECONDS)
        cpu = {name: cpu_seconds(pid) - cpu[name] for name, pid in pids.items()}
        await _recorded(ours, before + len(flood.milliseconds))
    for question, ckc in flood.sample:
        question.asking.receive(ckc)
    return [_measurement(flood, cpu)]


async def _questions(ours: Screening) -> list[Question]:
    """SPCs for one key, for many playbacks in turn."""
    provider = new_provider()
    provider.put(ours.mesh.installation.layout.secrets / "fairplay")
    playbacks = [(await ours.playback()).playback for _ in range(_SESSIONS)]
    manifest = (ours.published / playbacks[0].package_id / "manifest.mpd").read_text(encoding="utf-8")
    key_id = base64.urlsafe_b64decode(key_ids(manifest)[0] + "==")
    paths = [urlsplit(playback.licence_url).path.rpartition("/")[0] + "/fairplay" for playback in playbacks]
    device, asset = provider.device(chance=random.Random(1)), f"skd://{key_id.hex()}".encode()
    return [Question(paths[number % _SESSIONS], device.ask(asset)) for number in range(_MADE)]


async def _flood(address: str, questions: Sequence[Question], *, seconds: float) -> Flood:
    """Asks over connections that stay open, one request at a time on each, until time or questions are over.

    Raises:
        AssertionError: a request was refused.
    """
    left: Iterator[Question] = iter(questions)
    milliseconds: list[float] = []
    sample: list[tuple[Question, bytes]] = []
    gc.collect()
    gc.freeze()
    async with Connections(address, _CONNECTIONS) as server:
        start, busy = time.perf_counter(), time.process_time()

        async def lane() -> None:
            for question in left:
                sent = time.perf_counter()
                if sent > start + seconds:
                    return
                answer = await server.ask("POST", question.path, question.asking.spc, content_type=_BYTES)
                if answer.status != 200:
                    raise AssertionError(f"{answer.status}: {answer.body.decode(errors='replace')}")
                milliseconds.append((time.perf_counter() - sent) * 1000)
                if len(milliseconds) % 100 == 0:
                    sample.append((question, answer.body))

        await asyncio.gather(*(lane() for _ in range(_CONNECTIONS)))
        took, busy = time.perf_counter() - start, time.process_time() - busy
    gc.unfreeze()
    return Flood(milliseconds, took, busy, sample)


async def _recorded(ours: Screening, least: int) -> int:
    """Waits until the database has so many licences, each with its SPC; returns how many it has."""
    socket = ours.mesh.installation.layout.postgres_socket
    connection = await asyncpg.connect(host=str(socket), user="drm", database="reelmesh")
    try:
        async with asyncio.timeout(60):
            while True:
                licences, spcs = [
                    int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
                    for table in ("licences", "fairplay_spcs")
                ]
                if licences >= least:
                    assert spcs >= licences
                    return licences
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


def _measurement(flood: Flood, cpu: dict[str, float]) -> Measurement:
    count = len(flood.milliseconds)
    late = ", ".join(f"p{percent} {percentile(flood.milliseconds, percent):.1f}" for percent in (50, 95, 99))
    spent = ", ".join(f"{name} {seconds / count * 1e6:.0f}" for name, seconds in cpu.items())
    return Measurement(
        "licence.fairplay_per_s",
        count / flood.seconds,
        "licences/s",
        "",
        f"FairPlay licences of {_SESSIONS} playbacks over {_CONNECTIONS} connections for {flood.seconds:.1f} s through Envoy, as many as go (aim {AIM}), "
        f"each for an SPC of its own, remembered and recorded before it is answered; {late} ms; processor time a licence in µs: {spent}, and the "
        f"load itself {flood.own / count * 1e6:.0f}",
    )
