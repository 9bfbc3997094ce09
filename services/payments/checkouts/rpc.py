"""The contract of checkouts."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.payments.v1 import checkouts_service_pb2 as api
from reelmesh.payments.v1 import checkouts_service_pb2_grpc, payments_pb2

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.idempotency import first_answer, remember
from services.kit.server import current_call
from services.payments import refusals
from services.payments.checkouts import store
from services.payments.checkouts.domain import Checkout, CheckoutState, Refund, RefundState
from services.payments.checkouts.opening import Opening, Wish
from services.payments.checkouts.refunding import Refunding
from services.payments.processors.contract import Amount
from services.payments.requests import amount, content_of
from services.payments.sales import store as sales

Context = grpc.aio.ServicerContext[Any, Any]


class CheckoutsRpc(checkouts_service_pb2_grpc.CheckoutsServiceServicer):
    """Opens checkouts for viewers, and refunds them for those who may."""

    def __init__(self, database: Database, clock: Clock, opening: Opening, refunding: Refunding) -> None:
        self._database = database
        self._clock = clock
        self._opening = opening
        self._refunding = refunding

    async def CreateCheckout(self, request: api.CreateCheckoutRequest, context: Context) -> api.CreateCheckoutResponse:
        """Opens a checkout. What is remembered of the answer has no page in it, which a repeat gets from the checkout itself."""
        organisation_id = current_call().organisation_id
        wish = Wish(
            organisation_id=organisation_id,
            request_key=f"{request.request_id} {content_of(request).hex()}",
            viewer_id=_viewer(request.viewer_id),
            offer_id=request.offer_id,
            territory=request.territory,
            account_id=request.processor_account_id,
            return_path=request.return_path,
        )
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreateCheckoutResponse):
                return api.CreateCheckoutResponse(
                    checkout=await self._resource(tx, await _found(tx, earlier.checkout.checkout_id))
                )
            checkout, working = await self._opening.begun(tx, wish)
        page = await self._opening.page(checkout, working)
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, organisation_id, request, api.CreateCheckoutResponse)
            checkout = await self._opening.opened(tx, checkout, page)
            answer = api.CreateCheckoutResponse(checkout=await self._resource(tx, checkout))
            if earlier is None:
                kept = api.CreateCheckoutResponse()
                kept.CopyFrom(answer)
                kept.checkout.ClearField("page")
                await remember(tx, organisation_id, request, kept)
        return answer

    async def GetCheckout(self, request: api.GetCheckoutRequest, context: Context) -> api.GetCheckoutResponse:
        """One checkout, of a person's own."""
        async with self._database.transaction() as tx:
            checkout = await _found(tx, request.checkout_id)
            principal = current_call().principal
            if principal and principal.account_id and principal.account_id != checkout.viewer_id:
                raise refusals.checkout_not_found(request.checkout_id)
            return api.GetCheckoutResponse(checkout=await self._resource(tx, checkout))

    async def RefundCheckout(self, request: api.RefundCheckoutRequest, context: Context) -> api.RefundCheckoutResponse:
        """Refunds a checkout: kept first, then asked for."""
        organisation_id = current_call().organisation_id
        units = amount(request, "amount")
        wanted = None if units is None else Amount(units, request.amount.currency)
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.RefundCheckoutResponse):
                return api.RefundCheckoutResponse(refund=_refund(await store.find_refund(tx, earlier.refund.refund_id)))
            refund = await self._refunding.begun(tx, organisation_id, request.checkout_id, wanted)
            await remember(tx, organisation_id, request, api.RefundCheckoutResponse(refund=_refund(refund)))
        if refund.state is RefundState.PENDING and not refund.attempts:
            refund = await self._refunding.asked(refund)
        return api.RefundCheckoutResponse(refund=_refund(refund))

    async def _resource(self, tx: Tx, checkout: Checkout) -> api.Checkout:
        sale = await sales.find(tx, checkout.organisation_id, checkout.sale_id) if checkout.sale_id else None
        state = checkout.state_at(self._clock.now(), sale.remaining if sale else 0)
        payable = state in (CheckoutState.OPEN, CheckoutState.DECLINED) and bool(checkout.page)
        return api.Checkout(
            checkout_id=checkout.checkout_id,
            organisation_id=checkout.organisation_id,
            viewer_id=checkout.viewer_id,
            offer_id=checkout.offer_id,
            offer_version=checkout.offer_version,
            asset_id=checkout.asset_id,
            title=checkout.title,
            price=payments_pb2.Money(minor_units=checkout.minor_units, currency=checkout.currency),
            processor_account_id=checkout.account_id,
            processor=checkout.processor,
            state=api.CheckoutState.ValueType(state),
            page=_page(checkout) if payable else None,
            return_path=checkout.return_path,
            sale_id=checkout.sale_id,
            create_time=timestamp(checkout.create_time),
            expire_time=timestamp(checkout.expire_time),
            pay_time=timestamp(checkout.pay_time),
        )


async def _found(tx: Tx, checkout_id: str) -> Checkout:
    checkout = await store.find(tx, current_call().organisation_id, checkout_id)
    if checkout is None:
        raise refusals.checkout_not_found(checkout_id)
    return checkout


def _viewer(named: str) -> str:
    """Who buys: a person for themselves, a server for whomever it names."""
    principal = current_call().principal
    if principal and principal.account_id:
        if named not in {"", principal.account_id}:
            raise refusals.not_your_own(named)
        return principal.account_id
    if not named:
        raise refusals.grant_invalid("viewer_id", "say who buys; an API key is nobody who watches")
    return named


def _page(checkout: Checkout) -> api.PaymentPage:
    page = checkout.page
    return api.PaymentPage(url=page["url"], posted=page["method"] == "POST", fields=page["fields"])


def _refund(refund: Refund) -> api.CheckoutRefund:
    return api.CheckoutRefund(
        refund_id=refund.refund_id,
        checkout_id=refund.checkout_id,
        amount=payments_pb2.Money(minor_units=refund.minor_units, currency=refund.currency),
        state=api.RefundState.ValueType(refund.state),
        reason=refund.reason,
        create_time=timestamp(refund.create_time),
    )
