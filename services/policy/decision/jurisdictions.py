"""Tables of jurisdictions and classifications of titles, as compliance announced them.

What is asked for each decision is only which table is in force, in the same query as the terms; its rows are kept in memory by that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.compliance.v1 import jurisdictions_pb2 as api
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.kit.database import Tx, any_of
from services.policy.decision.facts import Terms
from services.policy.decision.law import (
    NO_TABLE,
    UNCLASSIFIED,
    Accepted,
    Action,
    AgeLaw,
    Ban,
    Classification,
    Rating,
    Table,
    TagBan,
)
from services.policy.decision.record import terms_from_json
from services.policy.decision.store import terms

_METADATA: Final = sa.MetaData()

tables: Final = sa.Table(
    "jurisdictions",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("rules", sa.LargeBinary),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
classifications: Final = sa.Table(
    "classifications",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("classification", sa.LargeBinary),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
EVERYBODY: Final = ""
"""Organisation of the table that is good for all that have none of their own."""
_ADULT: Final = 18
_MOST_TABLES: Final = 1_000
_ACTIONS: Final[Mapping[int, Action]] = {int(action): action for action in Action}
_NOTHING: Final = sa.null()
# One query for all that is said of assets: it is asked for each look-up, and mostly two of its parts find nothing.
_SAID: Final = sa.union_all(
    sa.select(
        terms.c.asset_id,
        terms.c.organisation_id,
        terms.c.terms.label("terms"),
        sa.cast(_NOTHING, sa.LargeBinary).label("classification"),
        sa.cast(_NOTHING, sa.DateTime(timezone=True)).label("event_time"),
    ).where(terms.c.asset_id == any_of("asset_ids")),
    sa.select(
        classifications.c.asset_id,
        classifications.c.organisation_id,
        sa.cast(_NOTHING, JSONB),
        classifications.c.classification,
        sa.cast(_NOTHING, sa.DateTime(timezone=True)),
    ).where(classifications.c.asset_id == any_of("asset_ids")),
    sa.select(
        sa.literal(""),
        tables.c.organisation_id,
        sa.cast(_NOTHING, JSONB),
        sa.cast(_NOTHING, sa.LargeBinary),
        tables.c.event_time,
    ).where(tables.c.organisation_id == any_of("organisation_ids")),
)
Key = tuple[str, datetime]
Dated = api.JurisdictionRule | api.ContentRating | api.TitleBlock


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of assets.

    Attributes:
        terms: by asset.
        classifications: by asset and the organisation that says so.
        tables: by organisation, of those that have one of their own; and of everybody.
    """

    terms: Mapping[str, Terms]
    classifications: Mapping[tuple[str, str], Classification]
    tables: Mapping[str, Table]

    def table(self, organisation_id: str) -> Table:
        """The table that is in force for an organisation."""
        return self.tables.get(organisation_id) or self.tables.get(EVERYBODY, NO_TABLE)

    def classification(self, asset_id: str, organisation_id: str) -> Classification:
        """How an organisation's asset is classified."""
        return self.classifications.get((asset_id, organisation_id), UNCLASSIFIED)


class Tables:
    """Finds what is said of assets; remembers the rows of tables."""

    def __init__(self) -> None:
        self._read: OrderedDict[Key, Table] = OrderedDict()

    async def said_of(self, tx: Tx, organisation_ids: Sequence[str], asset_ids: Sequence[str]) -> Said:
        """All that is said of assets of some organisations."""
        asked = {"asset_ids": list(asset_ids), "organisation_ids": [EVERYBODY, *organisation_ids]}
        found_terms: dict[str, Terms] = {}
        classified: dict[tuple[str, str], Classification] = {}
        keys: list[Key] = []
        for row in await tx.execute(_SAID, asked):
            if row.terms is not None:
                found_terms[row.asset_id] = terms_from_json(row.terms)
            elif row.classification is not None:
                classified[row.asset_id, row.organisation_id] = _classification(row.classification)
            else:
                keys.append((row.organisation_id, row.event_time))
        return Said(found_terms, classified, {key[0]: await self._table(tx, key) for key in keys})

    async def _table(self, tx: Tx, key: Key) -> Table:
        known = self._read.get(key)
        if known is None:
            query = sa.select(tables.c.rules, tables.c.event_time).where(tables.c.organisation_id == key[0])
            row = (await tx.execute(query)).one()
            # It may have changed since it was seen: it is remembered as what it is.
            known, key = _table(row.rules), (key[0], row.event_time)
        self._read[key] = known
        self._read.move_to_end(key)
        if len(self._read) > _MOST_TABLES:
            self._read.popitem(last=False)
        return known


