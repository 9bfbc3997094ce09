"""Papers and productions as they are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.compliance.performers import refusals
from services.compliance.performers.domain import IdentityDocument, Paper, Production, Release, Reviewed, State
from services.compliance.performers.tables import assets, documents, openings, productions, releases, settings
from services.kit.database import Tx, one_of
from services.kit.pagination import Page


async def lock(tx: Tx, organisation_id: str) -> None:
    """Lets one transaction at a time change an organisation's records, until it ends: what follows for playback is worked out from many of them."""
    number = hashlib.sha256(f"records\0{organisation_id}".encode()).digest()[:8]
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(int.from_bytes(number, "big", signed=True))))


def _reviewed(row: sa.Row[Any]) -> Reviewed:
    return Reviewed(State(row.state), row.submitter, row.submit_time, row.reviewer, row.review_time, row.comment)


def _of_review(reviewed: Reviewed) -> dict[str, Any]:
    return {
        "state": int(reviewed.state),
        "submitter": reviewed.submitter,
        "submit_time": reviewed.submit_time,
        "reviewer": reviewed.reviewer,
        "review_time": reviewed.review_time,
        "comment": reviewed.comment,
    }


# Identity documents.


def _document(row: sa.Row[Any]) -> IdentityDocument:
    return IdentityDocument(
        row.identity_document_id,
        row.performer_id,
        row.organisation_id,
        row.kind,
        row.issuer,
        row.expire_date,
        _reviewed(row),
    )


async def add_document(tx: Tx, document: IdentityDocument) -> None:
    """Keeps a new document."""
    await tx.execute(
        sa.insert(documents).values(
            identity_document_id=document.identity_document_id,
            performer_id=document.performer_id,
            organisation_id=document.organisation_id,
            kind=document.kind,
            issuer=document.issuer,
            expire_date=document.expire_date,
            told=0,
            **_of_review(document.reviewed),
        )
    )


async def find_document(tx: Tx, organisation_id: str, identity_document_id: str) -> IdentityDocument:
    """One document.

    Raises:
        Refusal: RECORD_NOT_FOUND.
    """
    query = sa.select(documents).where(
        documents.c.organisation_id == organisation_id, documents.c.identity_document_id == identity_document_id
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise refusals.record_not_found(identity_document_id)
    return _document(row)


async def documents_of(tx: Tx, performer_ids: Collection[str]) -> Sequence[IdentityDocument]:
    """All documents of some performers, newest first."""
    query = sa.select(documents).where(documents.c.performer_id == one_of(performer_ids))
    return [_document(row) for row in await tx.execute(query.order_by(documents.c.identity_document_id.desc()))]


# Productions.


def _production(row: sa.Row[Any]) -> Production:
    return Production(
        row.production_id,
        row.organisation_id,
        row.version,
        row.title,
        row.production_date,
        tuple(row.asset_ids),
        tuple(row.performer_ids),
        tuple(row.urls),
        _reviewed(row),
    )


async def put_production(tx: Tx, production: Production) -> None:
    """Keeps a production, new or changed."""
    values = {
        "organisation_id": production.organisation_id,
        "version": production.version,
        "title": production.title,
        "production_date": production.production_date,
        "asset_ids": list(production.asset_ids),
        "performer_ids": list(production.performer_ids),
        "urls": list(production.urls),
        **_of_review(production.reviewed),
    }
    statement = insert(productions).values(production_id=production.production_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["production_id"], set_=values))


