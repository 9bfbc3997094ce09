"""Tables of signals, of scores, and of when people signed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.kit.database import Tx, any_of
from services.kit.pagination import Page
from services.policy import store as sessions_store
from services.policy.domain import Session
from services.policy.signals.score import FORGOTTEN_BELOW, Risk

_METADATA: Final = sa.MetaData()
_RISK_LOCK: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('risk:' || :organisation_id || ':' || :viewer_id, 0))"
)


@dataclass(frozen=True, slots=True)
class Signal:
    """A finding as it is kept.

    Attributes:
        viewer_id: the session where the viewer is not known.
        kind: a `SignalKind`.
        clear_time: None while it counts.
    """

    signal_id: str
    organisation_id: str
    viewer_id: str
    session_id: str
    kind: int
    weight: int
    explanation: str
    facts: Mapping[str, str]
    observe_time: datetime
    clear_time: datetime | None = None


signals: Final = sa.Table(
    "signals",
    _METADATA,
    sa.Column("signal_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("session_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("weight", sa.SmallInteger),
    sa.Column("explanation", sa.Text),
    sa.Column("facts", JSONB),
    sa.Column("observe_time", sa.DateTime(timezone=True)),
    sa.Column("clear_time", sa.DateTime(timezone=True)),
)
risks: Final = sa.Table(
    "viewer_risks",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("viewer_id", sa.Text, primary_key=True),
    sa.Column("score", sa.Float),
    sa.Column("score_time", sa.DateTime(timezone=True)),
    sa.Column("half_life_seconds", sa.Float),
    sa.Column("warn_time", sa.DateTime(timezone=True)),
    sa.Column("step_up_time", sa.DateTime(timezone=True)),
    sa.Column("throttle_time", sa.DateTime(timezone=True)),
    sa.Column("refuse_time", sa.DateTime(timezone=True)),
    sa.Column("throttle_until", sa.DateTime(timezone=True)),
)
sign_ins: Final = sa.Table(
    "sign_ins",
    _METADATA,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("sign_in_time", sa.DateTime(timezone=True)),
)
_SIGNAL: Final = [signals.c[field.name] for field in fields(Signal)]
_RISK: Final = [risks.c[field.name] for field in fields(Risk)]
_RISKS: Final = sa.select(*_RISK).where(
    risks.c.organisation_id == any_of("organisation_ids"), risks.c.viewer_id == any_of("viewer_ids")
)
_SIGN_INS: Final = sa.select(sign_ins).where(sign_ins.c.account_id == any_of("account_ids"))


async def add(tx: Tx, found: Sequence[Signal]) -> None:
    """Keeps signals."""
    await tx.execute(sa.insert(signals), [asdict(signal) for signal in found])


async def page(tx: Tx, organisation_id: str, part: Page, *, viewer_id: str, session_id: str) -> Sequence[Signal]:
    """One page of an organisation's signals, newest first, and one more to tell whether there is another page."""
    query = sa.select(*_SIGNAL).where(signals.c.organisation_id == organisation_id)
    if viewer_id:
        query = query.where(signals.c.viewer_id == viewer_id)
    if session_id:
        query = query.where(signals.c.session_id == session_id)
    if part.after:
        query = query.where(signals.c.signal_id < part.after)
    rows = await tx.execute(query.order_by(signals.c.signal_id.desc()).limit(part.size + 1))
    return [Signal(**row._asdict()) for row in rows]


async def counting(tx: Tx, organisation_id: str, viewer_id: str, most: int) -> Sequence[Signal]:
    """Signals of a viewer that were not set back, newest first."""
    query = sa.select(*_SIGNAL).where(
        signals.c.organisation_id == organisation_id,
        signals.c.viewer_id == viewer_id,
        signals.c.clear_time.is_(None),
    )
    rows = await tx.execute(query.order_by(signals.c.signal_id.desc()).limit(most))
    return [Signal(**row._asdict()) for row in rows]


async def clear(tx: Tx, organisation_id: str, viewer_id: str, now: datetime) -> None:
    """Sets all signals of a viewer back."""
    await tx.execute(
        sa.update(signals)
        .where(
            signals.c.organisation_id == organisation_id,
            signals.c.viewer_id == viewer_id,
            signals.c.clear_time.is_(None),
        )
        .values(clear_time=now)
    )


