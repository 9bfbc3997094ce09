"""Letters about requests: written with the state that they tell of, sealed, and handed over afterwards.

To accounts by way of identity, which knows their addresses; to the address that the install named for such things by way of notifications. Both take a
letter once by its id, so one that is handed over twice is sent once.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import grpc
import sqlalchemy as sa
import structlog
from reelmesh.identity.v1 import letters_service_pb2 as letters_api
from reelmesh.identity.v1 import letters_service_pb2_grpc
from reelmesh.notifications.v1 import notifications_pb2, notifications_service_pb2_grpc
from reelmesh.notifications.v1 import notifications_service_pb2 as notifications_api

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.sealing import Seal

if TYPE_CHECKING:
    LettersStub = letters_service_pb2_grpc.LettersServiceAsyncStub
    NotificationsStub = notifications_service_pb2_grpc.NotificationsServiceAsyncStub

log = structlog.stdlib.get_logger()

CODE: Final = "data-request-code"
EXTENDED: Final = "data-request-extended"
REFUSED: Final = "data-request-refused"
ERASING: Final = "data-erasure-begun"
DUE: Final = "data-request-due"
WORTH_SENDING: Final = timedelta(days=7)
AGAIN: Final = timedelta(seconds=30)

_letters: Final = sa.Table(
    "rights_letters",
    sa.MetaData(),
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("next_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter.

    Attributes:
        to: an account, or an e-mail address.
        template: which text.
        parameters: what it is filled with.
    """

    to: str
    template: str
    parameters: dict[str, str]


class Letters:
    """The box of letters, and who empties it.

    Args:
        database: the service's own.
        clock: the present moment.
        install: seals them.
        identity: a channel to whoever knows the addresses of accounts.
        notifications: a channel to whoever sends.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        install: Seal,
        *,
        identity: grpc.aio.Channel,
        notifications: grpc.aio.Channel,
    ) -> None:
        self._database = database
        self._clock = clock
        self._install = install
        self._letters: LettersStub = letters_service_pb2_grpc.LettersServiceStub(identity)
        self._notifications: NotificationsStub = notifications_service_pb2_grpc.NotificationsServiceStub(notifications)

    async def put(self, tx: Tx, letter: Letter) -> None:
        """Puts a letter in the box; it is sent if and only if the transaction commits."""
        message_id, now = new_id("msg"), self._clock.now()
        sealed = self._install.seal(json.dumps(asdict(letter)).encode(), message_id)
        await tx.execute(
            sa.insert(_letters).values(
                message_id=message_id, sealed=sealed, next_time=now, expire_time=now + WORTH_SENDING
            )
        )

    async def post(self) -> bool:
        """Hands over the letter that has waited longest. Returns whether there was one."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            query = sa.select(_letters).where(_letters.c.next_time <= now).order_by(_letters.c.next_time).limit(1)
            row = (await tx.execute(query.with_for_update(skip_locked=True))).one_or_none()
            if row is None:
                return False
            mine = _letters.c.message_id == row.message_id
            if row.expire_time <= now or await self._handed_over(row.message_id, row.sealed, now):
                await tx.execute(sa.delete(_letters).where(mine))
            else:
                await tx.execute(sa.update(_letters).where(mine).values(next_time=now + AGAIN))
        return True

    async def _handed_over(self, message_id: str, sealed: bytes, now: datetime) -> bool:
        letter = Letter(**json.loads(self._install.open(sealed, message_id)))
        try:
            if "@" in letter.to:
                await self._notifications.DeliverMessage(
                    notifications_api.DeliverMessageRequest(
                        message_id=message_id,
                        channel=notifications_pb2.CHANNEL_EMAIL,
                        to=letter.to,
                        template=letter.template,
                        parameters=letter.parameters,
                    )
                )
            else:
                await self._letters.SendLetter(
                    letters_api.SendLetterRequest(
                        message_id=message_id,
                        account_id=letter.to,
                        template=letter.template,
                        parameters=letter.parameters,
                    )
                )
        except grpc.RpcError as error:
            refusal = Refusal.from_rpc_error(error)
            log.warning(
                "letter put off",
                message_id=message_id,
                template=letter.template,
                reason=refusal.reason,
                error=telemetry.masked(refusal.message)[:200],
                time=now.isoformat(),
            )
            return False
        return True
