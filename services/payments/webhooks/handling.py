"""What works on notices: the contract of those who know what one means."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

from services.kit.database import Tx
from services.payments.processors.contract import Notice


@dataclass(frozen=True, slots=True)
class Told:
    """A notice, and who it is for.

    Attributes:
        account_id: the processor account.
        processor: its kind's name, which is also the ledger's.
    """

    organisation_id: str
    account_id: str
    processor: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class Applied:
    """It is done, now or before. `remark` is for people, where there is something to say."""

    remark: str = ""


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """What it is about was not told of yet. It is tried again as soon as something with this key is applied: see `keys_of`."""

    key: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """It contradicts what is known, and trying again will not help: somebody has to look at it."""

    why: str


@dataclass(frozen=True, slots=True)
class NotMine:
    """Somebody else may know."""


Handled = Applied | WaitsFor | Impossible | NotMine
NOT_MINE: Final = NotMine()


class NoticeHandler(Protocol):
    """Knows what some notices mean. Handlers are asked in turn; the first that does not say `NotMine` decides."""

    async def apply(self, tx: Tx, told: Told) -> Handled:
        """Applies a notice, within a savepoint of the transaction that marks it as done. Whoever posts does it last.

        The references of the notice are locked, so that nothing else about them is applied meanwhile. A Refusal has it tried again later,
        and given up after some days.
        """
        ...


def transaction_key(reference: str) -> str:
    """What a notice about another transaction waits for."""
    return f"tx/{reference}"


def subscription_key(reference: str) -> str:
    """What a notice about a subscription waits for."""
    return f"sub/{reference}"


def keys_of(notice: Notice) -> tuple[str, ...]:
    """Everything that a notice is about, in an order that is the same for all."""
    keys = {transaction_key(one) for one in (notice.transaction_reference, notice.original_reference) if one}
    if notice.subscription_reference:
        keys.add(subscription_key(notice.subscription_reference))
    return tuple(sorted(keys))


def content_of(kind: str, processor: str, reference: str) -> bytes:
    """The digest under which something is recorded that a processor's reference stands for: the same whether it was told by webhook, heard in
    answer to a call, or both."""
    return hashlib.sha256(f"{kind}\0{processor}\0{reference}".encode()).digest()
