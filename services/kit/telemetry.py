"""Logs, traces and metrics, and the correlation id that ties them together from the edge to the worker.

Logs are JSON lines on standard output. Whatever looks like a credential is masked before it is written: the rule sits here, in
one place, so that no caller can forget it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

CORRELATION_HEADER: Final = "x-correlation-id"
_CORRELATION_FORM: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_tracing = False
_correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")

# API keys, JSON Web Tokens, one-time codes: what our credentials look like wherever they turn up in a line.
_CREDENTIALS: Final = re.compile(
    r"(rm[a-z]_|otc_)[A-Za-z0-9_-]{8,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?"
)
_SECRET_NAMES: Final = frozenset(
    {"authorization", "key", "iv", "ticket", "code", "token", "password", "secret", "url", "k"}
)

RPC_SECONDS: Final = Histogram(
    "reelmesh_rpc_seconds",
    "Duration of served calls.",
    ["method", "code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
OUTBOX_PENDING: Final = Gauge(
    "reelmesh_outbox_pending", "Events written but not yet published, as last seen by the relay."
)
EVENTS_HANDLED: Final = Counter(
    "reelmesh_events_handled_total", "Events handled by a consumer.", ["consumer", "event", "outcome"]
)
TASKS_WORKED: Final = Counter("reelmesh_tasks_total", "Tasks that a worker took.", ["queue", "outcome"])


def correlation_id() -> str:
    """The correlation id of what is being worked on now; empty outside any call, event or task."""
    return _correlation_id.get()


def accepted_correlation_id(offered: str | None) -> str:
    """The offered id when it is well formed, or a new one: a caller must not be able to write anything else into our logs."""
    return offered if offered is not None and _CORRELATION_FORM.fullmatch(offered) else secrets.token_hex(16)


@contextlib.contextmanager
def correlated(offered: str | None) -> Iterator[str]:
    """Works under a correlation id, which log lines, outgoing calls and announced events then carry."""
    accepted = accepted_correlation_id(offered)
    before = _correlation_id.get()
    _correlation_id.set(accepted)
    try:
        yield accepted
    finally:
        # Set back rather than reset by token: a stream whose caller went away is closed in another context, where a token is not good.
        _correlation_id.set(before)


def masked(text: str) -> str:
    """The text with everything that looks like one of our credentials replaced."""
    return _CREDENTIALS.sub("[masked]", text)


def _mask(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if name in _SECRET_NAMES:
            event[name] = "[masked]"
        elif isinstance(value, str):
            event[name] = masked(value)
    return event


def _correlate(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if current := _correlation_id.get():
        event.setdefault("correlation_id", current)
    return event


def set_up_logging(service: str, level: str) -> None:
    """Sends structlog's and the standard library's records through the same masking to standard output as JSON lines."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _correlate,
        _mask,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    hush()
    structlog.contextvars.bind_contextvars(service=service)


def hush() -> None:
    """Has those libraries say nothing below a warning that write whole URLs and bodies down: some services take their keys in a URL."""
    for name in ("httpx", "httpcore", "stripe"):
        logging.getLogger(name).setLevel(logging.WARNING)


def set_up_tracing(service: str, endpoint: str) -> None:
    """Exports traces to an OTLP collector. Without an endpoint nothing is recorded and nothing is imported."""
    if not endpoint:
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"reelmesh-{service}"}))
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    global _tracing  # noqa: PLW0603  # set once, at the start of the process
    _tracing = True


def server_interceptors() -> list[Any]:
    """Interceptors that record a span for each served call; none when nothing is recorded."""
    if not _tracing:
        return []
    from opentelemetry.instrumentation.grpc import aio_server_interceptor

    return [aio_server_interceptor()]  # type: ignore[no-untyped-call]  # untyped in its library


def client_interceptors() -> list[Any]:
    """Interceptors that record a span for each call made, and hand the trace on; none when nothing is recorded."""
    if not _tracing:
        return []
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    return list(aio_client_interceptors())  # type: ignore[no-untyped-call]  # untyped in its library


def trace_headers() -> dict[str, str]:
    """Headers (W3C Trace Context) with which a message carries the running trace on; none when nothing is recorded."""
    if not _tracing:
        return {}
    from opentelemetry import propagate

    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


@contextlib.contextmanager
def traced(name: str, headers: Mapping[str, str] | None, *, served: bool = False) -> Iterator[None]:
    """Records the block as a span in the trace that a message's headers carry, or those of a request that is `served`."""
    if not _tracing:
        yield
        return
    from opentelemetry import propagate, trace

    context = propagate.extract(dict(headers or {}))
    kind = trace.SpanKind.SERVER if served else trace.SpanKind.CONSUMER
    with trace.get_tracer("reelmesh").start_as_current_span(name, context=context, kind=kind):
        yield


@contextlib.asynccontextmanager
async def serving_metrics(address: str) -> AsyncIterator[None]:
    """Serves the Prometheus text format over HTTP on `unix:/path` or `host:port` while the block runs."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=5)
            body = generate_latest(REGISTRY)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    if address.startswith("unix:"):
        server = await asyncio.start_unix_server(answer, address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        server = await asyncio.start_server(answer, host, int(port))
    async with server:
        yield
