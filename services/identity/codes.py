"""One-time codes: digits that are sent to somebody, kept as a keyed digest, good for a while and for five tries."""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from services.kit.database import Tx
from services.kit.ids import new_id
from services.kit.sealing import Seal

LIFETIME: Final = timedelta(minutes=15)
MOST_TRIES: Final = 5
_DIGITS: Final = 8

codes: Final = sa.Table(
    "codes",
    sa.MetaData(),
    sa.Column("code_id", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary),
    sa.Column("tries", sa.SmallInteger),
    sa.Column("sealed_purpose", sa.LargeBinary),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("use_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Code:
    """A code that was just made.

    Attributes:
        code_id: what it is handed in with; `prefix_` and a TypeID suffix.
        text: the digits, for the person only.
        expire_time: until when it is good.
    """

    code_id: str
    text: str
    expire_time: datetime


class Codes:
    """Makes codes and takes them."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    async def make(self, tx: Tx, prefix: str, purpose: dict[str, str] | None, now: datetime) -> Code:
        """Makes a code.

        Args:
            tx: the transaction.
            prefix: of its id: `reg` for a registration and so on. A code is good for its own kind only.
            purpose: what whoever redeems it needs to know. None: the code leads nowhere, which shows only in that it never is right.
            now: the present moment.
        """
        code = Code(new_id(prefix), "".join(secrets.choice("0123456789") for _ in range(_DIGITS)), now + LIFETIME)
        await tx.execute(
            sa.insert(codes).values(
                code_id=code.code_id,
                digest=self._digest(code.code_id, code.text),
                tries=0,
                # A decoy is sealed too: rows of both kinds look alike.
                sealed_purpose=self._seal.seal(json.dumps(purpose).encode(), code.code_id),
                expire_time=code.expire_time,
            )
        )
        return code

    async def redeem(self, tx: Tx, code_id: str, text: str, now: datetime) -> dict[str, str] | None:
        """Uses a code up. Returns its purpose; None when it is wrong, used, too old or tried too often. A wrong try counts, so the
        caller must commit the transaction before it refuses."""
        row = (await tx.execute(sa.select(codes).where(codes.c.code_id == code_id).with_for_update())).one_or_none()
        if row is None or row.use_time is not None or row.expire_time <= now or row.tries >= MOST_TRIES:
            return None
        right = hmac.compare_digest(row.digest, self._digest(code_id, text))
        purpose = json.loads(self._seal.open(row.sealed_purpose, code_id))
        change = {"use_time": now} if right and purpose is not None else {"tries": row.tries + 1}
        await tx.execute(sa.update(codes).where(codes.c.code_id == code_id).values(**change))
        return purpose if right else None

    def _digest(self, code_id: str, text: str) -> bytes:
        return self._seal.digest("code", code_id, text)


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes codes a day after their end."""
    await tx.execute(sa.delete(codes).where(codes.c.expire_time < now - timedelta(days=1)))
