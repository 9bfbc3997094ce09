"""Keeps a change of an asset, announces what it means, and wakes those who watch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from google.protobuf.message import Message
from reelmesh.assets.v1 import events_pb2
from reelmesh.upload.v1 import upload_pb2

from services.assets import store
from services.assets.domain import Asset, State
from services.assets.watch import Watchers
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx, after_commit
from services.kit.events import announce


class Changes:
    """Everything that is written to an asset goes through here."""

    def __init__(self, clock: Clock, watchers: Watchers) -> None:
        self._clock = clock
        self._watchers = watchers

    def now(self) -> datetime:
        """The present moment."""
        return self._clock.now()

    async def known(self, tx: Tx, asset_id: str, organisation_id: str) -> Asset:
        """What is known of an asset, locked; a blank one when it was never heard of."""
        return await store.locked_or_new(tx, asset_id, organisation_id, self._clock.now())

    async def keep(self, tx: Tx, before: Asset, after: Asset) -> Asset:
        """Keeps the change from `before`, which is locked, to `after`. Returns the asset as kept."""
        if after == before:
            return before
        kept = replace(after, version=before.version + 1, update_time=self._clock.now())
        await store.put(tx, kept)
        for event in announcements(before, kept):
            await announce(tx, event)
        after_commit(tx, lambda: self._watchers.changed(kept.asset_id))
        return kept


def announcements(before: Asset, after: Asset) -> Iterator[Message]:
    """The events that a change amounts to."""
    if not after.exists:
        return
    who = {"asset_id": after.asset_id, "organisation_id": after.organisation_id}
    if not before.exists:
        purpose = upload_pb2.UploadPurpose.ValueType(after.purpose)
        created = timestamp(after.commit_time)
        yield events_pb2.AssetCreated(**who, title=after.title, create_time=created, purpose=purpose)
    elif before.title != after.title:
        yield events_pb2.AssetUpdated(**who, title=after.title, update_time=timestamp(after.update_time))
    news = not before.exists or before.package_id != after.package_id or before.state is State.WITHHELD
    if after.state is State.READY and news:
        yield events_pb2.AssetReady(**who, package_id=after.package_id, ready_time=timestamp(after.publish_time))
    if after.state is State.DELETED and before.state is not State.DELETED:
        yield events_pb2.AssetDeleted(**who, delete_time=timestamp(after.delete_time))
