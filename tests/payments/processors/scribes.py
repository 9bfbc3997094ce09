"""Each processor's own hand: writes deliveries as it would, authentic unless a test wants them otherwise."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.kit.clock import FixedClock
from services.payments.processors.adyen.webhooks import signature as adyen_signature
from services.payments.processors.btcpay.webhooks import signature as btcpay_signature
from services.payments.processors.ccbill.digests import approval_digest
from services.payments.processors.coinbase.webhooks import signature as coinbase_signature
from services.payments.processors.contract import Delivery, Processor
from services.payments.processors.epoch.digests import digest as epoch_digest
from services.payments.processors.paypal.adapter import PayPal
from services.payments.processors.paypal.certificates import HOSTS, NAMES, Certificates
from services.payments.processors.paypal.webhooks import message
from services.payments.processors.stripe.webhooks import signature as stripe_signature
from tests.payments.processors.accounts import CHECKOUT, NOW, SECRETS, account, means, processor

PERSONAL = {
    "password": "mYPaSSw0rD",
    "email": "jane.doe@example.com",
    "name": "Jane Doe",
    "address": "123 Main Street",
    "card": "4111111111111111",
    "last4": "1111",
    "phone": "+1 515 555 1212",
    "ip": "192.0.2.27",
}
"""What processors send along and nobody here needs."""


class Scribe:
    """One processor's hand.

    Attributes:
        bad_prices: what is no price, by what is wrong with it.
        stale: how old a delivery must be to be refused.
        future: how far ahead.
        reissues: whether the processor signs each attempt anew.
        tells_amounts: whether its notices have amounts.
        refunds: whether it tells of refunds.
    """

    name = ""
    bad_prices: ClassVar[Mapping[str, Any]] = {
        "negative": "-9.99",
        "zero": "0.00",
        "overflow": "99999999999999999.00",
        "endless": "9" * 150,
        "not finite": "NaN",
        "exponent": "1e3",
        "finer than a cent": "9.999",
        "missing": "",
    }
    stale = timedelta(days=61)
    future = timedelta(days=1, minutes=1)
    tells_amounts = True
    refunds = True

    def __init__(self) -> None:
        self.processor: Processor = processor(self.name)

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
        """Of an approved sale of our checkout."""
        raise NotImplementedError

    def refund(self, *, transaction: str = "7001", refund: str = "8001") -> Delivery:
        """Of a refund of that sale, in whole."""
        raise NotImplementedError

    def unknown(self) -> Delivery:
        """Of something that nobody here has heard of."""
        raise NotImplementedError

    def tampered(self) -> Iterator[Delivery]:
        """As `sale`, changed on the way or made up."""
        raise NotImplementedError


def delivered(
    body: bytes, headers: Mapping[str, str], *, received: datetime = NOW, query: str = "", source: str = "198.51.100.7"
) -> Delivery:
    return Delivery(headers, query, body, source, received)


def form(fields: Mapping[str, Any]) -> bytes:
    return urlencode(fields).encode()


def minor(price: Any) -> Any:
    """Cents of a price that is one; anything else as it is."""
    try:
        return int(Decimal(price) * 100)
    except (ArithmeticError, TypeError, ValueError):
        return price


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


FORM = {"content-type": "application/x-www-form-urlencoded"}


class CCBillScribe(Scribe):
    name = "ccbill"
    source = "64.38.212.7"

    def _fields(self, transaction: str, moment: datetime) -> dict[str, Any]:
        return {
            "clientAccnum": "900100",
            "clientSubacc": "0",
            "subscriptionId": "1000000000",
            "transactionId": transaction,
            # CCBill's clock stands in Arizona.
            "timestamp": (moment - timedelta(hours=7)).strftime("%Y-%m-%d %H:%M:%S"),
        }

    def _posted(self, event: str, fields: Mapping[str, Any], received: datetime = NOW) -> Delivery:
        return delivered(form(fields), FORM, received=received, query=f"eventType={event}", source=self.source)

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
        fields = {
            **self._fields(transaction, moment),
            "billedInitialPrice": price,
            "billedRecurringPrice": "0.00",
            "billedCurrencyCode": {"USD": "840", "EUR": "978"}.get(currency, currency),
            "dynamicPricingValidationDigest": approval_digest(SECRETS["ccbill"]["salt"], "1000000000"),
            "X-checkout": CHECKOUT,
            "username": "jane.doe",
            "password": PERSONAL["password"],
            "email": PERSONAL["email"],
            "firstName": "Jane Doe",
            "address1": PERSONAL["address"],
            "phoneNumber": PERSONAL["phone"],
            "ipAddress": PERSONAL["ip"],
            "last4": "1111",
            "bin": "411111",
            "paymentAccount": PERSONAL["card"],
            **(extra or {}),
        }
        return self._posted("NewSaleSuccess", fields, received)

    def refund(self, *, transaction: str = "7001", refund: str = "8001") -> Delivery:
        return self._posted(
            "Refund",
            {
                **self._fields(transaction, NOW),
                "amount": "9.99",
                "currency": "USD",
                "currencyCode": "840",
                "reason": "asked by jane.doe@example.com",
            },
        )

    def unknown(self) -> Delivery:
        return self._posted("SomethingNew", self._fields("7001", NOW))

    def tampered(self) -> Iterator[Delivery]:
        good = self.sale()
        yield replace(good, source_address="64.38.213.7")
        yield replace(good, source_address="not an address")
        yield replace(good, body=good.body.replace(b"clientAccnum=900100", b"clientAccnum=900101"))
        yield replace(good, body=good.body.replace(b"subscriptionId=1000000000", b"subscriptionId=1000000001"))
        yield self.sale(extra={"dynamicPricingValidationDigest": ""})


class SegpayScribe(Scribe):
    name = "segpay"

    def _posted(self, fields: Mapping[str, Any], received: datetime = NOW) -> Delivery:
        login = base64.b64encode(b"segpay:postback-password").decode()
        # A postback's URL is the operator's own text, so all of it stands in the query, in any case of letters.
        return delivered(b"", {"authorization": f"Basic {login}"}, received=received, query=urlencode(fields))

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
        fields = {
            "Action": "Auth",
            "stage": "Initial",
            "approved": "Yes",
            "TranType": "Sale",
            "purchaseid": "55",
            "tranid": transaction,
            "price": price,
            "currencycode": currency,
            "billertranstime": moment.isoformat(),
            "merchantpartnerid": CHECKOUT,
            "billemail": PERSONAL["email"],
            "billname": PERSONAL["name"],
            "password": PERSONAL["password"],
            "ipaddress": PERSONAL["ip"],
            "ccnum": PERSONAL["card"],
            **(extra or {}),
        }
        return self._posted(fields, received)

    def refund(self, *, transaction: str = "7001", refund: str = "8001") -> Delivery:
        return self._posted(
            {
                "action": "Auth",
                "stage": "Initial",
                "approved": "Yes",
                "trantype": "Credit",
                "purchaseid": "55",
                "tranid": refund,
                "relatedtranid": transaction,
                "price": "-9.99",
                "currencycode": "USD",
            }
        )

    def unknown(self) -> Delivery:
        return self._posted({"action": "Probe", "username": "jane"})

    def tampered(self) -> Iterator[Delivery]:
        good = self.sale()
        yield replace(good, headers={})
        yield replace(good, headers={"authorization": "Basic !"})
        yield replace(good, headers={"authorization": "Bearer c2VncGF5OnBvc3RiYWNrLXBhc3N3b3Jk"})
        yield replace(good, headers={"authorization": f"Basic {base64.b64encode(b'segpay:guess').decode()}"})


class EpochScribe(Scribe):
    name = "epoch"

    def _posted(self, fields: Mapping[str, Any], received: datetime = NOW) -> Delivery:
        signed = {name: str(value) for name, value in fields.items()}
        signed["epoch_digest"] = epoch_digest(SECRETS["epoch"]["digest_key"], signed)
        return delivered(form(signed), FORM, received=received)

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
        fields = {
            "ans": f"YGOODTEST|{transaction}",
            "transaction_id": transaction,
            "order_id": "4219000000001",
            "trans_amount": price,
            "trans_currency": currency,
            "event_datetime": int(moment.timestamp()),
            "pi_code": "abc1p1",
            "x_checkout": CHECKOUT,
            "email": PERSONAL["email"],
            "password": PERSONAL["password"],
            "name": PERSONAL["name"],
            "ipaddress": PERSONAL["ip"],
            "cardnumber": PERSONAL["card"],
            **(extra or {}),
        }
        return self._posted(fields, received)

    def refund(self, *, transaction: str = "7001", refund: str = "8001") -> Delivery:
        return self._posted(
            {
                "ets_transaction_id": refund,
                "ets_member_idx": "4219000000001",
                "ets_transaction_date": "2026-11-28 11:59:00",
                "ets_transaction_type": "C",
                "ets_transaction_amount": "-9.99",
                "ets_ref_trans_ids": transaction,
                "ets_email": PERSONAL["email"],
            }
        )

    def unknown(self) -> Delivery:
        return self._posted({"ets_transaction_id": "9", "ets_transaction_type": "Q", "ets_transaction_amount": "1.00"})

    def tampered(self) -> Iterator[Delivery]:
        good = self.sale()
        yield replace(good, body=good.body.replace(b"trans_amount=9.99", b"trans_amount=0.99"))
        yield replace(good, body=good.body + b"&x_more=1")
        yield replace(good, body=good.body.partition(b"&epoch_digest")[0])
        yield replace(good, body=b"ets_transaction_type=I&ets_transaction_id=5")


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


CERT_URL = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a8cafa77"


@cache
def authority(name: str = NAMES[False]) -> tuple[x509.Certificate, bytes, rsa.RSAPrivateKey]:
    """A root of ours, a certificate under it for a name, with its key."""
    root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root of these tests")])
    start, end = NOW - timedelta(days=30), NOW + timedelta(days=300)
    builder = x509.CertificateBuilder().not_valid_before(start).not_valid_after(end).issuer_name(root_name)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    root = (
        builder.subject_name(root_name)
        .public_key(root_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key.public_key())
        .serial_number(2)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return root, leaf.public_bytes(serialization.Encoding.PEM), key


class PayPalScribe(Scribe):
    name = "paypal"
    stale, future = timedelta(days=3, minutes=6), timedelta(seconds=301)

    def __init__(self) -> None:
        root, leaf, self._key = authority()

        async def fetch(url: str) -> bytes:
            return leaf

        self.certificates = Certificates(fetch, FixedClock(NOW), HOSTS[False], NAMES[False], lambda: [root])
        self.processor: PayPal = PayPal(means(), account("paypal"), certificates=self.certificates)

    async def prepared(self) -> PayPalScribe:
        """The certificate is there, as it is before `read`."""
        await self.processor.prepare(self.sale())
        return self

    def signed(
        self, event: Mapping[str, Any], transmission: str, moment: datetime = NOW, received: datetime = NOW
    ) -> Delivery:
        body, written = dumped(event), moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        text = message(transmission, written, "8PT597110X687430LKGECATA", body)
        headers = {
            "paypal-transmission-id": transmission,
            "paypal-transmission-time": written,
            "paypal-transmission-sig": base64.b64encode(self._key.sign(text, PKCS1v15(), hashes.SHA256())).decode(),
            "paypal-cert-url": CERT_URL,
            "paypal-auth-algo": "SHA256withRSA",
        }
        return delivered(body, headers, received=received)

    def event(self, kind: str, resource: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": "WH-1",
            "event_type": kind,
            "create_time": NOW.isoformat(),
            "resource_type": "capture",
            "resource": resource,
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
        resource = {
            "id": transaction,
            "status": "COMPLETED",
            "amount": {"value": price, "currency_code": currency},
            "custom_id": CHECKOUT,
            "payee": {"email_address": PERSONAL["email"]},
            "payer": {"name": PERSONAL["name"], "phone": PERSONAL["phone"]},
            "seller_receivable_breakdown": {"paypal_fee": {"value": "0.65", "currency_code": "USD"}},
            **(extra or {}),
        }
        return self.signed(self.event("PAYMENT.CAPTURE.COMPLETED", resource), "tr-1", moment, received)

    def refund(self, *, transaction: str = "7001", refund: str = "8001") -> Delivery:
        resource = {
            "id": refund,
            "amount": {"value": "9.99", "currency_code": "USD"},
            "custom_id": CHECKOUT,
            "links": [
                {"rel": "self", "href": f"https://api-m.sandbox.paypal.com/v2/payments/refunds/{refund}"},
                {"rel": "up", "href": f"https://api-m.sandbox.paypal.com/v2/payments/captures/{transaction}"},
            ],
        }
        return self.signed(self.event("PAYMENT.CAPTURE.REFUNDED", resource), "tr-2")

    def unknown(self) -> Delivery:
        return self.signed(self.event("INVOICING.INVOICE.PAID", {"id": "x"}), "tr-3")

    def tampered(self) -> Iterator[Delivery]:
        good = self.sale()
        yield replace(good, body=good.body.replace(b"9.99", b"0.99"))
        for name, value in (
            ("paypal-transmission-id", "tr-9"),
            ("paypal-transmission-time", "2026-11-28T12:00:01Z"),
            ("paypal-transmission-sig", "AAAA"),
            ("paypal-transmission-sig", "not base64"),
            ("paypal-cert-url", "https://evil.example.com/v1/notifications/certs/CERT-360caa42-fca2a594-a8cafa77"),
            ("paypal-auth-algo", "MD5withRSA"),
            ("paypal-transmission-id", ""),
        ):
            yield replace(good, headers={**good.headers, name: value})
        yield replace(good, headers={})


SCRIBES: tuple[type[Scribe], ...] = (
    AdyenScribe,
    BTCPayScribe,
    CCBillScribe,
    CoinbaseScribe,
    EpochScribe,
    PayPalScribe,
    SegpayScribe,
    StripeScribe,
)


async def scribe_of(made: type[Scribe]) -> Scribe:
    """A scribe whose processor can read what it writes."""
    scribe = made()
    return await scribe.prepared() if isinstance(scribe, PayPalScribe) else scribe