async def find_production(tx: Tx, organisation_id: str, production_id: str) -> Production:
    """One production.

    Raises:
        Refusal: PRODUCTION_NOT_FOUND.
    """
    query = sa.select(productions).where(
        productions.c.organisation_id == organisation_id, productions.c.production_id == production_id
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise refusals.production_not_found(production_id)
    return _production(row)


async def productions_page(tx: Tx, organisation_id: str, part: Page, asset_id: str = "") -> Sequence[Production]:
    """One page of an organisation's productions, newest first, and one more to tell whether there is another page."""
    query = sa.select(productions).where(productions.c.organisation_id == organisation_id)
    if asset_id:
        query = query.where(productions.c.asset_ids.contains([asset_id]))
    if part.after:
        query = query.where(productions.c.production_id < part.after)
    rows = await tx.execute(query.order_by(productions.c.production_id.desc()).limit(part.size + 1))
    return [_production(row) for row in rows]


async def productions_all(tx: Tx, organisation_id: str) -> Sequence[Production]:
    """All productions of an organisation, oldest first."""
    query = sa.select(productions).where(productions.c.organisation_id == organisation_id)
    return [_production(row) for row in await tx.execute(query.order_by(productions.c.production_id))]


async def productions_showing(tx: Tx, asset_ids: Collection[str]) -> Sequence[Production]:
    """All productions that name any of some assets, oldest first."""
    query = sa.select(productions).where(productions.c.asset_ids.overlap(list(asset_ids)))
    return [_production(row) for row in await tx.execute(query.order_by(productions.c.production_id))]


async def productions_with(tx: Tx, performer_id: str) -> Sequence[Production]:
    """All productions that name a performer."""
    query = sa.select(productions).where(productions.c.performer_ids.contains([performer_id]))
    return [_production(row) for row in await tx.execute(query)]


# Releases.


def _release(row: sa.Row[Any]) -> Release:
    return Release(
        row.release_id,
        row.production_id,
        row.performer_id,
        row.organisation_id,
        row.sign_date,
        row.expire_date,
        _reviewed(row),
        row.withdraw_time,
    )


async def add_release(tx: Tx, release: Release) -> None:
    """Keeps a new release."""
    await tx.execute(
        sa.insert(releases).values(
            release_id=release.release_id,
            production_id=release.production_id,
            performer_id=release.performer_id,
            organisation_id=release.organisation_id,
            sign_date=release.sign_date,
            expire_date=release.expire_date,
            told=0,
            **_of_review(release.reviewed),
        )
    )


async def find_release(tx: Tx, organisation_id: str, release_id: str) -> Release:
    """One release.

    Raises:
        Refusal: RECORD_NOT_FOUND.
    """
    query = sa.select(releases).where(
        releases.c.organisation_id == organisation_id, releases.c.release_id == release_id
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise refusals.record_not_found(release_id)
    return _release(row)


async def release_by_token(tx: Tx, token_digest: bytes) -> Release | None:
    """The release that a token was made for; None when there is none."""
    row = (await tx.execute(sa.select(releases).where(releases.c.token_digest == token_digest))).one_or_none()
    return None if row is None else _release(row)


async def keep_token(tx: Tx, release_id: str, token_digest: bytes) -> None:
    """Keeps the digest of a release's token, in place of the one before."""
    await tx.execute(sa.update(releases).where(releases.c.release_id == release_id).values(token_digest=token_digest))


async def releases_of(tx: Tx, production_ids: Collection[str]) -> Sequence[Release]:
    """All releases for some productions, newest first."""
    query = sa.select(releases).where(releases.c.production_id == one_of(production_ids))
    return [_release(row) for row in await tx.execute(query.order_by(releases.c.release_id.desc()))]


async def withdraw(tx: Tx, release: Release, now: datetime) -> Sequence[Release]:
    """Takes back all of a performer's releases for a production that were not yet. Returns them as they are then."""
    statement = (
        sa.update(releases)
        .where(
            releases.c.production_id == release.production_id,
            releases.c.performer_id == release.performer_id,
            releases.c.withdraw_time.is_(None),
            releases.c.state != int(State.REJECTED),
        )
        .values(state=int(State.WITHDRAWN), withdraw_time=now)
        .returning(releases)
    )
    return [_release(row) for row in await tx.execute(statement)]


# Both.


async def keep_review(tx: Tx, paper: Paper) -> None:
    """Keeps what a second person said of a paper."""
    table = documents if isinstance(paper, IdentityDocument) else releases
    mine = table.primary_key.columns[0] == record_id_of(paper)
    await tx.execute(sa.update(table).where(mine).values(**_of_review(paper.reviewed)))


def record_id_of(paper: Paper) -> str:
    """A paper's id."""
    return paper.identity_document_id if isinstance(paper, IdentityDocument) else paper.release_id


async def note_opening(tx: Tx, record_id: str, actor: str, now: datetime) -> None:
    """Notes that somebody looked at a paper."""
    statement = insert(openings).values(record_id=record_id, actor=actor, open_time=now)
    await tx.execute(statement.on_conflict_do_update(index_elements=["record_id", "actor"], set_={"open_time": now}))


async def has_opened(tx: Tx, record_id: str, actor: str) -> bool:
    """Whether somebody looked at a paper."""
    query = sa.select(openings.c.actor).where(openings.c.record_id == record_id, openings.c.actor == actor)
    return (await tx.execute(query)).one_or_none() is not None


# Settings and assets.


@dataclass(frozen=True, slots=True)
class Settings:
    """Who keeps an organisation's records."""

    records_required: bool = False
    custodian: str = ""
    custodian_title: str = ""
    street_address: str = ""


async def settings_of(tx: Tx, organisation_id: str) -> Settings:
    """An organisation's settings; blank ones when it set none."""
    query = sa.select(
        settings.c.records_required, settings.c.custodian, settings.c.custodian_title, settings.c.street_address
    ).where(settings.c.organisation_id == organisation_id)
    row = (await tx.execute(query)).one_or_none()
    return Settings() if row is None else Settings(*row)


async def keep_settings(tx: Tx, organisation_id: str, wanted: Settings, now: datetime) -> None:
    """Keeps an organisation's settings. What a change of the requirement means for assets is worked out afterwards, some at a time."""
    before = await settings_of(tx, organisation_id)
    values: dict[str, Any] = {
        "records_required": wanted.records_required,
        "custodian": wanted.custodian,
        "custodian_title": wanted.custodian_title,
        "street_address": wanted.street_address,
        "change_time": now,
    }
    if before.records_required != wanted.records_required:
        values["settle_after"] = ""
    statement = insert(settings).values(organisation_id=organisation_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["organisation_id"], set_=values))


async def keep_asset(tx: Tx, asset_id: str, organisation_id: str, *, delete_time: datetime | None = None) -> None:
    """Keeps whose an asset is, and when it was deleted. One that was deleted stays so: events come in any order."""
    deleted = delete_time is not None
    statement = insert(assets).values(
        asset_id=asset_id, organisation_id=organisation_id, deleted=deleted, delete_time=delete_time
    )
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["asset_id"],
            set_={
                "deleted": sa.or_(assets.c.deleted, sa.literal(deleted)),
                "delete_time": sa.func.coalesce(assets.c.delete_time, statement.excluded.delete_time),
            },
        )
    )


