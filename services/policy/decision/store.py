"""Tables of terms, facts about viewers, rules and decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from services.kit.database import Tx, any_of
from services.kit.pagination import Page, number_of
from services.policy.decision.facts import OPEN_TERMS, AgeProof, Consent, Entitlement, Terms
from services.policy.decision.record import Record, terms_as_json, terms_from_json

_METADATA: Final = sa.MetaData()

terms: Final = sa.Table(
    "terms",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("terms", JSONB),
)
accounts: Final = sa.Table(
    "accounts",
    _METADATA,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("tier", sa.Text),
    sa.Column("locked", sa.Boolean),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
entitlements: Final = sa.Table(
    "entitlements",
    _METADATA,
    sa.Column("entitlement_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("asset_id", sa.Text),
    sa.Column("start_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("territories", ARRAY(sa.Text, as_tuple=True)),
    sa.Column("revoked", sa.Boolean),
    sa.Column("event_time", sa.DateTime(timezone=True)),
    sa.Column("max_plays", sa.Integer),
    sa.Column("begin_by_time", sa.DateTime(timezone=True)),
    sa.Column("watch", sa.Interval),
    sa.Column("plays", sa.Integer),
    sa.Column("begin_time", sa.DateTime(timezone=True)),
)
age_proofs: Final = sa.Table(
    "age_proofs",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("viewer_id", sa.Text, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("threshold", sa.SmallInteger),
    sa.Column("device_id", sa.Text),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
consents: Final = sa.Table(
    "consents",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("state", sa.SmallInteger),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
consent_requirements: Final = sa.Table(
    "consent_requirements",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("required", sa.Boolean),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
rule_sets: Final = sa.Table(
    "rule_sets",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("rules", sa.LargeBinary),
    sa.Column("comment", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("activate_time", sa.DateTime(timezone=True)),
)
active_rule_sets: Final = sa.Table(
    "active_rule_sets",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)
decisions: Final = sa.Table(
    "decisions",
    _METADATA,
    sa.Column("decision_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("allowed", sa.Boolean),
    sa.Column("reason", sa.Text),
    sa.Column("lifted_by", sa.Text),
    sa.Column("rule_set_version", sa.BigInteger),
    sa.Column("asset_id", sa.Text),
    sa.Column("session_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("correlation_id", sa.Text),
    sa.Column("decide_time", sa.DateTime(timezone=True)),
    sa.Column("facts", JSONB),
    sa.Column("results", JSONB),
)
# Asked for each batch of sessions that are looked up, so put together once.
# Both in one, because it is asked for each session that is opened: the states of assets, and 0 for each organisation that requires records.
_CONSENTS: Final = sa.union_all(
    sa.select(consents.c.asset_id.label("name"), consents.c.state).where(consents.c.asset_id == any_of("asset_ids")),
    sa.select(consent_requirements.c.organisation_id, sa.literal(0)).where(
        consent_requirements.c.organisation_id == any_of("organisation_ids"), consent_requirements.c.required
    ),
)
_ACCOUNTS: Final = sa.select(accounts.c.account_id, accounts.c.tier, accounts.c.locked).where(
    accounts.c.account_id == any_of("account_ids")
)
_ENTITLEMENTS: Final = (
    sa.select(entitlements)
    .where(
        entitlements.c.organisation_id == any_of("organisation_ids"),
        entitlements.c.viewer_id == any_of("viewer_ids"),
        entitlements.c.asset_id == any_of("asset_ids"),
        entitlements.c.revoked.is_(False),
    )
    .order_by(entitlements.c.entitlement_id)
)
_ENTITLEMENT: Final = tuple(field.name for field in fields(Entitlement))
_AGE_PROOFS: Final = sa.select(age_proofs).where(
    age_proofs.c.organisation_id == any_of("organisation_ids"),
    age_proofs.c.viewer_id == any_of("viewer_ids"),
)
ALL_METHODS: Final = "*"
"""Method of the row that says when all that a viewer proved was taken back."""
_ACTIVE_RULES: Final = (
    sa.select(rule_sets)
    .join(
        active_rule_sets,
        sa.and_(
            active_rule_sets.c.organisation_id == rule_sets.c.organisation_id,
            active_rule_sets.c.version == rule_sets.c.version,
        ),
    )
    .where(rule_sets.c.organisation_id == any_of("organisation_ids"))
)
_RECORD: Final = [decisions.c[field.name] for field in fields(Record)]
_RULES_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('rule_sets:' || :organisation_id, 0))"


@dataclass(frozen=True, slots=True)
class KeptRules:
    """A set of rules as it is kept.

    Attributes:
        rules: a serialized `RuleSet` with its rules alone.
        active: whether it decides now.
    """

    organisation_id: str
    version: int
    rules: bytes
    comment: str
    create_time: datetime
    activate_time: datetime | None
    active: bool


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """What identity announced of an account."""

    tier: str
    locked: bool


async def terms_of(tx: Tx, asset_id: str, *, for_update: bool = False) -> tuple[Terms, int]:
    """The terms of an asset with their version; open ones, version 0, where nobody set any."""
    query = sa.select(terms.c.terms, terms.c.version).where(terms.c.asset_id == asset_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return (OPEN_TERMS, 0) if row is None else (terms_from_json(row.terms), row.version)


async def put_terms(tx: Tx, asset_id: str, organisation_id: str, found: Terms, version: int) -> None:
    """Keeps the terms of an asset."""
    values = {"version": version, "terms": terms_as_json(found)}
    await tx.execute(
        insert(terms)
        .values(asset_id=asset_id, organisation_id=organisation_id, **values)
        .on_conflict_do_update(index_elements=["asset_id"], set_=values)
    )


async def accounts_of(tx: Tx, account_ids: Sequence[str]) -> Mapping[str, KnownAccount]:
    """What is known of accounts, of those that are ours."""
    rows = await tx.execute(_ACCOUNTS, {"account_ids": list(account_ids)})
    return {row.account_id: KnownAccount(row.tier, row.locked) for row in rows}


async def keep_account(tx: Tx, account_id: str, known: KnownAccount, moment: datetime) -> None:
    """Keeps what was announced of an account, unless something later is known."""
    await _keep_later(tx, accounts, {"account_id": account_id}, {"tier": known.tier, "locked": known.locked}, moment)


async def entitlements_of(
    tx: Tx, organisation_ids: Sequence[str], viewer_ids: Sequence[str], asset_ids: Sequence[str]
) -> Mapping[tuple[str, str], Sequence[Entitlement]]:
    """What viewers may watch any of the assets by, now or at another time, by organisation and viewer. An entitlement may be for another
    of the assets than its viewer watches."""
    asked = {"organisation_ids": list(organisation_ids), "viewer_ids": list(viewer_ids), "asset_ids": ["", *asset_ids]}
    found: dict[tuple[str, str], list[Entitlement]] = {}
    for row in await tx.execute(_ENTITLEMENTS, asked):
        granted = Entitlement(*(getattr(row, name) for name in _ENTITLEMENT))
        found.setdefault((row.organisation_id, row.viewer_id), []).append(granted)
    return found


async def take_play(tx: Tx, entitlement_id: str, now: datetime) -> tuple[int, datetime] | None:
    """Counts one more play of a limited entitlement; the first begins its window. Returns how many there are then, and when the first one began;
    None when somebody else was quicker and there is nothing left to take. Of two who ask at once the second waits here for the first."""
    table = entitlements.c
    begun = sa.or_(table.watch.is_(None), table.begin_time + table.watch > now)
    not_late = sa.or_(table.begin_by_time.is_(None), table.begin_by_time > now)
    statement = (
        sa.update(entitlements)
        .where(
            table.entitlement_id == entitlement_id,
            table.revoked.is_(False),
            sa.or_(table.max_plays == 0, table.plays < table.max_plays),
            sa.case((table.begin_time.is_(None), not_late), else_=begun),
        )
        .values(plays=table.plays + 1, begin_time=sa.func.coalesce(table.begin_time, now))
        .returning(table.plays, table.begin_time)
    )
    row = (await tx.execute(statement)).one_or_none()
    return None if row is None else (row.plays, row.begin_time)


async def keep_entitlement(
    tx: Tx, organisation_id: str, viewer_id: str, granted: Entitlement, moment: datetime
) -> None:
    """Keeps an entitlement, unless something later is known of it. What was used of it stays used."""
    values = {
        "organisation_id": organisation_id,
        "viewer_id": viewer_id,
        "asset_id": granted.asset_id,
        "start_time": granted.start_time,
        "end_time": granted.end_time,
        "territories": granted.territories,
        "revoked": False,
        "max_plays": granted.max_plays,
        "begin_by_time": granted.begin_by_time,
        "watch": granted.watch,
    }
    await _keep_later(tx, entitlements, {"entitlement_id": granted.entitlement_id}, values, moment)


async def end_entitlement(tx: Tx, entitlement_id: str, organisation_id: str, viewer_id: str, moment: datetime) -> None:
    """Keeps that an entitlement ended, also when it was not heard of yet: events come in any order."""
    values = {
        "organisation_id": organisation_id,
        "viewer_id": viewer_id,
        "asset_id": "",
        "territories": (),
        "revoked": True,
    }
    await _keep_later(tx, entitlements, {"entitlement_id": entitlement_id}, values, moment)


async def age_proofs_of(
    tx: Tx, organisation_ids: Sequence[str], viewer_ids: Sequence[str]
) -> Mapping[tuple[str, str], Sequence[AgeProof]]:
    """What viewers proved of their age, by organisation and viewer; nothing that was taken back since."""
    asked = {"organisation_ids": list(organisation_ids), "viewer_ids": list(viewer_ids)}
    rows = (await tx.execute(_AGE_PROOFS, asked)).all()
    since = {(row.organisation_id, row.viewer_id): row.event_time for row in rows if row.method == ALL_METHODS}
    found: dict[tuple[str, str], list[AgeProof]] = {}
    for row in rows:
        person = (row.organisation_id, row.viewer_id)
        if row.threshold and (person not in since or row.event_time > since[person]):
            proof = AgeProof(row.threshold, row.expire_time, row.method, row.event_time, row.device_id)
            found.setdefault(person, []).append(proof)
    return found


async def keep_age_proof(tx: Tx, organisation_id: str, viewer_id: str, proof: AgeProof, moment: datetime) -> None:
    """Keeps what a viewer proved by a method, unless something later is known; threshold 0 for what is not good any more, by this method or by
    `ALL_METHODS`."""
    key = {"organisation_id": organisation_id, "viewer_id": viewer_id, "method": proof.method}
    values = {"threshold": proof.threshold, "expire_time": proof.expire_time, "device_id": proof.device_id}
    await _keep_later(tx, age_proofs, key, values, moment)


async def forget_age_proofs(tx: Tx, before: datetime) -> None:
    """Removes what viewers proved that ended, or was taken back, before a moment."""
    await tx.execute(sa.delete(age_proofs).where(age_proofs.c.expire_time < before, age_proofs.c.event_time < before))


@dataclass(frozen=True, slots=True)
class Consents:
    """How the consent of those seen in assets stands, where something was announced, and which organisations require it of all of theirs."""

    states: Mapping[str, Consent]
    requiring: frozenset[str]


async def consents_of(tx: Tx, asset_ids: Sequence[str], organisation_ids: Sequence[str]) -> Consents:
    """What is known of the consent of those seen in assets."""
    names = {"asset_ids": list(asset_ids), "organisation_ids": list(organisation_ids)}
    rows = (await tx.execute(_CONSENTS, names)).all()
    states = {row.name: Consent(row.state) for row in rows if row.state}
    return Consents(states, frozenset(row.name for row in rows if not row.state))


async def keep_consent(tx: Tx, asset_id: str, organisation_id: str, state: int, moment: datetime) -> None:
    """Keeps how consent stands, unless something later is known."""
    values = {"organisation_id": organisation_id, "state": state}
    await _keep_later(tx, consents, {"asset_id": asset_id}, values, moment)


async def consent_of(tx: Tx, asset_id: str) -> Consent | None:
    """How the consent of those seen in an asset stands; None when nothing was announced."""
    state = (await tx.execute(sa.select(consents.c.state).where(consents.c.asset_id == asset_id))).scalar_one_or_none()
    return None if state is None else Consent(state)


async def keep_consent_requirement(tx: Tx, organisation_id: str, moment: datetime, *, required: bool) -> None:
    """Keeps whether an organisation requires consent for all of its assets, unless something later is known."""
    key = {"organisation_id": organisation_id}
    await _keep_later(tx, consent_requirements, key, {"required": required}, moment)


async def _keep_later(tx: Tx, table: sa.Table, key: dict[str, str], values: dict[str, Any], moment: datetime) -> None:
    statement = insert(table).values(**key, **values, event_time=moment)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=list(key), set_={**values, "event_time": moment}, where=table.c.event_time <= moment
        )
    )


async def active_version(tx: Tx, organisation_id: str) -> int:
    """Version of the rules that decide now; 0 for those that every organisation begins with."""
    query = sa.select(active_rule_sets.c.version).where(active_rule_sets.c.organisation_id == organisation_id)
    return (await tx.execute(query)).scalar_one_or_none() or 0


async def rules_of(tx: Tx, organisation_id: str, version: int | None = None) -> KeptRules | None:
    """A set of rules, the active one when no version is named; None for version 0, and where there is none."""
    active = await active_version(tx, organisation_id)
    query = sa.select(rule_sets).where(
        rule_sets.c.organisation_id == organisation_id,
        rule_sets.c.version == (active if version is None else version),
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else KeptRules(**row._asdict(), active=row.version == active)


async def active_rules(tx: Tx, organisation_ids: Sequence[str]) -> Mapping[str, KeptRules]:
    """The rules that decide now for organisations, where they have others than those that every organisation begins with."""
    rows = await tx.execute(_ACTIVE_RULES, {"organisation_ids": list(organisation_ids)})
    return {row.organisation_id: KeptRules(**row._asdict(), active=True) for row in rows}


async def rules_page(tx: Tx, organisation_id: str, part: Page) -> Sequence[KeptRules]:
    """One page of an organisation's sets of rules, newest first, and one more to tell whether there is another page."""
    active = await active_version(tx, organisation_id)
    query = sa.select(rule_sets).where(rule_sets.c.organisation_id == organisation_id)
    if part.after:
        query = query.where(rule_sets.c.version < number_of(part.after))
    rows = await tx.execute(query.order_by(rule_sets.c.version.desc()).limit(part.size + 1))
    return [KeptRules(**row._asdict(), active=row.version == active) for row in rows]


