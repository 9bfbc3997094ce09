"""The tables of fingerprints, of what is barred, and of matches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from services.kit.database import Tx, one_of
from services.kit.pagination import Page
from services.protection.domain import State
from services.protection.fingerprints.domain import Made, Match, Title
from services.protection.refusals import match_not_found

_METADATA: Final = sa.MetaData()

fingerprints: Final = sa.Table(
    "fingerprints",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity()),
    sa.Column("organisation_id", sa.Text),
    sa.Column("picture_key", sa.Text),
    sa.Column("sound_key", sa.Text),
    sa.Column("state", sa.SmallInteger),
    sa.Column("seconds", sa.Double),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("delete_time", sa.DateTime(timezone=True)),
)

bars: Final = sa.Table(
    "bars",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("case_id", sa.Text, primary_key=True),
    sa.Column("ground", sa.SmallInteger),
    sa.Column("barred", sa.Boolean),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)

matches: Final = sa.Table(
    "matches",
    _METADATA,
    sa.Column("match_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("asset_id", sa.Text),
    sa.Column("object_key", sa.Text),
    sa.Column("filename", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("state", sa.SmallInteger),
    sa.Column("fraction", sa.Double),
    sa.Column("passages", JSONB),
    sa.Column("failure_reason", sa.Text),
    sa.Column("failure_message", sa.Text),
    sa.Column("end_time", sa.DateTime(timezone=True)),
)

_BARRED: Final = sa.exists().where(bars.c.asset_id == fingerprints.c.asset_id, bars.c.barred)
_MADE: Final = fingerprints.c.state == Made.MADE
_THERE: Final = fingerprints.c.delete_time.is_(None)


async def add_title(tx: Tx, asset_id: str, organisation_id: str, keys: tuple[str, str], now: datetime) -> bool:
    """Notes that a title's fingerprint is to be made, of the renditions with its picture and its sound. Returns whether there is none yet."""
    values = {"picture_key": keys[0], "sound_key": keys[1], "ask_time": now}
    query = insert(fingerprints).values(
        asset_id=asset_id, organisation_id=organisation_id, state=Made.WAITING, seconds=0.0, **values
    )
    again = sa.cast(
        sa.case((fingerprints.c.state == Made.MADE, int(Made.MADE)), else_=int(Made.WAITING)), sa.SmallInteger
    )
    query = query.on_conflict_do_update(index_elements=["asset_id"], set_={**values, "state": again})
    return Made((await tx.execute(query.returning(fingerprints.c.state))).scalar_one()) is Made.WAITING


async def title_of(tx: Tx, asset_id: str) -> Title | None:
    """A title by its asset, if it is known and not deleted."""
    found = await _titles(tx, fingerprints.c.asset_id == asset_id, _THERE)
    return found[0] if found else None


async def made(tx: Tx, asset_id: str, seconds: float) -> None:
    """Notes that a title's fingerprint lies in the object store."""
    query = sa.update(fingerprints).where(fingerprints.c.asset_id == asset_id)
    await tx.execute(query.values(state=Made.MADE, seconds=seconds))


async def not_made(tx: Tx, asset_id: str) -> None:
    """Notes that a title's fingerprint cannot be made, or is lost for good."""
    await tx.execute(
        sa.update(fingerprints).where(fingerprints.c.asset_id == asset_id).values(state=Made.FAILED, seconds=0.0)
    )


async def wait_again(tx: Tx, asset_id: str) -> None:
    """Has a title's fingerprint made anew: the object store has it no more. Of one that was deleted there is nothing left to make it of."""
    query = sa.update(fingerprints).where(fingerprints.c.asset_id == asset_id)
    state = sa.cast(sa.case((_THERE, int(Made.WAITING)), else_=int(Made.FAILED)), sa.SmallInteger)
    await tx.execute(query.values(state=state, ask_time=sa.func.to_timestamp(0)))


