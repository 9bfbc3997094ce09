"""Compares the processors' reports with the ledger, once for each day, and again whenever a report changes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import structlog
from reelmesh.payments.v1 import events_pb2

from services.kit import telemetry
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.payments import refusals
from services.payments.ledger import store as ledger
from services.payments.reconciliation import store
from services.payments.reconciliation.domain import Case, CaseState, Finding, ReportSource, Transaction, compared

log = structlog.stdlib.get_logger()
_DAY: Final = timedelta(days=1)
_BACK: Final = 7
"""Days that are caught up on at most."""
_READY: Final = timedelta(hours=6)
"""How long after a day has ended its reports are asked for."""
_REPORT: Final = "report"


@dataclass(frozen=True, slots=True)
class Result:
    """What a comparison came to."""

    transactions: int
    matched: int
    open_cases: int


class Reconciling:
    """Everything that is written about reconciliation goes through here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def compare(
        self, tx: Tx, organisation_id: str, processor: str, report_date: date, theirs: Sequence[Transaction]
    ) -> Result:
        """Compares one day's report. What is known already stays as it is; an open case that is none any more is resolved."""
        now = self._clock.now()
        await store.lock(tx, organisation_id)
        digest = _digest(theirs)
        known = await store.last_run(tx, organisation_id, processor, report_date)
        if known is None or known[0] != digest:
            await store.add_run(tx, organisation_id, processor, report_date, digest=digest, theirs=theirs, now=now)
        start = datetime.combine(report_date, time(), UTC)
        booked = await store.ours_of_day(tx, organisation_id, processor, start, start + _DAY)
        ours = await store.ours_by_reference(tx, organisation_id, [one.reference for one in theirs])
        told = await store.told_elsewhere(tx, organisation_id, [one.reference for one in booked], report_date)
        result = compared(theirs, ours, booked, told)
        for finding in result.findings:
            await self._found(tx, organisation_id, processor, report_date, finding)
        found = set(result.findings)
        still = 0
        for case in await store.open_cases(tx, organisation_id, processor, report_date, report_date):
            if case.finding in found:
                still += 1
            else:
                await self._mark(tx, case, CaseState.RESOLVED, "the reports and the ledger agree by now")
        await self._told_late(tx, organisation_id, processor, report_date, theirs)
        return Result(len(theirs), result.matched, still)

    async def _found(self, tx: Tx, organisation_id: str, processor: str, report_date: date, finding: Finding) -> None:
        now = self._clock.now()
        case = await store.open_case(tx, organisation_id, processor, report_date, finding, now=now)
        if case is None:
            case = await store.of_finding(tx, organisation_id, report_date, finding)
            if case is None or (case.state, case.actor) != (CaseState.RESOLVED, _REPORT):
                return  # it is open, or a person has spoken
            await store.mark(tx, case, CaseState.OPEN, actor=_REPORT, now=now)
        event = events_pb2.ReconciliationCaseOpened(
            case_id=case.case_id,
            organisation_id=organisation_id,
            processor=processor,
            reference=finding.reference,
            open_time=timestamp(now),
        )
        await announce(tx, event)

    async def _told_late(
        self, tx: Tx, organisation_id: str, processor: str, report_date: date, theirs: Sequence[Transaction]
    ) -> None:
        """Resolves what was missing in the report of a day nearby: clocks differ around midnight."""
        references = {one.reference for one in theirs}
        around = await store.open_cases(tx, organisation_id, processor, report_date - _DAY, report_date + _DAY)
        for case in around:
            if case.report_date != report_date and not case.finding.theirs and case.finding.reference in references:
                note = f"the report of {report_date.isoformat()} has it"
                await self._mark(tx, case, CaseState.RESOLVED, note)

    async def resolve(
        self, tx: Tx, organisation_id: str, case_id: str, *, note: str, entry_id: str, actor: str
    ) -> Case:
        """Says why a case is none, or by which entry it was mended.

        Raises:
            Refusal: `CASE_NOT_FOUND`, `ENTRY_NOT_FOUND` or `CASE_WRONG_STATE`.
        """
        await store.lock(tx, organisation_id)
        case = await store.find_case(tx, organisation_id, case_id)
        if case is None:
            raise refusals.case_not_found(case_id)
        if entry_id and await ledger.find_entry(tx, organisation_id, entry_id) is None:
            raise refusals.entry_not_found(entry_id)
        state = CaseState.RESOLVED if entry_id else CaseState.EXPLAINED
        if (case.state, case.note, case.entry_id) == (state, note, entry_id):
            return case
        # What was explained can still turn out to have to be mended; nothing else is said twice.
        if case.state is CaseState.RESOLVED or (case.state, state) == (CaseState.EXPLAINED, CaseState.EXPLAINED):
            raise refusals.case_wrong_state(case_id, case.state.name)
        return await self._mark(tx, case, state, note, entry_id=entry_id, actor=actor)

    async def _mark(
        self, tx: Tx, case: Case, state: CaseState, note: str, *, entry_id: str = "", actor: str = _REPORT
    ) -> Case:
        now = self._clock.now()
        await store.mark(tx, case, state, note=note, entry_id=entry_id, actor=actor, now=now)
        event = events_pb2.ReconciliationCaseResolved(
            case_id=case.case_id,
            organisation_id=case.organisation_id,
            entry_id=entry_id,
            resolve_time=timestamp(now),
        )
        await announce(tx, event)
        return replace(case, state=state, note=note, entry_id=entry_id, actor=actor, change_time=now)