async def add_rules(tx: Tx, organisation_id: str, rules: bytes, comment: str, now: datetime) -> int:
    """Keeps a new set of rules. Returns its version: one more than the newest."""
    await tx.execute(sa.text(_RULES_LOCK), {"organisation_id": organisation_id})
    newest = sa.select(sa.func.max(rule_sets.c.version)).where(rule_sets.c.organisation_id == organisation_id)
    version = ((await tx.execute(newest)).scalar_one_or_none() or 0) + 1
    await tx.execute(
        sa.insert(rule_sets).values(
            organisation_id=organisation_id, version=version, rules=rules, comment=comment, create_time=now
        )
    )
    return version


async def activate_rules(tx: Tx, organisation_id: str, version: int, now: datetime) -> None:
    """Lets a set of rules decide."""
    await tx.execute(sa.text(_RULES_LOCK), {"organisation_id": organisation_id})
    await tx.execute(
        sa.update(rule_sets)
        .where(rule_sets.c.organisation_id == organisation_id, rule_sets.c.version == version)
        .values(activate_time=now)
    )
    await tx.execute(
        insert(active_rule_sets)
        .values(organisation_id=organisation_id, version=version)
        .on_conflict_do_update(
            index_elements=["organisation_id"], set_={"version": version, "change_time": sa.func.now()}
        )
    )


