"""The hands of processors that send JSON under a shared secret: Stripe, BTCPay, Coinbase, Adyen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from services.payments.processors.adyen.webhooks import signature as adyen_signature
from services.payments.processors.btcpay.webhooks import signature as btcpay_signature
from services.payments.processors.coinbase.webhooks import signature as coinbase_signature
from services.payments.processors.contract import Delivery
from services.payments.processors.stripe.webhooks import signature as stripe_signature
from tests.payments.processors.accounts import CHECKOUT, NOW, SECRETS
from tests.payments.processors.scribe import PERSONAL, Scribe, delivered, dumped, minor


class StripeScribe(Scribe):
    name = "stripe"
    bad_prices: ClassVar[Mapping[str, Any]] = {
        "negative": -999,
        "zero": 0,
        "overflow": 10**16,
        "endless": 10**200,
        "not finite": float("nan"),
        "text": "999",
        "fraction": 9.5,
        "missing": None,
    }
    stale = future = timedelta(seconds=301)

    def signed(self, event: Any, at: datetime, received: datetime = NOW) -> Delivery:
        body = dumped(event)
        seconds = int(at.timestamp())
        header = f"t={seconds},v1={stripe_signature(SECRETS['stripe']['webhook_secret'], body, seconds)},v0=ffff"
        return delivered(body, {"stripe-signature": header}, received=received)

    def event(
        self, kind: str, thing: Mapping[str, Any], moment: datetime = NOW, identity: str = "evt_1"
    ) -> dict[str, Any]:
        return {
            "id": identity,
            "object": "event",
            "type": kind,
            "created": int(moment.timestamp()),
            "livemode": False,
            "data": {"object": thing},
        }

    def sale(
        self,
        *,
        price: Any = "9.99",
        currency: str = "USD",
        transaction: str = "7001",
        moment: datetime = NOW,
        received: datetime = NOW,
        extra: Mapping[str, Any] | None = None,
    ) -> Delivery:
        thing = {
            "id": f"pi_{transaction}",
            "object": "payment_intent",
            "amount_received": minor(price) if isinstance(price, str) and price == "9.99" else price,
            "currency": currency.lower(),
            "status": "succeeded",
            "customer": "cus_1",
            "payment_method": "pm_1",
            "metadata": {"checkout_id": CHECKOUT},
            "receipt_email": PERSONAL["email"],
            "shipping": {
                "name": PERSONAL["name"],
                "address": {"line1": PERSONAL["address"]},
                "phone": PERSONAL["phone"],
            },
            "charges": {"data": [{"payment_method_details": {"card": {"last4": "1111", "number": PERSONAL["card"]}}}]},
            **(extra or {}),
        }
        return self.signed(self.event("payment_intent.succeeded", thing), moment, received)

    def refund(self, *, transaction: str = "7001", refund: str = "8001") -> Delivery:
        thing = {
            "id": f"re_{refund}",
            "object": "refund",
            "amount": 999,
            "currency": "usd",
            "payment_intent": f"pi_{transaction}",
            "status": "succeeded",
        }
        return self.signed(self.event("refund.created", thing, identity="evt_2"), NOW)

    def unknown(self) -> Delivery:
        return self.signed(self.event("climate.order.created", {"id": "x"}), NOW)

    def tampered(self) -> Iterator[Delivery]:
        good = self.sale()
        header = good.headers["stripe-signature"]
        yield replace(good, body=good.body.replace(b"999", b"998"))
        yield replace(good, body=good.body + b" ")
        yield replace(good, headers={})
        yield replace(good, headers={"stripe-signature": header.replace("t=", "t=1")})
        yield replace(good, headers={"stripe-signature": header.replace("v1=", "v0=")})
        yield replace(good, headers={"stripe-signature": f"t=1,{header}"})
        yield replace(good, headers={"stripe-signature": header + ",v1=a" * 30})


class BTCPayScribe(Scribe):
    name = "btcpay"
    stale, future = timedelta(days=1, minutes=1), timedelta(seconds=301)
    tells_amounts = refunds = False

    def _signed(self, event: Mapping[str, Any], received: datetime = NOW) -> Delivery:
        body = dumped(event)
        return delivered(
            body, {"btcpay-sig": btcpay_signature(SECRETS["btcpay"]["webhook_secret"], body)}, received=received
        )

    def event(self, kind: str, transaction: str = "7001", moment: datetime = NOW) -> dict[str, Any]:
        return {
            "deliveryId": "d2",
            "webhookId": "w1",
            "originalDeliveryId": "d1",
            "isRedelivery": True,
            "type": kind,
            "timestamp": int(moment.timestamp()),
            "storeId": "s",
            "invoiceId": transaction,
            "metadata": {"orderId": CHECKOUT, "buyerEmail": PERSONAL["email"], "buyerName": PERSONAL["name"]},
        }

    def sale(
        self,
        *,
        price: Any = "9.99",
        currency: str = "USD",
        transaction: str = "7001",
        moment: datetime = NOW,
        received: datetime = NOW,
        extra: Mapping[str, Any] | None = None,
    ) -> Delivery:
        return self._signed({**self.event("InvoiceSettled", transaction, moment), **(extra or {})}, received)

    def unknown(self) -> Delivery:
        return self._signed(self.event("PayoutApproved"))

    def tampered(self) -> Iterator[Delivery]:
        good = self.sale()
        yield replace(good, body=good.body.replace(b"7001", b"7002"))
        yield replace(good, headers={})
        yield replace(good, headers={"btcpay-sig": good.headers["btcpay-sig"].removeprefix("sha256=")})
        yield self.sale(extra={"storeId": "another"})


class CoinbaseScribe(Scribe):
    name = "coinbase"
    stale, future = timedelta(days=3, minutes=6), timedelta(seconds=301)
    refunds = False

    def _signed(self, event: Mapping[str, Any], received: datetime = NOW) -> Delivery:
        body = dumped({"id": 1, "attempt_number": 1, "event": event})
        signature = coinbase_signature(SECRETS["coinbase"]["webhook_secret"], body)
        return delivered(body, {"x-cc-webhook-signature": signature}, received=received)

    def _event(self, kind: str, data: Mapping[str, Any], moment: datetime = NOW) -> dict[str, Any]:
        return {
            "id": "24934862-d980-46cb-9402-43c81b0cdba6",
            "type": kind,
            "created_at": moment.isoformat().replace("+00:00", "Z"),
            "data": data,
        }

    def sale(
        self,
        *,
        price: Any = "9.99",
        currency: str = "USD",
        transaction: str = "7001",
        moment: datetime = NOW,
        received: datetime = NOW,
        extra: Mapping[str, Any] | None = None,
    ) -> Delivery:
        data = {
            "code": transaction,
            "pricing": {"local": {"amount": price, "currency": currency}},
            "metadata": {"checkout_id": CHECKOUT, "name": PERSONAL["name"], "email": PERSONAL["email"]},
            **(extra or {}),
        }
        return self._signed(self._event("charge:confirmed", data, moment), received)

    def unknown(self) -> Delivery:
        return self._signed(self._event("charge:pending", {"code": "7001"}))

    def tampered(self) -> Iterator[Delivery]:
        good = self.sale()
        yield replace(good, body=good.body.replace(b"9.99", b"0.99"))
        yield replace(good, headers={})
        yield replace(good, headers={"x-cc-webhook-signature": good.headers["x-cc-webhook-signature"].upper()})


class AdyenScribe(Scribe):
    name = "adyen"
    bad_prices: ClassVar[Mapping[str, Any]] = {
        "negative": -999,
        "overflow": 10**16,
        "endless": 10**200,
        "not finite": float("inf"),
        "text": "999",
        "fraction": 9.5,
        "missing": None,
    }

    def item(
        self,
        event: str,
        reference: str,
        *,
        value: Any = 999,
        currency: str = "USD",
        moment: datetime = NOW,
        **more: Any,
    ) -> dict[str, Any]:
        item: dict[str, Any] = {
            "pspReference": reference,
            "originalReference": "",
            "merchantAccountCode": "TestMerchant",
            "merchantReference": CHECKOUT,
            "amount": {"value": value, "currency": currency},
            "eventCode": event,
            "success": "true",
            "eventDate": moment.isoformat(),
            **more,
        }
        key = bytes.fromhex(SECRETS["adyen"]["hmac_key"])
        item["additionalData"] = {
            "hmacSignature": adyen_signature(key, item).decode(),
            "recurring.recurringDetailReference": "8415995487234100",
            "cardSummary": "1111",
            "cardHolderName": PERSONAL["name"],
            "shopperEmail": PERSONAL["email"],
            "shopperIP": PERSONAL["ip"],
            **more.get("additionalData", {}),
        }
        return item

    def sent(self, *items: Mapping[str, Any], received: datetime = NOW) -> Delivery:
        body = dumped({"live": "false", "notificationItems": [{"NotificationRequestItem": item} for item in items]})
        return delivered(body, {}, received=received)

    def sale(
        self,
        *,
        price: Any = "9.99",
        currency: str = "USD",
        transaction: str = "7001",
        moment: datetime = NOW,
        received: datetime = NOW,
        extra: Mapping[str, Any] | None = None,
    ) -> Delivery:
        value = 999 if price == "9.99" else price
        return self.sent(
            self.item("AUTHORISATION", transaction, value=value, currency=currency, moment=moment, **(extra or {})),
            received=received,
        )

    def refund(self, *, transaction: str = "7001", refund: str = "8001") -> Delivery:
        return self.sent(self.item("REFUND", refund, originalReference=transaction))

    def unknown(self) -> Delivery:
        return self.sent(self.item("REPORT_AVAILABLE", "9001"))

    def tampered(self) -> Iterator[Delivery]:
        good = self.sale()
        yield replace(good, body=good.body.replace(b'"value": 999', b'"value": 99'))
        yield replace(good, body=good.body.replace(b'"success": "true"', b'"success": "false"'))
        yield replace(good, body=good.body.replace(b"hmacSignature", b"hmacOther"))
        bad = {**self.item("AUTHORISATION", "7002"), "merchantReference": "chk_another"}
        yield self.sent(self.item("AUTHORISATION", "7001"), bad)  # the second of two
        yield self.sent(self.item("AUTHORISATION", "7001", merchantAccountCode="Another"))
        yield replace(good, body=good.body.replace(b'"live": "false"', b'"live": "true"'))
