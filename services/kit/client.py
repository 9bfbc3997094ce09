"""Calls to other services: certificate, correlation id, deadline and retries are added here, so that a caller writes none of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.kit import telemetry
from services.kit.channel import RenewedChannel
from services.kit.server import MAX_MESSAGE_BYTES, remaining_time
from services.kit.tls import Certificates, host_name

DEFAULT_DEADLINE: Final = 10.0
"""Seconds that a call waits when neither its caller nor the call being served sets a nearer deadline."""

Credential = Callable[[], str]


def retry_policy(services: Iterable[ServiceDescriptor]) -> str:
    """gRPC service config (gRFC A6): calls that are safe to repeat are, three times, when the server was not reached. Safe are methods
    that their contract marks so by `idempotency_level`, and those whose request carries a `request_id`."""
    methods = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if not method.client_streaming
        and (
            method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
            or "request_id" in method.input_type.fields_by_name
        )
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps({"methodConfig": [{"name": methods, "retryPolicy": policy}]})


class _Context:
    """Adds what every outgoing call carries."""

    def __init__(self, credential: Credential | None) -> None:
        self._credential = credential

    def details(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if "authorization" not in metadata and self._credential is not None:
            metadata.add("authorization", f"Bearer {self._credential()}")
        if telemetry.CORRELATION_HEADER not in metadata and telemetry.correlation_id():
            metadata.add(telemetry.CORRELATION_HEADER, telemetry.correlation_id())
        return grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )

    def with_deadline(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        waits = [seconds for seconds in (details.timeout, remaining_time()) if seconds is not None]
        timeout = min(waits) if waits else DEFAULT_DEADLINE
        return grpc.aio.ClientCallDetails(
            details.method, timeout, details.metadata, details.credentials, details.wait_for_ready
        )


class _Unary(_Context, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in its stubs only, not when it runs
    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        return await continuation(self.with_deadline(self.details(client_call_details)), request)


class _ServerStream(_Context, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]  # generic in its stubs only, not when it runs
    async def intercept_unary_stream(
        self,
        continuation: Any,
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        return await continuation(self.details(client_call_details), request)


class _ClientStream(_Context, grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in its stubs only, not when it runs
    async def intercept_stream_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        return await continuation(self.details(client_call_details), request_iterator)


def connected(
    target: str,
    services: Iterable[ServiceDescriptor],
    certificates: Certificates,
    server: str,
    credential: Credential | None = None,
) -> grpc.aio.Channel:
    """A channel to `unix:/path` or `host:port`. No call goes over it to anyone but the server that is meant.

    Args:
        target: where the services are.
        services: contracts that are called over the channel, from which it is read what may be retried.
        certificates: who calls.
        server: name of the service that is called, such as `upload`; its certificate must say so.
        credential: makes the bearer token of each call; None where each call brings its own, or needs none.
    """
    options = (
        # What is at the other end of a socket is not known by the socket's name.
        ("grpc.ssl_target_name_override", host_name(certificates.current().trust_domain, server)),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.service_config", retry_policy(services)),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    )
    interceptors: Any = [
        *telemetry.client_interceptors(),
        _Unary(credential),
        _ServerStream(credential),
        _ClientStream(credential),
    ]
    return RenewedChannel(target, certificates, options, interceptors)
