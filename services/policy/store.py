"""Tables of sessions and codes, and what other services announced of assets and packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.kit.database import Tx, any_of, one_of
from services.kit.pagination import Page
from services.policy import refusals
from services.policy.domain import CLOCKS_APART, Code, Package, Session, digest_of
from services.policy.token_refusals import preview_not_found

_METADATA: Final = sa.MetaData()
_LONGEST_TRANSACTION: Final = timedelta(minutes=2)

assets: Final = sa.Table(
    "assets",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("title_time", sa.DateTime(timezone=True)),
    sa.Column("delete_time", sa.DateTime(timezone=True)),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)

packages: Final = sa.Table(
    "packages",
    _METADATA,
    sa.Column("package_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("dash_path", sa.Text),
    sa.Column("hls_path", sa.Text),
    sa.Column("poster_path", sa.Text),
    sa.Column("thumbnails_path", sa.Text),
    sa.Column("key_ids", ARRAY(sa.Text, as_tuple=True)),
    sa.Column("publish_time", sa.DateTime(timezone=True)),
    sa.Column("watermark_colluders", sa.SmallInteger),
    sa.Column("watermark_segments", sa.Integer),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)

sessions: Final = sa.Table(
    "playback_sessions",
    _METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("package_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("revoke_time", sa.DateTime(timezone=True)),
    sa.Column("revoke_comment", sa.Text),
    sa.Column("device_id", sa.Text),
    sa.Column("profile_id", sa.Text),
    sa.Column("territory", sa.Text),
    sa.Column("download", sa.Boolean),
    sa.Column("beat_time", sa.DateTime(timezone=True)),
    sa.Column("displace_time", sa.DateTime(timezone=True)),
    sa.Column("key_thumbprint", sa.Text),
    sa.Column("entitlement_id", sa.Text),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)

codes: Final = sa.Table(
    "playback_codes",
    _METADATA,
    sa.Column("code_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("session_id", sa.Text),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("redeem_time", sa.DateTime(timezone=True)),
)

_PACKAGE: Final = [packages.c[field.name] for field in fields(Package)]
SESSION: Final = [sessions.c[field.name] for field in fields(Session)]
_SESSIONS: Final = sa.select(*SESSION).where(sessions.c.session_id == any_of("session_ids"))
_KEYS_OF_PACKAGES: Final = sa.select(packages.c.package_id, packages.c.key_ids).where(
    packages.c.package_id == any_of("package_ids")
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since the last look.

    Attributes:
        until: the database's time at this look.
        withdrawn: deleted assets, each with the moment at which that became known here.
        revoked: revoked sessions that are not over yet.
        displaced: sessions that lost their place and are not over yet.
        restored: of those that were asked about, the ones that have it again.
    """

    until: datetime
    packages: Sequence[Package]
    withdrawn: Sequence[tuple[str, datetime]]
    revoked: Sequence[Session]
    displaced: Sequence[Session]
    restored: Sequence[str]


async def changes(tx: Tx, since: datetime | None, now: datetime, known_displaced: Sequence[str]) -> Changes:
    """All that must be known by heart, or what changed of it since an earlier look.

    A row's `change_time` is the time at which its transaction began, so rows may appear late; looks therefore overlap.
    """
    until: datetime = (await tx.execute(sa.select(sa.func.now()))).scalar_one()
    start = datetime.min.replace(tzinfo=UTC) if since is None else since - _LONGEST_TRANSACTION
    published = await tx.execute(sa.select(*_PACKAGE).where(packages.c.change_time > start))
    deleted = await tx.execute(
        sa.select(assets.c.asset_id, assets.c.change_time).where(
            assets.c.change_time > start, assets.c.delete_time.is_not(None)
        )
    )
    revoked = await tx.execute(
        sa.select(*SESSION).where(
            sessions.c.change_time > start,
            sessions.c.revoke_time.is_not(None),
            sessions.c.expire_time > now - CLOCKS_APART,
        )
    )
    displaced = await tx.execute(
        sa.select(*SESSION).where(
            sessions.c.change_time > start,
            sessions.c.displace_time.is_not(None),
            sessions.c.expire_time > now - CLOCKS_APART,
        )
    )
    restored = await tx.execute(
        sa.select(sessions.c.session_id).where(
            sessions.c.session_id == one_of(known_displaced),
            sessions.c.displace_time.is_(None),
        )
    )
    return Changes(
        until,
        [_package(row) for row in published],
        [(row.asset_id, row.change_time) for row in deleted],
        [session_of(row) for row in revoked],
        [session_of(row) for row in displaced],
        [row.session_id for row in restored],
    )


async def name(tx: Tx, asset_id: str, organisation_id: str, title: str, moment: datetime) -> None:
    """Keeps an asset's title, unless a later one is known."""
    statement = insert(assets).values(
        asset_id=asset_id, organisation_id=organisation_id, title=title, title_time=moment
    )
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=[assets.c.asset_id],
            set_={"title": title, "title_time": moment},
            where=sa.func.coalesce(assets.c.title_time < moment, sa.true()),
        )
    )