class DailyReconciliation:
    """Asks the sources for the reports of every day that has ended.

    Args:
        sources: where the reports of a processor are had, by its name; processors that are not named are compared when somebody imports a report.
    """

    def __init__(
        self, database: Database, clock: Clock, reconciling: Reconciling, sources: Mapping[str, ReportSource]
    ) -> None:
        self._database = database
        self._clock = clock
        self._reconciling = reconciling
        self._sources = sources

    async def once(self) -> int:
        """Compares what is due. Returns how many days were compared."""
        if not self._sources:
            return 0
        last = (self._clock.now() - _READY).date() - _DAY
        async with self._database.transaction() as tx:
            known = await store.processors(tx)
        done = 0
        for organisation_id, processor in known:
            if (source := self._sources.get(processor)) is None:
                continue
            try:
                done += await self._catch_up(source, organisation_id, processor, last)
            except Exception as error:  # one account that does not open holds up no other; the next look asks again
                log.warning(
                    "reconciliation put off",
                    organisation_id=organisation_id,
                    processor=processor,
                    error=telemetry.masked(f"{type(error).__name__}: {error}")[:300],
                )
        return done

    async def _catch_up(self, source: ReportSource, organisation_id: str, processor: str, last: date) -> int:
        """Compares the days of one organisation's processor up to the last one. Returns how many."""
        async with self._database.transaction() as tx:
            before = await store.last_day(tx, organisation_id, processor)
        day = max(before + _DAY, last - (_BACK - 1) * _DAY) if before else last
        done = 0
        while day <= last:
            theirs = await source.transactions(organisation_id, day)
            if theirs is None:  # not there yet: the next look asks again
                break
            async with self._database.transaction() as tx:
                await self._reconciling.compare(tx, organisation_id, processor, day, theirs)
            day, done = day + _DAY, done + 1
        return done

    async def run(self, every: float) -> None:
        """Looks every so many seconds, until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except Exception as error:  # the database may be away; there is no hurry
                log.warning("reconciliation put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)


def _digest(theirs: Sequence[Transaction]) -> bytes:
    """SHA-256 of a report, whatever the order of its lines."""
    lines = sorted(f"{one.reference}\0{one.minor_units}\0{one.currency}\0{one.fee}" for one in theirs)
    return hashlib.sha256("\n".join(lines).encode()).digest()
