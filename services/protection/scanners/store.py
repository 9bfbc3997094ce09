"""The tables of masters at the gate, of holds, and of what is to be reported of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.kit.database import Tx
from services.kit.pagination import Page
from services.protection.gate import Finding, Ground, Severity
from services.protection.scanners.domain import FINAL, Decision, Hold, HoldState, Review, Screening, ScreeningState
from services.protection.scanners.refusals import hold_not_found

_METADATA: Final = sa.MetaData()

screenings: Final = sa.Table(
    "screenings",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("upload_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("object_key", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("filename", sa.Text),
    sa.Column("content_type", sa.Text),
    sa.Column("watermarking", sa.SmallInteger),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("state", sa.SmallInteger),
    sa.Column("passed", JSONB),
    sa.Column("delayed_by", sa.Text),
    sa.Column("delay_time", sa.DateTime(timezone=True)),
    sa.Column("purpose", sa.SmallInteger),
)

holds: Final = sa.Table(
    "holds",
    _METADATA,
    sa.Column("hold_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("upload_id", sa.Text),
    sa.Column("filename", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("ground", sa.SmallInteger),
    sa.Column("finding", JSONB),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("state", sa.SmallInteger),
    sa.Column("reviews", JSONB),
    sa.Column("sealed_sha256", sa.Text),
    sa.Column("preserve_time", sa.DateTime(timezone=True)),
    sa.Column("decide_time", sa.DateTime(timezone=True)),
    sa.Column("report_time", sa.DateTime(timezone=True)),
    sa.Column("destroy_time", sa.DateTime(timezone=True)),
)

reports: Final = sa.Table(
    "hold_reports",
    _METADATA,
    sa.Column("report_id", sa.Text, primary_key=True),
    sa.Column("hold_id", sa.Text),
    sa.Column("body", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("attempts", sa.Integer),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What somebody outside is to be told of a hold, until it was told.

    Attributes:
        body: JSON, as it is sent.
    """

    report_id: str
    hold_id: str
    body: str
    create_time: datetime
    ask_time: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """Which holds somebody may see.

    Attributes:
        house: whether they belong to the operator's organisation, which sees those of all.
    """

    organisation_id: str
    house: bool

    def clause(self) -> sa.ColumnElement[bool]:
        """The same for the table."""
        if self.house:
            return sa.true()
        return (holds.c.organisation_id == self.organisation_id) & (holds.c.ground != Ground.ILLEGAL_CONTENT)


# Screenings.


async def add_screening(tx: Tx, screening: Screening) -> bool:
    """Keeps a new master at the gate. False when it is known."""
    added = await tx.execute(insert(screenings).values(**_row(screening)).on_conflict_do_nothing())
    return bool(added.rowcount)


async def put_screening(tx: Tx, screening: Screening) -> None:
    """Keeps the next state of a master."""
    await tx.execute(sa.update(screenings).where(screenings.c.asset_id == screening.asset_id).values(**_row(screening)))


