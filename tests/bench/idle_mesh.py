"""The idle mesh: how much memory it takes, and how long the next start on the same data takes."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Final

from tests.bench.harness import Measurement, median
from tests.support.films import film
from tests.support.mesh import Mesh, running_mesh
from tools.reelmesh_cli.supervisor.leftovers import MARK

ROUNDS: Final = 3
_IDLE_SECONDS: Final = 30
_MIB: Final = 1024


async def measure() -> list[Measurement]:
    """Takes about a minute and a half."""
    with running_mesh() as mesh:
        async with mesh.client() as client:  # a mesh that has worked
            upload = await client.upload_file(film())
            await client.wait_for_asset(upload.asset_id)
        starts = [await asyncio.to_thread(_restarted, mesh) for _ in range(ROUNDS)]
        await asyncio.sleep(_IDLE_SECONDS)
        memory = {name: _sum(mesh, name) / _MIB for name in ("Pss", "Rss")}
        count = len(_processes(mesh))
    return [
        Measurement(
            "mesh.idle_rss_mib",
            memory["Pss"],
            "MiB",
            "",
            f"proportional set size of all {count} processes, databases and Envoy included, {_IDLE_SECONDS} s after a start; "
            f"with shared pages counted in each process {memory['Rss']:.0f} MiB",
        ),
        Measurement(
            "mesh.warm_start_s",
            median(starts),
            "s",
            "",
            f"`reelmesh up --detach` on data that is there until everything is ready, median of {ROUNDS}: "
            + ", ".join(f"{one:.1f}" for one in starts),
        ),
    ]


def _restarted(mesh: Mesh) -> float:
    """Stops the mesh, and starts it again on its own data and port; returns how long the start took in seconds."""
    if mesh.installation.run("down").returncode != 0:
        raise AssertionError("the mesh did not stop")
    started = time.perf_counter()
    ran = mesh.installation.run("up", "--detach", "--port", str(mesh.installation.port))
    took = time.perf_counter() - started
    if ran.returncode != 0:
        raise AssertionError(f"the mesh did not start: {ran.stdout}{ran.stderr}")
    return took


def _processes(mesh: Mesh) -> list[Path]:
    """Every process of this install: those that bear its mark, and Postgres, which drops it."""
    mark, found = f"{MARK}={mesh.installation.layout.data}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark in (entry / "environ").read_bytes().split(b"\0")
            if ours or (entry / "cwd").readlink() == mesh.installation.layout.postgres:
                found.append(entry)
        except OSError:
            continue  # gone, or nobody's business
    return found


def _sum(mesh: Mesh, name: str) -> int:
    """KiB of all processes together (`/proc/<pid>/smaps_rollup`)."""
    total = 0
    for entry in _processes(mesh):
        try:
            rollup = (entry / "smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(amount) for amount in re.findall(rf"^{name}:\s+(\d+) kB", rollup, re.MULTILINE))
    return total
