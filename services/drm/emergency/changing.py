"""Begins emergencies, asks packaging for successors, and destroys keys once those are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from reelmesh.drm.v1 import events_pb2

from services.drm import store as keys
from services.drm import uses
from services.drm.emergency import store
from services.drm.licences import store as licences
from services.drm.rotation import store as rotations
from services.drm.rotation.domain import Kind, Rotation, TitleState, emergency_running, nothing_to_rotate
from services.drm.rotation.rotating import Rotating, tell_completed
from services.drm.uses import Action, Use
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce

ASKED_AT_A_TIME: Final = 200


class Changing:
    """What the service does about stolen keys, beside rotating."""

    def __init__(self, database: Database, rotating: Rotating, clock: Clock) -> None:
        self._database = database
        self._rotating = rotating
        self._clock = clock

    async def begin(
        self,
        tx: Tx,
        organisation_id: str,
        reason: str,
        actor: str,
        *,
        package_ids: Sequence[str] = (),
        stop_at_once: bool = False,
    ) -> Rotation:
        """Begins an emergency.

        Raises:
            Refusal: NOTHING_TO_ROTATE, EMERGENCY_RUNNING, KEYSTORE_UNREACHABLE.
        """
        await rotations.one_at_a_time(tx, organisation_id)
        running = await rotations.rewrapping(tx, organisation_id)
        if running is not None and running.kind == Kind.EMERGENCY:
            raise emergency_running(running.rotation_id)
        found = await store.affected(tx, organisation_id, package_ids)
        if absent := set(package_ids) - set(found):
            raise nothing_to_rotate(min(absent))
        if not found:
            raise nothing_to_rotate()
        in_hand = await store.waiting_elsewhere(tx, found)
        wanted = [package_id for package_id in found if package_id not in in_hand]
        if not wanted:
            raise emergency_running(next(iter(in_hand.values())))
        rotation = await self._rotating.begin(tx, organisation_id, Kind.EMERGENCY, reason, actor)
        rotation = replace(rotation, stop_at_once=stop_at_once)
        await rotations.put(tx, rotation)
        await store.add(tx, rotation.rotation_id, wanted, self._clock.now())
        return rotation

    async def ask(self) -> int:
        """Asks packaging for successors of some packages. Returns how many those were."""
        async with self._database.transaction() as tx:
            found = await store.unasked(tx, ASKED_AT_A_TIME)
            now = self._clock.now()
            for rotation_id in sorted({title.rotation_id for title in found}):
                # Not locked: who an emergency is for, and whether it stops things at once, never changes.
                rotation = await rotations.known(tx, rotation_id)
                packages = [title.package_id for title in found if title.rotation_id == rotation_id]
                for package_id in packages:
                    await announce(
                        tx,
                        events_pb2.RepackagingRequested(
                            rotation_id=rotation_id,
                            package_id=package_id,
                            organisation_id=rotation.organisation_id,
                            request_time=timestamp(now),
                        ),
                    )
                    if rotation.stop_at_once:
                        ids = [key_id.hex() for key_id in await keys.keys_of(tx, package_id)]
                        await self._announce_revoked(tx, rotation, package_id, ids)
                await store.put(tx, rotation_id, packages, ask_time=now)
        return len(found)

    async def replaced(self, tx: Tx, package_id: str, new_package_id: str) -> None:
        """A package has its successor."""
        await self._settle(tx, package_id, TitleState.REPLACED, new_package_id=new_package_id)

    async def skipped(self, tx: Tx, package_id: str) -> None:
        """A package needs no successor."""
        await self._settle(tx, package_id, TitleState.SKIPPED)

    async def failed(self, tx: Tx, package_id: str, message: str) -> None:
        """A package gets no successor; its keys stay in force, or a film would be lost for a fault of the packager's."""
        await self._settle(tx, package_id, TitleState.FAILED, failure_message=message)

    async def _settle(self, tx: Tx, package_id: str, state: TitleState, **changed: object) -> None:
        now = self._clock.now()
        for rotation_id in await store.rotations_of(tx, package_id):
            rotation = await rotations.locked(tx, rotation_id)
            await store.put(tx, rotation_id, [package_id], state=int(state), change_time=now, **changed)
            if state is not TitleState.FAILED:
                await self._destroy(tx, rotation, package_id)
            after = rotation.played(now) if state is TitleState.REPLACED else rotation
            after = after.settled(now, await store.waiting(tx, rotation_id))
            await rotations.put(tx, after)
            await tell_completed(tx, rotation, after)

    async def _destroy(self, tx: Tx, rotation: Rotation, package_id: str) -> None:
        gone = await keys.revoke_keys(tx, package_id, self._clock.now())
        if not gone:
            return
        ids = [key.key_id.hex() for key in gone]
        await self._announce_revoked(tx, rotation, package_id, ids)
        use = Use.of(
            rotation.organisation_id,
            Action.DESTROYED,
            rotation.actor,
            self._clock.now(),
            package_id=package_id,
            key_ids=ids,
            detail=rotation.rotation_id,
        )
        await uses.note(tx, [use])
        for licence in await licences.revoke_package(tx, package_id, self._clock.now()):
            await announce(
                tx,
                events_pb2.OfflineLicenceRevoked(
                    licence_id=licence.licence_id,
                    organisation_id=licence.organisation_id,
                    session_id=licence.session_id,
                    package_id=licence.package_id,
                    viewer_id=licence.viewer_id,
                    device_id=licence.device_id,
                    author=rotation.actor,
                    revoke_time=timestamp(licence.revoke_time),
                ),
            )

    async def _announce_revoked(self, tx: Tx, rotation: Rotation, package_id: str, key_ids: Sequence[str]) -> None:
        await announce(
            tx,
            events_pb2.ContentKeysRevoked(
                package_id=package_id,
                organisation_id=rotation.organisation_id,
                key_ids=key_ids,
                reason=f"keys were changed in an emergency ({rotation.rotation_id})",
                revoke_time=timestamp(self._clock.now()),
            ),
        )
