"""The gRPC server of a service, and the one choke point through which every call goes.

`CallGuard` wraps each method of each servicer: the caller's certificate, correlation id, credential, contract-declared access, request validation, errors,
metrics and the log line. A handler only ever sees a checked request from a permitted caller, and nothing but a `Refusal` ever
reaches the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import grpc
import sqlalchemy.exc
import structlog
from asyncpg.exceptions import (
    CharacterNotInRepertoireError,
    OperatorInterventionError,
    PostgresConnectionError,
)
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from nats.errors import Error as NatsError
from prometheus_client import Histogram

from services.kit import telemetry, validation
from services.kit.access import ANYONE, AUTHENTICATED, OUTSIDE_HEADER, Authenticator, Principal, Rule
from services.kit.callers import Callers
from services.kit.errors import RPC_DOMAIN, Refusal, unavailable
from services.kit.peers import Peers
from services.kit.tls import Certificates, server_credentials

Handler: TypeAlias = Any
"""A `grpc.RpcMethodHandler`; its stubs know the synchronous kind only."""

log = structlog.stdlib.get_logger()

MAX_MESSAGE_BYTES: Final = 5 * 1024 * 1024
SERVER_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    # A connection outlives neither its certificate nor an authority by much. Calls that are under way end where they are.
    ("grpc.max_connection_age_ms", 3_600_000),
    # Two servers on one port would split callers between an old and a new process without anyone noticing.
    ("grpc.so_reuseport", 0),
)
_KIT_RULES: Final[Mapping[str, Rule]] = {
    "/grpc.health.v1.Health/Check": ANYONE,
    "/grpc.health.v1.Health/Watch": ANYONE,
    "/grpc.health.v1.Health/List": ANYONE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": AUTHENTICATED,
}
_QUIET: Final = (
    "/grpc.health.v1.",
    "/envoy.service.auth.v3.",
    "/envoy.service.extension.v3.",
    "/envoy.service.ratelimit.v3.",
)
# A handler must answer a little before its caller's deadline, so that the caller learns which call was slow.
_DEADLINE_MARGIN: Final = 0.05


@dataclass(frozen=True, slots=True)
class Client:
    """Where a call from outside comes from, as the edge tells. Personal data: to be kept as a network at most.

    Attributes:
        address: IP address of whoever called the edge; empty within the mesh.
        user_agent: what its program calls itself, up to 256 characters.
    """

    address: str = ""
    user_agent: str = ""

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Client:
        """Reads what the edge adds. Only the last address is its own word; those before came with the request."""
        address = metadata.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return cls(address, metadata.get("x-user-agent", metadata.get("user-agent", ""))[:256])

    @property
    def network(self) -> str:
        """The address cut to its network: /24 of IPv4, /48 of IPv6. Empty when there is none."""
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return ""
        return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


@dataclass(frozen=True, slots=True)
class Call:
    """The call that is being served.

    Attributes:
        method: full method path, `/package.Service/Method`.
        principal: who calls; None where the contract says that the request itself is the credential.
        deadline: moment on `time.monotonic` at which the caller stops waiting; None when it waits for ever.
        client: where the call comes from.
        metadata: what came with it.
    """

    method: str
    principal: Principal | None
    deadline: float | None
    client: Client = Client()
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def organisation_id(self) -> str:
        """Organisation that the caller acts for."""
        return self.principal.organisation_id if self.principal else ""


_call: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """The call that is being served. Only to be asked within a handler."""
    return _call.get()


def remaining_time() -> float | None:
    """Seconds that the caller of the call being served still waits, less a margin; None when it waits for ever or none is being served."""
    call = _call.get(None)
    if call is None or call.deadline is None:
        return None
    return max(call.deadline - time.monotonic() - _DEADLINE_MARGIN, 0.0)


def as_refusal(error: BaseException) -> Refusal | None:
    """What a caller may know of an error; None for a defect of ours, of which it may know nothing."""
    match error:
        case Refusal():
            return error
        case grpc.RpcError():
            return Refusal.from_rpc_error(error)
        case (
            sqlalchemy.exc.OperationalError()
            | sqlalchemy.exc.InterfaceError()
            | PostgresConnectionError()
            | OperatorInterventionError()
            | sqlalchemy.exc.TimeoutError()
        ):
            return unavailable("the database")
        case sqlalchemy.exc.DBAPIError() if isinstance(
            error.orig and error.orig.__cause__, CharacterNotInRepertoireError
        ):
            return Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "REQUEST_INVALID",
                "a text of the request holds the character U+0000, which cannot be kept; leave it out",
                domain=RPC_DOMAIN,
            )
        case sqlalchemy.exc.DBAPIError() if error.connection_invalidated or _lost_the_database(error):
            return unavailable("the database")
        case NatsError():
            return unavailable("the event bus")
        case ConnectionError():
            return unavailable("a dependency")
        case TimeoutError():
            return Refusal(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "DEADLINE_EXCEEDED",
                "the deadline passed before the answer was ready",
                domain=RPC_DOMAIN,
            )
        case _:
            return None


def _lost_the_database(error: BaseException) -> bool:
    """Whether an error comes of a server that went away or is not up yet. SQLAlchemy wraps some of these in its plainest class, so the
    driver's own error is looked for behind it."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, PostgresConnectionError | OperatorInterventionError | OSError):
            return True
        behind = behind.__cause__
    return False


