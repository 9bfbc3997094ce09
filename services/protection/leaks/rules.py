"""The rules, read from `rules.yaml` or a file of the operator's in the same form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from services.protection.leaks.calendar import Calendar, Holiday
from services.protection.leaks.domain import ActionKind
from services.protection.leaks.takedowns import Kind

FILE: Final = Path(__file__).with_name("rules.yaml")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accusation(_Part):
    """How sure one must be.

    Attributes:
        proposed_up_to: chance of accusing anybody innocent up to which something is proposed.
        alone_up_to: the same up to which one person may approve.
    """

    proposed_up_to: float = Field(gt=0, le=1e-3)
    alone_up_to: float = Field(ge=0, le=1e-3)


class Rung(_Part):
    """What is proposed at a strike. `block_days` is None for a block that does not end by itself."""

    actions: tuple[ActionKind, ...]
    block_days: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, told: object) -> object:
        if isinstance(told, dict) and isinstance(told.get("actions"), list):
            return {**told, "actions": [getattr(ActionKind, str(name), name) for name in told["actions"]]}
        return told


class Strikes(_Part):
    """The ladder of strikes."""

    expire_after_days: int = Field(ge=1)
    ladder: tuple[Rung, ...] = Field(min_length=1)

    def rung(self, strike: int) -> Rung:
        """What is proposed at the first (1) or a later strike."""
        return self.ladder[min(strike, len(self.ladder)) - 1]


class Appeals(_Part):
    """Until when one may appeal."""

    within_days: int = Field(ge=1)


class Following(_Part):
    """When a notice of one kind is looked after."""

    check_after_hours: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    remove_within_hours: int | None = Field(default=None, ge=1)


class Takedowns(_Part):
    """How notices are followed."""

    DMCA: Following
    DSA: Following
    TAKE_IT_DOWN: Following
    recheck_after_days: tuple[Annotated[int, Field(ge=1)], ...] = ()
    restore_from_business_days: int = Field(ge=1)
    restore_by_business_days: int = Field(ge=1)
    suit_reminder_business_days: int = Field(ge=0)

    def following(self, kind: Kind) -> Following:
        """How notices of one kind are."""
        return {Kind.DMCA: self.DMCA, Kind.DSA: self.DSA, Kind.TAKE_IT_DOWN: self.TAKE_IT_DOWN}[kind]


class Rules(_Part):
    """One version of the rules."""

    since: date = Field(alias="from")
    accusation: Accusation
    strikes: Strikes
    appeals: Appeals
    takedowns: Takedowns
    holidays: tuple[Mapping[str, str | int], ...] = ()

    @property
    def version(self) -> str:
        """Its name: the date from which it holds."""
        return self.since.isoformat()

    @property
    def calendar(self) -> Calendar:
        """Its business days."""
        return Calendar([Holiday(**one) for one in self.holidays])  # type: ignore[arg-type]  # a wrong one fails at start

    def block_end(self, strike: int, now: datetime) -> datetime | None:
        """When a block for this strike ends by itself."""
        days = self.strikes.rung(strike).block_days
        return None if days is None else now + timedelta(days=days)


class RuleBook:
    """All versions."""

    def __init__(self, versions: Sequence[Rules]) -> None:
        self._versions = sorted(versions, key=lambda one: one.since)
        if not self._versions:
            raise ValueError("there must be at least one version of the rules of leak cases")
        for one in self._versions:
            one.calendar.is_business_day(one.since)  # holidays that are none are found at start

    @classmethod
    def read(cls, file: Path | None = None) -> RuleBook:
        """Reads a file.

        Raises:
            ValueError: it is not of that form.
        """
        content = yaml.safe_load((file or FILE).read_text(encoding="utf-8"))
        return cls(TypeAdapter(list[Rules]).validate_python(content))

    def at(self, now: datetime) -> Rules:
        """The version that holds at a moment; before the first, the first."""
        begun = [one for one in self._versions if one.since <= now.date()]
        return begun[-1] if begun else self._versions[0]
