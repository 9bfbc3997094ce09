"""Log-ins: with address and password by REST through Envoy, beside Argon2id alone at the same cost on all processors."""

from __future__ import annotations

import asyncio
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from argon2 import PasswordHasher
from argon2.low_level import Type

from services.identity.__main__ import IdentitySettings
from tests.bench.harness import Measurement, median, percentile, take_turns
from tests.bench.load import Load, load
from tests.bench.people import Person, registered, unlimited
from tests.support.mesh import Mesh, running_mesh

_ROUNDS: Final = 5
_SECONDS: Final = 5
_CONNECTIONS: Final = 8
_PEOPLE: Final = 4


async def measure() -> list[Measurement]:
    """Takes about two minutes."""
    with unlimited(), running_mesh() as mesh:
        people = [await registered(mesh) for _ in range(_PEOPLE)]
        lanes = {"ours": partial(_ours, mesh, people), "argon2": partial(asyncio.to_thread, _floor)}
        await take_turns(lanes, 1)
        seen = await take_turns(lanes, _ROUNDS)
    settings = IdentitySettings()
    per_second = {name: median(turn.per_second for turn in turns) for name, turns in seen.items()}
    late = {percent: median(percentile(turn.milliseconds, percent) for turn in seen["ours"]) for percent in (50, 95)}
    return [
        Measurement(
            "auth.logins_vs_argon2_floor",
            per_second["ours"] / per_second["argon2"],
            "ratio",
            "argon2-cffi alone, a thread for each processor",
            f"{per_second['ours']:.1f} log-ins a second over {_CONNECTIONS} connections (p50 {late[50]:.0f}, p95 {late[95]:.0f} ms) beside "
            f"{per_second['argon2']:.1f} verifications a second; Argon2id of {settings.identity_argon2_memory_kib} KiB and "
            f"{settings.identity_argon2_passes} passes; median of {_ROUNDS} alternating rounds of {_SECONDS} s",
        )
    ]


async def _ours(mesh: Mesh, people: list[Person]) -> Load:
    """All of them sign in again and again, each over connections of their own."""

    async def one(person: Person) -> Load:
        return await load(
            f"{mesh.url}/v1/sessions",
            connections=_CONNECTIONS // len(people),
            seconds=_SECONDS,
            body=json.dumps({"email": person.email, "password": person.password}).encode(),
            fields={"content-type": "application/json"},
        )

    seen = await asyncio.gather(*(one(person) for person in people))
    return Load(sum(turn.per_second for turn in seen), tuple(late for turn in seen for late in turn.milliseconds))


def _floor() -> Load:
    settings = IdentitySettings()
    hasher = PasswordHasher(
        time_cost=settings.identity_argon2_passes,
        memory_cost=settings.identity_argon2_memory_kib,
        parallelism=1,
        type=Type.ID,
    )
    password = "seven lanterns over Aarhus"
    kept = hasher.hash(password)
    end = time.monotonic() + _SECONDS
    milliseconds: list[float] = []

    def verify() -> None:
        while (begin := time.monotonic()) < end:
            hasher.verify(kept, password)
            milliseconds.append((time.monotonic() - begin) * 1000)

    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(verify) for _ in range(threads)]:
            done.result()
    return Load(len(milliseconds) / _SECONDS, tuple(milliseconds))
