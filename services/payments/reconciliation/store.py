"""The tables of reports, cases and what was said of them, and the ledger seen by day. Rows are only added."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.ids import new_id
from services.kit.pagination import Page
from services.payments.reconciliation.domain import Case, CaseState, Difference, Finding, Transaction

_METADATA: Final = sa.MetaData()

runs: Final = sa.Table(
    "reconciliation_runs",
    _METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("processor", sa.Text),
    sa.Column("report_date", sa.Date),
    sa.Column("report_sha256", sa.LargeBinary),
    sa.Column("transactions", sa.Integer),
    sa.Column("run_time", sa.DateTime(timezone=True)),
)
report_lines: Final = sa.Table(
    "report_lines",
    _METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("fee", sa.BigInteger),
)
cases: Final = sa.Table(
    "reconciliation_cases",
    _METADATA,
    sa.Column("case_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("processor", sa.Text),
    sa.Column("report_date", sa.Date),
    sa.Column("difference", sa.SmallInteger),
    sa.Column("reference", sa.Text),
    sa.Column("ours", sa.Text),
    sa.Column("theirs", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
marks: Final = sa.Table(
    "reconciliation_marks",
    _METADATA,
    sa.Column("case_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("state", sa.SmallInteger),
    sa.Column("note", sa.Text),
    sa.Column("entry_id", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("mark_time", sa.DateTime(timezone=True)),
)
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('reconciliation:' || :organisation_id, 0))")
_BATCH: Final = 1000

# An entry that was reversed is one that never was. The processor's fee is only what it takes of a sale: what it charges for a chargeback stands
# beside a part of the sale's fee that goes back.
_OURS: Final = """
    SELECT e.reference, p.minor_units, p.currency,
      CASE e.kind WHEN 1 THEN coalesce((
        SELECT f.minor_units FROM postings f JOIN accounts b ON b.account_id = f.account_id AND b.kind = 5
        WHERE f.entry_id = e.entry_id
      ), 0) END AS fee
    FROM entries e
    JOIN postings p ON p.entry_id = e.entry_id
    JOIN accounts a ON a.account_id = p.account_id AND a.kind = 1
    WHERE e.organisation_id = :organisation_id AND e.kind IN (1, 2, 3, 4)
      AND NOT EXISTS (SELECT FROM entries u WHERE u.reverses_entry_id = e.entry_id AND u.kind = 5)
"""
_BY_REFERENCE: Final = sa.text(f"{_OURS} AND e.reference = ANY(:references)")
_OF_DAY: Final = sa.text(
    f"{_OURS} AND a.owner_id = :processor AND e.occur_time >= :start AND e.occur_time < :end ORDER BY e.reference"
)
_PROCESSORS: Final = sa.text("SELECT DISTINCT organisation_id, owner_id FROM accounts WHERE kind = 1")
_TOLD: Final = sa.text("""
    SELECT DISTINCT l.reference FROM report_lines l JOIN reconciliation_runs r ON r.run_id = l.run_id
    WHERE l.organisation_id = :organisation_id AND l.reference = ANY(:references) AND r.report_date <> :report_date
      AND r.run_id = (
        SELECT max(n.run_id) FROM reconciliation_runs n
        WHERE n.organisation_id = r.organisation_id AND n.processor = r.processor AND n.report_date = r.report_date
      )
