"""Begins rotations, and seals content keys anew a batch at a time.

Everything that a rotation needs to go on stands in its row and in the keys' own: whoever looks after a crash goes on where it stopped. A
content key always opens by the key-encryption key that its row names, so nobody who watches has to wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from reelmesh.drm.v1 import events_pb2

from services.drm import uses
from services.drm.emergency import store as titles
from services.drm.keks import Keks, asked
from services.drm.keystores.keystore import KeyEncryptionKey
from services.drm.rotation import store
from services.drm.rotation.domain import Kind, Rotation, State
from services.drm.store import SealedKey, newest_generation
from services.drm.uses import Action, Use
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.ids import new_id

BATCH: Final = 500
SCHEDULE: Final = "service/drm"


class Rotating:
    """What the service does to change key-encryption keys.

    Args:
        batch: how many content keys are sealed anew in one transaction.
    """

    def __init__(self, database: Database, keks: Keks, clock: Clock, *, batch: int = BATCH) -> None:
        self._database = database
        self._keks = keks
        self._clock = clock
        self._batch = batch

    async def begin(self, tx: Tx, organisation_id: str, kind: Kind, reason: str, actor: str) -> Rotation:
        """Gives the organisation a new key-encryption key. One that runs is returned instead, unless this is an emergency, which takes
        over what the other had not done. The caller holds `one_at_a_time`.

        Raises:
            Refusal: KEYSTORE_UNREACHABLE.
        """
        now = self._clock.now()
        running = await store.rewrapping(tx, organisation_id)
        if running is not None and kind is not Kind.EMERGENCY:
            return running
        if running is not None:
            await store.put(tx, running.superseded(now))
        await store.retire_keks(tx, organisation_id, now)
        generation = await newest_generation(tx, organisation_id) + 1
        kek = await self._keks.add(tx, organisation_id, generation, actor)
        rotation = Rotation(
            rotation_id=new_id("rot"),
            organisation_id=organisation_id,
            kind=int(kind),
            state=int(State.REWRAPPING),
            reason=reason,
            actor=actor,
            kek_id=kek.kek_id,
            keys_total=await store.count(tx, organisation_id),
            keys_done=0,
            stop_at_once=False,
            create_time=now,
        )
        await store.add(tx, rotation)
        await announce(
            tx,
            events_pb2.KeyRotationStarted(
                rotation_id=rotation.rotation_id,
                organisation_id=organisation_id,
                emergency=kind is Kind.EMERGENCY,
                reason=reason,
                actor=actor,
                start_time=timestamp(now),
            ),
        )
        return rotation

    async def begin_due(self, made_before: datetime) -> int:
        """Begins a rotation for each organisation whose key-encryption key is older than a moment. Returns how many those were."""
        async with self._database.transaction() as tx:
            found = await store.due(tx, made_before)
        begun = 0
        for organisation_id in found:
            async with self._database.transaction() as tx:
                await store.one_at_a_time(tx, organisation_id)
                if organisation_id in await store.due(tx, made_before):  # another replica may have been quicker
                    await self.begin(tx, organisation_id, Kind.SCHEDULED, "", SCHEDULE)
                    begun += 1
        return begun

    async def rewrap(self, rotation_id: str) -> None:
        """Seals every content key of a rotation anew, batch by batch.

        Raises:
            Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE; what was done stays done.
        """
        while await self.rewrap_some(rotation_id):
            pass

    async def rewrap_some(self, rotation_id: str) -> bool:
        """Seals some. False when there was nothing more to do."""
        async with self._database.transaction() as tx:
            rotation = await store.locked(tx, rotation_id)
            if rotation.state != State.REWRAPPING:
                return False
            found = await store.sealed_otherwise(tx, rotation, self._batch)
            now = self._clock.now()
            if not found:
                after = rotation.rewrapped(now, await titles.waiting(tx, rotation_id))
                await store.put(tx, after)
                await tell_completed(tx, rotation, after)
                return False
            into = await self._keks.opened(tx, rotation.kek_id)
            opened = {kek_id: await self._keks.opened(tx, kek_id) for kek_id in {key.kek_id for key in found}}
            # In a thread: a batch takes as long as a few viewers' calls.
            sealed = await asked(found[0].kek_id, lambda: _resealed(found, opened, into, rotation.kek_id))
            await store.reseal(tx, sealed)
            await store.put(tx, rotation.advanced(len(sealed)))
            use = Use.of(
                rotation.organisation_id,
                Action.REWRAPPED,
                rotation.actor,
                now,
                kek_id=rotation.kek_id,
                detail=f"{len(sealed)} keys, {rotation_id}",
                key_ids=[key.key_id.hex() for key in sealed],
            )
            await uses.note(tx, [use])
        return True


async def tell_completed(tx: Tx, before: Rotation, after: Rotation) -> None:
    """Announces that a rotation is complete, if it has just become so."""
    if before.state != State.COMPLETED and after.state == State.COMPLETED:
        await announce(
            tx,
            events_pb2.KeyRotationCompleted(
                rotation_id=after.rotation_id,
                organisation_id=after.organisation_id,
                complete_time=timestamp(after.complete_time),
            ),
        )


def _resealed(
    keys: Sequence[SealedKey], opened: Mapping[str, KeyEncryptionKey], into: KeyEncryptionKey, kek_id: str
) -> list[SealedKey]:
    sealed = []
    for key in keys:
        secret = opened[key.kek_id].unseal(key.sealed, key.bound_to)
        after = replace(key, kek_id=kek_id, version=key.version + 1)
        sealed.append(replace(after, sealed=into.seal(secret, after.bound_to)))
    return sealed
