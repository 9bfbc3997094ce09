"""Mobile documents: the EU's published proof of age, and such of issuers of our own."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.compliance.age.cose import Malformed
from services.compliance.age.mdoc import Invalid, StatusReference, device_signed, issuer_signed
from services.compliance.age.openid4vp import Exchange
from services.compliance.age.status import StatusLists
from services.compliance.age.trust import TrustList
from services.kit.errors import Refusal
from tests.compliance.holder import DOC_TYPE, Issuer, Wallet, sign1, tagged

VECTORS = Path(__file__).resolve().parents[2] / "../shared/vectors/age"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
IN_FORCE = datetime(2025, 7, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    file = VECTORS / "eu_av_example.json"
    if not file.exists():
        pytest.skip("the shared vectors are not here")
    return dict(json.loads(file.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def its_signer(example: dict[str, Any]) -> TrustList:
    return TrustList([x509.load_der_x509_certificate(bytes.fromhex(example["ds_cert_der_hex"]))])


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer(NOW)


@pytest.fixture(scope="module")
def trust(issuer: Issuer) -> TrustList:
    return TrustList.of_pem(issuer.pem)


def cause(value: object, trust: TrustList, now: datetime = NOW) -> str:
    """Why a document is refused."""
    with pytest.raises((Invalid, Malformed)) as caught:
        issuer_signed(value, DOC_TYPE, trust, now)
    return caught.value.cause if isinstance(caught.value, Invalid) else "malformed"


def test_the_published_proof_verifies_while_it_is_in_force(example: dict[str, Any], its_signer: TrustList) -> None:
    shown = cbor2.loads(bytes.fromhex(example["issuer_signed_cbor_hex"]))
    found = issuer_signed(shown, example["docType"], its_signer, IN_FORCE)
    assert found.elements == {example["attribute"]: example["value"]}
    assert found.valid_until == datetime.fromisoformat(example["validUntil"])


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2025, 6, 20, 8, 45, 28, tzinfo=UTC),
        datetime(2025, 9, 18, tzinfo=UTC),
        datetime(2026, 11, 28, tzinfo=UTC),
    ],
)
def test_the_published_proof_is_refused_before_and_after(
    example: dict[str, Any], its_signer: TrustList, moment: datetime
) -> None:
    assert cause(cbor2.loads(bytes.fromhex(example["issuer_signed_cbor_hex"])), its_signer, moment) == "expired"


def test_the_published_proof_is_refused_where_its_signer_is_not_believed(
    example: dict[str, Any], trust: TrustList
) -> None:
    assert cause(cbor2.loads(bytes.fromhex(example["issuer_signed_cbor_hex"])), trust, IN_FORCE) == "untrusted"


def test_the_published_proof_is_refused_with_any_byte_altered(example: dict[str, Any], its_signer: TrustList) -> None:
    """Each of its 1,272 bytes, with its lowest and its highest bit turned round: nothing but a name that is not looked at may pass."""
    whole = bytes.fromhex(example["issuer_signed_cbor_hex"])
    passed = []
    for at in range(len(whole)):
        for bit in (0x01, 0x80):
            changed = bytearray(whole)
            changed[at] ^= bit
            try:
                value = cbor2.loads(bytes(changed))
                found = issuer_signed(value, example["docType"], its_signer, IN_FORCE)
            except (Invalid, Malformed, cbor2.CBORError, ValueError, TypeError, OverflowError):
                continue
            passed.append((at, found.elements))
    assert passed == []


def test_a_proof_of_an_issuer_that_is_believed_is_good(issuer: Issuer, trust: TrustList) -> None:
    found = issuer_signed(Wallet(issuer).issuer_signed, DOC_TYPE, trust, NOW)
    assert found.elements == {"age_over_18": True}


def _without_element(shown: dict[str, Any]) -> None:
    item = cbor2.loads(shown["nameSpaces"][DOC_TYPE][0].value)
    shown["nameSpaces"][DOC_TYPE] = [cbor2.CBORTag(24, cbor2.dumps(item | {"elementValue": 1}))]


def _twice(shown: dict[str, Any]) -> None:
    shown["nameSpaces"][DOC_TYPE] *= 2


def _unsigned(shown: dict[str, Any]) -> None:
    shown["issuerAuth"][3] = bytes(64)


def _another_algorithm(shown: dict[str, Any]) -> None:
    shown["issuerAuth"][0] = cbor2.dumps({1: -8})


def _without_certificate(shown: dict[str, Any]) -> None:
    shown["issuerAuth"][1] = {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without_element, "altered"),
        (_twice, "altered"),
        (_unsigned, "altered"),
        (_another_algorithm, "altered"),
        (_without_certificate, "untrusted"),
    ],
)
def test_what_was_changed_is_refused(
    issuer: Issuer, trust: TrustList, change: Callable[[dict[str, Any]], None], why: str
) -> None:
    shown = Wallet(issuer).issuer_signed
    change(shown)
    assert cause(shown, trust) == why


def test_what_an_issuer_signed_must_make_sense(issuer: Issuer, trust: TrustList) -> None:
    device = Wallet(issuer).key.public_key()

    def why(**changes: Any) -> str:
        return cause(issuer.issue(device, **changes), trust)

    day = timedelta(days=1)
    assert why(docType="org.iso.18013.5.1.mDL") == "untrusted"
    assert why(digestAlgorithm="MD5") == "malformed"
    assert why(deviceKeyInfo={"deviceKey": {1: 2, -1: 1, -2: bytes(32), -3: bytes(32)}}) == "malformed"
    assert why(status={"status_list": {"idx": 1, "uri": "http://issuer.example"}}) == "malformed"
    times = {"signed": NOW - day, "validFrom": NOW - day, "validUntil": NOW + day}
    assert why(validityInfo=times | {"signed": NOW + day / 2}) == "expired"
    assert why(validityInfo=times | {"signed": NOW - 40 * day}) == "untrusted"
    assert why(validityInfo=times | {"validUntil": "2027-01-01"}) == "malformed"


def test_only_signers_of_documents_are_believed(trust: TrustList) -> None:
    of_websites = Issuer(NOW, ObjectIdentifier("1.3.6.1.5.5.7.3.1"))
    assert cause(Wallet(of_websites).issuer_signed, TrustList.of_pem(of_websites.pem)) == "untrusted"
    assert cause(Wallet(Issuer(NOW)).issuer_signed, trust) == "untrusted"


def test_a_signer_is_believed_as_long_as_its_certificates_are_in_force(issuer: Issuer, trust: TrustList) -> None:
    shown = issuer.issue(
        Wallet(issuer).key.public_key(),
        validityInfo={"signed": NOW, "validFrom": NOW, "validUntil": NOW + timedelta(days=1000)},
    )
    assert issuer_signed(shown, DOC_TYPE, trust, NOW + timedelta(days=299)).elements
    assert cause(shown, trust, NOW + timedelta(days=301)) == "expired"


def test_the_device_answers_to_one_session(issuer: Issuer, trust: TrustList) -> None:
    wallet = Wallet(issuer)
    document = issuer_signed(wallet.issuer_signed, DOC_TYPE, trust, NOW)
    exchange = Exchange.begun("nonce", "https://films.example/response")
    transcript = exchange.transcript("x509_san_dns:films.example")
    names = cbor2.CBORTag(24, cbor2.dumps({}))
    payload = tagged(["DeviceAuthentication", cbor2.loads(transcript), DOC_TYPE, names])
    signature = sign1(wallet.key, payload, detached=True)
    shown = {"nameSpaces": names, "deviceAuth": {"deviceSignature": signature}}
    assert device_signed(shown, document, transcript)
    for client, one in (
        ("x509_san_dns:other.example", exchange),
        ("x509_san_dns:films.example", Exchange("another", exchange.response_uri, exchange.key)),
        ("x509_san_dns:films.example", Exchange.begun("nonce", exchange.response_uri)),
    ):
        with pytest.raises(Invalid, match="another request"):
            device_signed(shown, document, one.transcript(client))
    assert not device_signed({"nameSpaces": names, "deviceAuth": {"deviceMac": []}}, document, transcript)
    assert not device_signed(None, document, transcript)


async def test_what_an_issuer_took_back_is_refused(issuer: Issuer, trust: TrustList) -> None:
    uri, served, asked = "https://issuer.example/status", [issuer.status_list("x", b"")], []

    async def serve(request: Request) -> Response:
        asked.append(request.headers["accept"])
        return Response(served[-1])

    transport = httpx.ASGITransport(Starlette(routes=[Route("/status", serve)]))
    async with httpx.AsyncClient(transport=transport) as http:

        async def why(data: bytes, index: int = 1) -> str:
            served.append(data)
            try:
                await StatusLists(http, trust).check(StatusReference(uri, index), NOW)
            except Invalid as invalid:
                return invalid.cause
            except Malformed:
                return "malformed"
            return ""

        good = issuer.status_list(uri, bytes([0b0000_0100]))
        assert await why(good) == ""
        assert await why(good, 2) == "revoked"
        assert await why(good, 8) == "malformed"
        assert await why(issuer.status_list("https://issuer.example/other", bytes(1))) == "untrusted"
        assert await why(issuer.status_list(uri, bytes(1), **{"4": 0}) + b"") == ""  # a text is no claim
        assert await why(Issuer(NOW).status_list(uri, bytes(1))) == "untrusted"
        assert await why(b"nothing") == "malformed"
        lists = StatusLists(http, trust)
        served.append(good)
        before = len(asked)
        for _ in range(3):
            await lists.check(StatusReference(uri, 1), NOW)
        assert len(asked) == before + 1
        with pytest.raises(Refusal, match="DEPENDENCY_UNAVAILABLE"):
            await lists.check(StatusReference("https://issuer.example/gone", 1), NOW)