async def unsettled_organisation(tx: Tx) -> str | None:
    """An organisation whose requirement changed, which was not applied to all of its assets yet; None when there is none."""
    query = sa.select(settings.c.organisation_id).where(settings.c.settle_after.is_not(None)).limit(1)
    return (await tx.execute(query)).scalar_one_or_none()


async def next_unsettled(tx: Tx, organisation_id: str, count: int) -> Sequence[str]:
    """The next of its assets to which it was not applied. They are noted as done: the caller, who has locked its records, does it in the same transaction."""
    mine = settings.c.organisation_id == organisation_id
    after = (await tx.execute(sa.select(settings.c.settle_after).where(mine))).scalar_one()
    if after is None:
        return []
    query = sa.select(assets.c.asset_id).where(
        assets.c.organisation_id == organisation_id, assets.c.asset_id > after, assets.c.deleted.is_(False)
    )
    found = (await tx.execute(query.order_by(assets.c.asset_id).limit(count))).scalars().all()
    more = found[-1] if len(found) == count else None
    await tx.execute(sa.update(settings).where(mine).values(settle_after=more))
    return found


async def assets_of(tx: Tx, organisation_id: str, asset_ids: Collection[str]) -> Mapping[str, bool]:
    """Those of some assets that are the organisation's, each with whether it was deleted."""
    query = sa.select(assets.c.asset_id, assets.c.deleted).where(
        assets.c.organisation_id == organisation_id, assets.c.asset_id == one_of(asset_ids)
    )
    return {row.asset_id: row.deleted for row in await tx.execute(query)}
