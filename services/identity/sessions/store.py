"""Tables of sessions and refresh tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()

sessions: Final = sa.Table(
    "sessions",
    _METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("method", sa.SmallInteger),
    sa.Column("client_id", sa.Text),
    sa.Column("scope", ARRAY(sa.Text)),
    sa.Column("device_id", sa.Text),
    sa.Column("key_thumbprint", sa.Text),
    sa.Column("profile_id", sa.Text),
    sa.Column("user_agent", sa.Text),
    sa.Column("network", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("refresh_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
)
refresh_tokens: Final = sa.Table(
    "refresh_tokens",
    _METADATA,
    sa.Column("token_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("session_id", sa.Text),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("use_time", sa.DateTime(timezone=True)),
    sa.Column("use_request", sa.LargeBinary),
    sa.Column("successor_sha256", sa.LargeBinary),
)
_KEPT_AFTER_END: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser, app or device.

    Attributes:
        session_id: `ses_…`.
        account_id: whose it is.
        organisation_id: which its access tokens act for; empty for a person who belongs to none.
        method: a `SignInMethod`.
        client_id: OAuth client that opened it; empty for our own.
        scope: permissions that it is confined to; None when it may do all that the person may.
        device_id: registered device that it is bound to; empty when none.
        key_thumbprint: key (RFC 7638) that its tokens are bound to; empty when none.
        profile_id: profile that was chosen; empty when none.
        user_agent, network: where the person signed in.
        create_time, refresh_time, expire_time: its life.
        end_time: when it ended before its time; None while it has not.
    """

    session_id: str
    account_id: str
    organisation_id: str
    method: int
    client_id: str
    scope: tuple[str, ...] | None
    device_id: str
    key_thumbprint: str
    profile_id: str
    user_agent: str
    network: str
    create_time: datetime
    refresh_time: datetime
    expire_time: datetime
    end_time: datetime | None = None

    def open(self, now: datetime) -> bool:
        """Whether it is still good."""
        return self.end_time is None and now < self.expire_time


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What is kept of a refresh token."""

    token_sha256: bytes
    session_id: str
    expire_time: datetime
    use_time: datetime | None = None
    use_request: bytes | None = None
    successor_sha256: bytes | None = None


def _session(row: sa.Row[tuple[Any, ...]]) -> Session:
    values = row._asdict()
    return Session(**{**values, "scope": None if values["scope"] is None else tuple(values["scope"])})


def _values(session: Session) -> dict[str, Any]:
    values = asdict(session)
    return {**values, "scope": None if session.scope is None else list(session.scope)}


async def add(tx: Tx, session: Session) -> None:
    """Keeps a new session."""
    await tx.execute(sa.insert(sessions).values(**_values(session)))


async def put(tx: Tx, session: Session) -> None:
    """Keeps the next state of a session."""
    await tx.execute(sa.update(sessions).where(sessions.c.session_id == session.session_id).values(**_values(session)))


async def find(tx: Tx, session_id: str, *, for_update: bool = False) -> Session | None:
    """One session; None when there is none."""
    query = sa.select(sessions).where(sessions.c.session_id == session_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _session(row)


async def leave_profile(tx: Tx, profile_id: str) -> None:
    """Takes all sessions out of a profile."""
    await tx.execute(sa.update(sessions).where(sessions.c.profile_id == profile_id).values(profile_id=""))


async def open_of(tx: Tx, account_id: str, now: datetime) -> Sequence[Session]:
    """All open sessions of an account, locked in one order."""
    query = (
        sa.select(sessions)
        .where(sessions.c.account_id == account_id, sessions.c.end_time.is_(None), sessions.c.expire_time > now)
        .order_by(sessions.c.session_id)
        .with_for_update()
    )
    return [_session(row) for row in await tx.execute(query)]


async def page(tx: Tx, account_id: str, now: datetime, part: Page) -> Sequence[Session]:
    """One page of an account's open sessions, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(sessions)
        .where(sessions.c.account_id == account_id, sessions.c.end_time.is_(None), sessions.c.expire_time > now)
        .order_by(sessions.c.session_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(sessions.c.session_id < part.after)
    return [_session(row) for row in await tx.execute(query)]


async def add_token(tx: Tx, token: RefreshToken) -> None:
    """Keeps a new refresh token."""
    await tx.execute(sa.insert(refresh_tokens).values(**asdict(token)))


async def find_token(tx: Tx, token_sha256: bytes) -> RefreshToken | None:
    """One refresh token, locked; None when there is none."""
    query = sa.select(refresh_tokens).where(refresh_tokens.c.token_sha256 == token_sha256).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else RefreshToken(**row._asdict())


async def put_token(tx: Tx, token: RefreshToken) -> None:
    """Keeps the next state of a refresh token."""
    await tx.execute(
        sa.update(refresh_tokens)
        .where(refresh_tokens.c.token_sha256 == token.token_sha256)
        .values(use_time=token.use_time, use_request=token.use_request, successor_sha256=token.successor_sha256)
    )


async def remove_token(tx: Tx, token_sha256: bytes) -> None:
    """Forgets a refresh token."""
    await tx.execute(sa.delete(refresh_tokens).where(refresh_tokens.c.token_sha256 == token_sha256))


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes sessions a month after their end, and refresh tokens that expired. A used token is kept as long as it could have lived:
    until then its second use tells of a theft."""
    await tx.execute(sa.delete(refresh_tokens).where(refresh_tokens.c.expire_time < now))
    await tx.execute(
        sa.delete(sessions).where(
            sa.or_(sessions.c.expire_time < now - _KEPT_AFTER_END, sessions.c.end_time < now - _KEPT_AFTER_END)
        )
    )
