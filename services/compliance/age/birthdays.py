"""Whether somebody born on a day is so old. The day is looked at and forgotten."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

_LAST_PLACE: Final = timedelta(hours=12)
"""A birthday begins last twelve hours west of Greenwich."""


def is_so_old(born: date, years: int, now: datetime) -> bool:
    """Whether somebody has reached an age wherever they are. Who was born on 29 February does so on 1 March."""
    today = (now - _LAST_PLACE).date()
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day)) >= years
