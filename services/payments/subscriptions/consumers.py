"""What becomes of sales becomes of subscriptions: a price may go back by anybody's hand."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message
from reelmesh.payments.v1 import events_pb2

from services.kit.database import Tx
from services.kit.events import Handler
from services.payments.sales.domain import Takeback
from services.payments.subscriptions import charges, store
from services.payments.subscriptions.notices import SubscriptionNotices


class Returns:
    """Handlers of our own events about sales."""

    def __init__(self, notices: SubscriptionNotices) -> None:
        self._notices = notices

    def handlers(self) -> Mapping[type[Message], Handler]:
        """Each kind of event with its handler."""
        return {
            events_pb2.RefundRecorded: self.refunded,
            events_pb2.ChargebackRecorded: self.charged_back,
        }

    async def refunded(self, tx: Tx, data: bytes) -> None:
        """Something of a price went back."""
        event = events_pb2.RefundRecorded.FromString(data)
        await self._returned(tx, event.sale_id, Takeback.REFUND, event.remaining_minor_units)

    async def charged_back(self, tx: Tx, data: bytes) -> None:
        """A bank took a price back."""
        event = events_pb2.ChargebackRecorded.FromString(data)
        await self._returned(tx, event.sale_id, Takeback.CHARGEBACK, event.remaining_minor_units)

    async def _returned(self, tx: Tx, sale_id: str, kind: Takeback, remaining: int) -> None:
        kept = await charges.by_sale(tx, sale_id)
        if kept is None:
            return
        one = (await store.locked(tx, [kept.subscription_id]))[kept.subscription_id]
        await self._notices.returned(tx, one, kept, kind, remaining)
