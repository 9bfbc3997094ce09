"""The hands of processors that send forms: CCBill, Segpay, Epoch."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from services.payments.processors.ccbill.digests import approval_digest
from services.payments.processors.contract import Delivery
from services.payments.processors.epoch.digests import digest as epoch_digest
from tests.payments.processors.accounts import CHECKOUT, NOW, SECRETS
from tests.payments.processors.scribe import FORM, PERSONAL, Scribe, delivered, form


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
