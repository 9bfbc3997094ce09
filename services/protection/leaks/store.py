"""Keeps cases, evidence, actions, strikes and crawlers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.pagination import Page
from services.protection.leaks import refusals
from services.protection.leaks.domain import (
    HAPPENED,
    Action,
    ActionKind,
    ActionState,
    Case,
    CaseState,
    Decision,
    Evidence,
    EvidenceKind,
    Source,
)
from services.protection.leaks.tables import actions, cases, crawlers, evidence, findings, strikes

MOST_ACTIONS: Final = 200
"""Shown of one case; a search accuses a handful."""


@dataclass(frozen=True, slots=True)
class Crawler:
    """A program that may post findings, by its public Ed25519 key."""

    crawler_id: str
    organisation_id: str
    display_name: str
    public_key: bytes
    create_time: datetime
    disable_time: datetime | None = None


# Cases.


async def add_case(tx: Tx, case: Case) -> None:
    """Keeps a new case."""
    await tx.execute(sa.insert(cases).values(**_plain(case)))


async def put_case(tx: Tx, case: Case) -> None:
    """Keeps the next state of a case."""
    await tx.execute(sa.update(cases).where(cases.c.case_id == case.case_id).values(**_plain(case)))


async def case_of(tx: Tx, organisation_id: str, case_id: str, *, for_update: bool = False) -> Case:
    """One case of an organisation.

    Raises:
        Refusal: LEAK_CASE_NOT_FOUND.
    """
    query = sa.select(cases).where(cases.c.organisation_id == organisation_id, cases.c.case_id == case_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise refusals.case_not_found(case_id)
    return _case(row)


async def page_of_cases(tx: Tx, organisation_id: str, state: CaseState | None, part: Page) -> Sequence[Case]:
    """One page of an organisation's cases, newest first, and one more to tell whether there is another page."""
    query = sa.select(cases).where(cases.c.organisation_id == organisation_id)
    if state is not None:
        query = query.where(cases.c.state == int(state))
    if part.after:
        query = query.where(cases.c.case_id < part.after)
    return [_case(row) for row in await tx.execute(query.order_by(cases.c.case_id.desc()).limit(part.size + 1))]


# Evidence.


async def add_evidence(tx: Tx, one: Evidence) -> None:
    """Keeps what was preserved. There is no way to change it."""
    await tx.execute(sa.insert(evidence).values(**_plain(one)))


async def evidence_of_case(tx: Tx, case_id: str) -> Sequence[Evidence]:
    """All evidence of a case, in the order in which it came."""
    query = sa.select(evidence).where(evidence.c.case_id == case_id).order_by(evidence.c.evidence_id)
    return [_evidence(row) for row in await tx.execute(query)]


async def evidence_of(tx: Tx, organisation_id: str, evidence_id: str) -> Evidence:
    """One piece of an organisation's evidence.

    Raises:
        Refusal: LEAK_EVIDENCE_NOT_FOUND.
    """
    mine = evidence.c.organisation_id == organisation_id
    row = (await tx.execute(sa.select(evidence).where(mine, evidence.c.evidence_id == evidence_id))).one_or_none()
    if row is None:
        raise refusals.evidence_not_found(evidence_id)
    return _evidence(row)


async def evidence_by_detection(tx: Tx, detection_id: str) -> Evidence | None:
    """The film that a search looks at; None when it is of no case."""
    row = (await tx.execute(sa.select(evidence).where(evidence.c.detection_id == detection_id))).one_or_none()
    return None if row is None else _evidence(row)


# Actions.


async def add_action(tx: Tx, action: Action) -> bool:
    """Keeps a proposal. Returns whether it is new: of each kind there is one for a session in a case."""
    made = await tx.execute(
        insert(actions)
        .values(**_action_row(action))
        .on_conflict_do_nothing(index_elements=["case_id", "session_id", "kind"])
        .returning(actions.c.action_id)
    )
    return made.one_or_none() is not None


async def put_action(tx: Tx, action: Action) -> None:
    """Keeps the next state of an action."""
    await tx.execute(sa.update(actions).where(actions.c.action_id == action.action_id).values(**_action_row(action)))


