"""Tables of passkeys, of the questions that devices were asked, and of the handles by which devices know people."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()

passkeys: Final = sa.Table(
    "passkeys",
    _METADATA,
    sa.Column("passkey_id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("credential_id", sa.LargeBinary),
    sa.Column("public_key", sa.LargeBinary),
    sa.Column("sign_count", sa.BigInteger),
    sa.Column("display_name", sa.Text),
    sa.Column("authenticator_model", sa.Text),
    sa.Column("transports", ARRAY(sa.Text)),
    sa.Column("backed_up", sa.Boolean),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("use_time", sa.DateTime(timezone=True)),
)
passkey_challenges: Final = sa.Table(
    "passkey_challenges",
    _METADATA,
    sa.Column("challenge_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
)
passkey_users: Final = sa.Table(
    "passkey_users",
    _METADATA,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("user_handle", sa.LargeBinary),
)
_HANDLE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Passkey:
    """What is kept of a passkey. None of it is secret.

    Attributes:
        passkey_id: `pky_…`.
        account_id: whose it is.
        credential_id: by which its device knows it.
        public_key: COSE_Key (RFC 9052 §7).
        sign_count: counter of signatures, as last seen.
        display_name: name that its owner gave it.
        authenticator_model: AAGUID of what holds it.
        transports: how it can be reached.
        backed_up: whether a key ring of several devices holds it.
        create_time: when it was added.
        use_time: when it was last signed in with; None when it never was.
    """

    passkey_id: str
    account_id: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    display_name: str
    authenticator_model: str
    transports: tuple[str, ...]
    backed_up: bool
    create_time: datetime
    use_time: datetime | None = None


def _passkey(row: sa.Row[tuple[Any, ...]]) -> Passkey:
    values = row._asdict()
    return Passkey(**{**values, "transports": tuple(values["transports"])})


def _values(passkey: Passkey) -> dict[str, Any]:
    return {**asdict(passkey), "transports": list(passkey.transports)}


async def add(tx: Tx, passkey: Passkey) -> bool:
    """Keeps a new passkey. Returns False when its credential is known already."""
    added = await tx.execute(
        insert(passkeys).values(**_values(passkey)).on_conflict_do_nothing(index_elements=["credential_id"])
    )
    return bool(added.rowcount)


async def put(tx: Tx, passkey: Passkey) -> None:
    """Keeps the next state of a passkey."""
    await tx.execute(sa.update(passkeys).where(passkeys.c.passkey_id == passkey.passkey_id).values(**_values(passkey)))


async def remove(tx: Tx, passkey_id: str) -> None:
    """Forgets a passkey."""
    await tx.execute(sa.delete(passkeys).where(passkeys.c.passkey_id == passkey_id))


async def find(tx: Tx, passkey_id: str) -> Passkey | None:
    """One passkey, locked; None when there is none."""
    query = sa.select(passkeys).where(passkeys.c.passkey_id == passkey_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _passkey(row)


async def find_by_credential(tx: Tx, credential_id: bytes) -> Passkey | None:
    """The passkey that its device knows by this id, locked; None when there is none."""
    query = sa.select(passkeys).where(passkeys.c.credential_id == credential_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _passkey(row)


async def credentials_of(tx: Tx, account_id: str) -> Sequence[bytes]:
    """Credential ids of all passkeys of an account."""
    query = sa.select(passkeys.c.credential_id).where(passkeys.c.account_id == account_id)
    return [row.credential_id for row in await tx.execute(query)]


async def page(tx: Tx, account_id: str, part: Page) -> Sequence[Passkey]:
    """One page of an account's passkeys, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(passkeys)
        .where(passkeys.c.account_id == account_id)
        .order_by(passkeys.c.passkey_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(passkeys.c.passkey_id < part.after)
    return [_passkey(row) for row in await tx.execute(query)]


async def handle_of(tx: Tx, account_id: str) -> bytes:
    """By what devices know a person: random, so that it tells nothing to who reads it off a device (WebAuthn Level 3 §14.6.1). It is made
    with the first question."""
    fresh = {"account_id": account_id, "user_handle": secrets.token_bytes(_HANDLE_BYTES)}
    await tx.execute(insert(passkey_users).values(**fresh).on_conflict_do_nothing())
    query = sa.select(passkey_users.c.user_handle).where(passkey_users.c.account_id == account_id)
    handle: bytes = (await tx.execute(query)).scalar_one()
    return handle


async def ask(tx: Tx, challenge: bytes, account_id: str | None, expire_time: datetime) -> None:
    """Remembers that a challenge was given out: to a person who adds a passkey, or (None) to whoever wants to sign in."""
    await tx.execute(
        sa.insert(passkey_challenges).values(
            challenge_sha256=_digest(challenge), account_id=account_id, expire_time=expire_time
        )
    )


async def take(tx: Tx, challenge: bytes, account_id: str | None, now: datetime) -> bool:
    """Takes a challenge out of use. Returns whether it was given out for this and is still good; the caller must commit that before it
    refuses."""
    removed = await tx.execute(
        sa.delete(passkey_challenges)
        .where(passkey_challenges.c.challenge_sha256 == _digest(challenge))
        .returning(passkey_challenges.c.account_id, passkey_challenges.c.expire_time)
    )
    row = removed.one_or_none()
    return row is not None and row.account_id == account_id and row.expire_time > now


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes questions that nobody answered in time."""
    await tx.execute(sa.delete(passkey_challenges).where(passkey_challenges.c.expire_time < now))


def _digest(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()
