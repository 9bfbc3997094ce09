"""The packaging contract."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.packaging.v1 import packaging_pb2, packaging_service_pb2_grpc
from reelmesh.packaging.v1 import packaging_service_pb2 as api

from services.kit.clock import duration, timestamp
from services.kit.database import Database
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.packaging import store
from services.packaging.domain import Package, State

Context = grpc.aio.ServicerContext[Any, Any]


class PackagingRpc(packaging_service_pb2_grpc.PackagingServiceServicer):
    """Answers about packages of the caller's organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetPackage(self, request: api.GetPackageRequest, context: Context) -> api.GetPackageResponse:
        """Returns one package."""
        async with self._database.transaction() as tx:
            package = await store.get(tx, current_call().organisation_id, request.package_id)
        return api.GetPackageResponse(package=resource(package))

    async def ListPackages(self, request: api.ListPackagesRequest, context: Context) -> api.ListPackagesResponse:
        """Returns a page of packages, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, request.asset_id, part)
        shown = found[: part.size]
        return api.ListPackagesResponse(
            packages=[resource(package) for package in shown],
            next_page_token=part.next_token(shown[-1].package_id) if len(found) > part.size else "",
        )


def resource(package: Package) -> packaging_pb2.Package:
    """A package as the contract shows it."""
    return packaging_pb2.Package(
        package_id=package.package_id,
        asset_id=package.asset_id,
        organisation_id=package.organisation_id,
        state=packaging_pb2.PackageState.ValueType(package.state),
        scheme=packaging_pb2.ProtectionScheme.ValueType(package.scheme),
        track_keys=[
            packaging_pb2.TrackKey(label=label, key_id=key_id) for label, key_id in sorted(package.track_keys.items())
        ],
        dash_path=package.dash_path,
        hls_path=package.hls_path,
        poster_path=package.poster_path,
        thumbnails_path=package.thumbnails_path,
        duration=duration(package.duration_seconds) if package.state is State.PUBLISHED else None,
        size_bytes=package.size_bytes,
        failure_reason=package.failure_reason,
        failure_message=package.failure_message,
        create_time=timestamp(package.create_time),
        publish_time=timestamp(package.publish_time),
        watermark=watermark_of(package),
    )


def watermark_of(package: Package) -> packaging_pb2.Watermark | None:
    """How a package is watermarked; None when it is not."""
    if not package.watermark_segments:
        return None
    return packaging_pb2.Watermark(colluders=package.watermark_colluders, segments=package.watermark_segments)
