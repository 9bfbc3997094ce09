"""All services that there are, inside the test's own process, on the real stores, and everybody who may call them."""

from __future__ import annotations

import contextlib
import importlib
import logging
import pkgutil
import secrets
import typing
from collections.abc import AsyncIterator, Iterator, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from reelmesh.identity.v1 import accounts_service_pb2, accounts_service_pb2_grpc, identity_pb2
from reelmesh.rpc.v1 import access_pb2

import services
from services.kit.callers import callers_of
from services.kit.ids import new_id
from services.kit.personal_data import CONTRACT as PERSONAL_DATA
from services.kit.process import Process
from services.kit.settings import ProcessSettings
from services.kit.tls import Certificates, channel_credentials, host_name
from tests.support.mail import sent_to
from tests.support.running import running
from tests.support.stores import operator_key

# Hashes that cost nothing, and no waiting: what is called thousands of times is about something else.
QUICK: Final[dict[str, Any]] = {
    "identity_argon2_memory_kib": 64,
    "identity_argon2_passes": 1,
    "assets_wait_for_commit": 0.05,
    "policy_event_grace_seconds": 0,
    "drain_timeout": timedelta(seconds=0.5),
}
GENERATED: Final = Path(__file__).resolve().parents[2] / "gen/python"
PASSWORD: Final = "seven lanterns over Aarhus"  # of nobody


def every_contract() -> list[ServiceDescriptor]:
    """All services of all contracts, as far as code was generated from them."""
    found: list[ServiceDescriptor] = []
    for file in (GENERATED / "reelmesh").rglob("*_pb2.py"):
        name = ".".join(file.relative_to(GENERATED).with_suffix("").parts)
        found.extend(importlib.import_module(name).DESCRIPTOR.services_by_name.values())
    assert found
    return sorted(found, key=lambda service: str(service.full_name))


def every_method() -> list[MethodDescriptor]:
    """All methods of the contracts that services say they serve."""
    served = [
        contract.full_name
        for _, module in _modules()
        for contract in (module.CONTRACTS if hasattr(module, "CONTRACTS") else [module.CONTRACT])
    ]
    served.append(PERSONAL_DATA.full_name)  # the kit adds it where a service keeps personal data
    return [method for contract in every_contract() if contract.full_name in served for method in contract.methods]


def path_of(method: MethodDescriptor) -> str:
    """The method as it stands in a call."""
    return f"/{method.containing_service.full_name}/{method.name}"


def access_of(method: MethodDescriptor) -> access_pb2.Access:
    """Who may call it."""
    return method.GetOptions().Extensions[access_pb2.access]


class Heard:
    """What the services logged as an error since it was asked for last."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def take(self) -> list[str]:
        """The lines so far, which are forgotten."""
        lines, self._lines = self._lines, []
        return lines

    def _structured(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if level in {"error", "critical", "exception"}:
            shown = structlog.processors.format_exc_info(None, level, dict(event))
            self._lines.append("\n".join(f"{name}: {value}" for name, value in shown.items()))
        raise structlog.DropEvent

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes what structlog and the standard library are told for the length of the block."""
        heard = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                heard._lines.append(logging.Formatter().format(record))

        handler = Handler(logging.ERROR)
        before = structlog.get_config()
        structlog.configure(processors=[self._structured], cache_logger_on_first_use=False)
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)
            structlog.configure(**before)


