"""The tables of cases, with what was written in them, and their steps, statements and counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from reelmesh.compliance.v1 import notices_pb2
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.compliance.notices.domain import Case, State
from services.compliance.notices.rules import Kind
from services.kit.database import Tx
from services.kit.pagination import Page
from services.kit.sealing import Seal, Unreadable

_METADATA: Final = sa.MetaData()
_TIMES: Final = (
    "receive_time",
    "change_time",
    "decide_time",
    "due_time",
    "remind_time",
    "escalate_time",
    "restore_after",
    "restore_before",
    "answer_before",
    "next_time",
    "erase_time",
)
cases: Final = sa.Table(
    "notice_cases",
    _METADATA,
    sa.Column("notice_id", sa.Text, primary_key=True),
    *(
        sa.Column(name, sa.Text)
        for name in ("organisation_id", "category", "asset_id", "uploader", "language", "rules_date", "explanation")
    ),
    *(sa.Column(name, sa.SmallInteger) for name in ("kind", "state", "standing", "action", "appellant")),
    *(sa.Column(name, sa.Boolean) for name in ("automated", "late")),
    *(sa.Column(name, ARRAY(sa.Text, as_tuple=True)) for name in ("territories", "deciders")),
    *(sa.Column(name, sa.DateTime(timezone=True)) for name in _TIMES),
)
writings: Final = sa.Table(
    "notice_writings",
    _METADATA,
    sa.Column("notice_id", sa.Text, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary),
)
steps: Final = sa.Table(
    "notice_steps",
    _METADATA,
    sa.Column("position", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("notice_id", sa.Text),
    sa.Column("state", sa.SmallInteger),
    sa.Column("deed", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("step_time", sa.DateTime(timezone=True)),
    sa.Column("comment", sa.Text),
)
statements: Final = sa.Table(
    "notice_statements",
    _METADATA,
    sa.Column("statement_id", sa.Text, primary_key=True),
    sa.Column("notice_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("statement", sa.LargeBinary),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
_CASE: Final = [cases.c[field.name] for field in fields(Case)]
NOTICE: Final = "notice"
COUNTER_NOTICE: Final = "counter_notice"
APPEAL: Final = "appeal"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a case; the comment is of those who decide, never of the parties."""

    state: int
    deed: str
    actor: str
    step_time: datetime
    comment: str


def case_of(row: sa.Row[Any]) -> Case:
    """A row as a case."""
    told = row._asdict()
    return Case(**{**told, "kind": Kind(told["kind"]), "state": State(told["state"])})


def _values(case: Case) -> dict[str, Any]:
    erased_from = case.rules.keep.fixed
    return asdict(case) | {
        "kind": int(case.kind),
        "state": int(case.state),
        "next_time": case.next_time,
        # Counted from the last change, or from the end of the time to answer, whichever is later.
        "erase_time": max(case.change_time, case.answer_before or case.change_time) + erased_from
        if case.over
        else None,
    }


async def add(tx: Tx, case: Case) -> None:
    """Keeps a new case."""
    await tx.execute(sa.insert(cases).values(**_values(case)))


async def put(tx: Tx, case: Case) -> None:
    """Keeps the next state of a case."""
    await tx.execute(sa.update(cases).where(cases.c.notice_id == case.notice_id).values(**_values(case)))


