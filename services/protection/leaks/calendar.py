"""Business days: neither a weekend nor a holiday of the rules. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

_SATURDAY: Final = 5
_SUNDAY: Final = 6
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day of each year on which no business is done.

    Attributes:
        day: of the month; 0 for one that goes by weekday.
        weekday: Monday is 0.
        nth: which of the month's such weekdays, 1 the first and -1 the last; 0 for a fixed day.
    """

    name: str
    month: int
    day: int = 0
    weekday: int = 0
    nth: int = 0

    def in_year(self, year: int) -> date:
        """When it is kept: a fixed day of a weekend moves to the nearest weekday (5 U.S.C. 6103(b))."""
        if self.day:
            fixed = date(year, self.month, self.day)
            return fixed + {_SATURDAY: -_DAY, _SUNDAY: _DAY}.get(fixed.weekday(), timedelta())
        first = date(year, self.month, 1)
        days = [first + _DAY * offset for offset in range(31) if (first + _DAY * offset).month == self.month]
        fitting = [one for one in days if one.weekday() == self.weekday]
        return fitting[self.nth - 1 if self.nth > 0 else self.nth]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Knows business days."""

    holidays: Sequence[Holiday]

    def is_business_day(self, day: date) -> bool:
        """Whether business is done."""
        if day.weekday() >= _SATURDAY:
            return False
        # New Year's Day of the next year may be kept on the last day of this one.
        return all(day not in (one.in_year(day.year), one.in_year(day.year + 1)) for one in self.holidays)

    def after(self, moment: datetime, business_days: int) -> datetime:
        """The same time of day so many business days later, or earlier for a negative number. The day itself does not count."""
        step, left, found = (_DAY if business_days > 0 else -_DAY), abs(business_days), moment
        while left:
            found += step
            left -= self.is_business_day(found.date())
        return found
