"""`python -m services.packaging.worker`: makes packages, one at a time, for as long as there are any.

A package may be begun more than once, because workers die; it is published once: whoever comes to the end of an attempt
that was given to another worker meanwhile throws its work away.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
import structlog
from pydantic import Field
from reelmesh.drm.v1 import drm_service_pb2, drm_service_pb2_grpc
from reelmesh.packaging.v1 import events_pb2, packaging_pb2
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted

from services.kit.clock import Clock, duration, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.events import Relay, announce
from services.kit.process import Process, run
from services.kit.server import as_refusal
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.kit.uncancelled import uncancelled
from services.kit.work import Overtaken, TryAgain, while_ours
from services.packaging import source, store
from services.packaging.consumers import QUEUE
from services.packaging.domain import DOMAIN, LEASE, Package, Published, published_prefix, work_prefix
from services.packaging.tracks import ContentKey, Scheme, System, period_label

log = structlog.stdlib.get_logger()

DRM: Final = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]
# What passes without anything being wrong with the package; a locked keystore (FAILED_PRECONDITION) waits for its operator.
_PASSING: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.FAILED_PRECONDITION}
)


class PackagingWorkerSettings(ProcessSettings):
    """Settings of a packaging worker."""

    packaging_systems: frozenset[System] = Field(
        default=frozenset({System.CLEARKEY}), min_length=1, description="JSON list of protection systems to signal."
    )
    packaging_key_period_seconds: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Seconds after which a film turns to new keys; 0 for one set of keys for the whole film. A film has at most 24 key "
        "periods, so those of a very long one are longer. Packaging takes as many times longer.",
    )
    packaging_playready_la_url: str = Field(
        default="",
        max_length=1024,
        description="Where PlayReady clients ask for licences that their player gives no address; empty for nowhere.",
    )
    packaging_pace_info: bool = Field(
        default=False,
        description="Whether the segments of watermarked films get sidecars (WMPaceInfo) by which the edges of others choose variants.",
    )


class Worker:
    """Makes the packages that it is given."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        drm: drm_service_pb2_grpc.DrmServiceAsyncStub,
        clock: Clock,
        settings: PackagingWorkerSettings,
    ) -> None:
        self._database = database
        self._objects = objects
        self._drm = drm
        self._clock = clock
        self._settings = settings

    async def work(self, task: bytes) -> None:
        """Makes one package; `task` is its id.

        Raises:
            TryAgain: it has to be tried again later.
        """
        package = await self._take(task.decode())
        if package is None:
            await self._objects.delete_prefix(work_prefix(task.decode()))  # what a worker that died may have left
            return
        structlog.contextvars.bind_contextvars(package_id=package.package_id, asset_id=package.asset_id)
        try:
            await while_ours(self._make(package), lambda: self._renew(package))
        except Overtaken:
            raise
        except asyncio.CancelledError:
            await uncancelled(self._release(package))
            raise
        except Exception as error:
            await self._after(package, error)
        finally:
            structlog.contextvars.unbind_contextvars("package_id", "asset_id")

    async def _take(self, package_id: str) -> Package | None:
        async with self._database.transaction() as tx:
            package = await store.locked(tx, package_id)
            if package is None or not package.wanted:
                return None
            now, first = self._clock.now(), package.start_time is None
            if held := package.held_for(now):
                raise TryAgain("another worker has it", delay=held.total_seconds() + 0.1)
            package = package.taken(now)
            if package.worn_out:
                await self._give_up(
                    tx, package, "PACKAGER_FAILED", "workers kept dying over this package; look at logs"
                )
                return None
            await store.put(tx, package)
            if first:
                await announce(
                    tx,
                    events_pb2.PackagingStarted(
                        package_id=package.package_id,
                        asset_id=package.asset_id,
                        organisation_id=package.organisation_id,
                        start_time=timestamp(package.start_time),
                    ),
                )
        log.info("packaging", package_id=package_id, attempt=package.attempt)
        return package

    async def _make(self, package: Package) -> None:
        from services.packaging import engine  # an idle worker does without its XML library

        event = TranscodeCompleted.FromString(package.source)
        async with AsyncExitStack() as stack:
            folder = await stack.enter_async_context(self._folder(package))
            files = {
                key: await stack.enter_async_context(self._objects.local_copy(key)) for key in source.files_of(event)
            }
            key_period, periods = source.key_period_of(event, self._settings.packaging_key_period_seconds)
            request = source.request_of(
                event,
                files,
                folder / "package",
                keys=[await self._keys(package, event, period) for period in range(1, periods + 1)],
                key_period=key_period,
                scheme=Scheme[package.scheme.name],
                systems=self._settings.packaging_systems,
                playready_la_url=self._settings.packaging_playready_la_url,
                paced=self._settings.packaging_pace_info,
            )
            made = await engine.package(request)
            await self._publish(
                package,
                request.output,
                Published(
                    dash_path=made.dash_path,
                    hls_path=made.hls_path,
                    poster_path=made.poster_path,
                    thumbnails_path=made.thumbnails_path,
                    track_keys=made.key_ids,
                    duration_seconds=made.seconds,
                    size_bytes=made.size,
                    watermark_colluders=event.watermark_colluders,
                    watermark_segments=made.tracks[0].segments if request.watermarked else 0,
                ),
            )

    async def _keys(self, package: Package, event: TranscodeCompleted, period: int) -> dict[str, ContentKey]:
        """The keys of a key period by the labels of their tracks."""
        labels = source.labels_of(event)
        answer = await self._drm.CreateContentKeys(
            drm_service_pb2.CreateContentKeysRequest(
                organisation_id=package.organisation_id,
                package_id=package.package_id,
                labels=[period_label(label, period) for label in labels],
            )
        )
        return source.content_keys(labels, answer.keys)

    @asynccontextmanager
    async def _folder(self, package: Package) -> AsyncIterator[Path]:
        """A folder to work in, on the object store's own file system when that is local. Nothing of it is left."""
        if not self._objects.is_local:
            with tempfile.TemporaryDirectory(prefix="reelmesh-package-") as elsewhere:
                yield Path(elsewhere)
            return
        prefix = work_prefix(package.package_id)
        await self._objects.delete_prefix(prefix)  # what a worker that died left behind
        folder = self._objects.path_of(f"{prefix}/{package.attempt}")
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            await uncancelled(self._cleared(folder, f"{prefix}/{package.attempt}"))

    async def _cleared(self, folder: Path, prefix: str) -> None:
        await self._objects.delete_prefix(prefix)
        with contextlib.suppress(OSError):  # not empty: a later attempt works there
            folder.parent.rmdir()

    async def _publish(self, package: Package, tree: Path, made: Published) -> None:
        """Puts the set where players look for it, if this attempt is still the one that may."""
        prefix = published_prefix(package.package_id)
        if not self._objects.is_local:
            # Uploading takes too long to hold the row. What an attempt that came too late uploads is the same set under
            # the same names.
            await self._objects.put_tree(tree, prefix)
        async with self._database.transaction() as tx:
            if package.replaces:  # the older one first, as whoever deletes an asset locks them
                await store.locked(tx, package.replaces)
            now = await store.locked(tx, package.package_id)
            if now is None or not now.held_by(package.attempt):
                raise Overtaken
            if self._objects.is_local:
                await self._objects.put_tree(tree, prefix)
            published = now.published(made, self._clock.now())
            await store.put(tx, published)
            await announce(tx, _published(published))
            if published.replaces:
                await self._make_way(tx, published)
        log.info("published", size_bytes=made.size_bytes, seconds=made.duration_seconds)

    async def _make_way(self, tx: Tx, successor: Package) -> None:
        """The files of the package before go, once whoever plays them had time to be told."""
        before = await store.locked(tx, successor.replaces)
        if before is not None:
            await store.put(tx, before.deleted(self._clock.now()))

    async def _after(self, package: Package, error: Exception) -> None:
        """What follows from an attempt that ended badly: another one, or the end."""
        refusal = as_refusal(error)
        if refusal is not None and refusal.code in _PASSING:
            await self._release(package)
            raise TryAgain(refusal.message, delay=2) from error
        log.warning("packaging failed", attempt=package.attempt, exc_info=error)
        async with self._database.transaction() as tx:
            now = await store.locked(tx, package.package_id)
            if now is None or not now.held_by(package.attempt):
                raise Overtaken from error
            now = now.stumbled()
            if now.worn_out:
                await self._give_up(tx, now, *_explained(refusal))
                return
            await store.put(tx, now)
        raise TryAgain("packaging failed", delay=2.0**now.failures) from error

    async def _renew(self, package: Package) -> bool:
        async with self._database.transaction() as tx:
            return await store.renew(tx, package.package_id, package.attempt, self._clock.now() + LEASE)

    async def _release(self, package: Package) -> None:
        async with self._database.transaction() as tx:
            now = await store.locked(tx, package.package_id)
            if now is not None and now.held_by(package.attempt):
                await store.put(tx, now.released())

    async def _give_up(self, tx: Tx, package: Package, reason: str, message: str) -> None:
        await store.put(tx, package.failed(reason, message))
        await announce(
            tx,
            events_pb2.PackagingFailed(
                package_id=package.package_id,
                asset_id=package.asset_id,
                organisation_id=package.organisation_id,
                reason=reason,
                message=message,
                fail_time=timestamp(self._clock.now()),
                replaced_package_id=package.replaces,
            ),
        )


