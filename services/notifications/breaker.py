"""Leaves a provider alone that fails again and again, so that callers hear so at once and it can come back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.kit.clock import Clock
from services.notifications.domain import NotTaken

FAILURES: Final = 5
"""In a row."""
PAUSE: Final = timedelta(seconds=30)


class Breaker:
    """Counts failures of one provider. After a pause one message goes through; what becomes of it decides."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._closed_until: datetime | None = None

    def check(self) -> None:
        """Lets a message pass.

        Raises:
            NotTaken: the provider is left alone.
        """
        if self._closed_until is None:
            return
        now = self._clock.now()
        if now < self._closed_until:
            raise NotTaken(self._closed_until - now)
        self._closed_until = now + PAUSE  # this one tries; the others wait for what it finds

    def failed(self, pause: timedelta | None = None) -> None:
        """It gave no answer, or said that it is in trouble. Where it asks for a pause, it gets that at once."""
        self._failures += 1
        if pause is not None:
            self._closed_until = self._clock.now() + pause
        elif self._failures >= FAILURES:
            self._closed_until = self._clock.now() + PAUSE

    def worked(self) -> None:
        """It gave an answer, whichever."""
        self._failures, self._closed_until = 0, None
