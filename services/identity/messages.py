"""Messages to people, written with the state that they tell of and sent afterwards: sealed, since they may hold a code."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx, after_commit
from services.kit.ids import new_id
from services.kit.sealing import Seal

GIVEN_UP_AFTER: Final = timedelta(minutes=15)
"""A message that could not be sent for so long is of no use any more: what it holds has expired."""

NOWHERE: Final = "nowhere"
"""Channel of a message to nobody: it is written where there is no account, so that it takes as long as where there is one."""

messages: Final = sa.Table(
    "messages",
    sa.MetaData(),
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("tries", sa.SmallInteger),
    sa.Column("next_try_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message.

    Attributes:
        channel: `email` or `sms`; `NOWHERE` for one that is not sent.
        to: address or E.164 number.
        template: which text, such as `verify-email`.
        language: BCP 47 tag of the person's language.
        parameters: what the text is filled with.
    """

    channel: str
    to: str
    template: str
    language: str
    parameters: dict[str, str]


class Messages:
    """The outgoing box.

    Attributes:
        news: set when something was put in, for whoever empties it.
    """

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self.news = asyncio.Event()

    async def put(
        self,
        tx: Tx,
        message: OutgoingMessage,
        now: datetime,
        *,
        message_id: str = "",
        lasts: timedelta = GIVEN_UP_AFTER,
    ) -> str:
        """Puts a message in the box; it is sent if and only if the transaction commits. Returns its id.

        Args:
            tx: the transaction.
            message: the message.
            now: the present moment.
            message_id: chosen by somebody else, who may ask again; empty for a new one.
            lasts: how long it is worth sending.
        """
        message_id = message_id or new_id("msg")
        await tx.execute(
            insert(messages)
            .values(
                message_id=message_id,
                sealed=self._seal.seal(json.dumps(asdict(message)).encode(), message_id),
                tries=0,
                next_try_time=now,
                expire_time=now + lasts,
            )
            .on_conflict_do_nothing(index_elements=["message_id"])
        )
        after_commit(tx, self.news.set)
        return message_id

    def opened(self, message_id: str, sealed: bytes) -> OutgoingMessage:
        """What was put in the box."""
        return OutgoingMessage(**json.loads(self._seal.open(sealed, message_id)))
