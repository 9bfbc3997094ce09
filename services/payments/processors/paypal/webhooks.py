"""PayPal's webhooks (https://developer.paypal.com/api/rest/webhooks/rest/).

RSA-SHA256 over `transmission id|transmission time|webhook id|CRC-32 of the body`. A CRC-32 binds no body: who has seen one signature can write
another body under it. So what is told once under a transmission id is not told again (`dedupe_key`), whatever the body says; a transaction
that is told under two of them is known by its own reference. PayPal tries again for three days, and whether it then signs anew is not written;
so that much of the past is let in, and five minutes of the future.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from services.payments import refusals
from services.payments.processors import payloads, proofs
from services.payments.processors.amounts import of_decimal
from services.payments.processors.contract import REPLAY_WINDOW, Amount, Delivery, Notice, NoticeKind, Reading
from services.payments.processors.redaction import kept

NAME: Final = "paypal"
RENEWAL_MARK: Final = "/"
"""Between our checkout and a renewal's key in `custom_id`."""
APPROVED: Final = "CHECKOUT.ORDER.APPROVED"
PAST: Final = timedelta(days=3) + REPLAY_WINDOW
_KINDS: Final = {
    "PAYMENT.CAPTURE.COMPLETED": NoticeKind.SALE,
    "PAYMENT.CAPTURE.DENIED": NoticeKind.SALE_FAILED,
    "PAYMENT.CAPTURE.DECLINED": NoticeKind.SALE_FAILED,
    "PAYMENT.CAPTURE.REFUNDED": NoticeKind.REFUND,
    "PAYMENT.CAPTURE.REVERSED": NoticeKind.CHARGEBACK,
    "CUSTOMER.DISPUTE.RESOLVED": NoticeKind.CHARGEBACK_WON,
}
_OF_RENEWALS: Final = {NoticeKind.SALE: NoticeKind.RENEWAL, NoticeKind.SALE_FAILED: NoticeKind.RENEWAL_FAILED}
_WON: Final = frozenset({"RESOLVED_SELLER_FAVOUR", "CANCELED_BY_BUYER"})
_MONEY_MOVED: Final = frozenset({"CHARGEBACK", "PRE_ARBITRATION", "ARBITRATION"})
_WORD: Final = re.compile(r"[!-~]{1,100}", re.ASCII)
_KEPT: Final = (
    "id event_type event_version create_time resource_type resource_version resource.id resource.status resource.amount.value "
    "resource.amount.currency_code resource.custom_id resource.invoice_id resource.create_time resource.update_time "
    "resource.supplementary_data.related_ids.order_id resource.seller_receivable_breakdown.paypal_fee.value "
    "resource.seller_receivable_breakdown.paypal_fee.currency_code resource.dispute_id resource.reason resource.dispute_life_cycle_stage "
    "resource.dispute_amount.value resource.dispute_amount.currency_code resource.dispute_outcome.outcome_code "
    "resource.disputed_transactions.seller_transaction_id resource.purchase_units.custom_id resource.links.href resource.links.rel"
).split()


def message(transmission_id: str, transmission_time: str, webhook_id: str, body: bytes) -> bytes:
    """What is signed."""
    return f"{transmission_id}|{transmission_time}|{webhook_id}|{zlib.crc32(body)}".encode()


