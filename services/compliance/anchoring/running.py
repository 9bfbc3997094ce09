"""Anchors the latest checkpoint once in a while, and follows each anchor until it is confirmed.

One process at a time works on a way of anchoring, under an advisory lock that the database takes back when the process dies. What was begun is in the
tables before anything is sent, so whoever comes next goes on with it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from reelmesh.compliance.v1 import events_pb2 as events

from services.compliance.anchoring import store
from services.compliance.anchoring.anchor import Anchor, Confirmation, Pending, Trouble, since
from services.compliance.log import store as log_store
from services.kit import telemetry
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.uncancelled import heed_cancellation

log = structlog.stdlib.get_logger()

_PATIENCE: Final = 40.0
"""Seconds that one round may take. Its lock is held by a transaction, which the database ends after 60 idle ones."""
_TOGETHER: Final = 16
"""Pending anchors that are followed at the same time: one that nobody answers must not keep the others waiting."""
UNANCHORED: Final = Gauge(
    "reelmesh_audit_unanchored_leaves", "Leaves of the audit log that no confirmed anchor covers.", ["anchor"]
)
UNANCHORED_SECONDS: Final = Gauge(
    "reelmesh_audit_unanchored_seconds", "Since when the oldest leaf waits that no confirmed anchor covers.", ["anchor"]
)
IN_TROUBLE: Final = Gauge("reelmesh_audit_anchor_trouble", "1 while something is in the way of anchoring.", ["anchor"])
CONFIRMED: Final = Counter("reelmesh_audit_anchors_total", "Anchors that were confirmed.", ["anchor"])


class Anchoring:
    """Keeps one way of anchoring going.

    Args:
        database: the service's own.
        clock: says when the next anchor is due.
        anchor: the way.
        every: how long an anchor is begun after the one before, at least.
    """

    def __init__(self, database: Database, clock: Clock, anchor: Anchor, every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._anchor = anchor
        self._every = every

    async def run(self, poll: float) -> None:
        """Works every so many seconds until cancelled. Trouble is noted and waited out."""
        while True:
            heed_cancellation()
            try:
                await self.once()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database is away: everything is as it was, the next time
                why = telemetry.masked(f"{type(error).__name__}: {error}")[:300]
                log.warning("anchoring waits", anchor=self._anchor.name, error=why)
            await asyncio.sleep(poll)

    async def once(self) -> bool:
        """One round: follows what is pending, and begins what is due. False when another process is at it."""
        async with self._database.transaction() as holding:
            if not await store.alone(holding, self._anchor.name):
                return False
            trouble = ""
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._round()
            except Trouble as error:
                trouble = str(error)
            except TimeoutError:
                trouble = f"nobody answered within {_PATIENCE:.0f} seconds; it is tried again"
            await self._tell(trouble)
        return True

    async def _round(self) -> None:
        followed_since = self._clock.now() - self._anchor.followed_for
        async with self._database.transaction() as tx:
            pending = await store.pending_of(tx, self._anchor.name, followed_since)
        some, troubles, left = asyncio.Semaphore(_TOGETHER), list[Trouble](), 0

        async def follow(one: Pending) -> None:
            nonlocal left
            async with some:
                try:
                    left += not await self._advanced(one)
                except Trouble as error:
                    troubles.append(error)
                    left += 1

        async with asyncio.TaskGroup() as group:
            for one in pending:
                group.create_task(follow(one))
        if left < self._anchor.at_once and (due := await self._begun()) is not None:
            await self._advanced(due)
        if troubles:
            raise troubles[0]

    async def _begun(self) -> Pending | None:
        """Begins to anchor the latest checkpoint when that is due."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            checkpoint = await log_store.find_bare_checkpoint(tx)
            size, before = await store.last_begun(tx, self._anchor.name)
            if checkpoint is None or checkpoint.tree_size <= size or not await store.has_news(tx, size):
                return None
            if before is not None and now - before < self._every:
                return None
            due = Pending(new_id("anc"), checkpoint.tree_size, checkpoint.root, checkpoint.note)
            await store.begin(tx, self._anchor.name, due, now)
        return due

    async def _advanced(self, pending: Pending) -> bool:
        """Whether an anchor is confirmed now."""
        await self._anchor.submit(pending)
        found = await self._anchor.confirm(pending)
        if found is not None:
            await self._confirmed(pending, found)
        return found is not None

    async def _confirmed(self, pending: Pending, found: Confirmation) -> None:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            if not await store.confirmed(tx, pending.anchor_id, found, now):
                return
            event = events.CheckpointAnchored(
                anchor_id=pending.anchor_id,
                anchor=self._anchor.name,
                tree_size=pending.tree_size,
                root_hash=pending.root.hex(),
                transaction_hash=found.transaction_hash,
                block_number=found.block_number,
                change_time=timestamp(now),
            )
            await announce(tx, event)
        CONFIRMED.labels(self._anchor.name).inc()
        log.info("checkpoint anchored", anchor=self._anchor.name, tree_size=pending.tree_size, block=found.block_number)

    async def _tell(self, trouble: str) -> None:
        """Keeps what is in the way where everybody sees it, and says how far behind anchoring is."""
        now, name = self._clock.now(), self._anchor.name
        async with self._database.transaction() as tx:
            before = await store.standing(tx, name)
            if before.trouble != trouble:
                await store.note_trouble(tx, name, trouble, now)
        if trouble and trouble != before.trouble:
            log.warning("anchoring is in trouble", anchor=name, trouble=trouble)
        measure(before, trouble, now)


def measure(standing: store.Standing, trouble: str, now: datetime) -> None:
    """Sets the metrics of one way."""
    behind = 0.0 if standing.behind_since is None else max(0.0, since(standing.behind_since, now))
    UNANCHORED.labels(standing.anchor).set(standing.behind_leaves)
    UNANCHORED_SECONDS.labels(standing.anchor).set(behind)
    IN_TROUBLE.labels(standing.anchor).set(bool(trouble))
