"""The certificates of PayPal's webhooks: anybody can name one, so little is asked and nothing is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from cryptography import x509

from services.kit.clock import FixedClock
from services.kit.errors import Refusal
from services.payments.processors.contract import Unreachable
from services.payments.processors.paypal.adapter import PayPal
from services.payments.processors.paypal.certificates import HOSTS, NAMES, Certificates, public_roots
from tests.payments.processors.accounts import NOW, account, means, processor
from tests.payments.processors.paypal_scribe import CERT_URL, PayPalScribe, authority


class Source:
    """Where certificates come from.

    Attributes:
        content: what is there; None when nobody answers.
        asked: URLs.
    """

    def __init__(self, content: bytes | None) -> None:
        self.content = content
        self.asked: list[str] = []
        self.clock = FixedClock(NOW)

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.content is None:
            raise Unreachable("away")
        return self.content

    def certificates(
        self, roots: Callable[[], Sequence[x509.Certificate]] | None = None, name: str = NAMES[False]
    ) -> Certificates:
        return Certificates(self.fetch, self.clock, HOSTS[False], name, roots or (lambda: [authority()[0]]))


async def test_a_good_one_is_fetched_once_and_kept() -> None:
    """For a day; then it is looked at again."""
    source = Source(authority()[1])
    certificates = source.certificates()
    assert certificates.found(CERT_URL, NOW) is None
    for _ in range(3):
        await certificates.prepare(CERT_URL)
    assert certificates.found(CERT_URL, NOW) is not None
    assert len(source.asked) == 1
    source.clock.advance(timedelta(days=1, seconds=1))
    await certificates.prepare(CERT_URL)
    assert len(source.asked) == 2


async def test_a_good_one_stays_good_when_paypal_is_away_until_it_ends() -> None:
    """And not a moment longer."""
    source = Source(authority()[1])
    certificates = source.certificates()
    await certificates.prepare(CERT_URL)
    source.content = None
    source.clock.advance(timedelta(days=2))
    await certificates.prepare(CERT_URL)
    assert certificates.found(CERT_URL, source.clock.now()) is not None
    assert certificates.found(CERT_URL, NOW + timedelta(days=301)) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example#api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://user@api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com:444/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com/v1/notifications/certs/../../../evil",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1?to=evil",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1#evil",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1\r\nHost: evil",
        "https://api.sandbox.paypal.com\\@evil.example/v1/notifications/certs/CERT-1",
        "https://[::1/v1/notifications/certs/CERT-1",
        "file:///etc/passwd",
    ],
)
async def test_nobody_else_is_asked(url: str) -> None:
    """Whatever a delivery says where its certificate is."""
    source = Source(authority()[1])
    certificates = source.certificates()
    await certificates.prepare(url)
    assert source.asked == []
    assert certificates.found(url, NOW) is None


async def test_what_leads_to_no_root_is_no_good() -> None:
    """Another's root, the roots of browsers, another name, another time, and what is no certificate."""
    _, leaf, _ = authority()
    other_root, other_leaf, _ = authority("evil.example")
    cases = (
        Source(leaf).certificates(lambda: [other_root]),
        Source(leaf).certificates(public_roots),
        Source(other_leaf).certificates(lambda: [other_root]),
        Source(leaf).certificates(name=NAMES[True]),
        Source(b"").certificates(),
        Source(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").certificates(),
        Source(None).certificates(),
    )
    for number, certificates in enumerate(cases):
        await certificates.prepare(CERT_URL)
        assert certificates.found(CERT_URL, NOW) is None, number
    late = Source(leaf)
    late.clock.advance(timedelta(days=301))
    certificates = late.certificates()
    await certificates.prepare(CERT_URL)
    assert certificates.found(CERT_URL, late.clock.now()) is None


async def test_bad_ones_are_not_fetched_again_and_again() -> None:
    """Nor are many: whoever makes URLs up does not make us a nuisance to PayPal, nor fill our memory."""
    source = Source(None)
    certificates = source.certificates()
    for _ in range(5):
        await certificates.prepare(CERT_URL)
    assert len(source.asked) == 1
    for number in range(500):
        await certificates.prepare(f"{CERT_URL}-{number}")
    assert len(source.asked) == 10
    for number in range(100):
        source.clock.advance(timedelta(minutes=1))
        await certificates.prepare(f"{CERT_URL}-{number}")
    assert len(certificates._kept) <= 32


async def test_a_delivery_of_paypals_cannot_be_read_before_its_certificate_is_there() -> None:
    """It is refused, and read once it has been prepared."""
    scribe = PayPalScribe()
    with pytest.raises(Refusal, match="NOT_AUTHENTIC"):
        scribe.processor.read(scribe.sale())
    await scribe.prepared()
    assert scribe.processor.read(scribe.sale()).notices


def test_the_roots_of_browsers_are_there() -> None:
    """They are what is trusted outside of tests."""
    assert len(public_roots()) > 50
    assert isinstance(processor("paypal"), PayPal)
    with pytest.raises(ValueError, match="certificate_name"):
        PayPal(means(), account("paypal", certificate_name="evil.example"))
