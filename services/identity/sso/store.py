"""Tables of outside providers, of people there, and of those on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.identity.oauth.domain import Use
from services.identity.sso.domain import Identity, Provider, SignIn
from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()
_KEPT_AFTER_END: Final = timedelta(days=1)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True))


providers: Final = sa.Table(
    "sso_providers",
    _METADATA,
    sa.Column("provider_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("display_name", sa.Text),
    sa.Column("issuer", sa.Text),
    sa.Column("client_id", sa.Text),
    sa.Column("sealed_secret", sa.LargeBinary),
    sa.Column("email_domains", ARRAY(sa.Text)),
    sa.Column("provisioning", sa.Boolean),
    sa.Column("role_ids", ARRAY(sa.Text)),
    _time("create_time"),
)
identities: Final = sa.Table(
    "sso_identities",
    _METADATA,
    sa.Column("provider_id", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("email", sa.Text),
    _time("link_time"),
)
sign_ins: Final = sa.Table(
    "sso_sign_ins",
    _METADATA,
    sa.Column("sign_in_id", sa.Text, primary_key=True),
    sa.Column("provider_id", sa.Text),
    sa.Column("state_sha256", sa.LargeBinary),
    sa.Column("challenge", sa.Text),
    sa.Column("link_account_id", sa.Text),
    sa.Column("link_code_sha256", sa.LargeBinary),
    _time("create_time"),
    _time("expire_time"),
    _time("take_time"),
    sa.Column("take_request", sa.LargeBinary),
    sa.Column("subject", sa.Text),
    sa.Column("email", sa.Text),
    sa.Column("email_verified", sa.Boolean),
    sa.Column("display_name", sa.Text),
    sa.Column("code_sha256", sa.LargeBinary),
    _time("code_expire_time"),
    _time("use_time"),
    sa.Column("use_request", sa.LargeBinary),
    sa.Column("session_id", sa.Text),
)
link_codes: Final = sa.Table(
    "sso_link_codes",
    _METADATA,
    sa.Column("code_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("provider_id", sa.Text),
    sa.Column("account_id", sa.Text),
    _time("expire_time"),
)


def _provider(row: sa.Row[tuple[Any, ...]]) -> Provider:
    values = row._asdict()
    return Provider(
        **{**values, "email_domains": tuple(values["email_domains"]), "role_ids": tuple(values["role_ids"])}
    )


def _provider_values(provider: Provider) -> dict[str, Any]:
    return {**asdict(provider), "email_domains": list(provider.email_domains), "role_ids": list(provider.role_ids)}


def _sign_in(row: sa.Row[tuple[Any, ...]]) -> SignIn:
    values = row._asdict()
    use = Use(values.pop("use_time"), values.pop("use_request"), values.pop("session_id"))
    return SignIn(**values, use=use)


def _sign_in_values(sign_in: SignIn) -> dict[str, Any]:
    values = {field.name: getattr(sign_in, field.name) for field in fields(sign_in)}
    used = asdict(values.pop("use"))
    return {**values, **used}


async def add(tx: Tx, provider: Provider) -> None:
    """Keeps a new provider."""
    await tx.execute(sa.insert(providers).values(**_provider_values(provider)))


async def put(tx: Tx, provider: Provider) -> None:
    """Keeps the next state of a provider."""
    mine = providers.c.provider_id == provider.provider_id
    await tx.execute(sa.update(providers).where(mine).values(**_provider_values(provider)))


async def remove(tx: Tx, provider_id: str) -> None:
    """Forgets a provider, who is linked with it, and who is on their way there."""
    await tx.execute(sa.delete(providers).where(providers.c.provider_id == provider_id))


async def find(tx: Tx, provider_id: str, *, for_update: bool = False) -> Provider | None:
    """One provider; None when there is none."""
    query = sa.select(providers).where(providers.c.provider_id == provider_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _provider(row)


async def page(tx: Tx, organisation_id: str, part: Page) -> Sequence[Provider]:
    """One page of an organisation's providers, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(providers)
        .where(providers.c.organisation_id == organisation_id)
        .order_by(providers.c.provider_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(providers.c.provider_id < part.after)
    return [_provider(row) for row in await tx.execute(query)]


async def page_of_all(tx: Tx, part: Page) -> Sequence[Provider]:
    """One page of all providers, by id, and one more to tell whether there is another page."""
    query = (
        sa.select(providers)
        .where(providers.c.provider_id > part.after)
        .order_by(providers.c.provider_id)
        .limit(part.size + 1)
    )
    return [_provider(row) for row in await tx.execute(query)]


async def add_identity(tx: Tx, identity: Identity) -> bool:
    """Links a person at a provider with an account. Returns False when either is linked already."""
    added = await tx.execute(insert(identities).values(**asdict(identity)).on_conflict_do_nothing())
    return bool(added.rowcount)


async def find_identity(tx: Tx, provider_id: str, subject: str) -> Identity | None:
    """A person at a provider; None when they are linked with no account."""
    query = sa.select(identities).where(identities.c.provider_id == provider_id, identities.c.subject == subject)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Identity(**row._asdict())


async def remove_identity(tx: Tx, provider_id: str, account_id: str) -> bool:
    """Takes an account's link with a provider away. Returns whether there was one."""
    mine = sa.and_(identities.c.provider_id == provider_id, identities.c.account_id == account_id)
    return bool((await tx.execute(sa.delete(identities).where(mine))).rowcount)


async def page_of_identities(tx: Tx, account_id: str, part: Page) -> Sequence[tuple[Identity, str]]:
    """One page of an account's links with the names of their providers, by provider, and one more."""
    query = (
        sa.select(identities, providers.c.display_name)
        .join(providers, providers.c.provider_id == identities.c.provider_id)
        .where(identities.c.account_id == account_id, identities.c.provider_id > part.after)
        .order_by(identities.c.provider_id)
        .limit(part.size + 1)
    )
    found = []
    for row in await tx.execute(query):
        values = row._asdict()
        name = values.pop("display_name")
        found.append((Identity(**values), name))
    return found


async def add_sign_in(tx: Tx, sign_in: SignIn) -> None:
    """Keeps that somebody is on their way."""
    await tx.execute(sa.insert(sign_ins).values(**_sign_in_values(sign_in)))


async def put_sign_in(tx: Tx, sign_in: SignIn) -> None:
    """Keeps the next state of somebody on their way."""
    mine = sign_ins.c.sign_in_id == sign_in.sign_in_id
    await tx.execute(sa.update(sign_ins).where(mine).values(**_sign_in_values(sign_in)))


async def find_sign_in(tx: Tx, which: sa.ColumnElement[bool]) -> SignIn | None:
    """Somebody on their way, locked; None when there is nobody."""
    row = (await tx.execute(sa.select(sign_ins).where(which).with_for_update())).one_or_none()
    return None if row is None else _sign_in(row)


async def add_link_code(tx: Tx, code_sha256: bytes, provider_id: str, account_id: str, expire_time: datetime) -> None:
    """Keeps a code with which an account can be linked."""
    await tx.execute(
        sa.insert(link_codes).values(
            code_sha256=code_sha256, provider_id=provider_id, account_id=account_id, expire_time=expire_time
        )
    )


async def account_of_link_code(tx: Tx, code_sha256: bytes, provider_id: str, now: datetime) -> str | None:
    """Account that a code links; None when the code is not good."""
    query = sa.select(link_codes.c.account_id).where(
        link_codes.c.code_sha256 == code_sha256,
        link_codes.c.provider_id == provider_id,
        link_codes.c.expire_time > now,
    )
    return (await tx.execute(query)).scalar_one_or_none()


async def use_link_code(tx: Tx, code_sha256: bytes) -> bool:
    """Uses a code up. Returns False when it was used before."""
    return bool((await tx.execute(sa.delete(link_codes).where(link_codes.c.code_sha256 == code_sha256))).rowcount)


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes who did not come back, and codes that nobody used."""
    await tx.execute(sa.delete(sign_ins).where(sign_ins.c.expire_time < now - _KEPT_AFTER_END))
    await tx.execute(sa.delete(link_codes).where(link_codes.c.expire_time < now))
