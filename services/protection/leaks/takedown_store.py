"""Keeps notices, in whose name they are written, and reminders that are to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.pagination import Page
from services.protection.leaks import refusals
from services.protection.leaks.tables import notifiers, reminders, takedowns
from services.protection.leaks.takedowns import AWAITED, Carrier, Counter, Kind, State, Step, Takedown
from services.protection.leaks.wording import Notifier

MOST_STATISTICS: Final = 500
_OPEN: Final = [int(one) for one in (*AWAITED, State.COUNTERED)]
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Reminder:
    """An e-mail that is to be sent."""

    message_id: str
    address: str
    parameters: dict[str, str]
    tries: int
    next_try_time: datetime
    expire_time: datetime


async def put_notifier(tx: Tx, organisation_id: str, notifier: Notifier) -> None:
    """Keeps in whose name an organisation's notices are written."""
    values = asdict(notifier)
    statement = insert(notifiers).values(organisation_id=organisation_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["organisation_id"], set_=values))


async def notifier_of(tx: Tx, organisation_id: str) -> Notifier:
    """In whose name they are written.

    Raises:
        Refusal: TAKEDOWN_NOTIFIER_MISSING.
    """
    row = (await tx.execute(sa.select(notifiers).where(notifiers.c.organisation_id == organisation_id))).one_or_none()
    if row is None:
        raise refusals.notifier_missing()
    return Notifier(**{field.name: getattr(row, field.name) for field in fields(Notifier)})


async def add(tx: Tx, takedown: Takedown) -> None:
    """Keeps a new notice."""
    await tx.execute(sa.insert(takedowns).values(**_row(takedown)))


async def put(tx: Tx, takedown: Takedown) -> None:
    """Keeps the next state of a notice."""
    mine = takedowns.c.takedown_id == takedown.takedown_id
    await tx.execute(sa.update(takedowns).where(mine).values(**_row(takedown)))


async def get(tx: Tx, organisation_id: str, takedown_id: str, *, for_update: bool = False) -> Takedown:
    """One notice of an organisation.

    Raises:
        Refusal: TAKEDOWN_NOT_FOUND.
    """
    mine = takedowns.c.organisation_id == organisation_id
    query = sa.select(takedowns).where(mine, takedowns.c.takedown_id == takedown_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise refusals.takedown_not_found(takedown_id)
    return _takedown(row)


async def page(
    tx: Tx, organisation_id: str, part: Page, *, case_id: str = "", due: datetime | None = None
) -> Sequence[Takedown]:
    """One page of an organisation's notices, newest first, and one more; those of a case or those due at a moment only."""
    query = sa.select(takedowns).where(takedowns.c.organisation_id == organisation_id)
    if case_id:
        query = query.where(takedowns.c.case_id == case_id)
    if due is not None:
        query = query.where(takedowns.c.check_time <= due)
    if part.after:
        query = query.where(takedowns.c.takedown_id < part.after)
    rows = await tx.execute(query.order_by(takedowns.c.takedown_id.desc()).limit(part.size + 1))
    return [_takedown(row) for row in rows]


async def next_to_send(tx: Tx, now: datetime) -> Takedown | None:
    """The signed notice that has waited longest, locked; None when there is none whose time has come."""
    query = (
        sa.select(takedowns)
        .where(takedowns.c.next_try_time <= now)
        .order_by(takedowns.c.next_try_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _takedown(row)


async def to_remind_of(tx: Tx, now: datetime, limit: int = 100) -> Sequence[Takedown]:
    """Notices that somebody should look at and was not reminded of, locked."""
    fresh = takedowns.c.remind_time.is_(None) | (takedowns.c.remind_time < takedowns.c.check_time)
    query = sa.select(takedowns).where(takedowns.c.check_time <= now, fresh).order_by(takedowns.c.check_time)
    return [_takedown(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


async def add_reminder(tx: Tx, reminder: Reminder) -> None:
    """Keeps an e-mail to send."""
    await tx.execute(sa.insert(reminders).values(**asdict(reminder)))


async def next_reminder(tx: Tx, now: datetime) -> Reminder | None:
    """The e-mail that has waited longest, locked; None when there is none whose time has come."""
    query = (
        sa.select(reminders)
        .where(reminders.c.next_try_time <= now)
        .order_by(reminders.c.next_try_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Reminder(**row._asdict())


async def put_reminder_off(tx: Tx, reminder: Reminder, until: datetime) -> None:
    """It could not be sent now."""
    mine = reminders.c.message_id == reminder.message_id
    await tx.execute(sa.update(reminders).where(mine).values(tries=reminder.tries + 1, next_try_time=until))


async def remove_reminder(tx: Tx, reminder: Reminder) -> None:
    """It was sent, or cannot be."""
    await tx.execute(sa.delete(reminders).where(reminders.c.message_id == reminder.message_id))


async def statistics(tx: Tx, organisation_id: str, now: datetime) -> Sequence[dict[str, Any]]:
    """How platforms remove, by platform and title, those with most notices first."""
    told = takedowns.c
    is_open = told.state.in_(_OPEN)
    late = told.due_time.is_not(None) & (told.due_time < now) & told.state.in_([int(one) for one in AWAITED])
    took = sa.func.extract("epoch", told.first_remove_time - told.send_time) / _HOUR
    count = sa.func.count()
    query = (
        sa.select(
            told.platform,
            told.title_asset_id,
            count.label("sent"),
            count.filter(is_open).label("open"),
            count.filter(late).label("overdue"),
            count.filter(told.first_remove_time.is_not(None)).label("removed"),
            count.filter(told.state == int(State.REFUSED)).label("refused"),
            sa.func.coalesce(sa.func.sum(told.reappearances), 0).label("reappearances"),
            sa.func.coalesce(sa.func.percentile_cont(0.5).within_group(took), 0.0).label("median_hours"),
        )
        .where(told.organisation_id == organisation_id, told.send_time.is_not(None))
        .group_by(told.platform, told.title_asset_id)
        .order_by(sa.desc("sent"), told.platform, told.title_asset_id)
        .limit(MOST_STATISTICS)
    )
    return [row._asdict() for row in await tx.execute(query)]


def _row(takedown: Takedown) -> dict[str, Any]:
    values = {field.name: getattr(takedown, field.name) for field in fields(takedown)}
    counter = takedown.counter
    kept = counter and {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(counter).items()
    }
    return {**values, "counter": kept, "steps": [step.row() for step in takedown.steps]}


def _takedown(row: sa.Row[tuple[Any, ...]]) -> Takedown:
    values = row._asdict()
    known = {
        "kind": Kind(values["kind"]),
        "carrier": Carrier(values["carrier"]),
        "state": State(values["state"]),
        "steps": tuple(Step.of(one) for one in values["steps"]),
        "counter": _counter(values["counter"]),
    }
    return Takedown(**{**values, **known})


def _counter(kept: dict[str, str] | None) -> Counter | None:
    if kept is None:
        return None
    moments = {name: datetime.fromisoformat(kept[name]) for name in ("receive_time", "restore_from", "restore_by")}
    return Counter(name=kept["name"], statement=kept["statement"], **moments)
