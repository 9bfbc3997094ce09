"""What a service says of its tables: which of them hold personal data, how the rows of a person are found, and what erasure does with them. No I/O.

Each service has one `Declaration` in its `personal.py`. `tests/compliance/test_declared.py` holds it against the migrated schema: a table or a column
that is declared neither as personal nor as free of personal data fails there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from reelmesh.rpc.v1 import personal_data_service_pb2 as api

from services.kit.database import Tx

NOBODY: Final = "user/erased"
"""What stands in place of an erased person who did something."""


@dataclass(frozen=True, slots=True, order=True)
class DataSubject:
    """A person, as services name them.

    Attributes:
        scope: organisation whose own name for them it is; empty for accounts, which are the same person everywhere.
        name: account, or whatever the organisation calls them.
    """

    scope: str
    name: str

    @classmethod
    def of(cls, message: api.DataSubject) -> DataSubject:
        """Reads it from a request."""
        return cls(message.organisation_id, message.name)

    def message(self) -> api.DataSubject:
        """As contracts have it."""
        return api.DataSubject(organisation_id=self.scope, name=self.name)


@dataclass(frozen=True, slots=True)
class Match:
    """How the rows of a person are found: a condition in SQL that may name `:scope` and `:name`."""

    sql: str


def account(column: str) -> Match:
    """Rows of an account."""
    return Match(f":scope = '' AND {column} = :name")


def person(column: str, organisation: str = "organisation_id") -> Match:
    """Rows of somebody whom organisations name: of an account in all of them, of another name in the one whose name it is."""
    return Match(f"{column} = :name AND (:scope = '' OR {organisation} = :scope)")


def actor(column: str) -> Match:
    """Rows that say of a person that they did something, by the name of a principal."""
    return Match(f":scope = '' AND {column} = 'user/' || :name")


def through(column: str, table: Personal, key: str = "") -> Match:
    """Rows that belong to a person's rows in another table, which must be declared later where those are removed."""
    return Match(f"{column} IN (SELECT {key or column} FROM {table.name} WHERE {table.match.sql})")


def either(*matches: Match) -> Match:
    """Rows that are found in one way or another."""
    return Match(" OR ".join(f"({one.sql})" for one in matches))


@dataclass(frozen=True, slots=True)
class Delete:
    """The row goes."""

    def told(self) -> str:
        """In words, for whom it concerns."""
        return "deleted"


@dataclass(frozen=True, slots=True)
class Blank:
    """The row stays without what is the person's.

    Attributes:
        values: what stands in each column then, as an expression in SQL.
    """

    values: Mapping[str, str]

    def told(self) -> str:
        """In words, for whom it concerns."""
        return f"kept without {', '.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Keep:
    """The row stays because a law asks for it.

    Attributes:
        ground: which law, and what for.
        years: for how long.
        since: column with the moment from which these are counted.
        then: what is done when they are over, at the next erasure; None where the table is append-only and rows leave with the books.
    """

    ground: str
    years: int
    since: str
    then: Delete | Blank | None = None

    def told(self) -> str:
        """In words, for whom it concerns."""
        return f"kept for {self.years} years: {self.ground}"


@dataclass(frozen=True, slots=True)
class Fades:
    """The row cannot be told to be a person's, or is still needed for a moment, and goes by itself.

    Attributes:
        how: when and why.
    """

    how: str

    def told(self) -> str:
        """In words, for whom it concerns."""
        return f"goes by itself: {self.how}"


OnErasure: TypeAlias = Delete | Blank | Keep | Fades


@dataclass(frozen=True, slots=True)
class Personal:
    """A table that holds personal data.

    Attributes:
        name: of the table.
        purpose: what it is for, as the person reads it.
        match: how a person's rows are found.
        personal: columns that say something of a person, by names with spaces between.
        free: columns that do not.
        erasure: what becomes of the rows.
        withheld: columns that are personal and in no export, with the reason.
    """

    name: str
    purpose: str
    match: Match
    personal: str
    free: str
    erasure: OnErasure
    withheld: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        """All columns that are declared."""
        return frozenset(self.personal.split()) | frozenset(self.free.split()) | frozenset(self.withheld)

    @property
    def exported(self) -> tuple[str, ...]:
        """Columns that a person is given, in the order of the declaration."""
        named = [*self.personal.split(), *self.free.split()]
        return tuple(column for column in named if column not in self.withheld)


@dataclass(frozen=True, slots=True)
class Free:
    """A table that holds no personal data.

    Attributes:
        name: of the table.
        why: what it holds instead.
        held: all its columns, by names with spaces between.
    """

    name: str
    why: str
    held: str

    @property
    def columns(self) -> frozenset[str]:
        """All columns that are declared."""
        return frozenset(self.held.split())


KIT_TABLES: Final = (
    Free("schema_version", "which migrations ran", "version_num"),
    Free("inbox", "ids of events that were handled", "event_id handle_time"),
    Free(
        "outbox",
        "events on their way, gone within seconds; events name people by ids at most",
        "position event_id subject payload headers",
    ),
    Free(
        "replies",
        "first answers, kept for a week; at every erasure the kit removes the person's own and empties those that name them",
        "organisation_id method request_id request_sha256 response create_time",
    ),
)
"""The kit's own tables, which are the same in every schema."""


class Acts(Protocol):
    """What a service does besides changing rows, each in the transaction of the call."""

    async def before_erasure(self, tx: Tx, subject: DataSubject) -> None:
        """Ends what runs in the person's name, while it can still be found."""
        ...

    async def limited(self, tx: Tx, subject: DataSubject, limits: frozenset[int]) -> frozenset[int]:
        """Heeds limits, values of `ProcessingLimit`, in place of those before. Returns those that mean something here."""
        ...


class NothingElse:
    """Acts of a service in which nothing runs in anybody's name."""

    async def before_erasure(self, tx: Tx, subject: DataSubject) -> None:
        """Does nothing."""

    async def limited(self, tx: Tx, subject: DataSubject, limits: frozenset[int]) -> frozenset[int]:
        """Nothing means anything here."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class Declaration:
    """All tables of a service.

    Attributes:
        personal: those with personal data, in the order in which rows are removed.
        free: those without.
        names: columns of personal tables that name a person in answers and other texts, such as an address, by table.
    """

    personal: tuple[Personal, ...]
    free: tuple[Free, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def table(self, name: str) -> Personal | None:
        """A table with personal data by its name; None when it is none."""
        return next((one for one in self.personal if one.name == name), None)

    def undeclared(self, schema: Mapping[str, Iterable[str]]) -> list[str]:
        """What stands in a schema, columns by table, and not here; and what stands here and not there."""
        kit = [one for one in KIT_TABLES if one.name in schema]
        declared: dict[str, frozenset[str]] = {}
        wrong: list[str] = []
        tables: tuple[Personal | Free, ...] = (*self.personal, *self.free, *kit)
        for one in tables:
            if one.name in declared:
                wrong.append(f"{one.name} is declared twice")
            declared[one.name] = one.columns
        for name, columns in schema.items():
            if name not in declared:
                wrong.append(f"{name} is not declared")
                continue
            wrong += [f"{name}.{column} is not declared" for column in sorted(set(columns) - declared[name])]
            wrong += [f"{name}.{column} is declared and not there" for column in sorted(declared[name] - set(columns))]
        wrong += [f"{name} is declared and not there" for name in declared if name not in schema]
        return wrong


def years_after(moment: datetime, years: int) -> datetime:
    """The same day some years later; of the 29th of February, the 28th where there is no other."""
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:
        return moment.replace(year=moment.year + years, day=28)