@dataclass(frozen=True)
class Whole:
    """The running services.

    Attributes:
        servers: name of the service that serves a contract, by the contract's full name.
        channels: a channel without a credential to whoever serves a contract, by the same name; it comes from Envoy, as people's calls do, where Envoy may
            call at all.
        processes: the running ones by name.
        heard: what they complain of.
        lines: channels that were opened with another service's certificate, by server and caller.
    """

    settings: ProcessSettings
    servers: dict[str, str]
    channels: dict[str, grpc.aio.Channel]
    processes: dict[str, Process]
    heard: Heard
    lines: dict[tuple[str, str], grpc.aio.Channel] = field(default_factory=dict)

    @property
    def operator(self) -> str:
        """What the operator shows."""
        return f"Bearer {operator_key(self.settings)}"

    def called_by(self, contract: str, caller: str) -> grpc.aio.Channel:
        """A channel to whoever serves a contract, with another service's certificate. It stays open: whatever went over it, the next call gets
        its answer."""
        line = self.servers[contract], caller
        if line not in self.lines:
            target, credentials, options = way(self.settings, *line)
            self.lines[line] = grpc.aio.secure_channel(target, credentials, options)
        return self.lines[line]

    async def person(self) -> str:
        """What somebody shows who has just registered."""
        return f"Bearer {(await self.registered()).access_token}"

    async def registered(self, password: str = PASSWORD) -> identity_pb2.Tokens:
        """Somebody registers and types the code."""
        api, email = accounts_service_pb2, f"{secrets.token_hex(8)}@example.com"
        outside = (("x-forwarded-for", f"198.51.{secrets.randbelow(256)}.{secrets.randbelow(256)}"),)
        stub: Any = accounts_service_pb2_grpc.AccountsServiceStub(self.channels["reelmesh.identity.v1.AccountsService"])
        begun = await stub.Register(api.RegisterRequest(email=email, password=password), metadata=outside)
        code = (await sent_to(self.settings, email))[-1].parameters["code"]
        request = api.VerifyEmailRequest(request_id=new_id("req"), registration_id=begun.registration_id, code=code)
        tokens: identity_pb2.Tokens = (await stub.VerifyEmail(request, metadata=outside)).tokens
        return tokens


def _modules() -> Iterator[tuple[str, Any]]:
    """Each service with the module that puts it together."""
    for package in pkgutil.iter_modules(services.__path__):
        if package.ispkg and package.name != "kit":
            yield package.name, importlib.import_module(f"services.{package.name}.__main__")


Way = tuple[str, grpc.ChannelCredentials, tuple[tuple[str, str], ...]]


def way(settings: ProcessSettings, server: str, caller: str) -> Way:
    """How `caller` reaches `server`: target, credentials and options of a channel."""
    identity = Certificates(settings.tls_folder(caller)).current()
    options = (("grpc.ssl_target_name_override", host_name(identity.trust_domain, server)),)
    return settings.peer(server), channel_credentials(identity), options


async def _served(channel: grpc.aio.Channel, key: str) -> list[str]:
    """Names of what a server says that it serves (gRPC server reflection)."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in stub.ServerReflectionInfo(iter([ask]), metadata=(("authorization", key),)):
        return [service.name for service in answer.list_services_response.service]
    raise AssertionError("a server does not tell what it serves")


@contextlib.asynccontextmanager
async def all_running(settings: ProcessSettings, **changed: Any) -> AsyncIterator[Whole]:
    """Runs every service by its own `wire`; `changed` are settings of any of them."""
    async with contextlib.AsyncExitStack() as stack:
        heard = Heard()
        stack.enter_context(heard.listening())
        processes: dict[str, Process] = {}
        channels: dict[str, grpc.aio.Channel] = {}
        operator = f"Bearer {operator_key(settings)}"
        for name, module in _modules():
            kind: type[ProcessSettings] = typing.get_type_hints(module.wire)["settings"]
            own = {item: value for item, value in (QUICK | changed).items() if item in kind.model_fields}
            made = kind(**{**settings.model_dump(), **own})
            processes[name] = await stack.enter_async_context(running(name, made, module.wire))
        servers: dict[str, str] = {}
        for name in processes:
            listed = callers_of(name).calls
            target, credentials, options = way(settings, name, "envoy" if "envoy" in listed else min(listed))
            channel = grpc.aio.secure_channel(target, credentials, options)
            stack.push_async_callback(channel.close, None)
            for contract in await _served(channel, operator):
                if contract.startswith("reelmesh."):
                    channels[contract], servers[contract] = channel, name
        whole = Whole(settings, servers, channels, processes, heard)
        try:
            yield whole
        finally:
            for line in whole.lines.values():
                await line.close(None)
