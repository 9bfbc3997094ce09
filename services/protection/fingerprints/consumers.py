"""What other services announce becomes fingerprints to make, bars, and deletions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Final

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.compliance.v1.events_pb2 import MaterialRestored, MaterialTakenDown
from reelmesh.transcode.v1 import transcode_pb2
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted

from services.kit.clock import Clock
from services.kit.database import Database, Tx, after_commit
from services.kit.events import Consumer, enqueue
from services.protection.fingerprints import store
from services.protection.fingerprints.keeping import Keeping
from services.protection.fingerprints.working import TITLES

LEAST_LONG: Final = 480
"""Pixels of the longer side of the smallest rendition that is enough."""


class Listener:
    """What this part does when others announce something. It has a consumer of its own, so that an install that knew nothing of
    fingerprints gets those of what was encoded in the last 30 days."""

    def __init__(self, clock: Clock, keeping: Keeping) -> None:
        self._clock = clock
        self._keeping = keeping

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Listens to films that were encoded, to what is taken down and restored, and to deletions."""
        handlers = {
            TranscodeCompleted: self._transcoded,
            MaterialTakenDown: self._taken_down,
            MaterialRestored: self._restored,
            AssetDeleted: self._deleted,
        }
        return Consumer("protection-fingerprints", database, bus, handlers)

    async def _transcoded(self, tx: Tx, data: bytes) -> None:
        event = TranscodeCompleted.FromString(data)
        keys = picture_key(event.renditions), sound_key(event.renditions)
        if any(keys) and await store.add_title(tx, event.asset_id, event.organisation_id, keys, self._clock.now()):
            await enqueue(tx, TITLES.subject, event.asset_id.encode())

    async def _taken_down(self, tx: Tx, data: bytes) -> None:
        event = MaterialTakenDown.FromString(data)
        when = event.change_time.ToDatetime(tzinfo=UTC)
        await store.bar(tx, event.asset_id, event.case_id, event.ground, when, barred=True)
        after_commit(tx, self._keeping.wake)

    async def _restored(self, tx: Tx, data: bytes) -> None:
        event = MaterialRestored.FromString(data)
        when = event.change_time.ToDatetime(tzinfo=UTC)
        await store.bar(tx, event.asset_id, event.case_id, event.ground, when, barred=False)
        after_commit(tx, self._keeping.wake)

    async def _deleted(self, tx: Tx, data: bytes) -> None:
        event = AssetDeleted.FromString(data)
        await store.delete_title(tx, event.asset_id, self._clock.now())
        after_commit(tx, self._keeping.wake)


def picture_key(renditions: Iterable[transcode_pb2.Rendition]) -> str:
    """The smallest picture that shows enough, else the largest; empty when there is none."""
    pictures = sorted(
        (one for one in renditions if one.kind == transcode_pb2.TRACK_KIND_VIDEO and one.object_key),
        key=lambda one: max(one.width, one.height),
    )
    enough = [one for one in pictures if max(one.width, one.height) >= LEAST_LONG]
    return (enough or pictures[-1:])[0].object_key if pictures else ""


def sound_key(renditions: Iterable[transcode_pb2.Rendition]) -> str:
    """The first sound; empty when there is none."""
    sounds = [one for one in renditions if one.kind == transcode_pb2.TRACK_KIND_AUDIO and one.object_key]
    return sounds[0].object_key if sounds else ""