async def withdraw(tx: Tx, asset_id: str, organisation_id: str, moment: datetime) -> None:
    """Keeps that an asset was deleted."""
    statement = insert(assets).values(asset_id=asset_id, organisation_id=organisation_id, title="", delete_time=moment)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=[assets.c.asset_id],
            set_={"delete_time": moment, "change_time": sa.func.now()},
            where=assets.c.delete_time.is_(None),
        )
    )


async def publish(tx: Tx, package: Package) -> None:
    """Keeps a package; it never changes."""
    await tx.execute(insert(packages).values(**asdict(package)).on_conflict_do_nothing())


async def title_of(tx: Tx, asset_id: str) -> str:
    """Title of an asset that is not deleted; empty when none was announced yet. A deletion waits until this transaction ends.

    Raises:
        Refusal: ASSET_WITHDRAWN.
    """
    query = (
        sa.select(assets.c.title, assets.c.delete_time).where(assets.c.asset_id == asset_id).with_for_update(read=True)
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        return ""
    if row.delete_time is not None:
        raise refusals.asset_withdrawn(asset_id, grpc.StatusCode.FAILED_PRECONDITION)
    return str(row.title)


async def owned(tx: Tx, organisation_id: str, asset_id: str) -> None:
    """Goes on when the asset is the organisation's, ready or not.

    Raises:
        Refusal: ASSET_NOT_PLAYABLE.
    """
    query = sa.select(assets.c.organisation_id).where(assets.c.asset_id == asset_id)
    if (await tx.execute(query)).scalar_one_or_none() != organisation_id:
        raise refusals.asset_not_playable(asset_id)


async def newest_package(tx: Tx, organisation_id: str, asset_id: str) -> Package:
    """The package by which an organisation's asset is played now.

    Raises:
        Refusal: ASSET_NOT_PLAYABLE.
    """
    query = (
        sa.select(*_PACKAGE)
        .where(packages.c.asset_id == asset_id, packages.c.organisation_id == organisation_id)
        .order_by(packages.c.publish_time.desc(), packages.c.package_id.desc())
        .limit(1)
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise refusals.asset_not_playable(asset_id)
    return _package(row)


async def package(tx: Tx, package_id: str) -> Package:
    """A package that a session was opened on."""
    return _package((await tx.execute(sa.select(*_PACKAGE).where(packages.c.package_id == package_id))).one())


async def published(tx: Tx, organisation_id: str, package_id: str) -> Package:
    """A package of an organisation whose asset is not deleted.

    Raises:
        Refusal: PREVIEW_NOT_FOUND or ASSET_WITHDRAWN.
    """
    query = sa.select(*_PACKAGE).where(
        packages.c.package_id == package_id, packages.c.organisation_id == organisation_id
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise preview_not_found(package_id)
    found = _package(row)
    await title_of(tx, found.asset_id)
    return found


async def add(tx: Tx, session: Session) -> None:
    """Keeps a new session."""
    await tx.execute(sa.insert(sessions).values(**asdict(session)))


async def put(tx: Tx, session: Session) -> None:
    """Keeps the next state of a session."""
    values = asdict(session) | {"change_time": sa.func.now()}
    await tx.execute(sa.update(sessions).where(sessions.c.session_id == session.session_id).values(**values))


async def get(tx: Tx, organisation_id: str, session_id: str, *, for_update: bool = False) -> Session:
    """One session of an organisation; locked until the transaction ends when it is about to change.

    Raises:
        Refusal: SESSION_NOT_FOUND.
    """
    query = sa.select(*SESSION).where(
        sessions.c.session_id == session_id, sessions.c.organisation_id == organisation_id
    )
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise refusals.session_not_found(session_id)
    return session_of(row)


async def get_all(tx: Tx, session_ids: Sequence[str]) -> Mapping[str, Session]:
    """Sessions of whichever organisation, those that there are."""
    rows = await tx.execute(_SESSIONS, {"session_ids": list(session_ids)})
    return {row.session_id: session_of(row) for row in rows}


async def keys_of_packages(tx: Tx, package_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The content keys of packages."""
    rows = await tx.execute(_KEYS_OF_PACKAGES, {"package_ids": list(package_ids)})
    return {row.package_id: row.key_ids for row in rows}


async def newest_keys(tx: Tx, organisation_id: str, asset_id: str) -> Sequence[str]:
    """The content keys of the package by which an organisation's asset is played now; none where there is no package."""
    query = (
        sa.select(packages.c.key_ids)
        .where(packages.c.asset_id == asset_id, packages.c.organisation_id == organisation_id)
        .order_by(packages.c.publish_time.desc(), packages.c.package_id.desc())
        .limit(1)
    )
    return (await tx.execute(query)).scalar_one_or_none() or ()


async def beat(tx: Tx, session_id: str, now: datetime) -> None:
    """Keeps that a session is alive and has its place."""
    await tx.execute(
        sa.update(sessions)
        .where(sessions.c.session_id == session_id)
        .values(beat_time=now, displace_time=None, change_time=sa.func.now())
    )


async def find(tx: Tx, session_id: str) -> Session | None:
    """One session of whichever organisation, for whoever holds a credential that names it; None when there is none."""
    row = (await tx.execute(sa.select(*SESSION).where(sessions.c.session_id == session_id))).one_or_none()
    return None if row is None else session_of(row)


async def page(tx: Tx, organisation_id: str, asset_id: str, viewer_id: str, part: Page) -> Sequence[Session]:
    """One page of an organisation's sessions, newest first, and one more to tell whether there is another page."""
    query = sa.select(*SESSION).where(sessions.c.organisation_id == organisation_id)
    if asset_id:
        query = query.where(sessions.c.asset_id == asset_id)
    if viewer_id:
        query = query.where(sessions.c.viewer_id == viewer_id)
    if part.after:
        query = query.where(sessions.c.session_id < part.after)
    return [
        session_of(row) for row in await tx.execute(query.order_by(sessions.c.session_id.desc()).limit(part.size + 1))
    ]


async def revoke_all(tx: Tx, asset_id: str, now: datetime, comment: str) -> Sequence[Session]:
    """Revokes every session of an asset that still plays, and returns them as they are then."""
    statement = (
        sa.update(sessions)
        .where(sessions.c.asset_id == asset_id, sessions.c.revoke_time.is_(None), sessions.c.expire_time > now)
        .values(revoke_time=now, revoke_comment=comment, change_time=sa.func.now())
        .returning(*SESSION)
    )
    return [session_of(row) for row in await tx.execute(statement)]


async def revoke_on_device(tx: Tx, device_id: str, now: datetime, comment: str) -> Sequence[Session]:
    """Revokes every session on a device that still plays, of whichever organisation, and returns them as they are then."""
    statement = (
        sa.update(sessions)
        .where(sessions.c.device_id == device_id, sessions.c.revoke_time.is_(None), sessions.c.expire_time > now)
        .values(revoke_time=now, revoke_comment=comment, change_time=sa.func.now())
        .returning(*SESSION)
    )
    return [session_of(row) for row in await tx.execute(statement)]


async def revoke_package(tx: Tx, package_id: str, now: datetime, comment: str) -> Sequence[Session]:
    """Revokes every session of a package that still plays, and returns them as they are then."""
    asset_id = sa.select(packages.c.asset_id).where(packages.c.package_id == package_id).scalar_subquery()
    statement = (
        sa.update(sessions)
        .where(sessions.c.asset_id == asset_id, sessions.c.package_id == package_id)
        .where(sessions.c.revoke_time.is_(None), sessions.c.expire_time > now)
        .values(revoke_time=now, revoke_comment=comment, change_time=sa.func.now())
        .returning(*SESSION)
    )
    return [session_of(row) for row in await tx.execute(statement)]


async def replace_code(tx: Tx, session_id: str, code: Code) -> None:
    """Keeps the digest of a session's code. A code handed out before that nobody used stops working."""
    await tx.execute(sa.delete(codes).where(codes.c.session_id == session_id, codes.c.redeem_time.is_(None)))
    await tx.execute(
        sa.insert(codes).values(code_sha256=digest_of(code.text), session_id=session_id, expire_time=code.expire_time)
    )


async def redeem(tx: Tx, code: str, now: datetime) -> Session:
    """Uses a code up, and returns the session that it opens. Of any number of callers at the same time, one gets it.

    Raises:
        Refusal: CODE_INVALID or CODE_EXPIRED.
    """
    mine = codes.c.code_sha256 == digest_of(code)
    statement = (
        sa.update(codes).where(mine, codes.c.redeem_time.is_(None), codes.c.expire_time > now).values(redeem_time=now)
    )
    session_id = (await tx.execute(statement.returning(codes.c.session_id))).scalar_one_or_none()
    if session_id is None:
        unused = (
            await tx.execute(sa.select(codes.c.expire_time).where(mine, codes.c.redeem_time.is_(None)))
        ).one_or_none()
        raise refusals.code_invalid() if unused is None else refusals.code_expired()
    return session_of((await tx.execute(sa.select(*SESSION).where(sessions.c.session_id == session_id))).one())


async def forget_codes(tx: Tx, before: datetime) -> None:
    """Removes codes that ended before a moment, used or not."""
    await tx.execute(sa.delete(codes).where(codes.c.expire_time < before))


def _package(row: sa.Row[tuple[object, ...]]) -> Package:
    return Package(**row._asdict())


def session_of(row: sa.Row[tuple[Any, ...]]) -> Session:
    """A row of `SESSION` as a session."""
    values: Sequence[Any] = row
    return Session(*values)