def _explained(refusal: Refusal | None) -> tuple[str, str]:
    """Reason and message of a failure, of which only our own refusals may tell more."""
    if refusal is not None and refusal.domain == DOMAIN:
        return refusal.reason, refusal.message
    if refusal is not None:
        return "PACKAGER_FAILED", f"the film could not be packaged, because {refusal.message}"
    return "PACKAGER_FAILED", "the packager failed in a way that is its own fault; its log tells more"


def _published(package: Package) -> events_pb2.PackagePublished:
    return events_pb2.PackagePublished(
        package_id=package.package_id,
        asset_id=package.asset_id,
        organisation_id=package.organisation_id,
        scheme=packaging_pb2.ProtectionScheme.ValueType(package.scheme),
        track_keys=[
            packaging_pb2.TrackKey(label=label, key_id=key_id) for label, key_id in sorted(package.track_keys.items())
        ],
        dash_path=package.dash_path,
        hls_path=package.hls_path,
        poster_path=package.poster_path,
        thumbnails_path=package.thumbnails_path,
        duration=duration(package.duration_seconds),
        publish_time=timestamp(package.publish_time),
        replaced_package_id=package.replaces,
        watermark=packaging_pb2.Watermark(colluders=package.watermark_colluders, segments=package.watermark_segments)
        if package.watermark_segments
        else None,
    )


async def wire(process: Process, settings: PackagingWorkerSettings) -> None:
    """Puts the worker together and starts it."""
    database = process.database()
    bus = await process.bus()
    js = bus.jetstream()
    drm = drm_service_pb2_grpc.DrmServiceStub(process.peer("drm", DRM))
    worker = Worker(database, process.store(), drm, process.clock, settings)
    await QUEUE.ensure(js)
    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(QUEUE.run(bus, worker.work), "worker")


def main() -> None:
    """Runs the worker."""
    run("packaging", PackagingWorkerSettings, wire, label="packaging-worker")


if __name__ == "__main__":
    main()