async def find_screening(tx: Tx, asset_id: str, *, for_update: bool = False) -> Screening | None:
    """One master at the gate; None when there is none."""
    query = sa.select(screenings).where(screenings.c.asset_id == asset_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _screening(row)


async def forget_screening(tx: Tx, asset_id: str) -> None:
    """Forgets a master at the gate."""
    await tx.execute(sa.delete(screenings).where(screenings.c.asset_id == asset_id))


async def forgotten_screenings(tx: Tx, asked_before: datetime, limit: int = 100) -> Sequence[Screening]:
    """Masters whose checks were asked for long ago, locked: the queue may have lost them."""
    query = sa.select(screenings).where(
        screenings.c.state == ScreeningState.WAITING, screenings.c.ask_time < asked_before
    )
    return [_screening(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


async def count_waiting(tx: Tx, organisation_id: str) -> int:
    """Masters of an organisation whose checks are to be made."""
    query = sa.select(sa.func.count()).where(
        screenings.c.organisation_id == organisation_id, screenings.c.state == ScreeningState.WAITING
    )
    return int((await tx.execute(query)).scalar_one())


async def cleared_with(tx: Tx, sha256: str, limit: int = 100) -> Sequence[str]:
    """Assets that the very same file was cleared for."""
    query = sa.select(screenings.c.asset_id).where(
        screenings.c.sha256 == sha256, screenings.c.state == ScreeningState.CLEARED
    )
    return list((await tx.execute(query.order_by(screenings.c.asset_id).limit(limit))).scalars())


async def lock_file(tx: Tx, sha256: str) -> None:
    """Nobody else clears a master of this content, or takes its file away, until the transaction ends."""
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(int(sha256[:15], 16))))


# Holds.


async def add_hold(tx: Tx, hold: Hold) -> None:
    """Keeps a new hold."""
    await tx.execute(sa.insert(holds).values(**_hold_row(hold)))


async def put_hold(tx: Tx, hold: Hold) -> None:
    """Keeps the next state of a hold."""
    await tx.execute(sa.update(holds).where(holds.c.hold_id == hold.hold_id).values(**_hold_row(hold)))


async def find_hold(tx: Tx, hold_id: str, *, for_update: bool = False) -> Hold | None:
    """One hold of whichever organisation; None when there is none."""
    query = sa.select(holds).where(holds.c.hold_id == hold_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _hold(row)


async def hold_seen_from(tx: Tx, viewpoint: Viewpoint, hold_id: str, *, for_update: bool = False) -> Hold:
    """One hold that somebody may see.

    Raises:
        Refusal: HOLD_NOT_FOUND.
    """
    query = sa.select(holds).where(viewpoint.clause(), holds.c.hold_id == hold_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise hold_not_found(hold_id)
    return _hold(row)


async def page_of_holds(tx: Tx, viewpoint: Viewpoint, state: int, part: Page) -> Sequence[Hold]:
    """One page of the holds that somebody may see, newest first, and one more to tell whether there is another page."""
    query = sa.select(holds).where(viewpoint.clause()).order_by(holds.c.hold_id.desc()).limit(part.size + 1)
    if state:
        query = query.where(holds.c.state == state)
    if part.after:
        query = query.where(holds.c.hold_id < part.after)
    return [_hold(row) for row in await tx.execute(query)]


async def holds_of_file(tx: Tx, sha256: str) -> Sequence[Hold]:
    """All holds of one content, oldest first."""
    query = sa.select(holds).where(holds.c.sha256 == sha256).order_by(holds.c.hold_id)
    return [_hold(row) for row in await tx.execute(query)]


async def unpreserved(tx: Tx, asked_before: datetime, limit: int = 100) -> Sequence[Hold]:
    """Holds whose evidence should lie in quarantine long since, locked."""
    query = sa.select(holds).where(holds.c.preserve_time.is_(None), holds.c.ask_time < asked_before)
    return [_hold(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


async def to_destroy(tx: Tx, confirmed_before: datetime, limit: int = 100) -> Sequence[Hold]:
    """Holds whose evidence need not be kept any more, locked: of released ones, once they passed, and of confirmed ones after their time."""
    on_its_way = sa.exists().where(
        screenings.c.asset_id == holds.c.asset_id,
        screenings.c.state.in_([ScreeningState.WAITING, ScreeningState.HELD]),
    )
    old = (holds.c.state == HoldState.CONFIRMED) & (holds.c.decide_time < confirmed_before)
    through = (holds.c.state == HoldState.RELEASED) & ~on_its_way
    query = sa.select(holds).where(
        holds.c.destroy_time.is_(None), holds.c.preserve_time.is_not(None), holds.c.state.in_(FINAL), old | through
    )
    return [_hold(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


# Reports.


async def add_report(tx: Tx, report: Report) -> None:
    """Keeps what is to be told."""
    await tx.execute(sa.insert(reports).values(**asdict(report)))


async def put_report(tx: Tx, report: Report) -> None:
    """Keeps how often it was tried."""
    await tx.execute(sa.update(reports).where(reports.c.report_id == report.report_id).values(**asdict(report)))


async def find_report(tx: Tx, report_id: str) -> Report | None:
    """What is to be told, locked; None when it was told, or another tells it now."""
    query = sa.select(reports).where(reports.c.report_id == report_id).with_for_update(skip_locked=True)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Report(**row._asdict())


async def forget_report(tx: Tx, report_id: str) -> None:
    """Forgets what was told."""
    await tx.execute(sa.delete(reports).where(reports.c.report_id == report_id))


async def forgotten_reports(tx: Tx, asked_before: datetime, limit: int = 100) -> Sequence[Report]:
    """What should have been told long since, locked."""
    query = sa.select(reports).where(reports.c.ask_time < asked_before)
    return [Report(**row._asdict()) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


def _row(screening: Screening) -> dict[str, Any]:
    values = {column.name: getattr(screening, column.name) for column in fields(screening)}
    return {**values, "passed": list(screening.passed)}


def _screening(row: sa.Row[tuple[Any, ...]]) -> Screening:
    values = row._asdict()
    return Screening(**{**values, "state": ScreeningState(values["state"]), "passed": tuple(values["passed"])})


def _hold_row(hold: Hold) -> dict[str, Any]:
    values = {column.name: getattr(hold, column.name) for column in fields(hold)}
    reviews = [{**asdict(review), "review_time": review.review_time.isoformat()} for review in hold.reviews]
    return {**values, "ground": hold.finding.ground, "finding": asdict(hold.finding), "reviews": reviews}


def _hold(row: sa.Row[tuple[Any, ...]]) -> Hold:
    values = row._asdict()
    del values["ground"]
    found = Finding(**values["finding"])
    finding = replace(found, ground=Ground(found.ground), severity=Severity(found.severity))
    reviews = tuple(
        Review(
            one["reviewer"],
            Decision(one["decision"]),
            one["comment"],
            datetime.fromisoformat(one["review_time"]),
        )
        for one in values["reviews"]
    )
    return Hold(**{**values, "finding": finding, "reviews": reviews, "state": HoldState(values["state"])})
