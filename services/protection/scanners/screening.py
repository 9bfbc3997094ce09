"""Sees each master through the gate: makes the checks, then clears or holds it; puts what is held in quarantine, and brings back what is released.

Every step is found in the tables by whoever comes after a process that died, and each may be done twice: checks only look, the quarantine
keeps by content, and what a step led to is written in one transaction with its event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar, runtime_checkable

import structlog
from reelmesh.protection.v1 import events_pb2, holds_pb2
from reelmesh.upload.v1 import upload_pb2

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce, enqueue
from services.kit.ids import new_id
from services.kit.storage import ObjectStore
from services.kit.work import TryAgain, WorkQueue
from services.protection.gate import Check, Finding, Master, Unreachable
from services.protection.scanners import store
from services.protection.scanners.domain import Hold, HoldState, Screening, ScreeningState
from services.protection.scanners.quarantine import Quarantine
from services.protection.scanners.reports import Reports

log = structlog.stdlib.get_logger()

Found = TypeVar("Found")
QUEUE: Final = WorkQueue("protection-gate")
LOOK_AGAIN: Final = 2.0
"""Seconds after which a master that waits for what is away is looked at again."""


@runtime_checkable
class Reachable(Protocol):
    """A check that can tell beforehand, and cheaply, whether it can be made, so that no master is fetched for nothing."""

    async def reach(self) -> None:
        """Raises `Unreachable` when it cannot."""
        ...


class Gate:
    """The gate, with its checks in the order in which they are made.

    Args:
        checks: those that are on.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        clock: Clock,
        *,
        checks: Sequence[Check],
        quarantine: Quarantine,
        reports: Reports,
    ) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self.checks = checks
        self.quarantine = quarantine
        self.reports = reports

    async def arrive(self, tx: Tx, screening: Screening) -> None:
        """Takes a new master in. With no check on, it is through at once."""
        if not self.checks:
            screening = screening.at(ScreeningState.CLEARED)
        if not await store.add_screening(tx, screening):
            return
        if screening.state is ScreeningState.CLEARED:
            await self._announce_cleared(tx, screening)
        else:
            await self.ask(tx, screening)

    async def ask(self, tx: Tx, screening: Screening) -> None:
        """Keeps a master that is to be looked at, and puts it into the work queue."""
        await store.put_screening(tx, replace(screening, ask_time=self._clock.now()))
        await enqueue(tx, QUEUE.subject, f"screen:{screening.asset_id}".encode())

    async def work(self, task: bytes) -> None:
        """Does one task of the queue.

        Raises:
            TryAgain: something is away.
        """
        kind, _, name = task.decode().partition(":")
        match kind:
            case "screen":
                await self._screen(name)
            case "preserve":
                await self._preserve(name)
            case "report":
                await self.reports.tell(name)
            case _:
                log.error("a task that nobody knows", kind=kind)

    # Looking.

    async def _screen(self, asset_id: str) -> None:
        async with self._database.transaction() as tx:
            screening = await store.find_screening(tx, asset_id)
            known = [] if screening is None else await store.holds_of_file(tx, screening.sha256)
        if screening is None or screening.state is not ScreeningState.WAITING:
            return
        left = [check for check in self.checks if check.name not in screening.passed]
        for check in left:
            if isinstance(check, Reachable):
                await self._or_wait(screening, check, check.reach())
        finding = await self._quarantined(screening, known)
        if finding is None and left:
            finding = await self._found(screening, left)
        await (self._clear(screening) if finding is None else self._hold(screening, finding))

    async def _found(self, screening: Screening, checks: Sequence[Check]) -> Finding | None:
        """What the first check says that has something to say."""
        async with self._objects.local_copy(screening.object_key) as file:
            master = Master(
                asset_id=screening.asset_id,
                upload_id=screening.upload_id,
                organisation_id=screening.organisation_id,
                file=file,
                content_type=screening.content_type,
                sha256=screening.sha256,
                size_bytes=file.stat().st_size,
            )
            for check in checks:
                if finding := await self._or_wait(screening, check, check.look(master)):
                    return finding
        return None

    async def _or_wait(self, screening: Screening, check: Check, looking: Awaitable[Found]) -> Found:
        """What a check says. Whatever keeps it from saying something makes the master wait."""
        try:
            return await looking
        except Unreachable as error:
            await self._delay(screening, check.name)
            raise TryAgain(f"{check.name}: {error}", delay=LOOK_AGAIN) from error
        except Exception:
            await self._delay(screening, check.name)
            raise

    async def _quarantined(self, screening: Screening, known: Sequence[Hold]) -> Finding | None:
        """What was found in this very file before, where it lies in quarantine and nowhere else. One that was released is brought back."""
        if await self._objects.size_of(screening.object_key) is not None:
            return None
        if not await self.quarantine.holds(screening.sha256):
            raise MasterLost(f"the master of {screening.asset_id} is neither in the store nor in quarantine")
        against = [one for one in known if one.state is not HoldState.RELEASED]
        mine = any(one.asset_id == screening.asset_id for one in known)
        if against and not mine:
            return replace(against[-1].finding, detail=f"the same file as that of {against[-1].hold_id}")
        await self.quarantine.restore(screening.sha256, screening.object_key)
        return None

    async def _delay(self, screening: Screening, check: str) -> None:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            current = await store.find_screening(tx, screening.asset_id, for_update=True)
            if current is None or current.state is not ScreeningState.WAITING or current.delayed_by == check:
                return
            delayed = current.delayed(check, now)
            await store.put_screening(tx, delayed)
            event = events_pb2.MasterDelayed(
                asset_id=delayed.asset_id,
                organisation_id=delayed.organisation_id,
                check=check,
                delay_time=timestamp(delayed.delay_time),
            )
            await announce(tx, event)

    async def _clear(self, screening: Screening) -> None:
        async with self._database.transaction() as tx:
            await store.lock_file(tx, screening.sha256)
            current = await store.find_screening(tx, screening.asset_id, for_update=True)
            if current is None or current.state is not ScreeningState.WAITING:
                return
            if await self._objects.size_of(screening.object_key) is None:
                raise TryAgain("the same file was put in quarantine meanwhile", delay=0.1)
            cleared = current.at(ScreeningState.CLEARED)
            await store.put_screening(tx, cleared)
            await self._announce_cleared(tx, cleared)

    async def _announce_cleared(self, tx: Tx, screening: Screening) -> None:
        event = events_pb2.MasterCleared(
            asset_id=screening.asset_id,
            upload_id=screening.upload_id,
            organisation_id=screening.organisation_id,
            object_key=screening.object_key,
            watermarking=upload_pb2.Watermarking.ValueType(screening.watermarking),
            clear_time=timestamp(self._clock.now()),
            purpose=upload_pb2.UploadPurpose.ValueType(screening.purpose),
        )
        await announce(tx, event)

    async def _hold(self, screening: Screening, finding: Finding) -> None:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            current = await store.find_screening(tx, screening.asset_id, for_update=True)
            if current is None or current.state is not ScreeningState.WAITING:
                return
            hold = Hold(
                hold_id=new_id("hld"),
                asset_id=current.asset_id,
                organisation_id=current.organisation_id,
                upload_id=current.upload_id,
                filename=current.filename,
                sha256=current.sha256,
                size_bytes=current.size_bytes,
                finding=finding,
                create_time=now,
                ask_time=now,
            )
            await store.put_screening(tx, current.at(ScreeningState.HELD))
            await store.add_hold(tx, hold)
            await announce(tx, _held(hold))
            await self.reports.put_down(tx, hold)
            await enqueue(tx, QUEUE.subject, f"preserve:{hold.hold_id}".encode())
        log.warning(
            "master held", hold_id=hold.hold_id, asset_id=hold.asset_id
        )  # without the ground: logs are read by many

    # Preserving.

    async def _preserve(self, hold_id: str) -> None:
        """Puts a held master in quarantine, then takes the file in the clear away, unless the same file was cleared for another asset."""
        async with self._database.transaction() as tx:
            hold = await store.find_hold(tx, hold_id)
            screening = None if hold is None else await store.find_screening(tx, hold.asset_id)
        if hold is None or screening is None:
            return
        if hold.preserve_time is None:
            sealed = await self._sealed(screening)
            now = self._clock.now()
            async with self._database.transaction() as tx:
                current = await store.find_hold(tx, hold_id, for_update=True)
                if current is not None and current.preserve_time is None:
                    await store.put_hold(tx, current.preserved(sealed, now))
                    event = events_pb2.EvidencePreserved(
                        hold_id=hold_id,
                        organisation_id=current.organisation_id,
                        sha256=current.sha256,
                        sealed_sha256=sealed,
                        preserve_time=timestamp(now),
                    )
                    await announce(tx, event)
        await self._take_away(screening)

    async def _sealed(self, screening: Screening) -> str:
        if await self._objects.size_of(screening.object_key) is None:
            return await self.quarantine.verified(screening.sha256)
        async with self._objects.local_copy(screening.object_key) as file:
            return await self.quarantine.put(file, screening.sha256)

    async def _take_away(self, screening: Screening) -> None:
        async with self._database.transaction() as tx:
            await store.lock_file(tx, screening.sha256)
            holds = await store.holds_of_file(tx, screening.sha256)
            needed = await store.cleared_with(tx, screening.sha256, limit=1)
            if not needed and any(one.state is not HoldState.RELEASED for one in holds):
                await self._objects.delete(screening.object_key)


class MasterLost(RuntimeError):
    """A master is nowhere. It cannot be cleared, and an operator has to look after it."""


def _held(hold: Hold) -> events_pb2.MasterHeld:
    return events_pb2.MasterHeld(
        hold_id=hold.hold_id,
        asset_id=hold.asset_id,
        upload_id=hold.upload_id,
        organisation_id=hold.organisation_id,
        ground=holds_pb2.HoldGround.ValueType(hold.finding.ground),
        check=hold.finding.check,
        list_name=hold.finding.list_name,
        entry=hold.finding.entry,
        distance=hold.finding.distance,
        sha256=hold.sha256,
        size_bytes=hold.size_bytes,
        hold_time=timestamp(hold.create_time),
    )
