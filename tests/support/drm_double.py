"""A DRM service that we own, for tests in which keys matter and their keeping does not: the same contract, no database."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
from reelmesh.drm.v1 import drm_pb2, drm_service_pb2, drm_service_pb2_grpc

from services.kit.process import Process
from services.kit.settings import ProcessSettings

_CONTRACT = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]


class DrmDouble(drm_service_pb2_grpc.DrmServiceServicer):
    """Makes the same keys for the same package and label, as the contract says.

    Attributes:
        asked: the requests so far.
        refuse_with: what to refuse the next calls with, such as `grpc.StatusCode.UNAVAILABLE`; None to answer.
    """

    def __init__(self) -> None:
        self.asked: list[drm_service_pb2.CreateContentKeysRequest] = []
        self.refuse_with: grpc.StatusCode | None = None

    async def CreateContentKeys(
        self, request: drm_service_pb2.CreateContentKeysRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> drm_service_pb2.CreateContentKeysResponse:
        self.asked.append(request)
        if self.refuse_with is not None:
            await context.abort(self.refuse_with, "the test says so")
        return drm_service_pb2.CreateContentKeysResponse(
            keys=[
                drm_pb2.ContentKey(
                    label=label,
                    key_id=_bytes("kid", request.package_id, label),
                    key=key_of(request.package_id, label),
                    iv=_bytes("iv", request.package_id, label),
                )
                for label in request.labels
            ]
        )


def key_of(package_id: str, label: str) -> bytes:
    """The key that the double gives."""
    return _bytes("key", package_id, label)


def _bytes(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


@asynccontextmanager
async def drm_double(settings: ProcessSettings) -> AsyncIterator[DrmDouble]:
    """Serves as `drm` for the length of the block."""
    double = DrmDouble()
    async with AsyncExitStack() as stack:
        process = Process("drm", settings, stack)
        await process.serve(
            [_CONTRACT], lambda server: drm_service_pb2_grpc.add_DrmServiceServicer_to_server(double, server)
        )
        yield double