async def locked_risk(tx: Tx, organisation_id: str, viewer_id: str) -> Risk | None:
    """The score of a viewer, whether there is one or not yet; nobody else changes it until the transaction ends."""
    await tx.execute(sa.text(_RISK_LOCK), {"organisation_id": organisation_id, "viewer_id": viewer_id})
    return await risk_of(tx, organisation_id, viewer_id)


async def risk_of(tx: Tx, organisation_id: str, viewer_id: str) -> Risk | None:
    """The score of a viewer; None where nothing was found."""
    query = sa.select(*_RISK).where(risks.c.organisation_id == organisation_id, risks.c.viewer_id == viewer_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Risk(**row._asdict())


async def risks_of(
    tx: Tx, organisation_ids: Sequence[str], viewer_ids: Sequence[str]
) -> Mapping[tuple[str, str], Risk]:
    """The scores of viewers of whom anything was found, by organisation and viewer."""
    asked = {"organisation_ids": list(organisation_ids), "viewer_ids": list(viewer_ids)}
    found = [Risk(**row._asdict()) for row in await tx.execute(_RISKS, asked)]
    return {(risk.organisation_id, risk.viewer_id): risk for risk in found}


async def put_risk(tx: Tx, risk: Risk) -> None:
    """Keeps a score."""
    values = asdict(risk)
    await tx.execute(
        insert(risks)
        .values(**values)
        .on_conflict_do_update(index_elements=["organisation_id", "viewer_id"], set_=values)
    )


async def throttled_sessions(tx: Tx, now: datetime) -> Sequence[str]:
    """Running sessions that are slowed down, newest first."""
    table = sessions_store.sessions
    slow = sa.and_(
        risks.c.throttle_until > now,
        table.c.organisation_id == risks.c.organisation_id,
        table.c.revoke_time.is_(None),
        table.c.expire_time > now,
    )
    named = sa.select(table.c.session_id).where(slow, table.c.viewer_id == risks.c.viewer_id)
    unnamed = sa.select(table.c.session_id).where(slow, table.c.session_id == risks.c.viewer_id)
    both = sa.union(named, unnamed).subquery()
    return list((await tx.execute(sa.select(both.c.session_id).order_by(both.c.session_id.desc()))).scalars())


async def end_sessions(tx: Tx, organisation_id: str, viewer_id: str, now: datetime, comment: str) -> Sequence[Session]:
    """Revokes every running session of a viewer, and returns them as they are then."""
    table = sessions_store.sessions
    statement = (
        sa.update(table)
        .where(
            table.c.organisation_id == organisation_id,
            sa.or_(table.c.viewer_id == viewer_id, sa.and_(table.c.viewer_id == "", table.c.session_id == viewer_id)),
            table.c.revoke_time.is_(None),
            table.c.expire_time > now,
        )
        .values(revoke_time=now, revoke_comment=comment, change_time=sa.func.now())
        .returning(*sessions_store.SESSION)
    )
    return [sessions_store.session_of(row) for row in await tx.execute(statement)]


async def keep_sign_in(tx: Tx, account_id: str, moment: datetime) -> None:
    """Keeps when a person signed in, unless something later is known."""
    await tx.execute(
        insert(sign_ins)
        .values(account_id=account_id, sign_in_time=moment)
        .on_conflict_do_update(
            index_elements=["account_id"],
            set_={"sign_in_time": moment},
            where=sign_ins.c.sign_in_time < moment,
        )
    )


async def sign_ins_of(tx: Tx, account_ids: Sequence[str]) -> Mapping[str, datetime]:
    """When people last signed in, where it is known and not long ago."""
    rows = await tx.execute(_SIGN_INS, {"account_ids": list(account_ids)})
    return {row.account_id: row.sign_in_time for row in rows}


async def forget(tx: Tx, now: datetime, *, signals_before: datetime, sign_ins_before: datetime) -> None:
    """Removes old signals and sign-ins, and scores that are as good as none."""
    await tx.execute(sa.delete(signals).where(signals.c.observe_time < signals_before))
    await tx.execute(sa.delete(sign_ins).where(sign_ins.c.sign_in_time < sign_ins_before))
    age = sa.func.extract("epoch", sa.literal(now, sa.DateTime(timezone=True)) - risks.c.score_time)
    left = risks.c.score * sa.func.power(0.5, sa.func.least(age / risks.c.half_life_seconds, 1000))
    await tx.execute(sa.delete(risks).where(left < FORGOTTEN_BELOW))
