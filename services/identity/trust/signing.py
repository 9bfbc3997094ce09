"""The keys that access tokens are signed with, and the tokens (RFC 9068, ES256).

A new key is published an hour before it signs, so that every server knows it by then, and an old one until the last token it signed
has expired: nobody is refused because keys change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from reelmesh.identity.v1 import events_pb2

from services.kit.clock import Clock, timestamp
from services.kit.database import Tx, after_commit
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.sealing import Seal

IDENTITY_KEY_FILE: Final = "identity_key"
"""Secret under which the service seals what its database may keep but not read."""
AUDIENCE: Final = "reelmesh-api"
ID_TOKEN_TYPE: Final = "JWT"  # noqa: S105  # a type
"""`typ` of ID tokens, which are no access tokens (RFC 9068 §2.1)."""
LIFETIME: Final = timedelta(minutes=15)
"""Of an access token."""
ROTATED_AFTER: Final = timedelta(days=30)
ANNOUNCED_FOR: Final = timedelta(hours=1)
"""How long a key is known before it signs."""
_LOCK: Final = 0x7369676E  # "sign": one rotation at a time

signing_keys: Final = sa.Table(
    "signing_keys",
    sa.MetaData(),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("sealed_private_key", sa.LargeBinary),
    sa.Column("public_key", sa.LargeBinary),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("sign_from", sa.DateTime(timezone=True)),
    sa.Column("verify_until", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key.

    Attributes:
        key_id: `kid` of the tokens.
        private: signs.
        public_key: SubjectPublicKeyInfo, DER.
        sign_from: it signs from here on, until the next one does.
        verify_until: it is not needed afterwards. None for the newest.
    """

    key_id: str
    private: ec.EllipticCurvePrivateKey
    public_key: bytes
    sign_from: datetime
    verify_until: datetime | None


class Signer:
    """Signs access tokens with the key of the moment.

    Args:
        issuer: `iss`, the URL at which people reach the edge.
    """

    def __init__(self, seal: Seal, clock: Clock, issuer: str) -> None:
        self._seal = seal
        self._clock = clock
        self.issuer = issuer
        self._keys: tuple[SigningKey, ...] = ()

    @property
    def keys(self) -> Sequence[SigningKey]:
        """All keys that tokens may be signed with now or soon, oldest first."""
        return self._keys

    async def refresh(self, tx: Tx) -> bool:
        """Reads the keys, makes the first or the next one when it is time, and forgets those that signed nothing alive. Returns whether
        anything changed since the last look."""
        now = self._clock.now()
        newest = await self._newest(tx, now)
        if newest is None:
            await self._make(tx, now, now)
        elif newest.sign_from + ROTATED_AFTER - ANNOUNCED_FOR <= now:
            await self._make(tx, now, now + ANNOUNCED_FOR)
        return await self._read(tx)

    async def rotate(self, tx: Tx) -> tuple[str, datetime]:
        """Makes the next key, unless there is one that does not sign yet. Returns its id and when it begins to sign. Replicas that are asked
        at the same time make one."""
        now = self._clock.now()
        newest = await self._newest(tx, now)
        if newest is not None and newest.sign_from > now:
            next_key = (str(newest.key_id), newest.sign_from)
        else:
            sign_from = now + ANNOUNCED_FOR
            next_key = (await self._make(tx, now, sign_from), sign_from)
        await self._read(tx)
        return next_key

    def mint(self, claims: Mapping[str, Any], now: datetime) -> str:
        """An access token. `iss`, `aud`, `iat`, `exp` and `jti` are added."""
        whole = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            # To the millisecond (RFC 7519 §2 allows fractions): what is revoked at a moment must not bar what is issued a moment later.
            "iat": _milliseconds(now),
            "exp": _milliseconds(now + LIFETIME),
            "jti": new_id("jti"),
            **claims,
        }
        return self._signed(whole, "at+jwt", now)

    def mint_id_token(self, claims: Mapping[str, Any], now: datetime) -> str:
        """An ID token (OpenID Connect Core §2), which lives as long as the access token beside it. `iss`, `iat` and `exp` are added."""
        seconds = math.floor(now.timestamp())
        whole = {"iss": self.issuer, "iat": seconds, "exp": seconds + int(LIFETIME.total_seconds()), **claims}
        return self._signed(whole, ID_TOKEN_TYPE, now)

    def _signed(self, claims: Mapping[str, Any], kind: str, now: datetime) -> str:
        key = max((key for key in self._keys if key.sign_from <= now), key=lambda key: key.sign_from)
        return jwt.encode(dict(claims), key.private, algorithm="ES256", headers={"kid": key.key_id, "typ": kind})

    async def _newest(self, tx: Tx, now: datetime) -> sa.Row[Any] | None:
        """The newest key; keys that signed nothing alive are forgotten first. One transaction at a time comes past here."""
        await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        await tx.execute(sa.delete(signing_keys).where(signing_keys.c.verify_until < now))
        query = sa.select(signing_keys).order_by(signing_keys.c.sign_from.desc()).limit(1)
        return (await tx.execute(query)).one_or_none()

    async def _make(self, tx: Tx, now: datetime, sign_from: datetime) -> str:
        private = ec.generate_private_key(ec.SECP256R1())
        key_id = new_id("sgk")
        sealed = self._seal.seal(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), key_id)
        await tx.execute(
            sa.update(signing_keys)
            .where(signing_keys.c.verify_until.is_(None))
            .values(verify_until=sign_from + LIFETIME + timedelta(minutes=5))
        )
        await tx.execute(
            sa.insert(signing_keys).values(
                key_id=key_id,
                sealed_private_key=sealed,
                public_key=private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
                create_time=now,
                sign_from=sign_from,
            )
        )
        await announce(tx, events_pb2.SigningKeyRotated(key_id=key_id, rotate_time=timestamp(now)))
        return key_id

    async def _read(self, tx: Tx) -> bool:
        rows = (await tx.execute(sa.select(signing_keys).order_by(signing_keys.c.sign_from))).all()
        changed = [row.key_id for row in rows] != [key.key_id for key in self._keys]
        known = {key.key_id: key.private for key in self._keys}
        found = tuple(
            SigningKey(
                row.key_id,
                known.get(row.key_id) or self._opened(row.key_id, row.sealed_private_key),
                row.public_key,
                row.sign_from,
                row.verify_until,
            )
            for row in rows
        )
        # A key that is not committed must sign nothing.
        after_commit(tx, lambda: self._take(found))
        return changed

    def _take(self, keys: tuple[SigningKey, ...]) -> None:
        self._keys = keys

    def _opened(self, key_id: str, sealed: bytes) -> ec.EllipticCurvePrivateKey:
        key = load_der_private_key(self._seal.open(sealed, key_id), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key


def _milliseconds(moment: datetime) -> float:
    """Unix seconds, cut to the millisecond, so that nothing seems newer than it is."""
    return math.floor(moment.timestamp() * 1000) / 1000
