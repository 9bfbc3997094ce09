"""Keeps one process running: starts it when what it needs is ready, sees it become ready, repairs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from tools.reelmesh_cli.processes import COMMAND_NAME, ProcessSpec
from tools.reelmesh_cli.supervisor.logs import LogFile, LogPump
from tools.reelmesh_cli.supervisor.nursery import Nursery, SpawnFailed
from tools.reelmesh_cli.supervisor.reaper import Reaper, described
from tools.reelmesh_cli.supervisor.state import Identity, ProcessRecord, ProcessState
from tools.reelmesh_cli.supervisor.zygote import SpawnRequest

SETTLED: tuple[ProcessState, ...] = ("ready", "done")
START_TRIES = 3
"""A process that dies this often before it was ever ready stops the whole start: it will not get better."""
START_SECONDS = 90.0
"""A process that is alive but not ready for this long stops the start too."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_STEADY_SECONDS = 10.0
_PROBE_EVERY = 10.0
_UNRESPONSIVE_SECONDS = 60.0


class StartFailed(Exception):
    """The mesh cannot start; the message says which process, why, and what it last said."""


class Keeper:
    """One process over its whole life.

    Args:
        spec: what it is.
        log: where its output goes.
        request: how to start it; called before each start, so it may prepare things.
        probe: whether the process with this pid is ready.
        changed: told after each change of `record`.
        drain: lets what is under way end, before the process is asked to; None where the process does that by itself.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        log: LogFile,
        request: Callable[[], Awaitable[SpawnRequest]],
        probe: Callable[[int], Awaitable[bool]],
        changed: Callable[[ProcessRecord], None],
        *,
        drain: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.spec = spec
        self.record = ProcessRecord(spec.name, spec.kind)
        self.log = log
        self.was_ready = asyncio.Event()
        self.is_ready = asyncio.Event()
        self.stopped = asyncio.Event()
        self._request = request
        self._probe = probe
        self._changed = changed
        self._drain = drain
        self._stopping = False
        self._exited: asyncio.Future[int] | None = None

    async def run(self, nursery: Nursery, reaper: Reaper, needed: Sequence[Keeper] = ()) -> None:
        """Runs until `stop`; a job, until it has done its work. Until it was ready once, it starts only while `needed` are.

        Raises:
            StartFailed: it never became ready.
        """
        pause, tries = _FIRST_PAUSE, 0
        while not self._stopping:
            if not self.was_ready.is_set():
                await asyncio.gather(*(keeper.is_ready.wait() for keeper in needed))
            began = time.monotonic()
            outcome = await self._live_once(nursery, reaper)
            if self._ended():
                return
            tries += 1
            if not self.was_ready.is_set() and tries >= START_TRIES:
                self._set("failed")
                raise StartFailed(self._failure(outcome))
            self.record.restarts += 1
            self.record.last_exit = outcome
            self._set("restarting")
            self.log.note(f"{self.spec.name} ended", outcome=outcome, restarts=self.record.restarts)
            pause = _FIRST_PAUSE if time.monotonic() - began > _STEADY_SECONDS else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    def _ended(self) -> bool:
        return self._stopping or self.record.state == "done"

    async def _live_once(self, nursery: Nursery, reaper: Reaper) -> str:
        """Starts it and waits for its end; returns how it ended."""
        self._set("restarting" if self.record.restarts else "starting")
        began = time.monotonic()
        try:
            pid = await self._spawn(nursery)
        except (SpawnFailed, OSError) as error:
            self.log.note(str(error))
            return str(error)
        self._exited = reaper.watch(pid)
        self.record.identity = Identity.of(pid)
        self._set(self.record.state)
        if self._stopping:
            self._signal(signal.SIGKILL)
        if self.spec.kind == "job":
            status = await self._exited
            if status == 0:
                self._became("done", began)
        else:
            await self._attend(pid, self._exited, began)
            status = await self._exited
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # whatever it started in its own group
        self.record.identity = None
        return described(status)

    async def _spawn(self, nursery: Nursery) -> int:
        request = await self._request()
        pump = LogPump(self.log)
        try:
            return await nursery.spawn(request, pump.writer)
        finally:
            pump.close_writer()

    async def _attend(self, pid: int, exited: asyncio.Future[int], began: float) -> None:
        """Sees it become ready, and watches that it stays responsive, until it ends."""
        last_answer = time.monotonic()
        while not exited.done():
            if await self._probe(pid) and not exited.done():
                last_answer = time.monotonic()
                if self.record.state not in ("ready", "stopping"):
                    self._became("ready", began)
            silent = time.monotonic() - last_answer
            if not self.was_ready.is_set() and silent > START_SECONDS:
                self._signal(signal.SIGKILL)
                await exited
                raise StartFailed(self._failure(f"it runs, but was not ready within {START_SECONDS:.0f} seconds"))
            if self.was_ready.is_set() and silent > _UNRESPONSIVE_SECONDS and not self._stopping:
                self.log.note(f"{self.spec.name} did not answer for {silent:.0f} seconds and is started anew")
                self._signal(signal.SIGKILL)
            pause = _PROBE_EVERY if self.record.state == "ready" else 0.05 + min((time.monotonic() - began) / 20, 0.5)
            await asyncio.wait([exited], timeout=pause)

    async def stop(self) -> None:
        """Asks it to end (SIGTERM; for Postgres SIGINT, its "fast shutdown"), and ends it when it takes too long."""
        self._stopping = True
        if self._exited is not None and not self._exited.done():
            self._set("stopping")
            if self._drain is not None:
                draining = asyncio.create_task(self._drain())
                self._exited.add_done_callback(lambda _: draining.cancel())
                await asyncio.wait([draining])
            self._signal(signal.SIGINT if self.spec.kind == "postgres" else signal.SIGTERM)
            ended, _ = await asyncio.wait([self._exited], timeout=self.spec.stop_seconds)
            if not ended:
                self.log.note(f"{self.spec.name} did not end within {self.spec.stop_seconds:.0f} seconds and is killed")
                self._signal(signal.SIGKILL)
                await asyncio.wait([self._exited], timeout=5)
        if self.record.state != "failed":
            self._set("stopped")
        self.stopped.set()

    def _signal(self, number: int) -> None:
        if self.record.identity is not None and self._exited is not None and not self._exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.record.identity.pid, number)

    def _became(self, state: ProcessState, began: float) -> None:
        self.record.ready_seconds = round(time.monotonic() - began, 3)
        self._set(state)
        self.was_ready.set()

    def _set(self, state: ProcessState) -> None:
        if self.record.state != state:
            self.record.state = state
            self.record.since = time.time()
        if state in SETTLED:
            self.is_ready.set()
        else:
            self.is_ready.clear()
        self._changed(self.record)

    def _failure(self, outcome: str) -> str:
        said = "\n".join(f"    {line[:400]}" for line in self.log.last_messages(8))
        return (
            f"{self.spec.name} does not start ({outcome}). It last said:\n{said}\nMore: reelmesh logs {self.spec.name}"
        )


def command_name(spec: ProcessSpec) -> str:
    """What `ps` shows for it."""
    return f"{COMMAND_NAME}{spec.name}"
