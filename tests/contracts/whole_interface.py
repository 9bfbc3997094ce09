"""Every method of every contract, found by reflection, and every service, running, to call them on."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import typing
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.kit.callers import callers_of
from services.kit.clock import FixedClock
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.personal_data import CONTRACT as PERSONAL_DATA
from services.kit.settings import ProcessSettings
from tests.identity.scene import CHEAP
from tests.support.running import connected, running
from tests.support.stores import operator_key

REPOSITORY = Path(__file__).resolve().parents[2]
GENERATED = REPOSITORY / "gen/python"
TABLE = REPOSITORY / "docs/permissions.md"

Shown = tuple[tuple[str, str], ...]


def contracts() -> list[ServiceDescriptor]:
    """Every service that a contract describes."""
    found: dict[str, ServiceDescriptor] = {}
    for file in sorted((GENERATED / "reelmesh").rglob("*_service_pb2.py")):
        name = ".".join(file.relative_to(GENERATED).with_suffix("").parts)
        for service in importlib.import_module(name).DESCRIPTOR.services_by_name.values():
            found[service.full_name] = service
    return list(found.values())


def methods() -> list[MethodDescriptor]:
    """Every method."""
    return [method for service in contracts() for method in service.methods]


def names_of_services() -> list[str]:
    """Every service that there is a process of."""
    return sorted(path.parent.name for path in (REPOSITORY / "services").glob("*/__main__.py"))


@dataclass(frozen=True)
class Row:
    """What the table says of a method: what it asks for, and which roles may call it."""

    asks_for: str
    roles: Mapping[str, bool]

    @property
    def permission(self) -> str:
        """The permission that it asks for; empty when it asks for something else."""
        return self.asks_for.strip("`") if self.asks_for.startswith("`") else ""

    @property
    def open(self) -> bool:
        """Whether no credential is looked for in the metadata."""
        return self.asks_for in {"public", "in the request"}

    @property
    def callers(self) -> list[str]:
        """Services of the mesh that may call it; empty when it is not for them."""
        kind, _, names = self.asks_for.partition(": ")
        return names.split(", ") if kind == "internal" else []


def table() -> dict[str, Row]:
    """What docs/permissions.md says, by full name of method."""
    found: dict[str, Row] = {}
    service, roles = "", list[str]()
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            service = f"reelmesh.{line.removeprefix('## ')}"
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not service or not line.startswith("|"):
            continue
        if cells[0] == "method":
            roles = cells[2:]
        elif re.fullmatch(r"[A-Za-z]+", cells[0]):
            allowed = dict(zip(roles, (cell == "✓" for cell in cells[2:]), strict=True))
            found[f"{service}.{cells[0]}"] = Row(cells[1], allowed)
    return found


class Outcome(Enum):
    """How a call is met at the door."""

    NOT_RECOGNISED = "there is no credential, or none that is good"
    DENIED = "the caller is known and may not"
    LET_IN = "the caller may; what became of the request is another matter"


class Everything:
    """Calls any method of any running service with an empty request.

    Args:
        settings: lead to the services.
        servers: name of the service that serves a contract, by full name of the contract.
        life: ends connections.
    """

    def __init__(self, settings: ProcessSettings, servers: Mapping[str, str], life: contextlib.AsyncExitStack) -> None:
        self._settings = settings
        self._servers = servers
        self._life = life
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}

    def serves(self, service: str) -> bool:
        return service in self._servers

    def admits(self, service: str, method: MethodDescriptor) -> bool:
        """Whether a service may connect to the server of a method at all."""
        return service in callers_of(self._servers[method.containing_service.full_name]).calls

    async def outcome(self, method: MethodDescriptor, shown: Shown, *, caller: str = "envoy") -> Outcome:
        """Calls a method with a credential, over a connection of Envoy, as people do, or of another service.

        Raises:
            AssertionError: the server failed, is away, or does not know the method.
        """
        try:
            async with asyncio.timeout(60):
                await self._call(method, shown, caller)
        except grpc.aio.AioRpcError as error:
            refusal = Refusal.from_rpc_error(error)
        else:
            return Outcome.LET_IN
        match refusal.domain, refusal.reason:
            case (str(domain), "CREDENTIAL_INVALID") if domain == RPC_DOMAIN:
                assert refusal.code == grpc.StatusCode.UNAUTHENTICATED
                return Outcome.NOT_RECOGNISED
            case (str(domain), "PERMISSION_MISSING") if domain == RPC_DOMAIN:
                assert refusal.code == grpc.StatusCode.PERMISSION_DENIED
                return Outcome.DENIED
        ours = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
        assert refusal.code not in ours | {grpc.StatusCode.UNAVAILABLE}, f"{method.full_name}: {refusal}"
        return Outcome.LET_IN

    async def _channel(self, caller: str, server: str) -> grpc.aio.Channel:
        if (caller, server) not in self._channels:
            self._channels[caller, server] = await self._life.enter_async_context(
                connected(self._settings, server, key="", caller=caller)
            )
        return self._channels[caller, server]

    async def _call(self, method: MethodDescriptor, shown: Shown, caller: str) -> None:
        channel: Any = await self._channel(caller, self._servers[method.containing_service.full_name])
        request: Any = message_factory.GetMessageClass(method.input_type)()
        answer = message_factory.GetMessageClass(method.output_type)

        async def requests() -> AsyncIterator[Any]:
            yield request

        kind = f"{_word(method.client_streaming)}_{_word(method.server_streaming)}"
        ask = getattr(channel, kind)(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        call = ask(requests() if method.client_streaming else request, metadata=shown)
        if method.server_streaming:
            try:
                await anext(aiter(call), None)
            finally:
                call.cancel()
        else:
            await call


def _word(streaming: bool) -> str:
    return "stream" if streaming else "unary"


@contextlib.asynccontextmanager
async def everything(settings: ProcessSettings, clock: FixedClock) -> AsyncIterator[Everything]:
    """Every service in this process, on the real stores, and channels to them by the contracts that they say they serve."""
    operator = (("authorization", f"Bearer {operator_key(settings)}"),)
    async with contextlib.AsyncExitStack() as stack:
        servers: dict[str, str] = {}
        # The one that recognises callers comes first, and goes last.
        for name in sorted(names_of_services(), key=lambda name: (name != "identity", name)):
            module = importlib.import_module(f"services.{name}.__main__")
            await stack.enter_async_context(running(name, _settings(module, settings), module.wire, clock=clock))
            listed = callers_of(name).calls
            caller = "envoy" if "envoy" in listed else min(listed)
            async with connected(settings, name, key="", caller=caller) as channel:
                for served in await _served(channel, operator):
                    assert served not in servers or served == PERSONAL_DATA.full_name, f"two processes serve {served}"
                    servers.setdefault(served, name)
        life = await stack.enter_async_context(contextlib.AsyncExitStack())
        yield Everything(settings, servers, life)


def _settings(module: Any, settings: ProcessSettings) -> ProcessSettings:
    """The settings of a service, with hashes that cost nothing."""
    kind: type[ProcessSettings] = typing.get_type_hints(module.wire)["settings"]
    return kind(**{**settings.model_dump(), **CHEAP})


async def _served(channel: grpc.aio.Channel, operator: Shown) -> list[str]:
    """Our own contracts that a server says it serves."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    async def requests() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    call = stub.ServerReflectionInfo(requests(), metadata=operator)
    answer = await anext(aiter(call))
    call.cancel()
    return [one.name for one in answer.list_services_response.service if one.name.startswith("reelmesh.")]
