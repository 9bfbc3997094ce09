"""Business days, and spans that are counted in them. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import Enum
from typing import Final, Self
from zoneinfo import ZoneInfo

_SPAN: Final = re.compile(r"([1-9][0-9]{0,4}) (hours|days|business days)")
_MIDNIGHT: Final = time()
_MOST_DAYS_OFF: Final = 400


class Unit(Enum):
    """What a span is counted in."""

    HOURS = "hours"
    DAYS = "days"
    BUSINESS_DAYS = "business days"


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time, such as 10 business days."""

    count: int
    unit: Unit

    @classmethod
    def of(cls, text: str) -> Self:
        """Reads a span as rules have it, such as `48 hours`.

        Raises:
            ValueError: it is none.
        """
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no span; write such as `48 hours` or `7 business days`")
        return cls(int(found[1]), Unit(found[2]))

    @property
    def fixed(self) -> timedelta:
        """The span where it does not depend on a calendar; business days count as days."""
        return timedelta(hours=self.count) if self.unit is Unit.HOURS else timedelta(days=self.count)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are business days.

    Attributes:
        zone: time zone in which days begin and end.
        weekend: days of the week off, 1 for Monday to 7 for Sunday; not all seven.
        holidays: other days off.
    """

    zone: tzinfo
    weekend: frozenset[int]
    holidays: frozenset[date]

    @classmethod
    def of(cls, zone: str, weekend: Iterable[int], holidays: Iterable[date]) -> Self:
        """A calendar by the IANA name of its zone.

        Raises:
            ValueError: no such zone, no such day of the week, or no business day at all.
        """
        days = frozenset(weekend)
        try:
            # UTC is known without a database of zones.
            found: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
        except (ValueError, OSError, LookupError) as error:
            raise ValueError(f"there is no time zone {zone!r}") from error
        if not days <= set(range(1, 8)) or len(days) == 7:
            raise ValueError("a weekend has days from 1 to 7, and not all of them")
        return cls(found, days, frozenset(holidays))

    def is_business_day(self, day: date) -> bool:
        """Whether somebody works on a day."""
        return day.isoweekday() not in self.weekend and day not in self.holidays

    def after(self, start: datetime, span: Span) -> datetime:
        """The moment a span after another one. Business days end with the last one: what begins on a Monday has until the end of the Tuesday for one
        business day."""
        if span.unit is not Unit.BUSINESS_DAYS:
            return start + span.fixed
        day, left = start.astimezone(self.zone).date(), span.count
        for _ in range(span.count * 7 + _MOST_DAYS_OFF * 2):
            if not left:
                break
            day += timedelta(days=1)
            left -= self.is_business_day(day)
        end = datetime.combine(day + timedelta(days=1), _MIDNIGHT, self.zone)
        return end.astimezone(start.tzinfo)
