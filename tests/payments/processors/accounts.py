"""Accounts with every processor, as their tests have them, put together without a network behind."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import cache

import httpx

from services.kit.clock import FixedClock
from services.payments.processors.contract import Account, Means, Processor
from services.payments.processors.kinds import kinds

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
CHECKOUT = "chk_01jddf3z9ke8ya4kqpz6w5t2rs"
BTCPAY = "https://btcpay.example.com"

SETTINGS: dict[str, dict[str, str]] = {
    "ccbill": {
        "client_accnum": "900100",
        "client_subacc": "0000",
        "flex_id": "687fa3e0-e60d-4466-88e2-181fa56dd6a9",
        "datalink_username": "datalink",
    },
    "segpay": {
        "merchant_id": "27001",
        "eticket_id": "199225:26943",
        "subscription_etickets": "USD 1.99/3 9.99/30 = 199225:26944",
        "srs_user": "srs",
        "postback_user": "segpay",
    },
    "epoch": {"products": "USD 9.99 = abc1p1; USD 1.99/3 9.99/30 = abc1p2", "search_user": "search"},
    "stripe": {},
    "paypal": {"client_id": "client", "webhook_id": "8PT597110X687430LKGECATA"},
    "btcpay": {"url": BTCPAY, "store_id": "s"},
    "coinbase": {},
    "adyen": {"merchant_account": "TestMerchant"},
}
SECRETS: dict[str, dict[str, str]] = {
    "ccbill": {"salt": "7d901dad245fd0ff6bc20d06", "datalink_password": "hunter2-datalink"},
    "segpay": {"srs_access_key": "srs-key", "postback_password": "postback-password"},
    "epoch": {"digest_key": "testkey", "search_password": "search-password"},
    "stripe": {"api_key": "sk_test_123", "webhook_secret": "whsec_test_secret"},
    "paypal": {"client_secret": "paypal-secret"},
    "btcpay": {"api_key": "btcpay-key", "webhook_secret": "s3cret"},
    "coinbase": {"api_key": "coinbase-key", "webhook_secret": "coinbase-secret"},
    "adyen": {
        "api_key": "adyen-key",
        "hmac_key": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    },
}


def account(name: str, **settings: str) -> Account:
    """An account in test mode."""
    return Account(
        account_id=f"our-{name}",
        organisation_id="org_1",
        processor=name,
        notify_url=f"https://video.example.com/webhooks/{name}/our-{name}",
        test_mode=True,
        settings={**SETTINGS[name], **settings},
        secrets=SECRETS[name],
    )


@cache
def tls() -> ssl.SSLContext:
    """One for all clients: to make one takes longer than a test."""
    return ssl.create_default_context()


@cache
def unused() -> httpx.AsyncClient:
    """A client that nobody calls with."""
    return httpx.AsyncClient(verify=tls())


def means(http: httpx.AsyncClient | None = None) -> Means:
    """What adapters are given."""
    return Means(http or unused(), FixedClock(NOW))


def processor(name: str, **settings: str) -> Processor:
    """A processor that is only read with."""
    return kinds(btcpay_servers=[BTCPAY])[name].make(account(name, **settings), means())
