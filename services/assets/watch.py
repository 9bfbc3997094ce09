"""Tells watchers of an asset that it changed, on whichever replica the change was made.

A change is told at once within the process, and to other replicas by core NATS. Whatever gets lost on the way is found
by a look at the versions of all watched assets every few seconds: one query, however many watch. However many watch one
asset, it is read once for each change.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final

import grpc
import structlog
from google.protobuf.message import DecodeError
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from reelmesh.transcode.v1.events_pb2 import TranscodeProgressed

from services.assets import store
from services.assets.domain import Asset
from services.kit.database import Database
from services.kit.errors import RPC_DOMAIN, Refusal

log = structlog.stdlib.get_logger()

SHORTEST_PAUSE: Final = 0.2
"""Seconds between two sendings to one watcher; changes within are told together."""

_SWEEP: Final = 5.0
_CHANGED: Final = "changed.assets"
_PROGRESSED: Final = f"progress.{TranscodeProgressed.DESCRIPTOR.full_name}"
_MOST_FRACTIONS: Final = 10_000


class _Topic:
    """One watched asset: how it was last read, and who waits for the next."""

    def __init__(self) -> None:
        self.latest: Asset | None = None
        self.stale = False
        self.reader: asyncio.Task[None] | None = None
        self.waiting: set[asyncio.Event] = set()

    def tell(self) -> None:
        for news in self.waiting:
            news.set()


class Watchers:
    """All watchers of this process, and the encoding progress of running jobs, which is kept nowhere else."""

    def __init__(self, database: Database, bus: NatsClient) -> None:
        self._database = database
        self._bus = bus
        self._topics: dict[str, _Topic] = {}
        self._fractions: OrderedDict[str, TranscodeProgressed] = OrderedDict()
        self._untold: set[str] = set()
        self._untold_news = asyncio.Event()
        self._me = secrets.token_bytes(8)
        self._closed = False

    def fraction(self, asset_id: str) -> float:
        """Share of the encoding that is done, as last heard; 0 when nothing was heard."""
        progress = self._fractions.get(asset_id)
        return progress.fraction if progress else 0.0

    def changed(self, asset_id: str) -> None:
        """Tells that a change of an asset was committed by this process."""
        self._refresh(asset_id)
        self._untold.add(asset_id)
        self._untold_news.set()

    async def watch(self, asset_id: str) -> AsyncGenerator[Asset | None, None]:
        """The asset as it is now, None while it does not exist, and again when it or its progress changes.

        Raises:
            Refusal: DRAINING when the process is about to stop; watch again then.
        """
        topic = self._topics.setdefault(asset_id, _Topic())
        news = asyncio.Event()
        topic.waiting.add(news)
        try:
            async with self._database.transaction() as tx:
                _update(topic, await store.find(tx, asset_id))
            while not self._closed:
                news.clear()
                yield topic.latest
                pause = asyncio.create_task(asyncio.sleep(SHORTEST_PAUSE))
                try:
                    await news.wait()
                    await pause
                finally:
                    pause.cancel()
            raise _draining()
        finally:
            topic.waiting.discard(news)
            if not topic.waiting:
                self._topics.pop(asset_id, None)

    async def run(self) -> None:
        """Listens to other replicas and to encoders, and tells other replicas, until cancelled."""
        subscriptions = [
            await self._bus.subscribe(f"{_CHANGED}.*", cb=self._heard_change),
            await self._bus.subscribe(_PROGRESSED, cb=self._heard_progress),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell_replicas())
                group.create_task(self._sweep())
        finally:
            self._closed = True
            readers = [topic.reader for topic in self._topics.values() if topic.reader is not None]
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            for topic in self._topics.values():
                topic.tell()
            for subscription in subscriptions:
                with contextlib.suppress(Exception):  # the connection may be gone; it takes its subscriptions along
                    await subscription.unsubscribe()

    def _refresh(self, asset_id: str) -> None:
        topic = self._topics.get(asset_id)
        if topic is None or self._closed:
            return
        topic.stale = True
        if topic.reader is None:
            topic.reader = asyncio.create_task(self._read(asset_id, topic))

    async def _read(self, asset_id: str, topic: _Topic) -> None:
        try:
            while topic.stale and topic.waiting:
                topic.stale = False
                try:
                    async with self._database.transaction() as tx:
                        asset = await store.find(tx, asset_id)
                except Exception as error:  # the database is away: watchers wait with us until it is back
                    log.warning("watched asset cannot be read", asset_id=asset_id, error=type(error).__name__)
                    topic.stale = True
                    await asyncio.sleep(1)
                    continue
                if _update(topic, asset):
                    topic.tell()
                await asyncio.sleep(SHORTEST_PAUSE / 4)
        finally:
            topic.reader = None

    async def _heard_change(self, message: Msg) -> None:
        if message.data != self._me:
            self._refresh(message.subject.removeprefix(f"{_CHANGED}."))

    async def _heard_progress(self, message: Msg) -> None:
        try:
            progress = TranscodeProgressed.FromString(message.data)
        except DecodeError:
            return
        before = self._fractions.get(progress.asset_id)
        if before is not None and before.job_id == progress.job_id and before.fraction > progress.fraction:
            return  # workers know of each other's progress a moment late; people need not see that
        self._fractions[progress.asset_id] = progress
        self._fractions.move_to_end(progress.asset_id)
        if len(self._fractions) > _MOST_FRACTIONS:
            self._fractions.popitem(last=False)
        if topic := self._topics.get(progress.asset_id):
            topic.tell()

    async def _tell_replicas(self) -> None:
        while True:
            await self._untold_news.wait()
            self._untold_news.clear()
            while self._untold:
                asset_id = self._untold.pop()
                with contextlib.suppress(Exception):  # NATS is away: the other replicas' sweep finds the change
                    await self._bus.publish(f"{_CHANGED}.{asset_id}", self._me)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            if not self._topics:
                continue
            try:
                async with self._database.transaction() as tx:
                    versions = await store.versions(tx, list(self._topics))
            except Exception as error:  # the database is away: look again later
                log.warning("watched assets cannot be looked at", error=type(error).__name__)
                continue
            for asset_id, version in versions.items():
                topic = self._topics.get(asset_id)
                if topic is not None and (topic.latest is None or topic.latest.version < version):
                    self._refresh(asset_id)


def _update(topic: _Topic, asset: Asset | None) -> bool:
    """Takes over what was read, unless something newer was read meanwhile. Tells whether it is news."""
    if asset is None or (topic.latest is not None and topic.latest.version >= asset.version):
        return False
    topic.latest = asset
    return True


def _draining() -> Refusal:
    return Refusal(
        grpc.StatusCode.UNAVAILABLE,
        "DRAINING",
        "the service is about to stop; watch again in a moment",
        domain=RPC_DOMAIN,
        retry_after=timedelta(seconds=1),
    )
