"""Letters to the parties of a case and to its desk: written in the transaction that they tell of, sealed, and sent afterwards."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from services.kit.database import Tx, after_commit
from services.kit.ids import new_id
from services.kit.sealing import Seal

GIVEN_UP_AFTER: Final = timedelta(days=7)
"""The notifications service knows for so long that it sent a message."""
_LONGEST: Final = 500

letters: Final = sa.Table(
    "notice_letters",
    sa.MetaData(),
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("tries", sa.SmallInteger),
    sa.Column("next_try_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class OutgoingLetter:
    """One letter.

    Attributes:
        email: to this address; empty when it goes to an account.
        account_id: to the address of this account, which identity knows; empty when it goes to an address.
        template: which text.
        language: BCP 47 tag; empty for that of the account, or English.
        parameters: what the text is filled with.
    """

    email: str
    account_id: str
    template: str
    language: str
    parameters: dict[str, str]


class Letters:
    """The outgoing box.

    Attributes:
        news: set when something was put in, for whoever empties it.
    """

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self.news = asyncio.Event()

    async def put(self, tx: Tx, letter: OutgoingLetter, now: datetime) -> None:
        """Puts a letter in the box, if it goes to anybody; it is sent if and only if the transaction commits."""
        if not letter.email and not letter.account_id:
            return
        message_id = new_id("msg")
        await tx.execute(
            sa.insert(letters).values(
                message_id=message_id,
                sealed=self._seal.seal(json.dumps(asdict(letter)).encode(), message_id),
                tries=0,
                next_try_time=now,
                expire_time=now + GIVEN_UP_AFTER,
            )
        )
        after_commit(tx, self.news.set)

    def opened(self, message_id: str, sealed: bytes) -> OutgoingLetter:
        """What was put in the box."""
        return OutgoingLetter(**json.loads(self._seal.open(sealed, message_id)))


def one_line(text: str) -> str:
    """A text as a letter takes it: on one line, and not too long."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
