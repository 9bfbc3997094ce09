"""The supervisor: brings the mesh up in order, keeps it up, takes it down backwards."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.reelmesh_cli.processes import ProcessSpec
from tools.reelmesh_cli.supervisor import (
    environment,
    envoy_server,
    health,
    install_secrets,
    leftovers,
    linux,
    nats_server,
    postgres,
)
from tools.reelmesh_cli.supervisor.environment import MeshAddresses
from tools.reelmesh_cli.supervisor.keeper import SETTLED, Keeper, StartFailed, command_name
from tools.reelmesh_cli.supervisor.layout import REPOSITORY, Layout
from tools.reelmesh_cli.supervisor.logs import LogFile, LogPump
from tools.reelmesh_cli.supervisor.nursery import Nursery, SpawnFailed
from tools.reelmesh_cli.supervisor.reaper import Reaper, described
from tools.reelmesh_cli.supervisor.state import Identity, MeshRecord, MeshState, ProcessRecord
from tools.reelmesh_cli.supervisor.zygote import SpawnRequest

RENEW_EVERY_SECONDS = 10.0
"""How often it is looked whether a certificate is to be renewed. A machine that slept past the end of one is well again that soon."""
SERVICE_NAME = "supervisor"
"""By which the services know this process; see `services/callers.toml`."""

Report = Callable[[dict[str, Any]], None]
"""Takes one event, for whoever watches the start: {"event": "process" | "ready" | "failed" | "stopped", ...}."""


class Mesh:
    """Everything that runs from one data directory. The caller holds the lock of that directory."""

    def __init__(
        self, layout: Layout, port: int, specs: tuple[ProcessSpec, ...], preloaded: tuple[str, ...], report: Report
    ) -> None:
        self._layout = layout
        self._specs = specs
        self._report = report
        self._addresses = MeshAddresses(port, nats_server.choose_port(layout))
        self._log = LogFile(layout.log_of("supervisor"), "supervisor")
        self._nursery = Nursery(preloaded, environment.of_services(layout, self._addresses), self._log.fileno())
        self._keepers = {spec.name: self._keeper(spec) for spec in specs}
        self._stop = asyncio.Event()
        self._certified = asyncio.Event()
        self._write_due = False
        self.record = MeshRecord(
            data_dir=str(layout.data),
            url=self._addresses.url,
            port=port,
            run_dir=str(layout.sockets),
            boot=linux.boot_id(),
            supervisor=Identity.of(os.getpid()),
            guardian=Identity.of(os.getppid()),
            started=time.time(),
            processes=[keeper.record for keeper in self._keepers.values()],
        )

    async def run(self) -> bool:
        """Runs until SIGTERM or SIGINT; returns False if the mesh could not start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        for pid in leftovers.end_leftovers(self._layout):
            self._log.note("ended a leftover of an earlier run", pid=pid)
        self.record.write(self._layout.state_file)
        install_secrets.ensure(self._layout.secrets)
        self._nursery.start()
        reaper = Reaper(self._nursery)
        keeping = [asyncio.create_task(self._keep(keeper, reaper)) for keeper in self._keepers.values()]
        keeping.append(asyncio.create_task(self._tend_certificates()))
        failure = await self._until_stopped(keeping)
        await self._take_down(keeping)
        self._nursery.close()
        if failure:
            self._report({"event": "failed", "message": failure})
        self._enter("failed" if failure else "stopped", failure)
        self.record.write(self._layout.state_file)
        self._report({"event": "stopped"})
        return not failure

    async def _until_stopped(self, keeping: list[asyncio.Task[None]]) -> str:
        """Waits for the end, announcing readiness on the way; returns why the mesh cannot run, or nothing."""
        stop = asyncio.create_task(self._stop.wait())
        ready = asyncio.create_task(self._all_ready())
        waiting: set[asyncio.Task[Any]] = {stop, ready, *keeping}
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task is not stop and (error := task.exception()) is not None:
                    if not isinstance(error, StartFailed | SpawnFailed | OSError | postgres.NoPostgresUser):
                        raise error
                    ready.cancel()
                    return str(error)
            if ready in done:
                self._announce_ready()
            if stop in done:
                ready.cancel()
                return ""

    async def _all_ready(self) -> None:
        for keeper in self._keepers.values():
            await keeper.was_ready.wait()

    def _announce_ready(self) -> None:
        self.record.ready_seconds = round(time.time() - self.record.started, 3)
        self._enter("ready", "")
        self._write()
        self._log.note("ready", seconds=self.record.ready_seconds, url=self._addresses.url)
        self._report({"event": "ready", "url": self._addresses.url, "seconds": self.record.ready_seconds})

    async def _keep(self, keeper: Keeper, reaper: Reaper) -> None:
        if keeper.spec.kind == "postgres":
            await self._create_cluster(keeper, reaper)
        await keeper.run(self._nursery, reaper, [self._keepers[name] for name in keeper.spec.needs])

    async def _take_down(self, keeping: list[asyncio.Task[None]]) -> None:
        """Stops everything, each process after those that need it."""
        self._enter("stopping", "")

        async def stop(keeper: Keeper) -> None:
            users = [other for other in self._keepers.values() if self._uses(other.spec, keeper.spec.name)]
            await asyncio.gather(*(user.stopped.wait() for user in users))
            await keeper.stop()

        await asyncio.gather(*(stop(keeper) for keeper in self._keepers.values()))
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)

    def _uses(self, spec: ProcessSpec, name: str) -> bool:
        """Whether `spec` has to end before `name` may; Envoy, through which everything is called, ends first."""
        if spec.kind == "envoy" and self._keepers[name].spec.kind != "envoy":
            return True
        return any(need == name or self._uses(self._keepers[need].spec, name) for need in spec.needs)

    # How each kind is started and seen to be ready.

    def _keeper(self, spec: ProcessSpec) -> Keeper:
        log = LogFile(self._layout.log_of(spec.name), spec.name)
        return Keeper(
            spec,
            log,
            functools.partial(self._request, spec),
            functools.partial(self._ready, spec),
            self._changed,
            drain=functools.partial(envoy_server.drained, self._layout) if spec.kind == "envoy" else None,
        )

    async def _request(self, spec: ProcessSpec) -> SpawnRequest:
        programs = environment.of_programs(self._layout)
        if spec.kind == "postgres":
            await asyncio.to_thread(leftovers.end_postgres, self._layout)
            postgres.clear_stale_pid(self._layout)
            return postgres.server_request(self._layout, postgres.owner_of(self._layout), programs)
        if spec.kind == "nats":
            return nats_server.server_request(self._layout, self._addresses.nats_port, programs)
        await self._certified.wait()
        if spec.kind == "envoy":
            return await asyncio.to_thread(envoy_server.server_request, self._layout, self._addresses, programs)
        return SpawnRequest(
            name=command_name(spec),
            module=spec.module,
            environment=environment.of_service(self._layout, self._addresses, spec.name),
            directory=str(REPOSITORY),
            death_signal=signal.SIGKILL,
        )

    async def _ready(self, spec: ProcessSpec, pid: int) -> bool:
        probes: dict[str, Callable[[], Awaitable[bool]]] = {
            "nats": lambda: health.nats_listening(nats_server.HOST, self._addresses.nats_port),
            "envoy": self._envoy_ready,
            "grpc": lambda: health.serving(self._layout.socket_of(spec.name), spec.name, self._certificate()),
            "tls": lambda: health.shaking_hands(self._layout.socket_of(spec.name), spec.name, self._certificate()),
            "socket": lambda: health.accepting(self._layout.socket_of(spec.name)),
            "metrics": lambda: health.accepting(self._layout.sockets / f"{spec.name}.metrics.sock"),
        }
        if spec.kind == "postgres":
            return postgres.ready(self._layout, pid)
        return await probes[spec.kind if spec.kind in ("nats", "envoy") else spec.health]()

    async def _envoy_ready(self) -> bool:
        """At first: whether people can be served, that is, Envoy sees every service. Later: whether it answers at all."""
        if not await health.envoy_ready(envoy_server.admin_socket(self._layout)):
            return False
        await envoy_server.tend_access_log(self._layout)
        return self.record.state != "starting" or await health.edge_ready(self._addresses.port)

    def _certificate(self) -> Path:
        """Folder of the certificate that the supervisor shows."""
        return self._layout.secrets / "tls" / SERVICE_NAME

    async def _tend_certificates(self) -> None:
        while True:
            try:
                renewed = await asyncio.to_thread(_renew_certificates, self._layout)
            except (OSError, ValueError) as error:
                if not self._certified.is_set():
                    raise
                self._log.note("certificates could not be renewed; it is tried again", error=str(error))
            else:
                if renewed:
                    self._log.note("certificates renewed", services=renewed)
                self._certified.set()
            await asyncio.sleep(RENEW_EVERY_SECONDS)

    async def _create_cluster(self, keeper: Keeper, reaper: Reaper) -> None:
        owner = postgres.owner_of(self._layout)
        postgres.prepare(self._layout, owner)
        if postgres.initialised(self._layout):
            return
        pump = LogPump(keeper.log)
        request = postgres.initdb_request(self._layout, owner, environment.of_programs(self._layout))
        try:
            pid = await self._nursery.spawn(request, pump.writer)
        finally:
            pump.close_writer()
        status = await reaper.watch(pid)
        if status != 0:
            said = " / ".join(keeper.log.last_messages(6))
            raise StartFailed(f"initdb could not make the database ({described(status)}): {said}")
        postgres.finish_initdb(self._layout)

    # What the outside sees.

    def _changed(self, record: ProcessRecord) -> None:
        self._report(
            {
                "event": "process",
                "name": record.name,
                "state": record.state,
                "seconds": record.ready_seconds,
                "restarts": record.restarts,
                "last_exit": record.last_exit,
            }
        )
        if self.record.state in ("ready", "repairing"):
            whole = all(keeper.record.state in SETTLED for keeper in self._keepers.values())
            self._enter("ready" if whole else "repairing", "")
        if not self._write_due:
            self._write_due = True
            asyncio.get_running_loop().call_later(0.05, self._write)

    def _write(self) -> None:
        self._write_due = False
        self.record.zygote = Identity.of(self._nursery.pid) if self._nursery.pid is not None else None
        with contextlib.suppress(OSError):  # the next change writes it again
            self.record.write(self._layout.state_file)

    def _enter(self, state: MeshState, detail: str) -> None:
        self.record.state, self.record.detail = state, detail


def _renew_certificates(layout: Layout) -> list[str]:
    # Imported on the thread that works with it, while the stores start: it takes a while.
    from services.kit.callers import everyone
    from tools.reelmesh_cli.supervisor.certificates import renew

    return renew(layout.secrets, everyone(), datetime.now(UTC))
