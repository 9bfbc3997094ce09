"""Tables of authorization requests, devices and consents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.identity.oauth.domain import KEPT_AFTER_END, Authorization, Consent, DeviceAuthorization, Use
from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _use() -> list[sa.Column[Any]]:
    return [_time("use_time"), sa.Column("use_request", sa.LargeBinary), sa.Column("session_id", sa.Text)]


authorizations: Final = sa.Table(
    "oauth_authorizations",
    _METADATA,
    sa.Column("authorization_id", sa.Text, primary_key=True),
    sa.Column("client_id", sa.Text),
    sa.Column("redirect_uri", sa.Text),
    sa.Column("scopes", ARRAY(sa.Text)),
    sa.Column("state", sa.Text),
    sa.Column("nonce", sa.Text),
    sa.Column("code_challenge", sa.Text),
    sa.Column("silent", sa.Boolean),
    sa.Column("fresh_sign_in", sa.Boolean),
    sa.Column("fresh_consent", sa.Boolean),
    sa.Column("max_age", sa.Interval),
    sa.Column("login_hint", sa.Text),
    _time("create_time"),
    _time("expire_time"),
    _time("answer_time"),
    sa.Column("account_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    _time("sign_in_time"),
    sa.Column("user_agent", sa.Text),
    sa.Column("network", sa.Text),
    sa.Column("code_sha256", sa.LargeBinary),
    _time("code_expire_time"),
    *_use(),
)
devices: Final = sa.Table(
    "oauth_device_authorizations",
    _METADATA,
    sa.Column("device_authorization_id", sa.Text, primary_key=True),
    sa.Column("device_sha256", sa.LargeBinary),
    sa.Column("user_code_digest", sa.LargeBinary),
    sa.Column("client_id", sa.Text),
    sa.Column("scopes", ARRAY(sa.Text)),
    sa.Column("user_agent", sa.Text),
    sa.Column("network", sa.Text),
    _time("create_time"),
    _time("expire_time"),
    sa.Column("interval", sa.Interval),
    _time("poll_time"),
    sa.Column("finder", sa.Text),
    _time("answer_time"),
    sa.Column("approved", sa.Boolean),
    sa.Column("organisation_id", sa.Text),
    _time("sign_in_time"),
    *_use(),
)
consents: Final = sa.Table(
    "oauth_consents",
    _METADATA,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("client_id", sa.Text, primary_key=True),
    sa.Column("scopes", ARRAY(sa.Text)),
    _time("grant_time"),
)


def _read(row: sa.Row[tuple[Any, ...]]) -> dict[str, Any]:
    values = row._asdict()
    use = Use(values.pop("use_time"), values.pop("use_request"), values.pop("session_id"))
    return {**values, "scopes": tuple(values["scopes"]), "use": use}


def _values(state: Authorization | DeviceAuthorization) -> dict[str, Any]:
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    use = values.pop("use")
    used = {"use_time": use.use_time, "use_request": use.use_request, "session_id": use.session_id}
    return {**values, **used, "scopes": list(state.scopes)}


async def add(tx: Tx, authorization: Authorization) -> None:
    """Keeps a new request."""
    await tx.execute(sa.insert(authorizations).values(**_values(authorization)))


async def put(tx: Tx, authorization: Authorization) -> None:
    """Keeps the next state of a request."""
    mine = authorizations.c.authorization_id == authorization.authorization_id
    await tx.execute(sa.update(authorizations).where(mine).values(**_values(authorization)))


async def find(tx: Tx, authorization_id: str, *, for_update: bool = False) -> Authorization | None:
    """One request; None when there is none."""
    query = sa.select(authorizations).where(authorizations.c.authorization_id == authorization_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else Authorization(**_read(row))


async def find_by_code(tx: Tx, code_sha256: bytes) -> Authorization | None:
    """The request that a code answers, locked; None when there is none."""
    query = sa.select(authorizations).where(authorizations.c.code_sha256 == code_sha256).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Authorization(**_read(row))


async def add_device(tx: Tx, device: DeviceAuthorization) -> bool:
    """Keeps a new request of a device. Returns False when another one shows the same code."""
    added = await tx.execute(
        insert(devices).values(**_values(device)).on_conflict_do_nothing(index_elements=["user_code_digest"])
    )
    return bool(added.rowcount)


async def put_device(tx: Tx, device: DeviceAuthorization) -> None:
    """Keeps the next state of a device's request."""
    mine = devices.c.device_authorization_id == device.device_authorization_id
    await tx.execute(sa.update(devices).where(mine).values(**_values(device)))


async def find_device(tx: Tx, which: sa.ColumnElement[bool]) -> DeviceAuthorization | None:
    """One request of a device, locked; None when there is none."""
    row = (await tx.execute(sa.select(devices).where(which).with_for_update())).one_or_none()
    return None if row is None else DeviceAuthorization(**_read(row))


async def consent_of(tx: Tx, account_id: str, client_id: str) -> Consent | None:
    """What a person lets a client do; None for nothing."""
    query = sa.select(consents).where(consents.c.account_id == account_id, consents.c.client_id == client_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Consent(row.account_id, row.client_id, tuple(row.scopes), row.grant_time)


async def remember_consent(tx: Tx, consent: Consent) -> None:
    """Adds to what a person lets a client do."""
    earlier = await consent_of(tx, consent.account_id, consent.client_id)
    scopes = sorted({*consent.scopes, *(earlier.scopes if earlier else ())})
    fresh = {"scopes": scopes, "grant_time": consent.grant_time}
    await tx.execute(
        insert(consents)
        .values(account_id=consent.account_id, client_id=consent.client_id, **fresh)
        .on_conflict_do_update(index_elements=["account_id", "client_id"], set_=fresh)
    )


async def forget_consent(tx: Tx, account_id: str, client_id: str) -> bool:
    """Removes what a person lets a client do. Returns whether there was anything."""
    mine = sa.and_(consents.c.account_id == account_id, consents.c.client_id == client_id)
    return bool((await tx.execute(sa.delete(consents).where(mine))).rowcount)


async def bar_unused(tx: Tx, account_id: str, client_id: str, now: datetime) -> None:
    """Makes worthless what a person let a client have that it has not fetched yet."""
    asked, device = authorizations.c, devices.c
    await tx.execute(
        sa.update(authorizations)
        .where(asked.account_id == account_id, asked.client_id == client_id, asked.use_time.is_(None))
        .values(code_expire_time=now)
    )
    await tx.execute(
        sa.update(devices)
        .where(device.finder == account_id, device.client_id == client_id, device.use_time.is_(None))
        .values(approved=False)
    )


async def page(tx: Tx, account_id: str, part: Page) -> Sequence[Consent]:
    """One page of a person's consents, by client, and one more to tell whether there is another page."""
    query = (
        sa.select(consents)
        .where(consents.c.account_id == account_id, consents.c.client_id > part.after)
        .order_by(consents.c.client_id)
        .limit(part.size + 1)
    )
    return [
        Consent(row.account_id, row.client_id, tuple(row.scopes), row.grant_time) for row in await tx.execute(query)
    ]


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes requests a day after their end. Until then a second use of a code tells of a theft."""
    over: timedelta = KEPT_AFTER_END
    await tx.execute(sa.delete(authorizations).where(authorizations.c.expire_time < now - over))
    await tx.execute(sa.delete(devices).where(devices.c.expire_time < now - over))
