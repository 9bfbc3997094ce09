"""Leaves somebody alone who fails again and again, so that callers hear so at once and it can come back (a circuit breaker)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.kit.clock import Clock

FAILURES: Final = 5
"""In a row."""
PAUSE: Final = timedelta(seconds=30)


class Open(Exception):
    """Nobody is let through now; `retry_after` says when it makes sense to try again."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("left alone for a while")
        self.retry_after = retry_after


class Breaker:
    """Counts failures of one counterpart. After a pause one attempt goes through; what becomes of it decides.

    Args:
        failures: in a row, after which nobody is let through.
        pause: for how long.
    """

    def __init__(self, clock: Clock, *, failures: int = FAILURES, pause: timedelta = PAUSE) -> None:
        self._clock = clock
        self._most = failures
        self._pause = pause
        self._failures = 0
        self._closed_until: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether the counterpart is left alone, or tried by one."""
        return self._closed_until is not None

    def check(self) -> None:
        """Lets an attempt pass.

        Raises:
            Open: the counterpart is left alone.
        """
        if self._closed_until is None:
            return
        now = self._clock.now()
        if now < self._closed_until:
            raise Open(self._closed_until - now)
        self._closed_until = now + self._pause  # this one tries; the others wait for what it finds

    def failed(self, pause: timedelta | None = None) -> None:
        """It gave no answer, or said that it is in trouble. Where it asks for a pause, it gets that at once."""
        self._failures += 1
        if pause is not None:
            self._closed_until = self._clock.now() + pause
        elif self._failures >= self._most:
            self._closed_until = self._clock.now() + self._pause

    def worked(self) -> None:
        """It gave an answer, whichever."""
        self._failures, self._closed_until = 0, None
