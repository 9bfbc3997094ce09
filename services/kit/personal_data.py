"""Answers for a person's data from a service's declaration of its tables (`services.kit.personal`): export, erasure, limits. One implementation for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import grpc
import sqlalchemy as sa
from reelmesh.rpc.v1 import personal_data_service_pb2 as api
from reelmesh.rpc.v1 import personal_data_service_pb2_grpc

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.ids import is_id
from services.kit.personal import (
    Acts,
    Blank,
    DataSubject,
    Declaration,
    Delete,
    Fades,
    Keep,
    NothingElse,
    Personal,
    years_after,
)

Context = grpc.aio.ServicerContext[Any, Any]
CONTRACT: Final = api.DESCRIPTOR.services_by_name["PersonalDataService"]
_PART: Final = 512 * 1024
"""Bytes of rows in one message, about."""
_RECENT: Final = 200
"""Rows that are fetched at once."""


class PersonalData:
    """What a service keeps about persons.

    Args:
        database: the service's own.
        clock: tells what need not be kept any longer.
        declaration: of its tables.
        acts: what it does besides changing rows.
    """

    def __init__(self, database: Database, clock: Clock, declaration: Declaration, acts: Acts | None = None) -> None:
        self._database = database
        self._clock = clock
        self._declaration = declaration
        self._acts = acts or NothingElse()

    async def export(
        self, subject: DataSubject, tables: Sequence[str] = ()
    ) -> AsyncIterator[api.GetPersonalDataResponse]:
        """Everything about a person, table by table; all of it as it was at one moment."""
        async with self._database.transaction() as tx:
            await tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            for table in self._declaration.personal:
                if not tables or table.name in tables:
                    async for part in _exported(tx, table, subject):
                        yield part

    async def erase(self, subject: DataSubject) -> api.ErasePersonalDataResponse:
        """Removes a person. Returns what became of each table that had something."""
        now, receipt = self._clock.now(), api.ErasePersonalDataResponse()
        async with self._database.transaction() as tx:
            await self._acts.before_erasure(tx, subject)
            emptied = await self._emptied_answers(tx, subject)
            for table in self._declaration.personal:
                receipt.tables.extend([done async for done in _erased(tx, table, subject, now)])
        if emptied:
            receipt.tables.add(table="replies", action=api.ERASURE_ACTION_BLANKED, row_count=emptied)
        return receipt

    async def limit(self, subject: DataSubject, limits: frozenset[int]) -> frozenset[int]:
        """Heeds limits in place of those before. Returns those that mean something here."""
        async with self._database.transaction() as tx:
            return await self._acts.limited(tx, subject, limits)

    async def _emptied_answers(self, tx: Tx, subject: DataSubject) -> int:
        """Empties first answers that name the person. A repeat of the request finds that it was done, and an empty answer."""
        if not await _has(tx, "replies"):
            return 0
        holding, bound = list[str](), list[sa.BindParameter[Any]]()
        for number, name in enumerate(await self._names(tx, subject)):
            holding.append(f"position(:n{number} IN response) > 0")
            bound.append(sa.bindparam(f"n{number}", _needle(subject, name), type_=sa.LargeBinary))
        theirs = sa.bindparam("scope", subject.scope or subject.name, type_=sa.Text)
        if subject.scope:
            where = f"({' OR '.join(holding)}) AND organisation_id = :scope"
            sql = f"UPDATE replies SET response = '' WHERE response <> '' AND {where}"
            return (await tx.execute(sa.text(sql).bindparams(theirs, *bound))).rowcount
        # What an account asked itself is remembered under its id, and nobody can ask it again.
        gone = await tx.execute(sa.text("DELETE FROM replies WHERE organisation_id = :scope").bindparams(theirs))
        sql = f"UPDATE replies SET response = '' WHERE response <> '' AND ({' OR '.join(holding)})"
        return gone.rowcount + (await tx.execute(sa.text(sql).bindparams(*bound))).rowcount

    async def _names(self, tx: Tx, subject: DataSubject) -> list[str]:
        """What answers may call the person, each once."""
        names = [subject.name]
        for table, columns in self._declaration.names.items():
            declared = self._declaration.table(table)
            assert declared is not None, table
            for column in columns:
                rows = await tx.execute(_statement(f"SELECT {column} FROM {table} WHERE {declared.match.sql}", subject))
                names += [str(name) for name in rows.scalars() if name]
        return list(dict.fromkeys(names))


class PersonalDataServicer(personal_data_service_pb2_grpc.PersonalDataServiceServicer):
    """The contract, for the compliance service to call."""

    def __init__(self, data: PersonalData) -> None:
        self._data = data

    async def GetPersonalData(
        self, request: api.GetPersonalDataRequest, context: Context
    ) -> AsyncIterator[api.GetPersonalDataResponse]:
        """Everything about a person."""
        async for part in self._data.export(DataSubject.of(request.subject), request.tables):
            yield part

    async def ErasePersonalData(
        self, request: api.ErasePersonalDataRequest, context: Context
    ) -> api.ErasePersonalDataResponse:
        """Removes a person."""
        return await self._data.erase(DataSubject.of(request.subject))

    async def LimitPersonalData(
        self, request: api.LimitPersonalDataRequest, context: Context
    ) -> api.LimitPersonalDataResponse:
        """Heeds limits."""
        heeded = await self._data.limit(DataSubject.of(request.subject), frozenset(request.limits))
        return api.LimitPersonalDataResponse(heeded=[api.ProcessingLimit.ValueType(one) for one in sorted(heeded)])


async def remove(tx: Tx, table: Personal, subject: DataSubject) -> None:
    """Deletes a person's rows of one table."""
    await tx.execute(_statement(f"DELETE FROM {table.name} WHERE {table.match.sql}", subject))