def read(delivery: Delivery, webhook_id: str, key_at: Callable[[str, datetime], RSAPublicKey | None]) -> Reading:
    """Checks the signature and its moment, and then what the body says.

    Args:
        delivery: as it came.
        webhook_id: of the account's webhook.
        key_at: the key of the certificate at a URL, if it is here and good.
    """
    headers = delivery.headers
    transmission_id, written = headers.get("paypal-transmission-id", ""), headers.get("paypal-transmission-time", "")
    if not _WORD.fullmatch(transmission_id) or not _WORD.fullmatch(written):
        raise refusals.webhook_not_authentic(NAME, "is not signed")
    key = key_at(headers.get("paypal-cert-url", ""), delivery.receive_time)
    if key is None or headers.get("paypal-auth-algo", "") != "SHA256withRSA":
        raise refusals.webhook_not_authentic(NAME, "is not signed with a certificate of PayPal's")
    try:
        signature = base64.b64decode(headers.get("paypal-transmission-sig", ""), validate=True)
        key.verify(signature, message(transmission_id, written, webhook_id, delivery.body), PKCS1v15(), SHA256())
    except (binascii.Error, ValueError, InvalidSignature):
        raise refusals.webhook_not_authentic(NAME, "is not signed by PayPal for this webhook") from None
    moment = payloads.Node(NAME, {"time": written}).moment("time")
    proofs.check_moment(NAME, moment, delivery.receive_time, PAST)
    node = payloads.of_json(NAME, delivery.body)
    told = min(node.moment("create_time") or delivery.receive_time, delivery.receive_time)
    return Reading((_notice(node, transmission_id, told),), kept(node.fields, _KEPT))


def _notice(node: payloads.Node, transmission_id: str, told: datetime) -> Notice:
    event, resource = node.text("event_type", least=1), node.at("resource")
    kind = _KINDS.get(event, NoticeKind.IGNORED)
    if kind is NoticeKind.CHARGEBACK_WON:
        return _dispute(resource, transmission_id, told)
    checkout_id, mark, _ = resource.text("custom_id").partition(RENEWAL_MARK)
    if mark:
        kind = _OF_RENEWALS.get(kind, kind)
    reference = resource.text("id", least=0 if kind is NoticeKind.IGNORED else 1)
    if kind in {NoticeKind.REFUND, NoticeKind.CHARGEBACK}:
        return Notice(
            dedupe_key=transmission_id,
            kind=kind,
            occur_time=told,
            transaction_reference=reference,
            original_reference=_original(resource),
            checkout_id=checkout_id,
            amount=_money(resource.at("amount")),
        )
    paid = kind in {NoticeKind.SALE, NoticeKind.RENEWAL}
    fee = resource.at("seller_receivable_breakdown", "paypal_fee")
    if event == APPROVED and not checkout_id:
        checkout_id = next((unit.text("custom_id") for unit in resource.items("purchase_units")), "")
    return Notice(
        dedupe_key=transmission_id,
        kind=kind,
        occur_time=told,
        transaction_reference=reference,
        checkout_id=checkout_id.partition(RENEWAL_MARK)[0],
        amount=_money(resource.at("amount")) if paid else None,
        fee=_money(fee) if paid and fee.text("value").strip("0.") else None,
        reason=event if kind is NoticeKind.IGNORED else "",
    )


def _original(resource: payloads.Node) -> str:
    """The capture that a refund or reversal is of: the last segment of its `up` link."""
    for link in resource.items("links"):
        href = link.fields.get("href")
        if link.text("rel") == "up" and isinstance(href, str):
            try:
                found = urlsplit(href).path.rpartition("/")[2]
            except ValueError:
                break
            if _WORD.fullmatch(found):
                return found
    raise resource.malformed("links name no capture")


def _dispute(resource: payloads.Node, transmission_id: str, told: datetime) -> Notice:
    """A dispute that went as far as the money moving, and was won."""
    outcome, stage = resource.at("dispute_outcome").text("outcome_code"), resource.text("dispute_life_cycle_stage")
    won = outcome in _WON and stage in _MONEY_MOVED
    dispute = resource.text("dispute_id", least=1)
    original = next((one.text("seller_transaction_id") for one in resource.items("disputed_transactions")), "")
    return Notice(
        dedupe_key=transmission_id,
        kind=NoticeKind.CHARGEBACK_WON if won else NoticeKind.IGNORED,
        occur_time=told,
        transaction_reference=f"{dispute}:won" if won else dispute,
        original_reference=original,
        amount=_money(resource.at("dispute_amount")) if won else None,
        reason=outcome,
    )


def _money(money: payloads.Node) -> Amount:
    return of_decimal(NAME, money.text("value"), money.text("currency_code").upper())
