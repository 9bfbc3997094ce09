"""Tables of licences: policies, issues, offline licences, and how far journals were drained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from reelmesh.drm.v1 import events_pb2
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()
_TIME: Final = sa.DateTime(timezone=True)

policies: Final = sa.Table(
    "licence_policies",
    _METADATA,
    sa.Column("position", sa.BigInteger),
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("policy", JSONB),
    sa.Column("author", sa.Text),
    sa.Column("create_time", _TIME),
)

licences: Final = sa.Table(
    "licences",
    _METADATA,
    sa.Column("licence_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("session_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("device_id", sa.Text),
    sa.Column("package_id", sa.Text),
    sa.Column("key_ids", ARRAY(sa.Text)),
    sa.Column("key_system", sa.Text),
    sa.Column("security_level", sa.SmallInteger),
    sa.Column("offline", sa.Boolean),
    sa.Column("policy_version", sa.Integer),
    sa.Column("renewal_of", sa.Text),
    sa.Column("issue_time", _TIME),
    sa.Column("expire_time", _TIME),
)

offline_licences: Final = sa.Table(
    "offline_licences",
    _METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("package_id", sa.Text, primary_key=True),
    sa.Column("licence_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("device_id", sa.Text),
    sa.Column("issue_count", sa.Integer),
    sa.Column("create_time", _TIME),
    sa.Column("issue_time", _TIME),
    sa.Column("expire_time", _TIME),
    sa.Column("revoke_time", _TIME),
)

journals: Final = sa.Table(
    "licence_journals",
    _METADATA,
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("drained", sa.BigInteger),
    sa.Column("update_time", _TIME),
)

_OVERLAP: Final = 64
"""Places of policies that are read once more: a transaction that took its place earlier may have committed later."""


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A policy as stored.

    Attributes:
        policy: JSON form of the contract's message.
    """

    organisation_id: str
    version: int
    policy: Mapping[str, Any]
    author: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class OfflineLicence:
    """An offline licence as stored. However often it is issued, it is one.

    Attributes:
        licence_id: of the first issue.
        revoke_time: None unless it was revoked.
    """

    session_id: str
    package_id: str
    licence_id: str
    organisation_id: str
    viewer_id: str
    device_id: str
    issue_count: int
    create_time: datetime
    issue_time: datetime
    expire_time: datetime
    revoke_time: datetime | None


_POLICY: Final = [policies.c[field.name] for field in fields(KeptPolicy)]
_OFFLINE: Final = [offline_licences.c[field.name] for field in fields(OfflineLicence)]


async def newest_policy(tx: Tx, organisation_id: str, *, for_update: bool = False) -> KeptPolicy | None:
    """The policy that an organisation set last; None when it never did.

    Args:
        tx: the transaction.
        organisation_id: whose.
        for_update: until the transaction ends nobody else makes a version.
    """
    if for_update:
        await tx.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended('licence policy ' || :it, 0))"),
            {"it": organisation_id},
        )
    query = sa.select(*_POLICY).where(policies.c.organisation_id == organisation_id)
    row = (await tx.execute(query.order_by(policies.c.version.desc()).limit(1))).one_or_none()
    return None if row is None else KeptPolicy(**row._asdict())


async def add_policy(tx: Tx, new: KeptPolicy) -> None:
    """Keeps a version."""
    await tx.execute(sa.insert(policies).values({field.name: getattr(new, field.name) for field in fields(new)}))


async def policy_page(tx: Tx, organisation_id: str, part: Page, before: int | None) -> Sequence[KeptPolicy]:
    """Versions of an organisation's policy, newest first, and one more than the page takes."""
    query = sa.select(*_POLICY).where(policies.c.organisation_id == organisation_id)
    if before is not None:
        query = query.where(policies.c.version < before)
    rows = await tx.execute(query.order_by(policies.c.version.desc()).limit(part.size + 1))
    return [KeptPolicy(**row._asdict()) for row in rows]


