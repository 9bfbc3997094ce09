"""What processors' notices mean for checkouts, and for sales however they came about."""

from __future__ import annotations

from services.kit.clock import Clock
from services.kit.database import Tx
from services.payments.checkouts import store
from services.payments.checkouts.domain import Checkout, CheckoutState
from services.payments.offers import store as offers
from services.payments.processors.contract import Amount, NoticeKind
from services.payments.sales import store as sales
from services.payments.sales.domain import Sale, Takeback
from services.payments.sales.recording import Order, Recording, Return
from services.payments.splits.domain import Price
from services.payments.webhooks.handling import (
    NOT_MINE,
    Applied,
    Handled,
    Impossible,
    Told,
    WaitsFor,
    content_of,
    transaction_key,
)


class CheckoutNotices:
    """Records the sale of a checkout, and what its offer grants: the version that it was opened with, whatever became of the offer."""

    def __init__(self, clock: Clock, recording: Recording) -> None:
        self._clock = clock
        self._recording = recording

    async def apply(self, tx: Tx, told: Told) -> Handled:
        """Applies SALE and SALE_FAILED of a checkout that is known."""
        notice = told.notice
        if notice.kind not in (NoticeKind.SALE, NoticeKind.SALE_FAILED) or not notice.checkout_id:
            return NOT_MINE
        checkout = await store.find(tx, told.organisation_id, notice.checkout_id, for_update=True)
        if checkout is None:
            return NOT_MINE
        if checkout.account_id != told.account_id:
            return Impossible("another processor account tells of this checkout than the one it was opened with")
        if notice.kind is NoticeKind.SALE_FAILED:
            await store.put(tx, checkout.declined())
            return Applied(notice.reason)
        if checkout.state is CheckoutState.PAID:
            if checkout.transaction_reference == notice.transaction_reference:
                return Applied("known before")
            return Impossible("the checkout is paid already, by another transaction; one of the two has to be refunded")
        if notice.amount is not None and notice.amount != checkout.amount:
            return Impossible(f"{_text(notice.amount)} was paid where the price is {_text(checkout.amount)}")
        sale = await self._sold(tx, told, checkout)
        paid = checkout.paid(
            sale.sale_id, notice.transaction_reference, notice.payment_method_reference, notice.occur_time
        )
        await store.put(tx, paid)
        return Applied()

    async def _sold(self, tx: Tx, told: Told, checkout: Checkout) -> Sale:
        notice = told.notice
        offer = await offers.find(tx, told.organisation_id, checkout.offer_id, checkout.offer_version)
        if offer is None:
            raise LookupError(f"{checkout.offer_id} is gone, and offers never go")
        fee = notice.fee.minor_units if notice.fee and notice.fee.currency == checkout.currency else None
        order = Order(
            organisation_id=told.organisation_id,
            reference=notice.transaction_reference,
            content=content_of("sale", told.processor, notice.transaction_reference),
            price=Price(checkout.minor_units, told.processor, offer.creators, fee=fee),
            currency=checkout.currency,
            viewer_id=checkout.viewer_id,
            granted=offer.kept(checkout.territory).grant(self._clock.now()),
            sell_time=notice.occur_time,
        )
        return await self._recording.sell(tx, order)


class SaleNotices:
    """Records what goes back of a sale, whichever way it was made, and what was won again."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def apply(self, tx: Tx, told: Told) -> Handled:
        """Applies REFUND, VOID, CHARGEBACK and CHARGEBACK_WON. One that comes before its sale waits for it."""
        notice = told.notice
        if notice.kind not in (
            NoticeKind.REFUND,
            NoticeKind.VOID,
            NoticeKind.CHARGEBACK,
            NoticeKind.CHARGEBACK_WON,
        ):
            return NOT_MINE
        original = notice.original_reference or notice.transaction_reference
        if not original:
            return Impossible("it does not say which transaction it is about")
        sale = await sales.of_reference(tx, told.organisation_id, told.processor, original)
        if sale is None:
            return WaitsFor(transaction_key(original))
        if notice.kind is NoticeKind.CHARGEBACK_WON:
            return await self._won(tx, told, sale)
        return await self._given_back(tx, told, sale)

    async def _given_back(self, tx: Tx, told: Told, sale: Sale) -> Handled:
        notice = told.notice
        charged_back = notice.kind is NoticeKind.CHARGEBACK
        kind = Takeback.CHARGEBACK if charged_back else Takeback.REFUND
        if notice.amount is None and not sale.remaining:
            return Applied("nothing was left of the sale")
        fee = notice.fee.minor_units if charged_back and notice.fee else 0
        named = [amount.currency for amount in (notice.amount, notice.fee if fee else None) if amount]
        wanted = Return(
            organisation_id=told.organisation_id,
            sale_id=sale.sale_id,
            kind=kind,
            reference=notice.transaction_reference or f"{notice.kind.name.lower()}-{sale.reference}",
            content=content_of(kind.name, told.processor, notice.transaction_reference or sale.reference),
            minor_units=notice.amount.minor_units if notice.amount else None,
            currencies=tuple(named),
            revoke=charged_back or notice.kind is NoticeKind.VOID,
            fee=fee,
        )
        await self._recording.give_back(tx, wanted)
        return Applied(notice.reason)

    async def _won(self, tx: Tx, told: Told, sale: Sale) -> Handled:
        lost = [taken for taken in await sales.takebacks_of(tx, sale.sale_id) if taken.kind is Takeback.CHARGEBACK]
        if not lost:
            return WaitsFor(transaction_key(sale.reference))
        standing = next((taken for taken in reversed(lost) if not taken.reversed), lost[-1])
        reference = told.notice.transaction_reference or f"won-{sale.reference}"
        await self._recording.win(
            tx,
            told.organisation_id,
            sale.sale_id,
            chargeback_entry_id=standing.entry_id,
            reference=reference,
            content=content_of("won", told.processor, reference),
        )
        return Applied()


def _text(amount: Amount) -> str:
    return f"{amount.minor_units} minor units of {amount.currency}"
