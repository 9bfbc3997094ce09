"""Adapters of providers: what is good, altered, late, replayed, or about another check."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from services.compliance.age.birthdays import is_so_old
from services.compliance.age.card import CreditCard
from services.compliance.age.contract import (
    CREDIT_CARD,
    DOCUMENT,
    FACE,
    MOBILE_OPERATOR,
    PASSED,
    REFUSED,
    UNFIT,
    UNSURE,
    Provider,
    Verdict,
)
from services.compliance.age.mobile_operator import MobileOperator
from services.compliance.age.signing import signature
from services.compliance.age.stand_in import StandIn
from services.compliance.age.veriff import Veriff
from services.kit.errors import Refusal
from tests.compliance.companies import (
    API_KEY,
    SECRET,
    Company,
    Opened,
    hex_digest,
    stripe_event,
    stripe_signature,
    veriff_decision,
)

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
URL = "https://them.example"


def reaching(company: Company) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(company.app))


async def reason(provider: Provider, opened: Opened, delivery: Any) -> str:
    """Why a delivery is refused."""
    with pytest.raises(Refusal) as caught:
        await provider.take(delivery, opened.find)
    return caught.value.reason


# --- Veriff

SESSION = {"status": "success", "verification": {"id": "5b6e", "url": "https://alchemy.veriff.com/v/jwt"}}


def veriff(http: httpx.AsyncClient, method: str = DOCUMENT) -> Veriff:
    return Veriff("them", http, url=URL, api_key=API_KEY, shared_secret=SECRET, method=method)


async def test_veriff_is_asked_for_a_page_and_told_no_more_than_the_check() -> None:
    company, opened = Company({"/v1/sessions": SESSION}), Opened(NOW, DOCUMENT)
    begun = await veriff(reaching(company)).begin(opened.asked)
    assert begun.url == SESSION["verification"]["url"]  # type: ignore[index]  # of the dictionary above
    ((_, headers, body),) = company.asked
    assert headers["x-auth-client"] == API_KEY
    asked = {"callback": opened.asked.return_url, "vendorData": opened.asked.token}
    assert json.loads(body) == {"verification": asked}


@pytest.mark.parametrize(
    ("status", "born", "threshold", "verdict"),
    [
        ("approved", "2008-11-27", 18, PASSED),
        ("approved", "2008-11-29", 18, REFUSED),
        ("approved", {"value": "1990-01-01"}, 21, PASSED),
        ("approved", None, 18, UNSURE),
        ("approved", "yesterday", 18, UNSURE),
        ("declined", "1990-01-01", 18, UNFIT),
        ("abandoned", "1990-01-01", 18, REFUSED),
        ("resubmission_requested", "1990-01-01", 18, None),
    ],
)
async def test_veriffs_decision_is_looked_into(status: str, born: Any, threshold: int, verdict: Verdict | None) -> None:
    opened = Opened(NOW, DOCUMENT, threshold)
    body = veriff_decision(opened.asked.token, status, born)
    delivery = opened.delivery("webhook", body, x_auth_client=API_KEY, x_hmac_signature=hex_digest(body).upper())
    taken = await veriff(reaching(Company({}))).take(delivery, opened.find)
    assert (taken.check_id, taken.nonce, taken.verdict) == (opened.check_id, opened.nonce, verdict)
    assert "Ada" not in repr(taken)
    assert "1990" not in repr(taken)


async def test_veriffs_estimate_proves_the_age_that_is_set_there() -> None:
    opened = Opened(NOW, FACE)
    body = veriff_decision(opened.asked.token, born=None)
    delivery = opened.delivery("webhook", body, x_auth_client=API_KEY, x_hmac_signature=hex_digest(body))
    adapter = veriff(reaching(Company({})), FACE)
    assert (await adapter.take(delivery, opened.find)).verdict == PASSED
    assert adapter.proves(18)
    assert not adapter.proves(21)


async def test_what_veriff_did_not_sign_is_refused() -> None:
    opened, adapter = Opened(NOW, DOCUMENT), veriff(reaching(Company({})))
    body = veriff_decision(opened.asked.token)
    good = {"x_auth_client": API_KEY, "x_hmac_signature": hex_digest(body)}
    altered = body.replace(b"1990", b"1980")
    for changed in (
        opened.delivery("webhook", altered, **good),
        opened.delivery("webhook", body, **{**good, "x_hmac_signature": hex_digest(body, "another")}),
        opened.delivery("webhook", body, **{**good, "x_auth_client": "another"}),
        opened.delivery("webhook", body),
    ):
        assert await reason(adapter, opened, changed) == "AGE_DELIVERY_NOT_AUTHENTIC"


async def test_a_decision_about_no_check_is_refused() -> None:
    opened, adapter = Opened(NOW, DOCUMENT), veriff(reaching(Company({})))
    for token, why in (
        ("anything", "AGE_DELIVERY_MALFORMED"),
        (Opened(NOW, DOCUMENT).asked.token, "AGE_CHECK_NOT_FOUND"),
    ):
        body = veriff_decision(token)
        delivery = opened.delivery("webhook", body, x_auth_client=API_KEY, x_hmac_signature=hex_digest(body))
        assert await reason(adapter, opened, delivery) == why


@pytest.mark.parametrize(
    ("status", "why"), [(400, "AGE_PROVIDER_REFUSED"), (429, "DEPENDENCY_UNAVAILABLE"), (500, "DEPENDENCY_UNAVAILABLE")]
)
async def test_a_provider_that_gives_no_page_is_told_apart_from_one_that_is_away(status: int, why: str) -> None:
    company = Company({"/v1/sessions": SESSION}, status)
    with pytest.raises(Refusal, match=why):
        await veriff(reaching(company)).begin(Opened(NOW, DOCUMENT).asked)


# --- Stripe


def card(company: Company) -> CreditCard:
    return CreditCard("them", reaching(company), url=URL, api_key=API_KEY, webhook_secret=SECRET)


def intent(funding: str, status: str = "succeeded") -> Company:
    found = {"id": "seti_1", "status": status, "payment_method": {"card": {"funding": funding, "last4": "4242"}}}
    return Company({"/v1/setup_intents/seti_1": found})


async def test_a_card_is_set_up_and_not_charged() -> None:
    company, opened = (
        Company({"/v1/checkout/sessions": {"url": "https://checkout.stripe.com/c/1"}}),
        Opened(NOW, CREDIT_CARD),
    )
    assert (await card(company).begin(opened.asked)).url == "https://checkout.stripe.com/c/1"
    ((_, headers, body),) = company.asked
    form = parse_qs(body)
    assert (form["mode"], form["metadata[age_check]"]) == (["setup"], [opened.asked.token])
    assert headers["idempotency-key"] == opened.check_id


@pytest.mark.parametrize(
    ("company", "verdict"),
    [
        (intent("credit"), PASSED),
        (intent("debit"), UNFIT),
        (intent("prepaid"), UNFIT),
        (intent("unknown"), UNFIT),
        (intent("credit", "requires_action"), UNSURE),
    ],
)
async def test_only_a_credit_card_proves_that_its_holder_is_grown_up(company: Company, verdict: Verdict) -> None:
    opened = Opened(NOW, CREDIT_CARD)
    body = stripe_event(opened.asked.token)
    delivery = opened.delivery("webhook", body, stripe_signature=stripe_signature(body, NOW))
    taken = await card(company).take(delivery, opened.find)
    assert (taken.check_id, taken.nonce, taken.verdict) == (opened.check_id, opened.nonce, verdict)
    assert "4242" not in repr(taken)
    assert not card(company).proves(21)


async def test_what_stripe_did_not_sign_of_late_is_refused() -> None:
    opened, adapter = Opened(NOW, CREDIT_CARD), card(intent("credit"))
    body = stripe_event(opened.asked.token)
    for header in (
        stripe_signature(body + b" ", NOW),
        stripe_signature(body, NOW, "another"),
        stripe_signature(body, NOW - timedelta(seconds=301)),
        stripe_signature(body, NOW + timedelta(seconds=301)),
        "t=,v1=",
        "",
    ):
        delivery = opened.delivery("webhook", body, stripe_signature=header)
        assert await reason(adapter, opened, delivery) == "AGE_DELIVERY_NOT_AUTHENTIC", header


async def test_other_business_with_the_same_account_means_nothing() -> None:
    opened, adapter = Opened(NOW, CREDIT_CARD), card(intent("credit"))
    for body in (stripe_event(opened.asked.token, "invoice.paid"), stripe_event("", metadata={})):
        delivery = opened.delivery("webhook", body, stripe_signature=stripe_signature(body, NOW))
        assert (await adapter.take(delivery, opened.find)).verdict is None
    body = stripe_event(opened.asked.token, setup_intent="../balance")
    delivery = opened.delivery("webhook", body, stripe_signature=stripe_signature(body, NOW))
    assert await reason(adapter, opened, delivery) == "AGE_DELIVERY_MALFORMED"


# --- CAMARA


def operator(company: Company) -> MobileOperator:
    return MobileOperator(
        "them",
        reaching(company),
        authorize_url=f"{URL}/authorize",
        token_url=f"{URL}/token",
        api_url=f"{URL}/kyc-age-verification/v1",
        client_id="films",
        client_secret="of-films",
    )


def line(check: str, **said: Any) -> Company:
    usual = {"verifiedStatus": True, "contentLock": "false", "parentalControl": "false"}
    return Company(
        {"/token": {"access_token": "token"}, "/kyc-age-verification/v1/verify": {"ageCheck": check, **usual, **said}}
    )


@pytest.mark.parametrize(
    ("company", "verdict"),
    [
        (line("true"), PASSED),
        (line("false"), REFUSED),
        (line("not_available"), UNSURE),
        (line("true", verifiedStatus=False), UNSURE),
        (line("true", parentalControl="true"), UNFIT),
        (line("true", contentLock="true"), UNFIT),
    ],
)
async def test_an_operator_says_whether_the_holder_is_so_old(company: Company, verdict: Verdict) -> None:
    opened, adapter = Opened(NOW, MOBILE_OPERATOR, 21), operator(company)
    begun = await adapter.begin(opened.asked)
    query = parse_qs(urlsplit(begun.url).query)
    assert query["redirect_uri"] == ["https://films.example/age/them/return"]
    assert query["code_challenge_method"] == ["S256"]
    opened.secret = begun.secret
    back = opened.delivery("return", query=f"code=c&state={query['state'][0]}", method="GET")
    taken = await adapter.take(back, opened.find)
    assert (taken.answer.status, taken.answer.location) == (303, opened.asked.return_url)
    assert (taken.check_id, taken.nonce, taken.verdict) == (opened.check_id, opened.nonce, verdict)
    (_, headers, token), (_, _, verify) = company.asked
    assert parse_qs(token)["code_verifier"] == [begun.secret.decode()]
    assert headers["authorization"].startswith("Basic ")
    assert json.loads(verify)["ageThreshold"] == 21
    assert "phoneNumber" not in verify


async def test_who_does_not_want_the_operator_to_say_is_refused() -> None:
    opened, adapter = Opened(NOW, MOBILE_OPERATOR), operator(line("true"))
    back = opened.delivery("return", query=f"error=access_denied&state={opened.asked.token}", method="GET")
    assert (await adapter.take(back, opened.find)).verdict == REFUSED
    for query in ("code=c", "code=c&state=", f"code=c&state={Opened(NOW, MOBILE_OPERATOR).asked.token}"):
        assert await reason(adapter, opened, opened.delivery("return", query=query, method="GET")) in {
            "AGE_DELIVERY_MALFORMED",
            "AGE_CHECK_NOT_FOUND",
        }
    assert await reason(adapter, opened, opened.delivery("webhook")) == "AGE_DELIVERY_MALFORMED"


# --- the stand-in


async def test_what_the_stand_in_says_counts_for_what_it_was_asked() -> None:
    opened = Opened(NOW, DOCUMENT)
    adapter = StandIn(reaching(Company({})), url=URL, api_key=API_KEY, webhook_secret=SECRET)

    def said(secret: str = SECRET, moment: datetime = NOW, **changes: Any) -> Any:
        told = {"token": opened.asked.token, "method": DOCUMENT, "threshold": 18, "result": "over"} | changes
        body = json.dumps(told).encode()
        return opened.delivery("webhook", body, stand_in_signature=signature(secret, body, moment))

    assert (await adapter.take(said(), opened.find)).verdict == PASSED
    assert (await adapter.take(said(result="under"), opened.find)).verdict == REFUSED
    for changed in (said(threshold=16), said(method=FACE), said(result="old")):
        assert await reason(adapter, opened, changed) == "AGE_DELIVERY_MALFORMED"
    for changed in (said("another"), said(moment=NOW - timedelta(hours=1))):
        assert await reason(adapter, opened, changed) == "AGE_DELIVERY_NOT_AUTHENTIC"


def test_a_birthday_has_begun_when_it_has_everywhere() -> None:
    born = datetime(2008, 11, 28, tzinfo=UTC).date()
    assert not is_so_old(born, 18, datetime(2026, 11, 28, 11, 59, tzinfo=UTC))
    assert is_so_old(born, 18, datetime(2026, 11, 28, 12, tzinfo=UTC))
    leaping = datetime(2008, 2, 29, tzinfo=UTC).date()
    assert not is_so_old(leaping, 18, datetime(2026, 2, 28, 23, tzinfo=UTC))
    assert is_so_old(leaping, 18, datetime(2026, 3, 1, 12, tzinfo=UTC))