""")


async def lock(tx: Tx, organisation_id: str) -> None:
    """Has nobody else reconcile for an organisation until the transaction ends."""
    await tx.execute(_LOCK, {"organisation_id": organisation_id})


async def processors(tx: Tx) -> list[tuple[str, str]]:
    """Every organisation and processor that ever sold by it."""
    return [(row.organisation_id, row.owner_id) for row in await tx.execute(_PROCESSORS)]


async def last_run(tx: Tx, organisation_id: str, processor: str, report_date: date) -> tuple[bytes, int] | None:
    """Digest and length of the report that was compared last for a day; None when none was."""
    query = (
        sa.select(runs.c.report_sha256, runs.c.transactions)
        .where(
            runs.c.organisation_id == organisation_id,
            runs.c.processor == processor,
            runs.c.report_date == report_date,
        )
        .order_by(runs.c.run_id.desc())
        .limit(1)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else (row.report_sha256, row.transactions)


async def last_day(tx: Tx, organisation_id: str, processor: str) -> date | None:
    """The last day that was compared; None when none was."""
    query = sa.select(sa.func.max(runs.c.report_date)).where(
        runs.c.organisation_id == organisation_id, runs.c.processor == processor
    )
    found: date | None = (await tx.execute(query)).scalar_one_or_none()
    return found


async def add_run(
    tx: Tx,
    organisation_id: str,
    processor: str,
    report_date: date,
    *,
    digest: bytes,
    theirs: Sequence[Transaction],
    now: datetime,
) -> None:
    """Keeps a report."""
    run_id = new_id("rcr")
    await tx.execute(
        sa.insert(runs).values(
            run_id=run_id,
            organisation_id=organisation_id,
            processor=processor,
            report_date=report_date,
            report_sha256=digest,
            transactions=len(theirs),
            run_time=now,
        )
    )
    rows = [
        {
            "run_id": run_id,
            "number": number,
            "organisation_id": organisation_id,
            "reference": transaction.reference,
            "minor_units": transaction.minor_units,
            "currency": transaction.currency,
            "fee": transaction.fee,
        }
        for number, transaction in enumerate(theirs, 1)
    ]
    for start in range(0, len(rows), _BATCH):
        await tx.execute(sa.insert(report_lines).values(rows[start : start + _BATCH]))


async def ours_by_reference(tx: Tx, organisation_id: str, references: Sequence[str]) -> dict[str, Transaction]:
    """What the ledger has under references."""
    values = {"organisation_id": organisation_id, "references": list(references)}
    return {row.reference: _transaction(row) for row in await tx.execute(_BY_REFERENCE, values)}


async def ours_of_day(
    tx: Tx, organisation_id: str, processor: str, start: datetime, end: datetime
) -> list[Transaction]:
    """What the ledger has of a processor within a day."""
    values = {"organisation_id": organisation_id, "processor": processor, "start": start, "end": end}
    return [_transaction(row) for row in await tx.execute(_OF_DAY, values)]


async def told_elsewhere(tx: Tx, organisation_id: str, references: Sequence[str], report_date: date) -> frozenset[str]:
    """Those of the references that stand in the report of another day."""
    values = {"organisation_id": organisation_id, "references": list(references), "report_date": report_date}
    return frozenset(row.reference for row in await tx.execute(_TOLD, values))


async def open_case(
    tx: Tx, organisation_id: str, processor: str, report_date: date, finding: Finding, *, now: datetime
) -> Case | None:
    """Keeps a new case; None when the same is known already, however it stands."""
    case = Case(new_id("rcs"), organisation_id, processor, report_date, finding, now)
    row = (
        insert(cases)
        .values(
            case_id=case.case_id,
            organisation_id=organisation_id,
            processor=processor,
            report_date=report_date,
            difference=finding.difference,
            reference=finding.reference,
            ours=finding.ours,
            theirs=finding.theirs,
            create_time=now,
        )
        .on_conflict_do_nothing()
        .returning(cases.c.case_id)
    )
    return case if (await tx.execute(row)).one_or_none() else None


async def of_finding(tx: Tx, organisation_id: str, report_date: date, finding: Finding) -> Case | None:
    """The case of a finding; None when there is none."""
    query = _CASE.where(
        cases.c.organisation_id == organisation_id,
        cases.c.report_date == report_date,
        cases.c.difference == finding.difference,
        cases.c.reference == finding.reference,
        cases.c.ours == finding.ours,
        cases.c.theirs == finding.theirs,
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _case(row)


async def find_case(tx: Tx, organisation_id: str, case_id: str) -> Case | None:
    """One case; None when there is none."""
    query = _CASE.where(cases.c.organisation_id == organisation_id, cases.c.case_id == case_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _case(row)


async def open_cases(tx: Tx, organisation_id: str, processor: str, start: date, end: date) -> list[Case]:
    """Open cases of a processor from one day to another, both included."""
    query = _CASE.where(
        cases.c.organisation_id == organisation_id,
        cases.c.processor == processor,
        cases.c.report_date.between(start, end),
        sa.func.coalesce(_last.c.state, int(CaseState.OPEN)) == int(CaseState.OPEN),
    ).order_by(cases.c.case_id)
    return [_case(row) for row in await tx.execute(query)]


async def cases_page(tx: Tx, organisation_id: str, state: int, processor: str, part: Page) -> list[Case]:
    """One page of cases, newest first, and one more to tell whether there is another page."""
    query = _CASE.where(cases.c.organisation_id == organisation_id)
    if state:
        query = query.where(sa.func.coalesce(_last.c.state, int(CaseState.OPEN)) == state)
    if processor:
        query = query.where(cases.c.processor == processor)
    if part.after:
        query = query.where(cases.c.case_id < part.after)
    return [_case(row) for row in await tx.execute(query.order_by(cases.c.case_id.desc()).limit(part.size + 1))]


async def mark(
    tx: Tx, case: Case, state: CaseState, *, note: str = "", entry_id: str = "", actor: str, now: datetime
) -> None:
    """Keeps what was said of a case; the organisation is locked."""
    number = sa.select(sa.func.coalesce(sa.func.max(marks.c.number), 0) + 1).where(marks.c.case_id == case.case_id)
    await tx.execute(
        sa.insert(marks).values(
            case_id=case.case_id,
            number=number.scalar_subquery(),
            state=state,
            note=note,
            entry_id=entry_id,
            actor=actor,
            mark_time=now,
        )
    )


_last = (
    sa.select(marks)
    .where(marks.c.case_id == cases.c.case_id)
    .order_by(marks.c.number.desc())
    .limit(1)
    .lateral("last_mark")
)
_CASE: Final = (
    sa.select(cases, _last.c.state, _last.c.note, _last.c.entry_id, _last.c.actor, _last.c.mark_time)
    .select_from(cases)
    .join(_last, sa.true(), isouter=True)
)


def _transaction(row: sa.Row[Any]) -> Transaction:
    return Transaction(row.reference, row.minor_units, row.currency, row.fee)


def _case(row: sa.Row[Any]) -> Case:
    return Case(
        case_id=row.case_id,
        organisation_id=row.organisation_id,
        processor=row.processor,
        report_date=row.report_date,
        finding=Finding(Difference(row.difference), row.reference, row.ours, row.theirs),
        create_time=row.create_time,
        state=CaseState(row.state or CaseState.OPEN),
        note=row.note or "",
        entry_id=row.entry_id or "",
        actor=row.actor or "",
        change_time=row.mark_time or row.create_time,
    )
