"""Puts a row about somebody into every table that is declared to be personal, whatever its columns; those of later tables too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from services.kit.personal import DataSubject, Declaration, Personal
from services.kit.settings import ProcessSettings

NAMING: Final = frozenset(
    {
        "account_id",
        "viewer_id",
        "buyer_id",
        "creator_id",
        "owner_id",
        "subject",
        "target_id",
        "link_account_id",
        "finder",
        "performer_id",
        "recipient",
    }
)
"""Columns that name somebody where a table is about them."""
ACTING: Final = frozenset(
    {"actor", "appeal_actor", "author", "changer", "preparer", "reporter", "reviewer", "submitter", "uploader"}
)
"""Columns that name who did something."""
ORGANISATION: Final = "org_01jdsq00000000000000000000"
TIME: Final = "2026-11-28T12:00:00Z"
PARTICULAR: Final[dict[str, str]] = {
    # Values that have a meaning for how rows are found.
    "policy.revocations.target": "1",
    "policy.reviews.kind": "viewer",
}
_BY_TYPE: Final = {
    "smallint": "1",
    "integer": "1",
    "bigint": "1",
    "double precision": "1",
    "boolean": "false",
    "timestamp with time zone": TIME,
    "date": "2026-11-28",
    "interval": "1 hour",
    "jsonb": "{}",
}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: str
    generated: bool


@dataclass(frozen=True, slots=True)
class Filler:
    """Fills tables of one service.

    Attributes:
        service: whose schema.
        subject: whom the rows are about.
        telling: what stands in texts that say something about them.
    """

    connection: asyncpg.Connection
    service: str
    subject: DataSubject
    telling: str

    @property
    def organisation(self) -> str:
        return self.subject.scope or ORGANISATION

    async def fill(self, declaration: Declaration) -> list[str]:
        """One row in each table; what others are found through comes first. Returns the tables."""
        for table in reversed(declaration.personal):
            await self._row(table)
        return [table.name for table in declaration.personal]

    async def _row(self, table: Personal) -> None:
        columns = [column for column in await self._columns(table.name) if not column.generated]
        values = [self._value(table, column) for column in columns]
        casts = [f"CAST(${number}::text AS {column.kind})" for number, column in enumerate(columns, 1)]
        names = ", ".join(f'"{column.name}"' for column in columns)
        await self.connection.execute(
            f"INSERT INTO {self.service}.{table.name} ({names}) VALUES ({', '.join(casts)}) ON CONFLICT DO NOTHING",
            *values,
        )

    async def _columns(self, table: str) -> list[Column]:
        rows = await self.connection.fetch(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS kind, a.attidentity <> '' AS generated FROM pg_attribute a"
            " WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            f"{self.service}.{table}",
        )
        return [Column(row["attname"], row["kind"], row["generated"]) for row in rows]

    def _value(self, table: Personal, column: Column) -> str | None:
        known = PARTICULAR.get(f"{self.service}.{table.name}.{column.name}")
        if known is not None:
            return known
        match column.kind:
            case "text":
                return self._text(table, column.name)
            case "bytea":
                return "\\x" + f"{self.service}.{table.name}.{column.name}".encode().hex()
            case kind if kind.endswith("[]"):
                return "{}"
            case "jsonb":
                return self._json(table, column.name)
            case kind:
                return _BY_TYPE[kind]

    def _text(self, table: Personal, column: str) -> str:
        if column == "organisation_id":
            return self.organisation
        # Some of these are ids of something else in other tables: only where rows are found by them do they name a person.
        if column in NAMING and column in table.match.sql:
            return self.subject.name
        if column in ACTING:
            return f"user/{self.subject.name}"
        if column.endswith("_id"):
            return f"{column} of {self.subject.name[-6:]}"
        return self.telling if column in table.personal.split() else "something"

    def _json(self, table: Personal, column: str) -> str:
        if (table.name, column) == ("detections", "finding"):
            return f'{{"accused": [{{"viewer_id": "{self.subject.name}", "session_id": "pbs_1"}}]}}'
        if (table.name, column) == ("sales", "parts"):
            return f'[[1, "{self.subject.name}", 100, 100]]'
        if (table.name, column) in {("leak_actions", "decisions"), ("takedowns", "steps")}:
            return f'[{{"actor": "user/{self.subject.name}", "comment": "something"}}]'
        if (table.name, column) == ("holds", "reviews"):
            return f'[{{"reviewer": "user/{self.subject.name}", "comment": "something"}}]'
        return f'{{"said": "{self.telling}"}}' if column in table.personal.split() else "{}"


async def connected(settings: ProcessSettings) -> asyncpg.Connection:
    """As the one who may do everything, past triggers and foreign keys."""
    return await asyncpg.connect(
        host=settings.database_host,
        user=settings.database_admin,
        database=settings.database_name,
        server_settings={"session_replication_role": "replica"},
    )


async def everything(connection: asyncpg.Connection, schemas: list[str]) -> dict[str, list[str]]:
    """All rows of all tables as texts, bytes decoded as far as they are text, by `schema.table`."""
    found: dict[str, list[str]] = {}
    tables = await connection.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1) ORDER BY 1, 2", schemas
    )
    for schema, table in tables:
        fetched = await connection.fetch(f"SELECT * FROM {schema}.{table}")
        if rows := [" ".join(_told(value) for value in row.values()) for row in fetched]:
            found[f"{schema}.{table}"] = rows
    return found


def _told(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
