"""The table of what processors told, which is also the queue."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.processors.contract import Amount, Notice, NoticeKind


class EventState(IntEnum):
    """How far an event is; the numbers are those of the contract."""

    PENDING = 1
    PARKED = 2
    DONE = 3
    DEAD = 4


events: Final = sa.Table(
    "webhook_events",
    sa.MetaData(),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("account_id", sa.Text),
    sa.Column("processor", sa.Text),
    sa.Column("dedupe_key", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("state", sa.SmallInteger),
    sa.Column("notice", JSONB),
    sa.Column("redacted", sa.LargeBinary),
    sa.Column("waits_for", sa.Text),
    sa.Column("attempts", sa.Integer),
    sa.Column("trouble", sa.Text),
    sa.Column("due_time", sa.DateTime(timezone=True)),
    sa.Column("receive_time", sa.DateTime(timezone=True)),
    sa.Column("done_time", sa.DateTime(timezone=True)),
)

# One statement for many, so that a flood costs one round trip and one flush of the log for all that came together.
_ADD: Final = sa.text(
    "INSERT INTO webhook_events (event_id, organisation_id, account_id, processor, dedupe_key, kind, state, notice, redacted, due_time,"
    " receive_time, done_time)"
    " SELECT event_id, organisation_id, account_id, processor, dedupe_key, kind, state, CAST(notice AS jsonb), redacted,"
    " CASE state WHEN 1 THEN receive_time END, receive_time, CASE state WHEN 3 THEN receive_time END"
    " FROM unnest(CAST(:event_ids AS text[]), CAST(:organisation_ids AS text[]), CAST(:account_ids AS text[]), CAST(:processors AS text[]),"
    " CAST(:dedupe_keys AS text[]), CAST(:kinds AS smallint[]), CAST(:states AS smallint[]), CAST(:notices AS text[]),"
    " CAST(:redacteds AS bytea[]), CAST(:receive_times AS timestamptz[]))"
    " AS told (event_id, organisation_id, account_id, processor, dedupe_key, kind, state, notice, redacted, receive_time)"
    " ON CONFLICT (account_id, dedupe_key) DO NOTHING"
)
_LOCK: Final = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM unnest(CAST(:keys AS text[])) AS key"
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something told just now.

    Attributes:
        state: PENDING, or DONE where it is of no consequence.
        redacted: what is kept of the delivery; empty for all but the first notice of one.
    """

    event_id: str
    organisation_id: str
    account_id: str
    processor: str
    notice: Notice
    state: EventState
    redacted: bytes = field(repr=False)
    receive_time: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something told, as it is kept."""

    event_id: str
    organisation_id: str
    account_id: str
    processor: str
    dedupe_key: str
    kind: int
    state: int
    notice: Mapping[str, Any]
    redacted: bytes = field(repr=False)
    waits_for: str
    attempts: int
    trouble: str
    due_time: datetime | None
    receive_time: datetime
    done_time: datetime | None

    def told(self) -> Notice:
        """The notice in it."""
        values = dict(self.notice)
        for name in ("amount", "fee"):
            values[name] = Amount(*values[name]) if values.get(name) else None
        occur_time = datetime.fromisoformat(values.pop("occur_time"))
        return Notice(dedupe_key=self.dedupe_key, kind=NoticeKind(self.kind), occur_time=occur_time, **values)


async def add(tx: Tx, new: Sequence[NewEvent]) -> int:
    """Keeps what is new of it; what is known by its dedupe key is left as it is. Returns how many were new."""
    columns: dict[str, list[Any]] = {
        "event_ids": [one.event_id for one in new],
        "organisation_ids": [one.organisation_id for one in new],
        "account_ids": [one.account_id for one in new],
        "processors": [one.processor for one in new],
        "dedupe_keys": [one.notice.dedupe_key for one in new],
        "kinds": [one.notice.kind.value for one in new],
        "states": [int(one.state) for one in new],
        "notices": [_written(one.notice) for one in new],
        "redacteds": [one.redacted for one in new],
        "receive_times": [one.receive_time for one in new],
    }
    return (await tx.execute(_ADD, columns)).rowcount


async def claim(tx: Tx, now: datetime) -> Event | None:
    """The next event whose turn it is, which nobody else has in hand, for as long as the transaction lasts; None when there is none."""
    query = (
        sa.select(events)
        .where(events.c.due_time <= now)
        .order_by(events.c.due_time, events.c.event_id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Event(**row._asdict())


async def lock_keys(tx: Tx, account_id: str, keys: Sequence[str]) -> None:
    """Until the transaction ends nobody else works on anything with these keys. They are sorted, so nobody waits in a ring."""
    await tx.execute(_LOCK, {"keys": [f"webhook {account_id} {key}" for key in keys]})


async def done(tx: Tx, event_id: str, remark: str, now: datetime) -> None:
    """Keeps that an event was worked on."""
    await _set(tx, event_id, state=EventState.DONE, trouble=remark, due_time=None, done_time=now, waits_for="")


async def parked(tx: Tx, event_id: str, key: str, due: datetime) -> None:
    """Keeps that an event waits, and when it is looked at again whether or not what it waits for was seen to come."""
    await _set(
        tx, event_id, state=EventState.PARKED, trouble=f"waits for {key}", waits_for=key, due_time=due, attempts=True
    )


async def failed(tx: Tx, event_id: str, trouble: str, due: datetime) -> None:
    """Keeps that a try failed, and when the next is due."""
    await _set(tx, event_id, state=EventState.PENDING, trouble=trouble, due_time=due, attempts=True, waits_for="")


async def dead(tx: Tx, event_id: str, trouble: str) -> None:
    """Keeps that an event was given up."""
    await _set(tx, event_id, state=EventState.DEAD, trouble=trouble, due_time=None, attempts=True)


async def awaken(tx: Tx, account_id: str, keys: Sequence[str], now: datetime) -> int:
    """Has everything worked on that waited for something with one of these keys. Returns how many."""
    if not keys:
        return 0
    statement = (
        sa.update(events)
        .where(
            events.c.account_id == account_id, events.c.waits_for.in_(keys), events.c.state == int(EventState.PARKED)
        )
        .values(state=int(EventState.PENDING), due_time=now, waits_for="")
    )
    return (await tx.execute(statement)).rowcount


async def retry(tx: Tx, organisation_id: str, event_id: str, now: datetime) -> Event | None:
    """Has an event worked on that was given up or waits; returns it as it is then, None when there is none."""
    query = sa.select(events).where(events.c.organisation_id == organisation_id, events.c.event_id == event_id)
    row = (await tx.execute(query.with_for_update())).one_or_none()
    if row is None:
        return None
    if row.state != EventState.DONE:
        await _set(tx, event_id, state=EventState.PENDING, due_time=now, waits_for="")
        row = (await tx.execute(query)).one()
    return Event(**row._asdict())


async def page(tx: Tx, organisation_id: str, state: int, part: Page) -> Sequence[Event]:
    """One page of an organisation's events, newest first, and one more to tell whether there is another page."""
    query = sa.select(events).where(events.c.organisation_id == organisation_id)
    if state:
        query = query.where(events.c.state == state)
    if part.after:
        query = query.where(events.c.event_id < part.after)
    rows = await tx.execute(query.order_by(events.c.event_id.desc()).limit(part.size + 1))
    return [Event(**row._asdict()) for row in rows]


async def forget_done(tx: Tx, before: datetime, kept_for: timedelta) -> int:
    """Removes what was done so long ago that no processor sends it again. Returns how many."""
    statement = sa.delete(events).where(events.c.done_time < before - kept_for)
    return (await tx.execute(statement)).rowcount


async def _set(tx: Tx, event_id: str, *, attempts: bool = False, **values: Any) -> None:
    if "state" in values:
        values["state"] = int(values["state"])
    if attempts:
        values["attempts"] = events.c.attempts + 1
    await tx.execute(sa.update(events).where(events.c.event_id == event_id).values(**values))


def _written(notice: Notice) -> str:
    kept: dict[str, Any] = {
        name: getattr(notice, name)
        for name in Notice.__slots__
        if name not in {"dedupe_key", "kind", "occur_time"} and getattr(notice, name)
    }
    kept["occur_time"] = notice.occur_time.isoformat()
    return json.dumps(kept)