class CallGuard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only, not when it runs
    """Wraps every method; refuses those that no rule names."""

    def __init__(self, peers: Peers, authenticator: Authenticator, rules: Mapping[str, Rule]) -> None:
        self._peers = peers
        self._authenticator = authenticator
        self._rules = {**_KIT_RULES, **rules}
        self._guarded: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Returns the method's handler with the guard around it."""
        method = handler_call_details.method
        known = self._guarded.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(self._unknown)
        rule = self._rules.get(method)
        self._guarded[method] = _GuardedMethod(self._peers, self._authenticator, rule, method, handler).wrapped()
        return self._guarded[method]

    async def _unknown(self, _requests: object, context: Any) -> AsyncIterator[bytes]:
        """What is not here is said to nobody who may not be here."""
        try:
            self._peers.admitted(context, "")
        except Refusal as refusal:
            await context.abort_with_status(rpc_status.to_status(refusal.status("")))
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "there is no such method here")
        yield b""


class _GuardedMethod:
    """One method with the guard around it."""

    def __init__(
        self, peers: Peers, authenticator: Authenticator, rule: Rule | None, method: str, handler: Handler
    ) -> None:
        self.peers = peers
        self._authenticator = authenticator
        self._rule = rule
        self._method = method
        self._handler = handler
        self.quiet = method.startswith(_QUIET)
        self.recorded = rule is not None and rule.recorded
        # A stream sends nothing before its first answer: by REST its first bytes settle the HTTP status, which may yet be a refusal's.
        self.greets = not self.quiet and not self.recorded and not handler.response_streaming
        self._seconds: dict[str, Histogram] = {}

    def wrapped(self) -> Handler:
        codec = {
            "request_deserializer": _readable(self._handler.request_deserializer),
            "response_serializer": self._handler.response_serializer,
        }
        match self._handler.request_streaming, self._handler.response_streaming:
            case False, False:
                return grpc.unary_unary_rpc_method_handler(self._unary, **codec)
            case True, False:
                return grpc.stream_unary_rpc_method_handler(self._client_stream, **codec)
            case False, True:
                return grpc.unary_stream_rpc_method_handler(self._server_stream, **codec)
            case _:
                return grpc.stream_stream_rpc_method_handler(self._both_stream, **codec)

    async def _unary(self, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        async with _Guard(self, context):
            _check(request)
            return await self._handler.unary_unary(request, context)

    async def _client_stream(
        self, requests: AsyncIterator[Message], context: grpc.aio.ServicerContext[Any, Any]
    ) -> Any:
        async with _Guard(self, context):
            return await self._handler.stream_unary(_checked(requests), context)

    async def _server_stream(self, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        async with _Guard(self, context):
            _check(request)
            async for answer in self._handler.unary_stream(request, context):
                yield answer

    async def _both_stream(
        self, requests: AsyncIterator[Message], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        async with _Guard(self, context):
            async for answer in self._handler.stream_stream(_checked(requests), context):
                yield answer

    async def admit(self, metadata: Mapping[str, str], peer: str) -> Principal | None:
        """Recognises the caller and applies the contract's rule: to the service at the other end of the connection where the method
        is for services, to whose credential the metadata carry where it is for people."""
        if self._rule is None:
            raise Refusal(
                grpc.StatusCode.PERMISSION_DENIED,
                "PERMISSION_MISSING",
                "no contract says who may call this method",
                domain=RPC_DOMAIN,
            )
        principal: Principal | None
        if self._rule.callers and not (self._rule.permission and OUTSIDE_HEADER in metadata):
            principal = Principal(f"service/{peer}")
        elif self._rule.bearer_in_request or self._rule.anyone:
            # Where the request itself is the credential, another one in the metadata is not looked at: it may be anything.
            principal = None
        else:
            principal = await self._authenticator.principal(metadata, self._method)
        self._rule.check(principal)
        return principal

    def took(self, seconds: float, code: str) -> None:
        """Counts a call that ended."""
        if code not in self._seconds:
            self._seconds[code] = telemetry.RPC_SECONDS.labels(self._method, code)
        self._seconds[code].observe(seconds)

    @property
    def method(self) -> str:
        return self._method


class _Unreadable:
    """Stands in for a request whose bytes are no message of its type."""


def _readable(deserialize: Callable[[bytes], Message]) -> Callable[[bytes], Message | _Unreadable]:
    """Reads requests without raising: gRPC would answer by itself, outside the guard, and as if the fault were ours."""

    def read(data: bytes) -> Message | _Unreadable:
        try:
            return deserialize(data)
        except DecodeError:
            return _Unreadable()

    return read


def _check(request: Message | _Unreadable) -> None:
    if isinstance(request, _Unreadable):
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_INVALID",
            "the request cannot be read as the message that the contract says; its texts must be UTF-8",
            domain=RPC_DOMAIN,
        )
    validation.check(request)


async def _checked(requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    async for request in requests:
        _check(request)
        yield request


class _Guard:
    """Everything that happens around one call."""

    def __init__(self, guarded: _GuardedMethod, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._guarded = guarded
        self._context: Any = context  # its stubs lack abort_with_status
        self._correlation = contextlib.ExitStack()
        self._started = 0.0

    async def __aenter__(self) -> None:
        self._started = time.monotonic()
        metadata = {
            str(key): str(value)
            for key, value in self._context.invocation_metadata() or ()
            if not str(key).endswith("-bin")
        }
        correlation_id = self._correlation.enter_context(
            telemetry.correlated(metadata.get(telemetry.CORRELATION_HEADER))
        )
        try:
            peer = self._guarded.peers.admitted(self._context, self._guarded.method)
            if self._guarded.greets:  # else a write of its own on the wire, which nobody would read there
                await self._context.send_initial_metadata(((telemetry.CORRELATION_HEADER, correlation_id),))
            remaining = self._context.time_remaining()
            principal = await self._guarded.admit(metadata, peer)
            deadline = None if remaining is None else self._started + remaining
            _call.set(Call(self._guarded.method, principal, deadline, Client.of(metadata), metadata))
        except BaseException as error:
            # `__aexit__` is not called when entering fails, so it is done here: a refused caller must hear why.
            await self.__aexit__(type(error), error, None)
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._record("OK")
            elif isinstance(error, grpc.aio.AbortError):
                pass
            elif isinstance(error, asyncio.CancelledError | GeneratorExit):
                self._record("CANCELLED")
            else:
                await self._refuse(self._explained(error))
        finally:
            self._correlation.close()

    def _explained(self, error: BaseException) -> Refusal:
        refusal = as_refusal(error)
        if refusal is None:
            log.error("defect", method=self._guarded.method, exc_info=error)
            message = "the server failed in a way that is its own fault; quote the correlation id to its operator"
            return Refusal(grpc.StatusCode.INTERNAL, "INTERNAL", message, domain=RPC_DOMAIN)
        return refusal

    async def _refuse(self, refusal: Refusal) -> None:
        self._record(refusal.code.name, refusal)
        await self._context.abort_with_status(rpc_status.to_status(refusal.status(telemetry.correlation_id())))

    def _record(self, code: str, refusal: Refusal | None = None) -> None:
        seconds = time.monotonic() - self._started
        self._guarded.took(seconds, code)
        if self._guarded.quiet or (self._guarded.recorded and refusal is None):
            return
        detail = {"reason": refusal.reason, "refusal": refusal.message} if refusal else {}
        log.info("call", method=self._guarded.method, status=code, milliseconds=round(seconds * 1000, 1), **detail)


class Server:
    """A gRPC server with health, reflection and drain. Servicers are added to `grpc` before `start`."""

    def __init__(
        self,
        authenticator: Authenticator,
        rules: Mapping[str, Rule],
        *,
        service_names: list[str],
        certificates: Certificates,
        callers: Callers,
    ) -> None:
        self._certificates = certificates
        # The guard is innermost: a refusal is part of what a trace tells.
        guard = CallGuard(Peers(certificates, callers), authenticator, rules)
        interceptors = [*telemetry.server_interceptors(), guard]
        self.grpc = grpc.aio.server(interceptors=interceptors, options=SERVER_OPTIONS)
        self._health = HealthServicer()
        self._names = ["", *service_names]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        names = [*service_names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self.grpc)

    async def start(self, address: str) -> None:
        """Listens on `unix:/path` or `host:port` with mutual TLS, and says that it serves."""
        self.grpc.add_secure_port(address, server_credentials(self._certificates))
        await self.grpc.start()
        await self._tell(health_pb2.HealthCheckResponse.SERVING)

    async def drain(self, grace: float) -> None:
        """Says that it serves no more, lets running calls end, and stops."""
        await self._tell(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self.grpc.stop(grace)

    async def _tell(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in self._names:
            await self._health.set(name, status)
