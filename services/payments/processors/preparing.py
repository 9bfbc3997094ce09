"""What some adapters need around the pure part of a webhook."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from services.payments.processors.contract import Delivery, Notice


@runtime_checkable
class Prepares(Protocol):
    """An adapter whose `read` needs something that only the processor has, such as the certificate that a delivery is signed with."""

    async def prepare(self, delivery: Delivery) -> None:
        """Fetches what `read` needs for this delivery, if it is not here and may be fetched. Whoever receives webhooks calls it before `read`.
        It neither raises nor answers: `read` judges."""
        ...


@runtime_checkable
class Completes(Protocol):
    """An adapter whose buyers only approve a payment on the page, which is then ours to take."""

    def to_complete(self, notice: Notice) -> str:
        """The page's reference, if this notice says that its buyer has approved; otherwise empty. Whoever works notices then calls `query`
        with it, which takes what was approved, any number of times without taking it twice. Pure."""
        ...
