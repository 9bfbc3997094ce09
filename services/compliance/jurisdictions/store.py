"""Tables of versions: of the organisations' tables, and of classifications."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.compliance.v1 import jurisdictions_pb2 as api
from sqlalchemy.dialects.postgresql import insert

from services.kit.clock import timestamp
from services.kit.database import Tx
from services.kit.pagination import Page, number_of

_METADATA: Final = sa.MetaData()
SHIPPED: Final = ""
"""Organisation of the table that ships with the software. Its version is 0."""
VERSIONS_KEPT: Final = 500
"""How many versions of one table, and of one classification, are kept."""

tables: Final = sa.Table(
    "jurisdiction_tables",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("rules", sa.LargeBinary),
    sa.Column("comment", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
classifications: Final = sa.Table(
    "title_classifications",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("classification", sa.LargeBinary),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")


def packed(rules: Iterable[api.JurisdictionRule]) -> bytes:
    """Rows in the form in which they are kept."""
    return api.JurisdictionTable(rules=rules).SerializeToString(deterministic=True)


async def put_shipped(tx: Tx, rules: Sequence[api.JurisdictionRule], now: datetime) -> bool:
    """Keeps the table that ships with this version of the software. Returns whether it is another one than before."""
    await tx.execute(_LOCK, {"what": "jurisdictions:"})
    wanted = packed(rules)
    query = sa.select(tables.c.rules).where(tables.c.organisation_id == SHIPPED, tables.c.version == 0)
    if (await tx.execute(query)).scalar_one_or_none() == wanted:
        return False
    values = {"rules": wanted, "comment": "ships with the software", "create_time": now}
    statement = insert(tables).values(organisation_id=SHIPPED, version=0, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["organisation_id", "version"], set_=values))
    return True


async def add_table(
    tx: Tx, organisation_id: str, rules: Sequence[api.JurisdictionRule], comment: str, now: datetime
) -> api.JurisdictionTable:
    """Keeps a new version of an organisation's table, which is in force from now on."""
    await tx.execute(_LOCK, {"what": f"jurisdictions:{organisation_id}"})
    newest = sa.select(sa.func.max(tables.c.version)).where(tables.c.organisation_id == organisation_id)
    version = ((await tx.execute(newest)).scalar_one_or_none() or 0) + 1
    values = {"rules": packed(rules), "comment": comment, "create_time": now}
    await tx.execute(sa.insert(tables).values(organisation_id=organisation_id, version=version, **values))
    await tx.execute(
        sa.delete(tables).where(
            tables.c.organisation_id == organisation_id, tables.c.version <= version - VERSIONS_KEPT
        )
    )
    return api.JurisdictionTable(
        version=version,
        organisation_id=organisation_id,
        rules=rules,
        comment=comment,
        create_time=timestamp(now),
    )


async def find_table(tx: Tx, organisation_id: str, version: int = 0) -> api.JurisdictionTable | None:
    """A version of an organisation's table; with version 0 the one that is in force, which may be the one that was shipped."""
    query = sa.select(tables)
    if version:
        query = query.where(tables.c.organisation_id == organisation_id, tables.c.version == version)
    else:
        query = query.where(tables.c.organisation_id.in_([organisation_id, SHIPPED]))
    row = (await tx.execute(query.order_by(tables.c.version.desc()).limit(1))).one_or_none()
    return None if row is None else _table(row, with_rules=True)


async def tables_page(tx: Tx, organisation_id: str, part: Page) -> Sequence[api.JurisdictionTable]:
    """One page of the versions of an organisation's table, newest first and without rows, and one more to tell whether there is another page."""
    query = sa.select(tables).where(tables.c.organisation_id == organisation_id)
    if part.after:
        query = query.where(tables.c.version < number_of(part.after))
    rows = await tx.execute(query.order_by(tables.c.version.desc()).limit(part.size + 1))
    return [_table(row, with_rules=False) for row in rows]


async def lock_classification(tx: Tx, organisation_id: str, asset_id: str) -> None:
    """Has others wait until the transaction ends who would classify the same title."""
    await tx.execute(_LOCK, {"what": f"classification:{organisation_id}:{asset_id}"})


async def find_classification(
    tx: Tx, organisation_id: str, asset_id: str, version: int = 0
) -> api.TitleClassification | None:
    """A version of how an organisation's title is classified, the current one with version 0; None when there is none."""
    query = sa.select(classifications).where(
        classifications.c.organisation_id == organisation_id, classifications.c.asset_id == asset_id
    )
    if version:
        query = query.where(classifications.c.version == version)
    row = (await tx.execute(query.order_by(classifications.c.version.desc()).limit(1))).one_or_none()
    if row is None:
        return None
    found = api.TitleClassification.FromString(row.classification)
    found.version = row.version
    found.change_time.CopyFrom(_stamp(row.change_time))
    return found


async def add_classification(
    tx: Tx, organisation_id: str, wanted: api.TitleClassification, version: int, now: datetime
) -> api.TitleClassification:
    """Keeps a new version of how a title is classified."""
    kept = api.TitleClassification(
        asset_id=wanted.asset_id, ratings=wanted.ratings, tags=wanted.tags, blocks=wanted.blocks
    )
    key = {"organisation_id": organisation_id, "asset_id": wanted.asset_id}
    data = kept.SerializeToString(deterministic=True)
    await tx.execute(sa.insert(classifications).values(**key, version=version, classification=data, change_time=now))
    await tx.execute(
        sa.delete(classifications).where(
            classifications.c.organisation_id == organisation_id,
            classifications.c.asset_id == wanted.asset_id,
            classifications.c.version <= version - VERSIONS_KEPT,
        )
    )
    kept.version = version
    kept.change_time.CopyFrom(_stamp(now))
    return kept


async def forget_title(tx: Tx, asset_id: str, organisation_id: str) -> None:
    """Removes how a title was classified."""
    await tx.execute(
        sa.delete(classifications).where(
            classifications.c.asset_id == asset_id, classifications.c.organisation_id == organisation_id
        )
    )


def _table(row: Any, *, with_rules: bool) -> api.JurisdictionTable:
    return api.JurisdictionTable(
        version=row.version,
        organisation_id=row.organisation_id,
        rules=api.JurisdictionTable.FromString(row.rules).rules if with_rules else (),
        comment=row.comment,
        create_time=timestamp(row.create_time),
    )


def _stamp(moment: datetime) -> Timestamp:
    stamp = timestamp(moment)
    assert stamp is not None
    return stamp
