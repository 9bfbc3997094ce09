"""PayPal's hand, with a certificate authority of its own."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.kit.clock import FixedClock
from services.payments.processors.contract import Delivery
from services.payments.processors.paypal.adapter import PayPal
from services.payments.processors.paypal.certificates import HOSTS, NAMES, Certificates
from services.payments.processors.paypal.webhooks import message
from tests.payments.processors.accounts import CHECKOUT, NOW, account, means
from tests.payments.processors.scribe import PERSONAL, Scribe, delivered, dumped

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
