"""Many rows by one statement with one parameter, where rows come by the hundred: the driver would look at each value by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.kit.database import Tx


class Bulk:
    """Adds and changes rows of one table.

    Args:
        table: with all columns that are written.
        key: by which rows are found again.
        kept: columns that are written once and never changed.
    """

    def __init__(self, table: sa.Table, key: str, kept: Sequence[str] = ()) -> None:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped in its library
        names = [column.name for column in table.columns]
        shape = ", ".join(f'"{column.name}" {column.type.compile(dialect)}' for column in table.columns)
        rows = f"json_to_recordset(CAST(:rows AS json)) AS made ({shape})"
        columns = ", ".join(f'"{name}"' for name in names)
        changed = ", ".join(f'"{name}" = made."{name}"' for name in names if name not in {key, *kept})
        made = ", ".join(f'made."{name}"' for name in names)
        self._add = sa.text(f"INSERT INTO {table.name} ({columns}) SELECT {made} FROM {rows}")  # noqa: S608  # names of our own
        self._put = sa.text(
            f'UPDATE {table.name} AS known SET {changed} FROM {rows} WHERE known."{key}" = made."{key}"'  # noqa: S608
        )

    async def add(self, tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows, in their order."""
        await self._run(tx, self._add, rows)

    async def put(self, tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
        """Changes rows, which are locked."""
        await self._run(tx, self._put, rows)

    async def _run(self, tx: Tx, statement: sa.TextClause, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            await tx.execute(statement, {"rows": json.dumps(rows, default=_written)})


def _written(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat()
        case bytes():
            return f"\\x{value.hex()}"
    raise TypeError(f"{type(value)} has no form in a row")
