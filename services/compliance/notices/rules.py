"""The dated rules: what notices have to say, and how long everything may take. Read from `rules/<date>.yaml`; code knows none of the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from services.compliance.notices.calendar import Calendar, Span

FOLDER: Final = Path(__file__).with_name("rules")


class Kind(IntEnum):
    """What a notice is; the numbers are those of the contract (`NoticeKind`)."""

    COPYRIGHT = 1
    ILLEGAL_CONTENT_EU = 2
    INTIMATE_IMAGE = 3
    DEPICTED_PERSON = 4
    OTHER_ILLEGAL_CONTENT = 5


class Ground(IntEnum):
    """Why material is taken down; the numbers are those of the contract (`TakeDownGround`)."""

    COPYRIGHT = 1
    INTIMATE_IMAGE = 2
    DEPICTED_PERSON = 3
    ILLEGAL_CONTENT = 4


@dataclass(frozen=True, slots=True)
class Element:
    """Something that a notice says.

    Attributes:
        name: its field in the request, such as `notifier.name`.
        statement: what somebody declares by it; empty for what is written.
    """

    name: str
    required: bool
    statement: str


@dataclass(frozen=True, slots=True)
class Category:
    """What a notice can be about, within its kind."""

    name: str
    title: str
    anonymous: bool


@dataclass(frozen=True, slots=True)
class CounterRules:
    """What a counter-notice says, and the term after which the material comes back."""

    elements: tuple[Element, ...]
    restore_after: Span
    restore_before: Span


@dataclass(frozen=True, slots=True)
class Automatic:
    """Why material comes down by itself, as the statement of reasons says it."""

    facts: str
    legal_ground: str
    ground_explanation: str


@dataclass(frozen=True, slots=True)
class KindRules:
    """The rules of one kind.

    Attributes:
        due: how long a decision may take.
        remind_before: how long before that somebody is reminded.
        taken_down_before: how long before the decision is due the material comes down by itself, where nobody decided; None where it does not.
        automatic: why, in that case.
        counted: whether upheld notices count towards repeat infringement.
        counter: None where there are no counter-notices.
    """

    kind: Kind
    title: str
    help: str
    promise: str
    due: Span
    remind_before: Span
    taken_down_before: Span | None
    automatic: Automatic | None
    ground: Ground
    elements: tuple[Element, ...]
    categories: tuple[Category, ...]
    counted: bool
    appeal_within: Span
    appeal_due: Span
    counter: CounterRules | None

    def category(self, name: str) -> Category | None:
        """A category by its name."""
        return next((one for one in self.categories if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules that hold from a day on.

    Attributes:
        since: that day.
        time_zone, weekend, holidays: calendar of organisations that have none of their own.
        redress: what statements of reasons say about it.
        infringements_within, infringements: how many upheld notices within how long make a repeat infringer.
        keep: how long what people wrote is kept after a case ended.
    """

    since: date
    time_zone: str
    weekend: tuple[int, ...]
    holidays: tuple[date, ...]
    kinds: Mapping[Kind, KindRules]
    redress: tuple[str, ...]
    infringements_within: Span
    infringements: int
    keep: Span


@cache
def every() -> Sequence[Rules]:
    """All rules that there are, oldest first.

    Raises:
        ValueError: a file is not as it has to be; the service does not start with it.
    """
    found = [_read(file) for file in sorted(FOLDER.glob("*.yaml"))]
    if not found:
        raise ValueError(f"there are no rules in {FOLDER}")
    return found


def at(moment: datetime) -> Rules:
    """The rules that hold at a moment; before the first ones, those."""
    held = [rules for rules in every() if rules.since <= moment.date()]
    return held[-1] if held else every()[0]


def dated(text: str) -> Rules:
    """The rules that a case began under; where they are gone, the next ones."""
    wanted = date.fromisoformat(text)
    return next((rules for rules in every() if rules.since >= wanted), every()[-1])


def _read(file: Path) -> Rules:
    told = yaml.safe_load(file.read_text(encoding="utf-8"))
    statements, calendar, repeat = told["statements"], told["calendar"], told["repeat_infringer"]
    try:
        kinds = {Kind[name.upper()]: _kind(Kind[name.upper()], one, statements) for name, one in told["kinds"].items()}
        rules = Rules(
            since=date.fromisoformat(file.stem),
            time_zone=calendar["time_zone"],
            weekend=tuple(calendar["weekend"]),
            holidays=tuple(calendar["holidays"]),
            kinds=kinds,
            redress=tuple(told["redress"]),
            infringements_within=Span.of(repeat["within"]),
            infringements=int(repeat["count"]),
            keep=Span.of(told["keep_personal_data"]),
        )
        Calendar.of(rules.time_zone, rules.weekend, rules.holidays)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file.name}: {error}") from error
    if set(kinds) != set(Kind):
        raise ValueError(f"{file.name} must have rules of every kind")
    return rules


def _kind(kind: Kind, told: Mapping[str, Any], statements: Mapping[str, str]) -> KindRules:
    counter = told.get("counter_notice")
    return KindRules(
        kind=kind,
        title=told["title"],
        help=told["help"],
        promise=told["promise"],
        due=Span.of(told["due"]),
        remind_before=Span.of(told["remind_before"]),
        taken_down_before=Span.of(told["taken_down_before"]) if "taken_down_before" in told else None,
        automatic=Automatic(**told["automatic"]) if "taken_down_before" in told else None,
        ground=Ground[told["ground"].upper()],
        elements=_elements(told["elements"], statements),
        categories=tuple(
            Category(one["name"], one["title"], one.get("anonymous", False)) for one in told.get("categories", ())
        ),
        counted=told.get("counted", False),
        appeal_within=Span.of(told["appeal_within"]),
        appeal_due=Span.of(told["appeal_due"]),
        counter=CounterRules(
            _elements(counter["elements"], statements),
            Span.of(counter["restore_after"]),
            Span.of(counter["restore_before"]),
        )
        if counter
        else None,
    )


def _elements(told: Sequence[Mapping[str, Any]], statements: Mapping[str, str]) -> tuple[Element, ...]:
    return tuple(
        Element(one["name"], one["required"], statements[one["statement"]] if "statement" in one else "")
        for one in told
    )
