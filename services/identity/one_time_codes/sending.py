"""Sends one-time codes, and no more often than is good: each costs money or somebody's patience."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.identity import attempts
from services.identity.attempts import Sending
from services.identity.codes import Code, Codes
from services.identity.messages import NOWHERE, Messages, OutgoingMessage
from services.identity.refusals import sent_too_often
from services.kit.clock import Clock
from services.kit.database import Tx
from services.kit.sealing import Seal


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is to get a code.

    Attributes:
        channel: `email` or `sms`.
        address: in canonical form.
        language: BCP 47 tag; empty for English.
    """

    channel: str
    address: str
    language: str = ""


class CodeSending:
    """Makes a code and puts its message into the box."""

    def __init__(self, seal: Seal, clock: Clock, codes: Codes, messages: Messages) -> None:
        self._seal = seal
        self._clock = clock
        self._codes = codes
        self._messages = messages

    async def sent(
        self,
        tx: Tx,
        prefix: str,
        template: str,
        to: Recipient,
        *,
        purpose: dict[str, str] | None,
        network: str,
        account_id: str = "",
    ) -> Code:
        """Sends a code.

        Args:
            tx: the transaction.
            prefix: of the code's id.
            template: which text.
            to: who gets it.
            purpose: what the code is for. None: it is for nothing and goes nowhere, in as many steps.
            network: where the caller is.
            account_id: who asks, when they are signed in.

        Raises:
            Refusal: RESOURCE_EXHAUSTED `SENT_TOO_OFTEN`.
        """
        now = self._clock.now()
        await self._check(tx, to, network, account_id, now)
        code = await self._codes.make(tx, prefix, purpose, now)
        channel, address = (to.channel, to.address) if purpose else (NOWHERE, "")
        message = OutgoingMessage(channel, address, template, to.language, {"code": code.text})
        await self._messages.put(tx, message, now)
        return code

    async def _check(self, tx: Tx, to: Recipient, network: str, account_id: str, now: datetime) -> None:
        wait = await attempts.begin(tx, Sending.of(self._seal, to.address, network, account_id), now)
        if wait:
            raise sent_too_often(wait)

    async def used(self, tx: Tx, address: str, network: str, account_id: str = "") -> None:
        """A code was used by whom it was sent to, so that it does not count any more."""
        await attempts.used(tx, Sending.of(self._seal, address, network, account_id))
