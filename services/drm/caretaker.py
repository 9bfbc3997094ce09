"""What is seen to from time to time: rotations that are due or unfinished, successors to be asked for, root keys, and what may be forgotten.

Whatever it did not get to before a crash is still there to be found; several replicas of it do no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import structlog

from services.drm import store, uses
from services.drm.emergency.changing import Changing
from services.drm.escrow import store as escrows
from services.drm.escrow.keeping import Keeping
from services.drm.keks import Keks, asked
from services.drm.keystores.keystore import Keystore, Locked
from services.drm.rotation import store as rotations
from services.drm.rotation.rotating import SCHEDULE, Rotating
from services.drm.store import WrappedKek
from services.drm.uses import Action, Use
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.errors import Refusal

log = structlog.stdlib.get_logger()

_ROOTS_AT_A_TIME = 100


class Caretaker:
    """Looks at what is due.

    Args:
        period: age at which an organisation's key-encryption key is rotated.
        kept: how long a key-encryption key that seals nothing any more is kept, for calls that read an older row.
        remembered: how long uses of keys are remembered.
    """

    def __init__(
        self,
        database: Database,
        keks: Keks,
        clock: Clock,
        *,
        rotating: Rotating,
        changing: Changing,
        keeping: Keeping,
        period: timedelta,
        kept: timedelta,
        remembered: timedelta,
    ) -> None:
        self._database = database
        self._keks = keks
        self._clock = clock
        self._rotating = rotating
        self._changing = changing
        self._keeping = keeping
        self._period = period
        self._kept = kept
        self._remembered = remembered
        self._wake = asyncio.Event()
        self._locked: dict[str, str] = {}

    def wake(self) -> None:
        """There is something to do at once."""
        self._wake.set()

    async def run(self, interval: float) -> None:
        """Looks every `interval` seconds, or when woken, until cancelled."""
        while True:
            for duty in (self.rotate, self._ask, self.wrap_anew, self.escrow, self.forget):
                try:
                    await duty()
                except Exception as error:  # the database or the keystore is away: look again later
                    said = telemetry.masked(f"{type(error).__name__}: {error}")[:300]
                    log.warning("keys cannot be seen to now", duty=duty.__name__.strip("_"), error=said)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._wake.wait()
            self._wake.clear()

    async def rotate(self) -> None:
        """Begins rotations that are due, and finishes all that are begun."""
        await self._rotating.begin_due(self._clock.now() - self._period)
        async with self._database.transaction() as tx:
            unfinished = await rotations.unfinished(tx)
        for rotation_id in unfinished:
            try:
                await self._rotating.rewrap(rotation_id)
            except Refusal as refusal:  # one organisation's trouble is not another's
                log.warning("content keys cannot be sealed anew now", rotation_id=rotation_id, error=refusal.message)
            else:
                log.info("content keys are sealed anew", rotation_id=rotation_id)

    async def _ask(self) -> None:
        while await self._changing.ask():
            pass

    async def wrap_anew(self) -> int:
        """Wraps key-encryption keys by the root key of today that another one wraps. Returns how many those were."""
        root_id = await asked("", self._keks.keystore.root_id)
        done, locked = 0, []
        async with self._database.transaction() as tx:
            known = [kek_id for kek_id, by in self._locked.items() if by == root_id]
            for kek in await store.keks_of_other_roots(tx, root_id, known, _ROOTS_AT_A_TIME):
                wrapped = await asked(kek.kek_id, partial(_wrapped_anew, self._keks.keystore, kek))
                if wrapped is None:
                    locked.append(kek.kek_id)
                    continue
                await store.rewrap_kek(tx, kek.kek_id, wrapped[0], root_id, wrapped[1])
                use = Use.of(
                    kek.organisation_id,
                    Action.KEK_REWRAPPED,
                    SCHEDULE,
                    self._clock.now(),
                    kek_id=kek.kek_id,
                    detail=root_id,
                )
                await uses.note(tx, [use])
                done += 1
        self._note_locked(root_id, locked)
        return done

    async def escrow(self) -> None:
        """Encrypts to the escrow what is not yet."""
        async with self._database.transaction() as tx:
            await self._keeping.complete(tx)

    async def forget(self) -> None:
        """Destroys key-encryption keys that seal nothing any more, and forgets what happened long ago."""
        self._keks.forget()
        now = self._clock.now()
        async with self._database.transaction() as tx:
            gone = await store.destroy_idle_keks(tx, now - self._kept, now)
            await escrows.forget(tx, [kek.kek_id for kek in gone])
            await uses.note(tx, _destroyed(gone, self._clock))
            await uses.forget(tx, now - self._remembered)
            await rotations.forget(tx, now - self._remembered)

    def _note_locked(self, root_id: str, kek_ids: Sequence[str]) -> None:
        self._locked |= dict.fromkeys(kek_ids, root_id)
        if kek_ids:
            log.error(
                "the root key does not open what is stored: put the root key of this install back, or bring the shares of its escrow "
                "together with `reelmesh keys recover`",
                root_id=root_id,
                keks=len(kek_ids),
            )


def _wrapped_anew(keystore: Keystore, kek: WrappedKek) -> tuple[bytes, bytes] | None:
    """The key as the root key of today wraps it, and its check value; None when that does not open it."""
    try:
        wrapped = keystore.rewrapped(kek.wrapped)
        if kek.check_value:
            return wrapped, kek.check_value
        opened = keystore.open(wrapped)
    except Locked:
        return None
    try:
        return wrapped, opened.seal(b"", kek.kek_id.encode())
    finally:
        opened.close()


def _destroyed(gone: Sequence[WrappedKek], clock: Clock) -> list[Use]:
    now = clock.now()
    return [Use.of(kek.organisation_id, Action.KEK_DESTROYED, SCHEDULE, now, kek_id=kek.kek_id) for kek in gone]