async def keep_table(
    tx: Tx, organisation_id: str, rules: Sequence[api.JurisdictionRule], moment: datetime
) -> list[datetime]:
    """Keeps an organisation's table, unless a later one is known. Returns the moments at which one of its rows begins or ends."""
    values = {
        "rules": api.JurisdictionTable(rules=rules).SerializeToString(deterministic=True),
        "event_time": moment,
    }
    statement = insert(tables).values(organisation_id=organisation_id, **values)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["organisation_id"], set_=values, where=tables.c.event_time <= moment
        )
    )
    return _turns(rules)


async def keep_classification(
    tx: Tx, organisation_id: str, said: api.TitleClassification, moment: datetime
) -> list[datetime]:
    """Keeps how a title is classified, unless something later is known. Returns the moments at which something of it begins or ends."""
    values = {"classification": said.SerializeToString(deterministic=True), "event_time": moment}
    statement = insert(classifications).values(asset_id=said.asset_id, organisation_id=organisation_id, **values)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["asset_id", "organisation_id"], set_=values, where=classifications.c.event_time <= moment
        )
    )
    return _turns(said.ratings) + _turns(said.blocks)


async def forget_title(tx: Tx, asset_id: str) -> None:
    """Removes how a title was classified."""
    await tx.execute(sa.delete(classifications).where(classifications.c.asset_id == asset_id))


def _table(data: bytes) -> Table:
    rules = api.JurisdictionTable.FromString(data).rules
    by_kind: dict[str | None, list[api.JurisdictionRule]] = {}
    for rule in rules:
        by_kind.setdefault(rule.WhichOneof("what"), []).append(rule)
    return Table(
        ages=tuple(_age_law(rule) for rule in by_kind.get("age", ())),
        closed=tuple(Ban(**_row(rule), cause="closed") for rule in by_kind.get("closed", ())),
        tags=tuple(
            TagBan(**_row(rule), tags=frozenset(rule.refused_tags.tags)) for rule in by_kind.get("refused_tags", ())
        ),
    )


def _age_law(rule: api.JurisdictionRule) -> AgeLaw:
    law = rule.age
    methods = tuple(
        Accepted(
            one.method,
            one.good_for.ToTimedelta() if one.HasField("good_for") else None,
            one.each_device,
        )
        for one in law.methods
    )
    # What a newer version of compliance may say and this one does not know is the strictest.
    action = _ACTIONS.get(law.action, Action.BLOCK)
    return AgeLaw(
        **_row(rule), threshold=law.threshold, titles_from=law.titles_from or _ADULT, action=action, methods=methods
    )


def _classification(data: bytes) -> Classification:
    said = api.TitleClassification.FromString(data)
    return Classification(
        tuple(Rating(**_row(one), age=one.age) for one in said.ratings),
        frozenset(said.tags),
        tuple(Ban(**_row(one), cause="block") for one in said.blocks),
    )


def _turns(rows: Sequence[Dated]) -> list[datetime]:
    """Moments at which rows begin or end."""
    return [one for row in rows for one in (_moment(row, "start_time"), _moment(row, "end_time")) if one is not None]


def _row(said: Dated) -> dict[str, Any]:
    return {
        "territory": said.territory,
        "start_time": _moment(said, "start_time"),
        "end_time": _moment(said, "end_time"),
    }


def _moment(said: Dated, name: str) -> datetime | None:
    stamp: Timestamp = getattr(said, name)
    return stamp.ToDatetime(tzinfo=UTC) if said.HasField(name) else None  # type: ignore[arg-type]  # a literal in its stubs
