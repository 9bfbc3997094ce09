"""The life of one process: settings, logs, tracing, connections, background work, drain.

A service's `__main__.py` is `run("assets", wire)`; `wire` is given a `Process`, puts the service together and returns once everything
is started. The process then lives until SIGTERM or SIGINT, drains, and closes what was opened, last opened first.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import grpc
import structlog
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from nats.aio.client import Client as NatsClient
from reelmesh.rpc.v1 import trust_service_pb2
from reelmesh.rpc.v1.personal_data_service_pb2_grpc import add_PersonalDataServiceServicer_to_server

from services.kit import client, events, telemetry
from services.kit.access import API_KEYS_FILE, ApiKeys, Authenticator, Rule, Trust, declared_rules
from services.kit.callers import callers_of
from services.kit.clock import Clock, SystemClock
from services.kit.database import Database
from services.kit.dpop import Proofs
from services.kit.peers import Peers
from services.kit.personal_data import CONTRACT as PERSONAL_DATA
from services.kit.personal_data import PersonalData, PersonalDataServicer
from services.kit.plain_http import Handler, PlainHttpServer
from services.kit.server import Server
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.kit.tls import Certificates, UnusableCertificate
from services.kit.trust import RemoteTrust
from services.kit.uncancelled import stopped

log = structlog.stdlib.get_logger()

AnySettings = TypeVar("AnySettings", bound=ProcessSettings)
_GARBAGE: Final = 10_000
"""Objects after which garbage is looked for; Python's own 700 are fewer than what a few calls hold while they wait."""
TRUST_CONTRACT: Final = trust_service_pb2.DESCRIPTOR.services_by_name["TrustService"]


class Process:
    """What a service is put together from."""

    def __init__(
        self, name: str, settings: ProcessSettings, stack: contextlib.AsyncExitStack, clock: Clock | None = None
    ) -> None:
        self.name = name
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.certificates = Certificates(settings.tls_folder(name))
        if (shown := self.certificates.current().service) != name:
            raise UnusableCertificate(f"{settings.tls_folder(name)} holds the certificate of {shown}, not of {name}")
        self.proofs = Proofs(self.clock, settings.public_url)
        self.failed = asyncio.Event()
        self._stack = stack

    def database(self) -> Database:
        """The service's own schema."""
        database = Database.of(self.name, self.settings)
        self._stack.push_async_callback(database.close)
        return database

    async def bus(self) -> NatsClient:
        """A connection to NATS."""
        connection = await events.connect(self.settings, self.name)
        self._stack.push_async_callback(events.disconnect, connection)
        return connection

    def store(self) -> ObjectStore:
        """The object store."""
        return ObjectStore.at(self.settings.storage_location())

    def peer(self, service: str, contract: ServiceDescriptor, *, repeats: bool = True) -> grpc.aio.Channel:
        """A channel to another service, on which both show their certificates. `repeats=False`: calls are not sent again by themselves."""
        repeated = [contract] if repeats else []
        channel = client.connected(self.settings.peer(service), repeated, self.certificates, service)
        self._stack.push_async_callback(channel.close, None)
        return channel

    def at_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """Closes something of the service's own when the process ends."""
        self._stack.push_async_callback(close)

    def in_background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs something for as long as the process lives. If it ends by itself the process stops, to be started again clean."""
        task = asyncio.create_task(work, name=name)

        def ended(done: asyncio.Task[None]) -> None:
            if not done.cancelled():
                log.error("background work ended", work=name, exc_info=done.exception())
                self.failed.set()

        task.add_done_callback(ended)
        self._stack.push_async_callback(stopped, task)

    def all_in_background(self, works: Mapping[str, Coroutine[Any, Any, None]]) -> None:
        """As `in_background`, for several, each by its name."""
        for name, work in works.items():
            self.in_background(work, name)

    async def serve(
        self,
        contracts: list[ServiceDescriptor],
        add: Callable[[grpc.aio.Server], None],
        foreign: dict[str, Rule] | None = None,
        trust: Trust | None = None,
        personal: PersonalData | None = None,
    ) -> Server:
        """Serves contracts.

        Args:
            contracts: our own services, whose access rules are read from their options.
            add: adds the servicers.
            foreign: rules of methods of other people's contracts, which cannot carry our option.
            trust: recognises people and API keys. None: what the identity service says.
            personal: what the service keeps about persons, for the compliance service to ask after. None where it keeps nothing.
        """
        if personal is not None:
            contracts = [*contracts, PERSONAL_DATA]
        api_keys = ApiKeys(self.settings.secrets_dir / API_KEYS_FILE)
        authenticator = Authenticator(api_keys, trust or self._remote_trust(), self.proofs)
        server = Server(
            authenticator,
            {**declared_rules(contracts), **(foreign or {})},
            service_names=[contract.full_name for contract in contracts],
            certificates=self.certificates,
            callers=callers_of(self.name),
        )
        add(server.grpc)
        if personal is not None:
            add_PersonalDataServiceServicer_to_server(PersonalDataServicer(personal), server.grpc)
        await server.start(self.settings.listen_address(self.name))
        self._stack.push_async_callback(server.drain, self.settings.drain_timeout.total_seconds())
        return server

    async def serve_plainly(self, server: str, handler: Handler, *, body_bytes: int = 0) -> PlainHttpServer:
        """Serves short requests of HTTP/1.1 besides, with bodies up to a size: `server` is its name in `services/callers.toml`, and of its
        address."""
        peers = Peers(self.certificates, callers_of(server))
        plain = PlainHttpServer(handler, self.certificates, peers, body_bytes=body_bytes)
        await plain.start(self.settings.plain_address(server))
        self._stack.push_async_callback(plain.drain, self.settings.drain_timeout.total_seconds())
        return plain

    def _remote_trust(self) -> Trust:
        trust = RemoteTrust(self.peer("identity", TRUST_CONTRACT), self.clock)
        self._stack.push_async_callback(trust.close)
        return trust


async def _live(name: str, settings: ProcessSettings, wire: Callable[[Process], Awaitable[None]], label: str) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        process = Process(name, settings, stack)
        await stack.enter_async_context(telemetry.serving_metrics(settings.metrics_address(label)))
        await wire(process)
        # What was made so far stays: nobody need look through it again for as long as the process lives.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE)
        log.info("ready")
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(process.failed.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        log.info("draining")
        for wait in waits:
            wait.cancel()
    log.info("stopped")
    return 1 if process.failed.is_set() else 0


def run(
    name: str,
    settings_type: type[AnySettings],
    wire: Callable[[Process, AnySettings], Awaitable[None]],
    *,
    label: str = "",
) -> None:
    """Runs a process to its end.

    Args:
        name: the service, which is also its schema, its role and its name towards other services.
        settings_type: what to read from the environment.
        wire: puts the service together and starts it.
        label: name in logs and of the metrics socket where it is not `name`, such as `transcode-worker`.
    """
    settings = settings_type()
    label = label or name
    telemetry.set_up_logging(label, settings.log_level)
    telemetry.set_up_tracing(label, settings.otlp_endpoint)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_live(name, settings, lambda process: wire(process, settings), label))
    if code:
        raise SystemExit(code)
