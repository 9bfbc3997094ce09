"""Intervals of the calendar, in UTC. No input, no output."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import MAXYEAR, datetime, timedelta
from enum import IntEnum
from typing import Final


class Unit(IntEnum):
    """A unit of calendar time; the numbers are those of the contract."""

    DAY = 1
    WEEK = 2
    MONTH = 3
    YEAR = 4


_DAYS: Final = {Unit.DAY: 1, Unit.WEEK: 7}
_MONTHS: Final = {Unit.MONTH: 1, Unit.YEAR: 12}


@dataclass(frozen=True, slots=True)
class Interval:
    """The time between two renewals, such as three months."""

    unit: Unit
    count: int

    def after(self, anchor: datetime, times: int) -> datetime:
        """The moment so many intervals after an anchor.

        Months and years are counted from the anchor and not from one renewal to the next, so that its day is kept: from 31 January they lead to
        28 February and then to 31 March. A month that has no such day gives its last.
        """
        if days := _DAYS.get(self.unit):
            return anchor + timedelta(days=days * self.count * times)
        months = anchor.year * 12 + anchor.month - 1 + _MONTHS[self.unit] * self.count * times
        year, month = divmod(months, 12)
        year = min(year, MAXYEAR)
        day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
        return anchor.replace(year=year, month=month + 1, day=day)
