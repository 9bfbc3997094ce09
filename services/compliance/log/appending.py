"""Appends events to the log: many in one transaction, in order, each once, and signs what comes of it.

What was read of the stream is noted in the same transaction as the leaves, so a process that dies at any point goes on after the last leaf. An
event that comes again all the same, such as from a relay that was away for long, is known by its id.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from services.compliance.log import contents, store
from services.compliance.log.keys import SubjectKeys
from services.compliance.log.leaves import SALT_BYTES, Event, record_of
from services.compliance.log.merkle import TILE_HEIGHT, Frontier, leaf_hash
from services.compliance.log.notes import Signer
from services.compliance.log.slots import Slots, asset_of
from services.compliance.log.subjects import Read, read
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.sealing import Seal


class OriginChanged(Exception):
    """The log was begun under another name. Its checkpoints would be another log's: set the old name again."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """An event that is to become a leaf, and what could be read of it."""

    event: Event
    read: Read | None


class Writer:
    """Writes the log. Several may be there; one at a time writes.

    Args:
        database: the service's own.
        clock: says when checkpoints are signed.
        signer: signs them, in the name of the log.
        install: seals what events say.
    """

    def __init__(self, database: Database, clock: Clock, signer: Signer, install: Seal) -> None:
        self._database = database
        self._clock = clock
        self._signer = signer
        self._install = install
        self._keys = SubjectKeys(install)

    async def begin(self) -> None:
        """Begins the log if it is new, with a checkpoint of the empty tree.

        Raises:
            OriginChanged: it was begun under another name.
        """
        async with self._database.transaction() as tx:
            await store.alone(tx)
            await self._head(tx)

    async def position(self, stream: str) -> int:
        """The last message of a stream that was read; 0 when it is another stream than the one read so far."""
        async with self._database.transaction() as tx:
            head = await store.find_head(tx)
        return head.sequence if head is not None and head.stream == stream else 0

    async def append(self, stream: str, events: Sequence[Event]) -> int:
        """Appends events of a stream, in its order. Those that were read before are passed over. Returns how many leaves were added."""
        async with self._database.transaction() as tx:
            await store.alone(tx)
            head = await self._head(tx)
            after = head.sequence if head.stream == stream else 0
            new = await self._new(tx, [event for event in events if event.sequence > after])
            frontier = await self._appended(tx, head.frontier, new)
            last = max((event.sequence for event in events), default=0)
            await store.put_head(tx, replace(head, frontier=frontier, stream=stream, sequence=max(after, last)))
        return len(new)

    async def _head(self, tx: Tx) -> store.Head:
        head = await store.find_head(tx)
        if head is None:
            head = store.Head(self._signer.name, Frontier())
            await store.put_head(tx, head)
            await self._sign(tx, head.frontier)
        elif head.origin != self._signer.name:
            raise OriginChanged(f"the log is {head.origin!r}, and {self._signer.name!r} is set: set the old name again")
        return head

    async def _sign(self, tx: Tx, frontier: Frontier) -> None:
        root = frontier.root()
        note = self._signer.checkpoint(frontier.size, root)
        await store.add_checkpoint(tx, frontier.size, root, note, self._clock.now())

    async def _new(self, tx: Tx, events: Sequence[Event]) -> list[_Pending]:
        """Those events that are no leaves yet, each once."""
        first = {event.event_id: event for event in reversed(events)}
        known = await store.known_events(tx, first) if first else set()
        new = [event for event in events if first[event.event_id] is event and event.event_id not in known]
        return [_Pending(event, read(event.event_type, event.payload)) for event in new]

    async def _appended(self, tx: Tx, frontier: Frontier, new: Sequence[_Pending]) -> Frontier:
        if not new:
            return frontier
        about = chain.from_iterable(one.read.subjects for one in new if one.read is not None)
        keys = await self._keys.of(tx, about, self._clock.now())
        assets = {asset_of(one.read.message) for one in new if one.read is not None} - {""}
        slots = await Slots.of(tx, assets)
        rows, kept = list[store.Leaf](), list[store.Content]()
        for leaf_index, one in enumerate(new, frontier.size):
            leaf, content = self._leaf(leaf_index, one, keys, slots)
            rows.append(leaf)
            if content is not None:
                kept.append(content)
        grown = frontier.grown(row.leaf_hash for row in rows)
        await store.add_leaves(tx, rows, grown.full, TILE_HEIGHT)
        await store.add_contents(tx, kept)
        await slots.keep(tx)
        await self._sign(tx, grown.frontier)
        return grown.frontier

    def _leaf(
        self, leaf_index: int, one: _Pending, keys: contents.Keys, slots: Slots
    ) -> tuple[store.Leaf, store.Content | None]:
        """The leaf of an event, and what is kept of what it said: nothing where nobody can tell whom it is about."""
        event, found = one.event, one.read
        salt = secrets.token_bytes(SALT_BYTES)
        if found is None:
            record = record_of(event, "", salt, (), None)
            return store.Leaf(leaf_index, event.event_id, event.event_type, "", leaf_hash(record), record), None
        theirs = [keys[subject] for subject in found.subjects]
        salts = [
            contents.salt_of(key, subject, event.event_id) for key, subject in zip(theirs, found.subjects, strict=True)
        ]
        slot = slots.taken(found.message, leaf_index, event.time)
        record = record_of(event, found.organisation_id, salt, salts, slot)
        sealed = contents.sealed(self._install, theirs, event.event_id, salt, event.payload)
        return (
            store.Leaf(leaf_index, event.event_id, event.event_type, found.organisation_id, leaf_hash(record), record),
            store.Content(leaf_index, tuple(key.key_id for key in theirs), sealed),
        )
