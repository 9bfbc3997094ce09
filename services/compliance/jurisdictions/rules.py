"""Rows of tables and classifications that make sense, and what is accepted where. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from reelmesh.compliance.v1 import jurisdictions_pb2 as api

from services.compliance.age.contract import TITLES
from services.compliance.jurisdictions import refusals
from services.kit.clock import timestamp

Dated: TypeAlias = api.JurisdictionRule | api.ContentRating | api.TitleBlock
"""Something that is so from a moment until another."""


def checked(rules: Sequence[api.JurisdictionRule]) -> list[api.JurisdictionRule]:
    """Rows that make sense.

    Raises:
        Refusal: JURISDICTION_RULES_INVALID.
    """
    for number, rule in enumerate(rules):
        path = f"rules[{number}]"
        _dates(path, rule)
        if rule.WhichOneof("what") == "age":
            _age(f"{path}.age", rule.age)
    return list(rules)


def classified(classification: api.TitleClassification) -> api.TitleClassification:
    """A classification that makes sense.

    Raises:
        Refusal: JURISDICTION_RULES_INVALID.
    """
    for number, rating in enumerate(classification.ratings):
        _dates(f"classification.ratings[{number}]", rating)
    for number, block in enumerate(classification.blocks):
        _dates(f"classification.blocks[{number}]", block)
    return classification


def accepted(rules: Sequence[api.JurisdictionRule], territory: str, now: datetime) -> frozenset[str]:
    """Methods that are accepted in a territory: by all laws that may apply there, as policy has it; all methods where none does."""
    found = frozenset(TITLES)
    for rule in rules:
        law = rule.age
        if rule.WhichOneof("what") != "age" or law.action != api.AGE_LAW_ACTION_VERIFY or not in_force(rule, now):
            continue
        if _touches(territory, rule.territory):
            found &= {one.method for one in law.methods}
    return found


def in_force(row: Dated, now: datetime) -> bool:
    """Whether something is so at a moment."""
    moment = timestamp(now)
    assert moment is not None
    at = (moment.seconds, moment.nanos)
    begun = not row.HasField("start_time") or (row.start_time.seconds, row.start_time.nanos) <= at
    return begun and (not row.HasField("end_time") or at < (row.end_time.seconds, row.end_time.nanos))


def _dates(path: str, row: Dated) -> None:
    both = row.HasField("start_time") and row.HasField("end_time")
    if both and (row.start_time.seconds, row.start_time.nanos) >= (row.end_time.seconds, row.end_time.nanos):
        raise refusals.jurisdiction_rules_invalid(f"{path}.end_time", "it must end after it begins")


def _age(path: str, law: api.AgeLaw) -> None:
    names = [one.method for one in law.methods]
    if law.action == api.AGE_LAW_ACTION_VERIFY and not names:
        raise refusals.jurisdiction_rules_invalid(
            f"{path}.methods", "name at least one method that is accepted, or block"
        )
    for name in names:
        if name not in TITLES:
            raise refusals.jurisdiction_rules_invalid(
                f"{path}.methods", f"there is no method {name}; there are {', '.join(TITLES)}"
            )
    if len(set(names)) != len(names):
        raise refusals.jurisdiction_rules_invalid(f"{path}.methods", "a method is named twice")


def _touches(territory: str, place: str) -> bool:
    """Whether somebody who is in a territory may be in a place: `US`, with nothing known of the state, may be `US-TX`."""
    return territory == place or territory.startswith(f"{place}-") or place.startswith(f"{territory}-")
