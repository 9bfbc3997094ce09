"""One trace from a call to the event that it caused, as a collector sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.kit.settings import ProcessSettings
from tests.support.stores import operator_key

# Tracing is set for the life of a process, so the service under test has one of its own.
PROGRAM = """
import asyncio, sys
from reelmesh.upload.v1 import events_pb2, upload_service_pb2, upload_service_pb2_grpc
from services.kit import telemetry
from services.kit.database import Database
from services.kit.events import Consumer, connect
from services.kit.ids import new_id
from services.upload.__main__ import CONTRACT, UploadSettings, wire
from tests.support.running import connected, running
from opentelemetry import trace

async def main() -> None:
    settings, seen = UploadSettings(), asyncio.Event()
    telemetry.set_up_tracing("upload", settings.otlp_endpoint)
    async with running("upload", settings, wire), connected(settings, "upload", CONTRACT, key=sys.argv[1]) as channel:
        stub = upload_service_pb2_grpc.UploadServiceStub(channel)
        request = upload_service_pb2.CreateUploadRequest(request_id=new_id("req"), filename="f", size_bytes=1)
        upload = (await stub.CreateUpload(request)).upload
        chunk = upload_service_pb2.WriteUploadRequest(upload_id=upload.upload_id, offset=0, chunk={"data": b"x"})
        await stub.WriteUpload(iter([chunk]))

        async def handle(tx, payload):
            if events_pb2.UploadCommitted.FromString(payload).upload_id == upload.upload_id:
                seen.set()

        bus, database = await connect(settings, "test"), Database.of("assets", settings)
        consumer = Consumer(new_id("c"), database, bus, {events_pb2.UploadCommitted: handle})
        listening = asyncio.create_task(consumer.run())
        await stub.CompleteUpload(upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id))
        await asyncio.wait_for(seen.wait(), 30)
        listening.cancel()
        await asyncio.wait([listening])  # it ends what it is at
        await database.close()
        await bus.close()
    trace.get_tracer_provider().shutdown()

asyncio.run(main())
"""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def Export(self, request: Any, context: Any) -> trace_service_pb2.ExportTraceServiceResponse:
        self.spans += [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


def test_a_call_and_the_event_it_caused_are_one_trace(session_stores: ProcessSettings) -> None:
    collector, server = Collector(), grpc.server(futures.ThreadPoolExecutor(2))
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server  # untyped in its library
    add(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    environment = {
        f"REELMESH_{name.upper()}": str(value) for name, value in session_stores.model_dump(exclude_none=True).items()
    }
    for structured in ("REELMESH_PEERS", "REELMESH_DRAIN_TIMEOUT"):
        del environment[structured]
    environment["REELMESH_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, operator_key(session_stores)],
        env={**os.environ, **environment, "PYTHONPATH": ".:gen/python"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    server.stop(0)
    assert ran.returncode == 0, ran.stderr[-3000:]
    handled = [span for span in collector.spans if span.name == "reelmesh.upload.v1.UploadCommitted"]
    served = {span.trace_id: span.name for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER}
    assert served[handled[-1].trace_id] == "/reelmesh.upload.v1.UploadService/CompleteUpload"
    assert operator_key(session_stores) not in str(collector.spans)