async def add_decisions(tx: Tx, records: Sequence[Record]) -> None:
    """Keeps decisions."""
    if records:
        await tx.execute(sa.insert(decisions), [asdict(record) for record in records])


async def find_decision(tx: Tx, organisation_id: str, decision_id: str) -> Record | None:
    """One decision of an organisation; None when there is none."""
    query = sa.select(*_RECORD).where(
        decisions.c.organisation_id == organisation_id, decisions.c.decision_id == decision_id
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Record(**row._asdict())


async def decisions_page(
    tx: Tx,
    organisation_id: str,
    part: Page,
    *,
    session_id: str,
    correlation_id: str,
    viewer_id: str,
    refused_only: bool,
) -> Sequence[Record]:
    """One page of an organisation's decisions, newest first, and one more to tell whether there is another page."""
    query = sa.select(*_RECORD).where(decisions.c.organisation_id == organisation_id)
    if session_id:
        query = query.where(decisions.c.session_id == session_id)
    if correlation_id:
        query = query.where(decisions.c.correlation_id == correlation_id)
    if viewer_id:
        query = query.where(decisions.c.viewer_id == viewer_id)
    if refused_only:
        query = query.where(decisions.c.allowed.is_(False))
    if part.after:
        query = query.where(decisions.c.decision_id < part.after)
    rows = await tx.execute(query.order_by(decisions.c.decision_id.desc()).limit(part.size + 1))
    return [Record(**row._asdict()) for row in rows]


async def decisions_between(
    tx: Tx, organisation_id: str, period: tuple[datetime, datetime], after: str, most: int
) -> Sequence[Record]:
    """The next decisions of a period in order of their ids, to be replayed part by part."""
    query = (
        sa.select(*_RECORD)
        .where(
            decisions.c.organisation_id == organisation_id,
            decisions.c.decide_time >= period[0],
            decisions.c.decide_time < period[1],
            decisions.c.decision_id > after,
        )
        .order_by(decisions.c.decision_id)
        .limit(most)
    )
    return [Record(**row._asdict()) for row in await tx.execute(query)]


async def forget_decisions(tx: Tx, before: datetime) -> None:
    """Removes decisions of before a moment."""
    await tx.execute(sa.delete(decisions).where(decisions.c.decide_time < before))
