"""The table that ships with the software, read from `shipped.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.compliance.v1 import jurisdictions_pb2 as api

from services.compliance.jurisdictions.rules import checked
from services.kit.clock import duration, timestamp

_FILE: Final = Path(__file__).with_name("shipped.yaml")
_ACTIONS: Final[Mapping[str, api.AgeLawAction.ValueType]] = {
    "block": api.AGE_LAW_ACTION_BLOCK,
    "verify": api.AGE_LAW_ACTION_VERIFY,
    "allow": api.AGE_LAW_ACTION_ALLOW,
}


@cache
def shipped_rules() -> tuple[api.JurisdictionRule, ...]:
    """Its rows."""
    return tuple(checked([_rule(row) for row in yaml.safe_load(_FILE.read_text(encoding="utf-8"))]))


def _rule(row: Mapping[str, Any]) -> api.JurisdictionRule:
    methods = [
        api.AcceptedMethod(
            method=one["method"],
            good_for=duration(timedelta(days=one["days"]).total_seconds()) if one["days"] else None,
            each_device=one.get("each_device", False),
        )
        for one in row.get("methods", ())
    ]
    return api.JurisdictionRule(
        territory="-".join(part for part in (row["country"], row.get("subdivision", "")) if part),
        start_time=_midnight(row.get("from")),
        end_time=_midnight(row.get("until")),
        age=api.AgeLaw(
            threshold=row["threshold"], titles_from=row["titles_from"], action=_ACTIONS[row["action"]], methods=methods
        ),
        source=row["source"],
    )


def _midnight(day: date | None) -> Timestamp | None:
    return None if day is None else timestamp(datetime.combine(day, time(), UTC))
