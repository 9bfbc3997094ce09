"""`make soak`: brings films in, plays and deletes them for a while, kills a process at every second turn, and watches memory and
descriptors of those that live on.

    python -m tests.bench.soak [--minutes 10]

Ends with a table, and with status 1 when a film was lost or a process kept growing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.licence import key_ids
from tests.support.films import film
from tests.support.mesh import Mesh, running_mesh
from tools.reelmesh_cli.supervisor.state import read_state
from tools.reelmesh_sdk import Client

_MIB: Final = 1 << 20
_VICTIMS: Final = (
    "upload",
    "transcode-worker",
    "policy",
    "limits",
    "nats",
    "packaging-worker",
    "envoy",
    "assets",
    "postgres",
    "drm",
    "transcode",
    "packaging",
    "protection",
)
_KEPT: Final = 3
# The first turns import engines and fill pools.
_WARM_TURNS: Final = 2
_MOST_GROWTH: Final = 48 * _MIB
_MOST_DESCRIPTORS: Final = 32


@dataclass(slots=True)
class Life:
    """One process from start to end: resident bytes and open descriptors after each turn."""

    name: str
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    @property
    def grows(self) -> bool:
        """Whether it took more from turn to turn than anything that is kept could explain."""
        more = self.memory[-1] - self.memory[0]
        return (
            more > max(_MOST_GROWTH, self.memory[0] // 2)
            or self.descriptors[-1] - self.descriptors[0] > _MOST_DESCRIPTORS
        )


@dataclass(slots=True)
class Soak:
    """The state of a run."""

    mesh: Mesh
    client: Client
    folder: Path
    lives: dict[int, Life] = field(default_factory=dict)
    kept: deque[str] = field(default_factory=deque)
    trouble: list[str] = field(default_factory=list)

    async def turn(self, number: int, victim: str | None) -> None:
        """A film in, played, and an old one out. The victim dies while the film is on its way."""
        begun = asyncio.Event()
        killing = None if victim is None else asyncio.create_task(self._kill(victim, begun, pause=number % 7 * 0.3))
        try:
            upload = await self.client.upload_file(
                self._master(number), title=f"Turn {number}", on_progress=lambda _sent, _total: begun.set()
            )
            await self.client.wait_for_asset(upload.asset_id)
        finally:
            if killing is not None:
                await killing
        self.kept.append(upload.asset_id)
        await self.play(upload.asset_id)
        if len(self.kept) > _KEPT:
            async with self.mesh.http() as http:
                (await http.delete(f"/v1/assets/{self.kept.popleft()}")).raise_for_status()
        if number >= _WARM_TURNS:
            self._look()

    async def play(self, asset_id: str) -> None:
        """Manifest, licence and every file of the smallest picture; then a revoked session gets nothing more."""
        created = await self.client.create_playback(asset_id)
        playback = created.playback
        package = self.mesh.data / "objects/published" / playback.package_id
        smallest = min((package / "video").iterdir(), key=lambda path: int(path.name.rstrip("p")))
        base = playback.dash_url.rpartition("/")[0]
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            manifest = await http.get(playback.dash_url)
            manifest.raise_for_status()
            licence = await http.post(playback.licence_url, json={"kids": key_ids(manifest.text), "type": "temporary"})
            licence.raise_for_status()
            for path in smallest.glob("*.m*4*"):
                answer = await http.get(f"{base}/{path.relative_to(package)}")
                answer.raise_for_status()
                if answer.content != path.read_bytes():
                    self.trouble.append(f"{asset_id}: {path.name} came out different")
            await self.client.revoke(playback.session_id)
            if (await http.get(playback.hls_url)).status_code != 403:
                self.trouble.append(f"{asset_id}: a revoked session was served")

    async def _kill(self, victim: str, begun: asyncio.Event, pause: float) -> None:
        await begun.wait()
        await asyncio.sleep(pause)
        old = self.mesh.installation.pid(victim)
        self.mesh.kill(victim)
        await self.mesh.repaired(victim, old, within=60)

    def _master(self, number: int) -> Path:
        """The same film with another last box, so that each is a master of its own."""
        for old in self.folder.iterdir():
            old.unlink()
        target = self.folder / f"{number}.mp4"
        shutil.copyfile(film(), target)
        with target.open("ab") as file:
            file.write(b"\x00\x00\x00\x10free" + number.to_bytes(8, "big"))
        return target

    def _look(self) -> None:
        state = read_state(self.mesh.installation.layout)
        assert state is not None
        for one in state.processes:
            with contextlib.suppress(psutil.Error):
                if one.identity is None or not one.identity.alive():
                    continue
                process = psutil.Process(one.identity.pid)
                life = self.lives.setdefault(one.identity.pid, Life(one.name))
                life.memory.append(process.memory_info().rss)
                life.descriptors.append(process.num_fds())


async def soak(minutes: float) -> int:
    """Goes on for so many minutes; returns the exit status."""
    victims = itertools.cycle(_VICTIMS)
    with running_mesh() as mesh, tempfile.TemporaryDirectory(prefix="reelmesh-soak-") as folder:
        async with mesh.client() as client:
            run = Soak(mesh, client, Path(folder))
            end, number = time.monotonic() + minutes * 60, 0
            while time.monotonic() < end:
                started = time.monotonic()
                victim = next(victims) if number % 2 else None
                await run.turn(number, victim)
                killed = f", {victim} killed" if victim else ""
                print(f"turn {number}: {time.monotonic() - started:.1f} s{killed}", flush=True)
                number += 1
            for asset_id in run.kept:
                await run.play(asset_id)
        growing = _report(run, number)
        print(json.dumps({"turns": number, "growing": growing, "trouble": run.trouble}))
    return 1 if growing or run.trouble else 0


def _report(run: Soak, turns: int) -> list[str]:
    table = Table("process", "turns", "MiB first", "MiB last", "descriptors first", "last", title=f"{turns} turns")
    growing = []
    for life in sorted(run.lives.values(), key=lambda life: life.name):
        first, last = (f"{life.memory[at] / _MIB:.0f}" for at in (0, -1))
        table.add_row(
            life.name, str(len(life.memory)), first, last, str(life.descriptors[0]), str(life.descriptors[-1])
        )
        if life.grows:
            growing.append(life.name)
    Console().print(table)
    return growing


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="make soak", description="Uploads, plays and kills for a while.")
    parser.add_argument("--minutes", type=float, default=10, help="how long, 10 by default")
    return asyncio.run(soak(parser.parse_args().minutes))


if __name__ == "__main__":
    sys.exit(main())
