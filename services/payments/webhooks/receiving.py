"""Takes deliveries: finds the account, has its adapter check and read each, keeps all that came together by one statement, and only then answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import grpc
import structlog
from prometheus_client import Counter

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.processors.accounts import Accounts, Working
from services.payments.processors.amounts import MOST
from services.payments.processors.contract import Acknowledgement, Delivery, Notice, NoticeKind, Reading
from services.payments.webhooks import store
from services.payments.webhooks.redaction import card_like, without_cards
from services.payments.webhooks.store import EventState, NewEvent

log = structlog.stdlib.get_logger()

WEBHOOKS: Final = Counter("reelmesh_webhooks", "Deliveries of payment processors.", ["processor", "outcome"])
_LONGEST_TEXT: Final = 200
_TEXTS: Final = (
    "dedupe_key",
    "transaction_reference",
    "original_reference",
    "subscription_reference",
    "checkout_id",
    "payment_method_reference",
    "reason",
)
_STATUS: Final = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
}


@dataclass(frozen=True, slots=True)
class Posted:
    """A delivery, and where it was sent to."""

    processor: str
    account_id: str
    delivery: Delivery = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the processor is told.

    Attributes:
        reason: why it was refused; empty when it was not.
    """

    acknowledgement: Acknowledgement
    reason: str = ""


class Receiving:
    """Takes deliveries.

    Args:
        wake: called when there is something new to work on.
    """

    def __init__(self, database: Database, clock: Clock, accounts: Accounts, wake: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._accounts = accounts
        self._wake = wake

    async def received(self, posted: Sequence[Posted]) -> list[Answer]:
        """Takes deliveries. Whatever is answered as taken is kept, whatever happens next.

        Raises:
            Exception: the database is away. Nothing is kept then that matters, and each is to be sent again.
        """
        answers, new = [], list[NewEvent]()
        for one in posted:
            try:
                working, reading = await self._read(one)
                new += _events(working, reading, one.delivery.receive_time)
                answers.append(Answer(working.processor.acknowledgement(one.delivery, reading)))
            except Refusal as refusal:
                log.info("webhook refused", account=one.account_id[:40], reason=refusal.reason, why=refusal.message)
                answers.append(_refused(refusal))
            WEBHOOKS.labels(one.processor if answers[-1].reason != _NOWHERE else "", answers[-1].reason or "OK").inc()
        if new:
            async with self._database.transaction() as tx:
                fresh = await store.add(tx, new)
            if fresh:
                self._wake()
        return answers

    async def _read(self, one: Posted) -> tuple[Working, Reading]:
        working = await self._accounts.working(one.account_id)
        if working is None or working.kind.name != one.processor:
            raise _nowhere()
        if not working.may_send_from(one.delivery.source_address):
            raise refusals.webhook_not_authentic(one.processor, "comes from where this processor never sends from")
        if len(one.delivery.body) > working.kind.body_bytes:
            raise refusals.webhook_malformed(one.processor, f"the body is longer than {working.kind.body_bytes} bytes")
        reading = working.processor.read(one.delivery)
        return working, replace(reading, notices=tuple(_sound(one.processor, notice) for notice in reading.notices))


_NOWHERE: Final = "PROCESSOR_ACCOUNT_NOT_FOUND"


def _nowhere() -> Refusal:
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "PROCESSOR_ACCOUNT_NOT_FOUND",
        "there is no processor account at this address; check the URL that was entered at the processor",
        domain=refusals.DOMAIN,
    )


def _sound(processor: str, notice: Notice) -> Notice:
    """A notice that can be kept: what an adapter lets through by mistake must not stop everything that came with it."""
    for name in _TEXTS:
        text: str = getattr(notice, name)
        if len(text) > _LONGEST_TEXT or not ((text.isprintable() and text.isascii()) or name == "reason"):
            raise refusals.webhook_malformed(processor, f"its {name} is no text of up to {_LONGEST_TEXT} characters")
    if not notice.dedupe_key:
        raise refusals.webhook_malformed(processor, "it has no id of its own")
    for amount in (notice.amount, notice.fee):
        if amount is not None and not 0 < amount.minor_units <= MOST:
            raise refusals.webhook_malformed(processor, "an amount is not between 1 and 10^15 minor units")
    if card_like(notice.payment_method_reference):
        log.error("a payment method looks like a card and is not kept", processor=processor)
        notice = replace(notice, payment_method_reference="")
    printable = "".join(character for character in notice.reason if character.isprintable())
    return replace(notice, reason=without_cards(printable.encode()).decode())


def _events(working: Working, reading: Reading, receive_time: datetime) -> list[NewEvent]:
    return [
        NewEvent(
            event_id=new_id("whe"),
            organisation_id=working.account.organisation_id,
            account_id=working.account.account_id,
            processor=working.kind.name,
            notice=notice,
            state=EventState.DONE if notice.kind is NoticeKind.IGNORED else EventState.PENDING,
            redacted=without_cards(reading.redacted) if number == 0 else b"",
            receive_time=receive_time,
        )
        for number, notice in enumerate(reading.notices)
    ]


def _refused(refusal: Refusal) -> Answer:
    status = _STATUS.get(refusal.code, 500)
    body = json.dumps(refusal.as_problem(status), separators=(",", ":")).encode()
    return Answer(Acknowledgement(status, "application/problem+json", body), refusal.reason)
