"""Sums cases up. Pure: no I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from statistics import median
from typing import Final

from services.compliance.notices.domain import Action, Case, Party, State
from services.compliance.notices.rules import Kind

_CARD: Final = frozenset(
    {Kind.DEPICTED_PERSON, Kind.INTIMATE_IMAGE, Kind.ILLEGAL_CONTENT_EU, Kind.OTHER_ILLEGAL_CONTENT}
)
_HOUR: Final = 3600


class ReportKind(IntEnum):
    """What is summed up; the numbers are those of the contract (`NoticeReportKind`)."""

    TRANSPARENCY = 1
    CARD_SCHEME = 2


@dataclass(frozen=True, slots=True)
class Report:
    """A report, ready to be written down.

    Attributes:
        title: what it is.
        period: first and last moment, as text.
        headings: of the columns.
        rows: one text for each column.
    """

    title: str
    period: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def report_of(kind: ReportKind, cases: Sequence[Case], start: datetime, end: datetime) -> Report:
    """Sums up the cases of a period."""
    period = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    if kind is ReportKind.TRANSPARENCY:
        title = "Notices: transparency report (Regulation (EU) 2022/2065, articles 15 and 24)"
        return Report(title, period, ("measure", "kind", "category", "value"), list(_transparency(cases)))
    concerned = [case for case in cases if case.kind in _CARD]
    headings = ("reference", "kind", "category", "received", "due or decided", "days", "in time", "outcome")
    rows = [*_card_sums(concerned), *(_card_row(case) for case in concerned)]
    return Report("Notices: complaints about depicted persons and illegal content", period, headings, rows)


def _transparency(cases: Sequence[Case]) -> Iterator[tuple[str, ...]]:
    for kind in Kind:
        mine = [case for case in cases if case.kind is kind]
        word = kind.name.lower()
        for category in sorted({case.category for case in mine}) or [""]:
            same = [case for case in mine if case.category == category]
            yield ("notices received", word, category, str(len(same)))
            for action in (Action.TAKE_DOWN, Action.RESTRICT, Action.REJECT, Action.RESTORE):
                acted = sum(case.action == action and case.state is not State.WITHDRAWN for case in same)
                yield (f"last action: {action.name.lower().replace('_', ' ')}", word, category, str(acted))
            yield ("withdrawn", word, category, str(_number(same, State.WITHDRAWN)))
            yield ("not decided yet", word, category, str(sum(case.action == 0 for case in same)))
        yield ("decided by automated means", word, "", str(sum(case.automated for case in mine)))
        yield ("median hours from notice to last decision", word, "", _median_hours(mine))
        yield ("with a decision after its term", word, "", str(sum(case.late for case in mine)))
    for party in Party:
        appealed = [case for case in cases if case.appellant == party]
        reversed_ = [case for case in appealed if case.state is not State.APPEALED and _reversed(case, party)]
        yield (f"internal complaints of the {party.word}", "", "", str(len(appealed)))
        yield (f"internal complaints of the {party.word} that were right", "", "", str(len(reversed_)))
    yield ("counter-notices that wait for their term", "", "", str(_number(cases, State.COUNTERED)))
    yield ("kept down by a suit", "", "", str(_number(cases, State.SUIT_NOTICED)))


def _reversed(case: Case, party: Party) -> bool:
    restored = case.state is State.RESTORED
    return restored if party is Party.UPLOADER else case.state in {State.TAKEN_DOWN, State.RESTRICTED, State.COUNTERED}


def _card_sums(cases: Sequence[Case]) -> Iterator[tuple[str, ...]]:
    resolved = [case for case in cases if case.decide_time is not None]
    in_time = [case for case in resolved if not case.late]
    for word, number in (
        ("all received", len(cases)),
        ("all resolved", len(resolved)),
        ("resolved in time", len(in_time)),
        ("overdue or late", sum(case.late for case in cases)),
    ):
        yield (word, "", "", "", "", "", "", str(number))


def _card_row(case: Case) -> tuple[str, ...]:
    end = case.decide_time or case.due_time
    days = f"{(case.decide_time - case.receive_time).total_seconds() / 86400:.1f}" if case.decide_time else ""
    return (
        case.notice_id,
        case.kind.name.lower(),
        case.category,
        f"{case.receive_time:%Y-%m-%d %H:%M}",
        f"{end:%Y-%m-%d %H:%M}" if end else "",
        days,
        "no" if case.late else "yes",
        case.state.name.lower(),
    )


def _number(cases: Iterable[Case], state: State) -> int:
    return sum(case.state is state for case in cases)


def _median_hours(cases: Iterable[Case]) -> str:
    spans = [(case.decide_time - case.receive_time).total_seconds() for case in cases if case.decide_time is not None]
    return f"{median(spans) / _HOUR:.1f}" if spans else ""


def as_csv(report: Report) -> bytes:
    """A report for a table."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(report.headings)
    writer.writerows(report.rows)
    return out.getvalue().encode()
