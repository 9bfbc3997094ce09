"""What every adapter holds to when it reads: one table, every processor."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from services.kit.errors import Refusal
from services.payments.processors.contract import Amount, Delivery, NoticeKind
from tests.payments.processors.accounts import CHECKOUT, NOW
from tests.payments.processors.scribe import PERSONAL, Scribe
from tests.payments.processors.scribes import SCRIBES, scribe_of


@pytest.fixture(params=SCRIBES, ids=lambda made: made.name)
async def scribe(request: pytest.FixtureRequest) -> Scribe:
    """Each in turn."""
    return await scribe_of(request.param)


def refused(scribe: Scribe, delivery: Delivery) -> str:
    """The reason why a delivery is refused."""
    with pytest.raises(Refusal) as caught:
        scribe.processor.read(delivery)
    assert caught.value.metadata["processor"] == scribe.name
    return caught.value.reason


def test_a_good_sale_is_read(scribe: Scribe) -> None:
    """Our checkout, the transaction, and to the cent what was paid."""
    reading = scribe.processor.read(scribe.sale())
    (notice,) = reading.notices
    assert notice.kind is NoticeKind.SALE
    assert notice.checkout_id == CHECKOUT
    assert notice.transaction_reference.endswith("7001")
    assert notice.amount == (Amount(999, "USD") if scribe.tells_amounts else None)
    assert notice.occur_time == NOW
    assert notice.dedupe_key
    assert scribe.processor.acknowledgement(scribe.sale(), reading).status == 200


def test_what_was_changed_or_made_up_is_refused(scribe: Scribe) -> None:
    """Whatever is changed, and whatever of the proof is missing."""
    deliveries = list(scribe.tampered())
    assert len(deliveries) >= 3
    for delivery in deliveries:
        assert refused(scribe, delivery) == "WEBHOOK_NOT_AUTHENTIC"


def test_a_replay_is_known_for_what_it_is(scribe: Scribe) -> None:
    """The same delivery again, and the same notice sent anew, are one notice; another sale is another."""
    first = scribe.processor.read(scribe.sale())
    assert scribe.processor.read(scribe.sale()) == first
    again = scribe.processor.read(scribe.sale(received=NOW + scribe.future / 2))
    assert [notice.dedupe_key for notice in again.notices] == [notice.dedupe_key for notice in first.notices]


def test_what_is_stale_is_refused(scribe: Scribe) -> None:
    """Older than anybody would still send."""
    assert refused(scribe, scribe.sale(received=NOW + scribe.stale)) == "WEBHOOK_OUT_OF_TIME"


def test_what_is_of_the_future_is_refused(scribe: Scribe) -> None:
    """Signed for later, so that it would be good for long."""
    assert refused(scribe, scribe.sale(received=NOW - scribe.future)) == "WEBHOOK_OUT_OF_TIME"


def test_what_is_a_little_late_or_early_is_read(scribe: Scribe) -> None:
    """Clocks differ, and nothing has happened later than it is told."""
    for received in (NOW + scribe.stale * 0.9, NOW - scribe.future * 0.9):
        (notice,) = scribe.processor.read(scribe.sale(received=received)).notices
        assert notice.occur_time <= received


def test_order_does_not_matter(scribe: Scribe) -> None:
    """A refund that comes before its sale says which sale it is of."""
    if not scribe.refunds:
        return
    (refund,) = scribe.processor.read(scribe.refund()).notices
    (sale,) = scribe.processor.read(scribe.sale()).notices
    assert refund.kind is NoticeKind.REFUND
    assert refund.original_reference == sale.transaction_reference
    assert refund.transaction_reference != sale.transaction_reference
    assert refund.amount == sale.amount
    assert refund.dedupe_key != sale.dedupe_key


def test_fields_that_nobody_knows_are_no_matter(scribe: Scribe) -> None:
    """Processors add fields without asking."""
    plain = scribe.processor.read(scribe.sale())
    more = scribe.processor.read(scribe.sale(extra={"somethingNew": "ünï", "another": "1"}))
    assert more.notices == plain.notices
    assert b"somethingNew" not in more.redacted


def test_events_that_nobody_knows_are_taken_and_ignored(scribe: Scribe) -> None:
    """They are authentic; the processor need not send them again."""
    (notice,) = scribe.processor.read(scribe.unknown()).notices
    assert notice.kind is NoticeKind.IGNORED
    assert notice.dedupe_key
    assert notice.amount is None


def test_a_currency_that_is_not_kept_is_refused(scribe: Scribe) -> None:
    """Nothing could count it."""
    if not scribe.tells_amounts:
        return
    for currency in ("XTS", "ZZZ", "", "U$D", "DOLLARS"):
        assert refused(scribe, scribe.sale(currency=currency)) == "WEBHOOK_MALFORMED", currency


def test_another_currency_is_told_as_it_is(scribe: Scribe) -> None:
    """Whether it is the checkout's is not for the adapter to say, so it must not be taken for it."""
    if scribe.tells_amounts:
        assert scribe.processor.read(scribe.sale(currency="EUR")).notices[0].amount == Amount(999, "EUR")


def test_prices_that_are_none_are_refused(scribe: Scribe) -> None:
    """Negative, too much, not finite, too fine, missing: never rounded, never wrapped round, never taken for nothing."""
    if not scribe.tells_amounts:
        return
    for what, price in scribe.bad_prices.items():
        assert refused(scribe, scribe.sale(price=price)) == "WEBHOOK_MALFORMED", what


def test_nothing_secret_or_personal_is_kept(scribe: Scribe) -> None:
    """Of a whole delivery with everything in it that processors send along."""
    kept = scribe.processor.read(scribe.sale()).redacted
    for what, value in PERSONAL.items():
        assert value.encode() not in kept, what
    assert not re.search(rb"411111|example\.com|[Jj]ane", kept)
    assert b"7001" in kept


def test_a_body_of_another_form_is_refused(scribe: Scribe) -> None:
    """An empty one, one that is no text, and one in pieces: whether it fails as not authentic or as malformed is the processor's affair."""
    good = scribe.sale()
    for body in (b"", b"\xff\xfe\x00", good.body[: len(good.body) // 2], b"[]", b"null", b"{" * 100_000):
        if body != good.body:
            assert refused(scribe, replace(good, body=body, query="")) in {"WEBHOOK_NOT_AUTHENTIC", "WEBHOOK_MALFORMED"}