async def find(tx: Tx, notice_id: str, organisation_id: str = "", *, for_update: bool = False) -> Case | None:
    """One case, of an organisation or of any; None when there is none."""
    query = sa.select(*_CASE).where(cases.c.notice_id == notice_id)
    if organisation_id:
        query = query.where(cases.c.organisation_id == organisation_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else case_of(row)


async def page(
    tx: Tx, organisation_id: str, part: Page, *, state: int, overdue_only: bool, asset_id: str
) -> Sequence[Case]:
    """One page of an organisation's cases, newest first, and one more to tell whether there is another page."""
    query = sa.select(*_CASE).where(cases.c.organisation_id == organisation_id)
    if state:
        query = query.where(cases.c.state == state)
    if overdue_only:
        query = query.where(cases.c.escalate_time.is_not(None))
    if asset_id:
        query = query.where(cases.c.asset_id == asset_id)
    if part.after:
        query = query.where(cases.c.notice_id < part.after)
    return [case_of(row) for row in await tx.execute(query.order_by(cases.c.notice_id.desc()).limit(part.size + 1))]


async def received_between(tx: Tx, organisation_id: str, start: datetime, end: datetime) -> Sequence[Case]:
    """An organisation's cases of a period, oldest first."""
    query = sa.select(*_CASE).where(
        cases.c.organisation_id == organisation_id, cases.c.receive_time >= start, cases.c.receive_time < end
    )
    return [case_of(row) for row in await tx.execute(query.order_by(cases.c.receive_time, cases.c.notice_id))]


async def next_due(tx: Tx, now: datetime) -> Case | None:
    """A case of which a term ended, locked; of several that which ended first. None when none did that nobody else looks at."""
    query = sa.select(*_CASE).where(cases.c.next_time <= now).order_by(cases.c.next_time).limit(1)
    row = (await tx.execute(query.with_for_update(skip_locked=True))).one_or_none()
    return None if row is None else case_of(row)


async def next_erased(tx: Tx, now: datetime, most: int) -> Sequence[Case]:
    """Cases whose people are to be forgotten, locked."""
    query = sa.select(*_CASE).where(cases.c.erase_time <= now).order_by(cases.c.erase_time).limit(most)
    return [case_of(row) for row in await tx.execute(query.with_for_update(skip_locked=True))]


async def erase(tx: Tx, notice_id: str) -> None:
    """Forgets what people wrote in a case. What was decided stays."""
    await tx.execute(sa.delete(writings).where(writings.c.notice_id == notice_id))
    await tx.execute(sa.update(cases).where(cases.c.notice_id == notice_id).values(erase_time=None, language=""))


async def erase_later(tx: Tx, notice_id: str, erase_time: datetime) -> None:
    """Keeps what people wrote in a case until another moment."""
    await tx.execute(sa.update(cases).where(cases.c.notice_id == notice_id).values(erase_time=erase_time))


async def write(tx: Tx, seal: Seal, notice_id: str, part: str, written: Mapping[str, Any]) -> None:
    """Keeps what somebody wrote, sealed for its place; what was there before is replaced."""
    sealed = seal.seal(json.dumps(written).encode(), f"notice {notice_id} {part}")
    await tx.execute(
        insert(writings)
        .values(notice_id=notice_id, part=part, sealed=sealed)
        .on_conflict_do_update(index_elements=["notice_id", "part"], set_={"sealed": sealed})
    )


async def written(tx: Tx, seal: Seal, notice_id: str, part: str) -> dict[str, Any]:
    """What somebody wrote; nothing after erasure."""
    query = sa.select(writings.c.sealed).where(writings.c.notice_id == notice_id, writings.c.part == part)
    sealed = (await tx.execute(query)).scalar_one_or_none()
    if sealed is None:
        return {}
    try:
        found: dict[str, Any] = json.loads(seal.open(sealed, f"notice {notice_id} {part}"))
    except Unreadable:  # sealed under a key that this install no longer has
        return {}
    return found


async def add_step(tx: Tx, notice_id: str, step: Step) -> None:
    """Keeps what happened."""
    await tx.execute(sa.insert(steps).values(notice_id=notice_id, **asdict(step)))


async def steps_of(tx: Tx, notice_id: str) -> Sequence[Step]:
    """What happened to a case, oldest first. There are never many: each is a decision, an answer or the end of a term."""
    columns = [steps.c[field.name] for field in fields(Step)]
    rows = await tx.execute(sa.select(*columns).where(steps.c.notice_id == notice_id).order_by(steps.c.position))
    return [Step(**row._asdict()) for row in rows]


async def add_statement(
    tx: Tx, organisation_id: str, statement: notices_pb2.StatementOfReasons, now: datetime
) -> bytes:
    """Keeps a statement of reasons as it goes out, and returns those bytes."""
    data = statement.SerializeToString(deterministic=True)
    await tx.execute(
        sa.insert(statements).values(
            statement_id=statement.statement_id,
            notice_id=statement.notice_id,
            organisation_id=organisation_id,
            statement=data,
            create_time=now,
        )
    )
    return data


async def statements_of(tx: Tx, notice_id: str) -> Sequence[notices_pb2.StatementOfReasons]:
    """Statements that were made about a case, oldest first."""
    query = sa.select(statements.c.statement).where(statements.c.notice_id == notice_id)
    rows = await tx.execute(query.order_by(statements.c.statement_id))
    return [notices_pb2.StatementOfReasons.FromString(row.statement) for row in rows]