async def waiting(tx: Tx, asked_before: datetime, now: datetime, limit: int = 100) -> Sequence[str]:
    """Titles whose fingerprint was asked for long ago and is not there: the queue may have lost them. They count as asked for now."""
    lost = (
        sa.select(fingerprints.c.asset_id)
        .where(fingerprints.c.state == Made.WAITING, fingerprints.c.ask_time < asked_before, _THERE)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    query = sa.update(fingerprints).where(fingerprints.c.asset_id.in_(lost)).values(ask_time=now)
    return list((await tx.execute(query.returning(fingerprints.c.asset_id))).scalars())


async def numbers_to_find(tx: Tx) -> frozenset[int]:
    """Numbers of all titles that can be shown to be in a file."""
    return frozenset((await tx.execute(sa.select(fingerprints.c.number).where(_MADE, _THERE))).scalars())


async def numbers_barred(tx: Tx) -> frozenset[int]:
    """Numbers of all titles that were taken down, deleted or not."""
    return frozenset((await tx.execute(sa.select(fingerprints.c.number).where(_MADE, _BARRED))).scalars())


async def titles_numbered(
    tx: Tx, numbers: Iterable[int], *, organisation_id: str = "", barred: bool = False
) -> Sequence[Title]:
    """Titles by number: those of an organisation that are there, or those that were taken down, deleted or not."""
    which = fingerprints.c.number == sa.func.any(sa.cast(list(numbers), ARRAY(sa.BigInteger)))
    mine = [fingerprints.c.organisation_id == organisation_id] if organisation_id else []
    return await _titles(tx, which, _MADE, *mine, _BARRED if barred else _THERE)


async def numbers_of(tx: Tx, asset_ids: Iterable[str]) -> dict[str, int]:
    """The numbers of those of some titles that have a fingerprint."""
    columns = (fingerprints.c.asset_id, fingerprints.c.number)
    rows = await tx.execute(sa.select(*columns).where(fingerprints.c.asset_id == one_of(asset_ids), _MADE))
    return {row.asset_id: row.number for row in rows}


async def _titles(tx: Tx, *where: sa.ColumnElement[bool]) -> Sequence[Title]:
    columns = [column for column in fingerprints.c if column.name not in ("ask_time", "delete_time")]
    rows = await tx.execute(sa.select(*columns, _BARRED.label("barred")).where(*where))
    return [Title(**{**row._asdict(), "state": Made(row.state)}) for row in rows]


async def bar(tx: Tx, asset_id: str, case_id: str, ground: int, change_time: datetime, *, barred: bool) -> None:
    """Notes what a case says of a title: that it is taken down, or not any more. What came later counts, in whichever order it is heard."""
    values = {"ground": ground, "barred": barred, "change_time": change_time}
    query = insert(bars).values(asset_id=asset_id, case_id=case_id, **values)
    query = query.on_conflict_do_update(
        index_elements=["asset_id", "case_id"], set_=values, where=bars.c.change_time < change_time
    )
    await tx.execute(query)


async def delete_title(tx: Tx, asset_id: str, now: datetime) -> None:
    """Notes that a title was deleted. Its fingerprint stays a while: it may have been taken down, which is heard of later."""
    query = sa.update(fingerprints).where(fingerprints.c.asset_id == asset_id, _THERE)
    await tx.execute(query.values(delete_time=now))


async def forget_deleted(tx: Tx, before: datetime, limit: int = 100) -> Sequence[str]:
    """Forgets titles that were deleted before a moment and are not barred. Returns their assets, whose fingerprints are to go too."""
    old = sa.select(fingerprints.c.asset_id).where(fingerprints.c.delete_time < before, ~_BARRED).limit(limit)
    query = sa.delete(fingerprints).where(fingerprints.c.asset_id.in_(old)).returning(fingerprints.c.asset_id)
    gone = list((await tx.execute(query)).scalars())
    await tx.execute(sa.delete(bars).where(bars.c.asset_id == one_of(gone)))
    return gone


async def forget_bars(tx: Tx, before: datetime) -> None:
    """Forgets what cases said that let go before a moment."""
    await tx.execute(sa.delete(bars).where(~bars.c.barred, bars.c.change_time < before))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of an organisation's titles there are in each state; those that were taken down count besides."""

    made: int
    waiting: int
    failed: int
    seconds: float
    barred: int


async def counts(tx: Tx, organisation_id: str) -> Counts:
    """How an organisation's titles stand."""

    def number(*where: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.count().filter(*where)

    columns = (
        number(_MADE, _THERE).label("made"),
        number(fingerprints.c.state == Made.WAITING, _THERE).label("waiting"),
        number(fingerprints.c.state == Made.FAILED, _THERE).label("failed"),
        sa.func.coalesce(sa.func.sum(fingerprints.c.seconds).filter(_MADE, _THERE), 0.0).label("seconds"),
        number(_MADE, _BARRED).label("barred"),
    )
    row = (await tx.execute(sa.select(*columns).where(fingerprints.c.organisation_id == organisation_id))).one()
    return Counts(**row._asdict())


async def add_match(tx: Tx, match: Match) -> None:
    """Keeps a new match."""
    await tx.execute(sa.insert(matches).values(**_values(match)))


async def put_match(tx: Tx, match: Match) -> None:
    """Keeps the next state of a match."""
    await tx.execute(sa.update(matches).where(matches.c.match_id == match.match_id).values(**_values(match)))


async def note_fraction(tx: Tx, match_id: str, fraction: float) -> None:
    """Notes how far a match is that runs."""
    running = (matches.c.match_id == match_id) & (matches.c.state == State.RUNNING)
    await tx.execute(sa.update(matches).where(running).values(fraction=fraction))


async def locked_match(tx: Tx, match_id: str) -> Match | None:
    """One match of whichever organisation, locked until the transaction ends."""
    query = sa.select(matches).where(matches.c.match_id == match_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _match(row)


async def match_of(tx: Tx, organisation_id: str, match_id: str) -> Match:
    """One match of an organisation.

    Raises:
        Refusal: MATCH_NOT_FOUND.
    """
    query = sa.select(matches).where(matches.c.organisation_id == organisation_id, matches.c.match_id == match_id)
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise match_not_found(match_id)
    return _match(row)


async def page(tx: Tx, organisation_id: str, part: Page) -> Sequence[Match]:
    """One page of an organisation's matches, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(matches)
        .where(matches.c.organisation_id == organisation_id)
        .order_by(matches.c.match_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(matches.c.match_id < part.after)
    return [_match(row) for row in await tx.execute(query)]


async def unfinished(tx: Tx, asked_before: datetime, limit: int = 100) -> Sequence[Match]:
    """Matches that are not done although they were asked for long ago, locked: the queue may have lost them."""
    query = sa.select(matches).where(
        matches.c.state.in_([State.QUEUED, State.RUNNING]), matches.c.ask_time < asked_before
    )
    return [_match(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


async def forget_matches(tx: Tx, before: datetime) -> None:
    """Forgets matches that ended before a moment."""
    await tx.execute(sa.delete(matches).where(matches.c.end_time < before))


def _match(row: sa.Row[tuple[Any, ...]]) -> Match:
    values = row._asdict()
    return Match(**{**values, "state": State(values["state"])})


def _values(match: Match) -> dict[str, Any]:
    return {column.name: getattr(match, column.name) for column in fields(match)}
