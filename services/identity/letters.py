"""Letters to accounts, on behalf of services that know no addresses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import grpc
from reelmesh.identity.v1 import letters_service_pb2 as api
from reelmesh.identity.v1 import letters_service_pb2_grpc

from services.identity.accounts import store
from services.identity.messages import Messages, OutgoingMessage
from services.kit.clock import Clock
from services.kit.database import Database

Context = grpc.aio.ServicerContext[Any, Any]

WORTH_SENDING: Final = timedelta(days=7)
"""What others write holds no code that expires: it is tried for as long as the notifications service knows its id."""


class LettersServicer(letters_service_pb2_grpc.LettersServiceServicer):
    """Serves `reelmesh.identity.v1.LettersService`."""

    def __init__(self, database: Database, clock: Clock, messages: Messages) -> None:
        self._database = database
        self._clock = clock
        self._messages = messages

    async def SendLetter(self, request: api.SendLetterRequest, context: Context) -> api.SendLetterResponse:
        """Puts a message in the box."""
        async with self._database.transaction() as tx:
            account = await store.find(tx, request.account_id)
            if account is None:
                return api.SendLetterResponse(known=False)
            letter = OutgoingMessage(
                "email", account.email, request.template, account.language, dict(request.parameters)
            )
            await self._messages.put(tx, letter, self._clock.now(), message_id=request.message_id, lasts=WORTH_SENDING)
        return api.SendLetterResponse(known=True)