async def policies_since(tx: Tx, position: int) -> tuple[Sequence[KeptPolicy], int]:
    """Policies that were made since a place in their order, and the place to go on from; versions of one organisation in order."""
    query = sa.select(*_POLICY, policies.c.position).where(policies.c.position > position - _OVERLAP)
    rows = (await tx.execute(query.order_by(policies.c.position))).all()
    found = [KeptPolicy(*row[:-1]) for row in rows]
    return found, max([position, *(row.position for row in rows)])


# One text for all rows: the driver would look at each element of arrays by itself.
_ADD_LICENCES: Final = sa.text(
    "INSERT INTO licences (licence_id, organisation_id, session_id, viewer_id, device_id, package_id, key_ids, key_system,"
    " security_level, offline, policy_version, renewal_of, issue_time, expire_time)"
    " SELECT licence_id, organisation_id, session_id, viewer_id, device_id, package_id, string_to_array(key_ids, ','), key_system,"
    " security_level, offline, policy_version, renewal_of, to_timestamp(issue_time), to_timestamp(expire_time)"
    " FROM json_to_recordset(CAST(:issues AS json)) AS new (licence_id text, organisation_id text, session_id text, viewer_id text,"
    " device_id text, package_id text, key_ids text, key_system text, security_level smallint, offline boolean, policy_version int,"
    " renewal_of text, issue_time float8, expire_time float8)"
    " ON CONFLICT (licence_id) DO NOTHING"
)


async def add_licences(tx: Tx, issues: Sequence[events_pb2.LicenceIssued]) -> None:
    """Keeps licences, by one statement."""
    if not issues:
        return
    rows = [
        {
            "licence_id": one.licence_id,
            "organisation_id": one.organisation_id,
            "session_id": one.session_id,
            "viewer_id": one.viewer_id,
            "device_id": one.device_id,
            "package_id": one.package_id,
            "key_ids": ",".join(one.key_ids),
            "key_system": one.key_system,
            "security_level": one.security_level,
            "offline": one.offline,
            "policy_version": one.policy_version,
            "renewal_of": one.renewal_of,
            "issue_time": one.issue_time.seconds + one.issue_time.nanos / 1e9,
            "expire_time": one.expire_time.seconds + one.expire_time.nanos / 1e9,
        }
        for one in issues
    ]
    await tx.execute(_ADD_LICENCES, {"issues": json.dumps(rows)})
    for one in issues:
        if one.offline:
            await _count_offline(tx, one)


async def _count_offline(tx: Tx, issue: events_pb2.LicenceIssued) -> None:
    moments = {name: getattr(issue, name).ToNanoseconds() / 1e9 for name in ("issue_time", "expire_time")}
    values = {
        "session_id": issue.session_id,
        "package_id": issue.package_id,
        "licence_id": issue.licence_id,
        "organisation_id": issue.organisation_id,
        "viewer_id": issue.viewer_id,
        "device_id": issue.device_id,
        "issue_count": 1,
        "create_time": sa.func.to_timestamp(moments["issue_time"]),
        "issue_time": sa.func.to_timestamp(moments["issue_time"]),
        "expire_time": sa.func.to_timestamp(moments["expire_time"]),
    }
    new = insert(offline_licences).values(values)
    await tx.execute(
        new.on_conflict_do_update(
            index_elements=[offline_licences.c.session_id, offline_licences.c.package_id],
            set_={
                "issue_count": offline_licences.c.issue_count + 1,
                "issue_time": sa.func.greatest(offline_licences.c.issue_time, new.excluded.issue_time),
                "expire_time": sa.func.greatest(offline_licences.c.expire_time, new.excluded.expire_time),
            },
        )
    )


async def licence_page(tx: Tx, organisation_id: str, part: Page, **wanted: str) -> Sequence[sa.Row[Any]]:
    """Licences of an organisation, newest first, and one more than the page takes; `wanted` are columns and what they must be, if not
    empty."""
    query = sa.select(licences).where(licences.c.organisation_id == organisation_id)
    for name, value in wanted.items():
        if value:
            query = query.where(licences.c[name] == value)
    if part.after:
        query = query.where(licences.c.licence_id < part.after)
    return (await tx.execute(query.order_by(licences.c.licence_id.desc()).limit(part.size + 1))).all()