@dataclass(slots=True)
class _Part:
    """Rows that are gathered for one message."""

    rows: bytearray
    count: int = 0


async def _exported(tx: Tx, table: Personal, subject: DataSubject) -> AsyncIterator[api.GetPersonalDataResponse]:
    """One table: first what it is, then its rows."""
    yield api.GetPersonalDataResponse(
        table=table.name, purpose=table.purpose, withheld=table.withheld, on_erasure=table.erasure.told()
    )
    columns = ", ".join(f'"{column}"' for column in table.exported)
    query = f"SELECT row_to_json(one)::text FROM (SELECT {columns} FROM {table.name} WHERE {table.match.sql}) one"
    part = _Part(bytearray())
    async with tx.stream_scalars(_statement(query, subject), execution_options={"yield_per": _RECENT}) as rows:
        async for row in rows:
            part.rows += row.encode() + b"\n"
            part.count += 1
            if len(part.rows) >= _PART:
                yield api.GetPersonalDataResponse(table=table.name, rows=bytes(part.rows), row_count=part.count)
                part = _Part(bytearray())
    if part.count:
        yield api.GetPersonalDataResponse(table=table.name, rows=bytes(part.rows), row_count=part.count)


async def _erased(tx: Tx, table: Personal, subject: DataSubject, now: datetime) -> AsyncIterator[api.ErasedTable]:
    match table.erasure:
        case Fades():
            return
        case Keep():
            then = table.erasure.then
            if then is not None:
                over = f"{table.erasure.since} < :before AND ({table.match.sql})"
                before = years_after(now, -table.erasure.years)
                async for done in _removed(tx, table.name, then, over, subject=subject, before=before):
                    yield done
            kept = await _kept(tx, table, table.erasure, subject, now)
            if kept.row_count:
                yield kept
        case Delete() | Blank() as how:
            async for done in _removed(tx, table.name, how, table.match.sql, subject=subject):
                yield done


async def _removed(
    tx: Tx, table: str, how: Delete | Blank, condition: str, *, subject: DataSubject, before: datetime | None = None
) -> AsyncIterator[api.ErasedTable]:
    if isinstance(how, Delete):
        action, statement = api.ERASURE_ACTION_DELETED, f"DELETE FROM {table} WHERE {condition}"
    else:
        changes = ", ".join(f"{column} = {value}" for column, value in how.values.items())
        action, statement = api.ERASURE_ACTION_BLANKED, f"UPDATE {table} SET {changes} WHERE {condition}"
    count = (await tx.execute(_statement(statement, subject, before))).rowcount
    if count:
        yield api.ErasedTable(table=table, action=action, row_count=count)


async def _kept(tx: Tx, table: Personal, keep: Keep, subject: DataSubject, now: datetime) -> api.ErasedTable:
    query = f"SELECT count(*), max({keep.since}) FROM {table.name} WHERE {table.match.sql}"
    count, last = (await tx.execute(_statement(query, subject))).one()
    until = years_after(last, keep.years) if last is not None and keep.then is not None else None
    if until is not None and until <= now:  # it was not removed in spite of that: asking again and again will not help
        until = None
    return api.ErasedTable(
        table=table.name,
        action=api.ERASURE_ACTION_KEPT,
        row_count=count,
        ground=keep.ground,
        keep_until_time=timestamp(until),
    )


def _statement(sql: str, subject: DataSubject, before: datetime | None = None) -> sa.TextClause:
    """A statement with what is known of the person. Tables, columns and conditions are of declarations in the code; the rest is bound."""
    bound = {"scope": subject.scope, "name": subject.name}
    parameters: list[sa.BindParameter[Any]] = [
        sa.bindparam(name, value, type_=sa.Text) for name, value in bound.items() if f":{name}" in sql
    ]
    if before is not None:
        parameters.append(sa.bindparam("before", before, type_=sa.DateTime(timezone=True)))
    return sa.text(sql).bindparams(*parameters)


async def _has(tx: Tx, table: str) -> bool:
    """Whether the service's schema has a table: not every service remembers answers."""
    return (await tx.execute(sa.select(sa.func.to_regclass(table)))).scalar_one() is not None


def _needle(subject: DataSubject, name: str) -> bytes:
    """What an answer that names somebody holds. Short names of an organisation's own are looked for with the length that protobuf puts before them, or else
    they would be found in anything."""
    encoded = name.encode()
    return encoded if not subject.scope or is_id("usr", name) or len(encoded) > 127 else bytes([len(encoded)]) + encoded
