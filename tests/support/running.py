"""Runs a service inside the test's own process, on the real stores, and connects to it over its socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from services.kit import client
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.process import Process
from services.kit.settings import ProcessSettings
from services.kit.tls import Certificates
from tests.support import databases
from tests.support.stores import operator_key

AnySettings = TypeVar("AnySettings", bound=ProcessSettings)


class _Process(Process):
    """A process whose connections to the session's Postgres stay for the next one."""

    def database(self) -> Database:
        database = databases.lent(self.name, self.settings)
        self.at_end(database.close)
        return database


@contextlib.asynccontextmanager
async def running(
    name: str,
    settings: AnySettings,
    wire: Callable[[Process, AnySettings], Awaitable[None]],
    *,
    clock: Clock | None = None,
) -> AsyncIterator[Process]:
    """Runs a service's own `wire` for the length of the block."""
    async with contextlib.AsyncExitStack() as stack:
        process = _Process(name, settings, stack, clock)
        await wire(process, settings)
        yield process


@contextlib.asynccontextmanager
async def connected(
    settings: ProcessSettings,
    service: str,
    *contracts: ServiceDescriptor,
    key: str | None = None,
    caller: str = "envoy",
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a running service as the operator, or with another bearer credential; `key=""` shows none. It comes from Envoy, as
    people's calls do, or from another service."""
    bearer = operator_key(settings) if key is None else key
    certificates = Certificates(settings.tls_folder(caller))
    credential = (lambda: bearer) if bearer else None
    channel = client.connected(settings.peer(service), contracts, certificates, service, credential)
    try:
        yield channel
    finally:
        await channel.close(None)