async def offline_page(tx: Tx, organisation_id: str, part: Page, **wanted: str) -> Sequence[OfflineLicence]:
    """The same of offline licences."""
    query = sa.select(*_OFFLINE).where(offline_licences.c.organisation_id == organisation_id)
    for name, value in wanted.items():
        if value:
            query = query.where(offline_licences.c[name] == value)
    if part.after:
        query = query.where(offline_licences.c.licence_id < part.after)
    rows = await tx.execute(query.order_by(offline_licences.c.licence_id.desc()).limit(part.size + 1))
    return [OfflineLicence(**row._asdict()) for row in rows]


async def offline_licence(tx: Tx, organisation_id: str, licence_id: str) -> OfflineLicence | None:
    """One offline licence, locked until the transaction ends; None when the organisation has no such."""
    query = sa.select(*_OFFLINE).where(
        offline_licences.c.licence_id == licence_id, offline_licences.c.organisation_id == organisation_id
    )
    row = (await tx.execute(query.with_for_update())).one_or_none()
    return None if row is None else OfflineLicence(**row._asdict())


async def revoke_offline(tx: Tx, licence_id: str, now: datetime) -> None:
    """Notes that an offline licence is revoked."""
    await tx.execute(
        sa.update(offline_licences).where(offline_licences.c.licence_id == licence_id).values(revoke_time=now)
    )


async def revoke_package(tx: Tx, package_id: str, now: datetime) -> Sequence[OfflineLicence]:
    """Revokes every offline licence of a package, and returns those that were not revoked before."""
    statement = (
        sa.update(offline_licences)
        .where(offline_licences.c.package_id == package_id, offline_licences.c.revoke_time.is_(None))
        .values(revoke_time=now)
        .returning(*_OFFLINE)
    )
    return [OfflineLicence(**row._asdict()) for row in await tx.execute(statement)]


async def revoked_offline(tx: Tx, since: datetime | None) -> Sequence[OfflineLicence]:
    """Offline licences that were revoked, all or since a moment."""
    query = sa.select(*_OFFLINE).where(offline_licences.c.revoke_time.is_not(None))
    if since is not None:
        query = query.where(offline_licences.c.revoke_time >= since)
    return [OfflineLicence(**row._asdict()) for row in await tx.execute(query)]


async def drained_to(tx: Tx, segment: str) -> int:
    """How far a segment of a journal is in the database; 0 when nothing of it is."""
    query = sa.select(journals.c.drained).where(journals.c.segment == segment)
    return int((await tx.execute(query)).scalar_one_or_none() or 0)


async def put_drained(tx: Tx, segment: str, before: int, position: int) -> bool:
    """Notes it, in the transaction that puts it there, before anything else. False when it was not where it was thought to be: a
    transaction of a process that died may have been committed after that process was gone."""
    if before == 0:
        new = insert(journals).values(segment=segment, drained=position).on_conflict_do_nothing()
        return bool((await tx.execute(new)).rowcount)
    moved = (
        sa.update(journals)
        .where(journals.c.segment == segment, journals.c.drained == before)
        .values(drained=position, update_time=sa.func.now())
    )
    return bool((await tx.execute(moved)).rowcount)


async def forget_segment(tx: Tx, segment: str) -> None:
    """The segment is gone, so nobody will ask."""
    await tx.execute(sa.delete(journals).where(journals.c.segment == segment))


async def forget_old(tx: Tx, licences_before: datetime, now: datetime, journals_before: datetime) -> None:
    """Removes licences that were issued before a moment, offline licences that ended, and notes of segments that went while nobody could
    note it."""
    await tx.execute(sa.delete(licences).where(licences.c.issue_time < licences_before))
    await tx.execute(
        sa.delete(offline_licences).where(
            offline_licences.c.expire_time < sa.func.least(sa.cast(licences_before, _TIME), sa.cast(now, _TIME))
        )
    )
    await tx.execute(sa.delete(journals).where(journals.c.update_time < journals_before))