async def action_of(tx: Tx, organisation_id: str, action_id: str) -> Action:
    """One action of an organisation, locked, and its case before it: what is decided in one case is decided one after the other.

    Raises:
        Refusal: LEAK_ACTION_NOT_FOUND.
    """
    mine = (actions.c.organisation_id == organisation_id) & (actions.c.action_id == action_id)
    whose = sa.select(actions.c.case_id).where(mine).scalar_subquery()
    await tx.execute(sa.select(cases.c.case_id).where(cases.c.case_id == whose).with_for_update())
    query = sa.select(actions).where(mine).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise refusals.action_not_found(action_id)
    return _action(row)


async def own_action(tx: Tx, viewer_id: str, action_id: str) -> Action:
    """One action that hit a viewer and that they may see, locked.

    Raises:
        Refusal: LEAK_ACTION_NOT_FOUND.
    """
    theirs = (actions.c.viewer_id == viewer_id) & actions.c.state.in_([int(one) for one in HAPPENED])
    query = sa.select(actions).where(theirs, actions.c.action_id == action_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise refusals.action_not_found(action_id)
    return _action(row)


async def page_of_own_actions(tx: Tx, viewer_id: str, part: Page) -> Sequence[Action]:
    """One page of what was done to a viewer, newest first, and one more."""
    query = sa.select(actions).where(
        actions.c.viewer_id == viewer_id, actions.c.state.in_([int(one) for one in HAPPENED])
    )
    if part.after:
        query = query.where(actions.c.action_id < part.after)
    rows = await tx.execute(query.order_by(actions.c.action_id.desc()).limit(part.size + 1))
    return [_action(row) for row in rows]


async def actions_of_case(tx: Tx, case_id: str, *, for_update: bool = False) -> Sequence[Action]:
    """What is proposed or done in a case."""
    query = sa.select(actions).where(actions.c.case_id == case_id).order_by(actions.c.action_id).limit(MOST_ACTIONS)
    return [_action(row) for row in await tx.execute(query.with_for_update() if for_update else query)]


async def waiting_for_effect(
    tx: Tx, organisation_id: str, *, session_id: str = "", revocation_id: str = ""
) -> Sequence[Action]:
    """Approved actions of which it is not known yet that they hold, locked, for a session or a revocation."""
    which = actions.c.revocation_id == revocation_id
    if session_id:
        which = (actions.c.session_id == session_id) & (actions.c.kind == int(ActionKind.REVOKE_SESSION))
    query = sa.select(actions).where(
        which,
        actions.c.organisation_id == organisation_id,
        actions.c.state == int(ActionState.APPROVED),
        actions.c.effect_time.is_(None),
    )
    return [_action(row) for row in await tx.execute(query.with_for_update())]


async def over(tx: Tx, now: datetime, limit: int = 100) -> Sequence[Action]:
    """Blocks whose end has come, locked."""
    query = sa.select(actions).where(actions.c.state == int(ActionState.APPROVED), actions.c.end_time <= now)
    return [_action(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


# Strikes.


async def strike(tx: Tx, action: Action, now: datetime, expire_time: datetime) -> None:
    """Counts a case against its viewer, once."""
    await tx.execute(
        insert(strikes)
        .values(
            case_id=action.case_id,
            viewer_id=action.viewer_id,
            organisation_id=action.organisation_id,
            create_time=now,
            expire_time=expire_time,
        )
        .on_conflict_do_nothing(index_elements=["case_id", "viewer_id"])
    )


async def strike_out(tx: Tx, case_id: str, viewer_id: str) -> None:
    """Does not count a case any more."""
    await tx.execute(sa.delete(strikes).where(strikes.c.case_id == case_id, strikes.c.viewer_id == viewer_id))


async def strikes_of(
    tx: Tx, organisation_id: str, viewer_ids: Sequence[str], now: datetime, *, but_for: str
) -> dict[str, int]:
    """How many strikes viewers have that count, but for those of one case."""
    query = (
        sa.select(strikes.c.viewer_id, sa.func.count())
        .where(
            strikes.c.organisation_id == organisation_id,
            strikes.c.viewer_id.in_(viewer_ids),
            strikes.c.expire_time > now,
            strikes.c.case_id != but_for,
        )
        .group_by(strikes.c.viewer_id)
    )
    return {row[0]: row[1] for row in await tx.execute(query)}


async def forget_strikes(tx: Tx, now: datetime) -> None:
    """Forgets strikes that do not count any more."""
    await tx.execute(sa.delete(strikes).where(strikes.c.expire_time <= now))


# Crawlers.


async def add_crawler(tx: Tx, crawler: Crawler) -> None:
    """Lets a crawler in."""
    await tx.execute(sa.insert(crawlers).values(**_plain(crawler)))


async def crawler_of(tx: Tx, organisation_id: str, crawler_id: str) -> Crawler:
    """One crawler of an organisation, locked.

    Raises:
        Refusal: LEAK_CRAWLER_NOT_FOUND.
    """
    mine = crawlers.c.organisation_id == organisation_id
    query = sa.select(crawlers).where(mine, crawlers.c.crawler_id == crawler_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise refusals.crawler_not_found(crawler_id)
    return Crawler(**row._asdict())


async def crawler(tx: Tx, crawler_id: str) -> Crawler | None:
    """A crawler of whichever organisation."""
    row = (await tx.execute(sa.select(crawlers).where(crawlers.c.crawler_id == crawler_id))).one_or_none()
    return None if row is None else Crawler(**row._asdict())


async def page_of_crawlers(tx: Tx, organisation_id: str, part: Page) -> Sequence[Crawler]:
    """One page of an organisation's crawlers, newest first, and one more."""
    query = sa.select(crawlers).where(crawlers.c.organisation_id == organisation_id)
    if part.after:
        query = query.where(crawlers.c.crawler_id < part.after)
    rows = await tx.execute(query.order_by(crawlers.c.crawler_id.desc()).limit(part.size + 1))
    return [Crawler(**row._asdict()) for row in rows]


async def disable_crawler(tx: Tx, crawler: Crawler, now: datetime) -> Crawler:
    """Shuts a crawler out."""
    if crawler.disable_time is not None:
        return crawler
    after = replace(crawler, disable_time=now)
    await tx.execute(sa.update(crawlers).where(crawlers.c.crawler_id == crawler.crawler_id).values(disable_time=now))
    return after


async def earlier_finding(tx: Tx, crawler_id: str, finding_id: str) -> str | None:
    """The case that a finding made when it was posted before. Posts of one finding are put in a row."""
    key = sa.func.hashtextextended(f"leak finding {crawler_id} {finding_id}", 0)
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
    query = sa.select(findings.c.case_id).where(
        findings.c.crawler_id == crawler_id, findings.c.finding_id == finding_id
    )
    found: str | None = (await tx.execute(query)).scalar_one_or_none()
    return found


async def add_finding(tx: Tx, crawler_id: str, finding_id: str, case_id: str, now: datetime) -> None:
    """Notes that a finding was posted."""
    values = {"crawler_id": crawler_id, "finding_id": finding_id, "case_id": case_id, "create_time": now}
    await tx.execute(sa.insert(findings).values(**values))


def _plain(one: Case | Evidence | Crawler) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one)}


def _case(row: sa.Row[tuple[Any, ...]]) -> Case:
    values = row._asdict()
    return Case(**{**values, "state": CaseState(values["state"]), "source": Source(values["source"])})


def _evidence(row: sa.Row[tuple[Any, ...]]) -> Evidence:
    values = row._asdict()
    return Evidence(**{**values, "kind": EvidenceKind(values["kind"])})


def _action_row(action: Action) -> dict[str, Any]:
    values = {field.name: getattr(action, field.name) for field in fields(action)}
    return {**values, "decisions": [one.row() for one in action.decisions]}


def _action(row: sa.Row[tuple[Any, ...]]) -> Action:
    values = row._asdict()
    known = {
        "kind": ActionKind(values["kind"]),
        "state": ActionState(values["state"]),
        "decisions": tuple(Decision.of(one) for one in values["decisions"]),
    }
    return Action(**{**values, **known})
