"""Ages are proved at the stand-in and by wallets, over HTTP; what comes out is announced, and nothing else is kept."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from reelmesh.compliance.v1 import age_service_pb2 as api
from reelmesh.compliance.v1 import age_service_pb2_grpc, events_pb2, jurisdictions_service_pb2_grpc
from reelmesh.compliance.v1 import jurisdictions_service_pb2 as jurisdictions

from services.compliance.__main__ import CONTRACTS
from services.compliance.age.contract import CREDIT_CARD, DOCUMENT, EU_PROOF
from services.compliance.age.providers import STAND_IN_KEY_FILE, stand_in_secret
from services.compliance.age.signing import signature
from services.compliance.age.stand_in import HEADER
from services.compliance.age.wiring import KEPT, cleaned
from services.kit.clock import SystemClock
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.compliance.age_desk import DEVICE_ID, Desk, a_desk, reason_of
from tests.compliance.holder import Issuer, Request, Wallet, encrypted, request_uri_of
from tests.compliance.scene import refused
from tests.compliance.test_mdoc import VECTORS
from tests.identity.scene import a_scene as with_identity
from tests.support.keys import with_api_key
from tests.support.running import connected

PASSED, FAILED, OPEN = api.AGE_CHECK_STATE_PASSED, api.AGE_CHECK_STATE_FAILED, api.AGE_CHECK_STATE_OPEN


async def fetched(desk: Desk, check: api.AgeCheck) -> Request:
    """The request object of a check, as a wallet reads it."""
    response = await desk.http.get(request_uri_of(check.url))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/oauth-authz-req+jwt"
    return Request.of(response.text)


async def posted(desk: Desk, request: Request, body: bytes) -> httpx.Response:
    form = {"content-type": "application/x-www-form-urlencoded"}
    return await desk.http.post(request.claims["response_uri"], content=body, headers=form)


async def all_rows(desk: Desk) -> str:
    """Everything that the service keeps of checks and proofs, as text."""
    async with desk.database.transaction() as tx:
        tables = ("age_checks", "age_proofs", "age_used", "outbox", "replies")
        return str([(await tx.execute(sa.text(f"SELECT * FROM {table}"))).all() for table in tables])


async def test_an_age_is_proved_at_the_stand_in(mesh: ProcessSettings, tmp_path: Path) -> None:
    now = SystemClock().now()
    async with a_desk(mesh, tmp_path, now, [Issuer(now).pem]) as desk:
        check = await desk.start("stand-in", DOCUMENT, threshold=18)
        assert (check.state, check.threshold, check.return_path) == (OPEN, 18, "/watch/x")
        page = await desk.http.get(check.url)
        assert (page.status_code, "at least 18" in page.text) == (200, True)
        back = await desk.http.post(check.url, data={"result": "over"})
        assert (back.status_code, back.headers["location"]) == (
            303,
            f"{desk.settings.public_url}/proved/{check.age_check_id}",
        )
        assert (await desk.check(check)).state == PASSED
        told = await desk.bus.hears(events_pb2.AgeProved)
        assert (told.viewer_id, told.organisation_id) == (check.viewer_id, desk.organisation_id)
        assert (told.threshold, told.method, told.provider, told.device_id) == (18, DOCUMENT, "stand-in", DEVICE_ID)
        assert told.expire_time.ToDatetime(tzinfo=UTC) == now + timedelta(days=365)
        (proof,) = await desk.proofs(check.viewer_id)
        assert (proof.method, len(proof.nonce_hash)) == (DOCUMENT, 32)

        # What the provider says later is acknowledged, and changes nothing.
        assert (await desk.http.post(check.url, data={"result": "under"})).status_code == 303
        assert (await desk.check(check)).state == PASSED

        revoking = api.RevokeAgeProofRequest(viewer_id=check.viewer_id)
        assert (await desk.ages.RevokeAgeProof(revoking)).revoked == 1
        assert (await desk.bus.hears(events_pb2.AgeProofRevoked)).viewer_id == check.viewer_id
        assert (await desk.ages.RevokeAgeProof(revoking)).revoked == 0
        assert (await desk.proofs(check.viewer_id))[0].HasField("revoke_time")

        desk.clock.advance(timedelta(days=365) + KEPT + timedelta(seconds=1))
        await cleaned(desk.database, desk.clock)
        assert await desk.proofs(check.viewer_id) == []


async def test_who_is_younger_or_too_late_proves_nothing(mesh: ProcessSettings, tmp_path: Path) -> None:
    now = SystemClock().now()
    async with a_desk(mesh, tmp_path, now, [Issuer(now).pem], take_unbound=False) as desk:
        young, late = await desk.start("stand-in", CREDIT_CARD), await desk.start("stand-in", DOCUMENT)
        await desk.http.post(young.url, data={"result": "under"})
        found = await desk.check(young)
        assert (found.state, found.failure) == (FAILED, "refused")
        asked = {"request_id": "the-same-request", "viewer_id": "viewer"}
        first = await desk.start("stand-in", DOCUMENT, **asked)
        again = await desk.start("stand-in", DOCUMENT, **asked)
        assert (again.age_check_id, again.url) == (first.age_check_id, "")
        for provider, method, changes in (
            ("nobody", DOCUMENT, {}),
            ("stand-in", EU_PROOF, {}),
            ("eu", EU_PROOF, {"threshold": 21}),
        ):
            with refused("AGE_METHOD_UNAVAILABLE"):
                await desk.start(provider, method, **changes)
        with refused("AGE_VIEWER_MISSING"):
            await desk.start("stand-in", DOCUMENT, viewer_id="")
        with refused("AGE_CHECK_NOT_FOUND"):
            await desk.check(api.AgeCheck(age_check_id=new_id("agc")))
        desk.clock.advance(timedelta(seconds=desk.settings.compliance_age_check_seconds))
        assert (await desk.check(late)).state == api.AGE_CHECK_STATE_EXPIRED
        assert desk.bus.heard(events_pb2.AgeProved) == []


async def webhook(desk: Desk, check: api.AgeCheck, **changes: Any) -> httpx.Response:
    """What the stand-in would send about a check, signed by it at the desk's own moment."""
    page = check.url.rsplit("/", 1)[1].partition(".")[0]
    asked = json.loads(base64.urlsafe_b64decode(page + "=" * (-len(page) % 4)))
    said = {name: asked[name] for name in ("token", "method", "threshold")} | {"result": "over"} | changes
    body = json.dumps(said).encode()
    secret = stand_in_secret(desk.settings.secret(STAND_IN_KEY_FILE), b"webhooks")
    signed = {HEADER: signature(secret, body, desk.clock.now())}
    return await desk.http.post(asked["notify_url"], content=body, headers=signed)


async def test_a_provider_is_believed_about_checks_that_it_was_told_of_and_in_time(
    mesh: ProcessSettings, tmp_path: Path
) -> None:
    now = SystemClock().now()
    async with a_desk(mesh, tmp_path, now, [Issuer(now).pem]) as desk:
        check, other, late = [await desk.start("stand-in", DOCUMENT) for _ in range(3)]
        foreign = await webhook(desk, check, token=f"{check.age_check_id}.{'n' * 43}")
        assert reason_of(foreign) == (400, "AGE_PROOF_INVALID")
        other_check = await webhook(desk, check, token=f"{other.age_check_id}.{'n' * 43}")
        assert reason_of(other_check) == (400, "AGE_PROOF_INVALID")
        assert (await desk.check(check)).state == (await desk.check(other)).state == OPEN
        assert [(await webhook(desk, check)).status_code for _ in range(2)] == [200, 200]
        assert len(await desk.proofs("")) == 1
        desk.clock.advance(timedelta(seconds=desk.settings.compliance_age_check_seconds))
        assert (await webhook(desk, late)).status_code == 200
        assert (await desk.check(late)).state == api.AGE_CHECK_STATE_EXPIRED
        assert len(await desk.proofs("")) == 1
        altered = await desk.http.post(f"{desk.settings.public_url}/age/stand-in/webhook", content=b"{}")
        assert reason_of(altered) == (401, "AGE_DELIVERY_NOT_AUTHENTIC")
        assert (await desk.http.get(f"{desk.settings.public_url}/age/nobody")).status_code == 404
        assert (await desk.http.put(f"{desk.settings.public_url}/age/stand-in/webhook")).status_code == 405


async def test_only_those_who_may_see_and_take_back_proofs(mesh: ProcessSettings, tmp_path: Path) -> None:
    now = SystemClock().now()
    viewing = {"organisation_id": "", "permissions": ["playback.create"]}
    async with a_desk(mesh, tmp_path, now, [Issuer(now).pem]) as desk:
        viewing["organisation_id"] = desk.organisation_id
        with with_api_key(mesh, **viewing) as key:  # type: ignore[arg-type]  # of the dictionary above
            async with connected(desk.settings, "compliance", *CONTRACTS, key=key) as channel:
                ages = age_service_pb2_grpc.AgeServiceStub(channel)
                places = jurisdictions_service_pb2_grpc.JurisdictionsServiceStub(channel)
                assert (await ages.GetAgeOptions(api.GetAgeOptionsRequest())).options
                for call in (
                    ages.ListAgeProofs(api.ListAgeProofsRequest()),
                    ages.RevokeAgeProof(api.RevokeAgeProofRequest(viewer_id="x")),
                    ages.ReceiveAgeDelivery(api.ReceiveAgeDeliveryRequest(provider="eu")),
                    places.GetJurisdictionTable(jurisdictions.GetJurisdictionTableRequest()),
                    places.PutJurisdictionTable(jurisdictions.PutJurisdictionTableRequest(request_id=new_id("req"))),
                ):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call
                    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_people_prove_their_own_age(mesh: ProcessSettings, tmp_path: Path) -> None:
    now = SystemClock().now()
    async with with_identity(mesh) as identity, a_desk(mesh, tmp_path, now, [Issuer(now).pem]) as desk:
        viewer, other = await identity.register(), await identity.register()
        request = api.StartAgeCheckRequest(request_id=new_id("req"), provider="stand-in", method=DOCUMENT)
        check = (await desk.ages.StartAgeCheck(request, metadata=viewer.shown)).check
        assert (check.viewer_id, check.return_path) == (viewer.account.account_id, "/")
        asked = api.GetAgeCheckRequest(age_check_id=check.age_check_id)
        assert (await desk.ages.GetAgeCheck(asked, metadata=viewer.shown)).check.state == OPEN
        with refused("AGE_CHECK_NOT_FOUND"):
            await desk.ages.GetAgeCheck(asked, metadata=other.shown)
        request.viewer_id = other.account.account_id
        with refused("AGE_VIEWER_NOT_SELF"):
            await desk.ages.StartAgeCheck(request, metadata=viewer.shown)


async def test_a_wallet_proves_an_age(mesh: ProcessSettings, tmp_path: Path) -> None:
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    issuer = Issuer(now)
    async with a_desk(mesh, tmp_path, now, [issuer.pem]) as desk:
        check, wallet = await desk.start("eu", EU_PROOF), Wallet(issuer)
        assert check.url.startswith("av://?")
        request = await fetched(desk, check)
        assert request.claims["response_mode"] == "direct_post.jwt"
        body = wallet.posted(request)
        answer = await posted(desk, request, body)
        assert (answer.status_code, answer.json()["redirect_uri"]) == (
            200,
            f"{desk.settings.public_url}/proved/{check.age_check_id}",
        )
        assert (await desk.check(check)).state == PASSED
        assert (await desk.bus.hears(events_pb2.AgeProved)).method == EU_PROOF

        # The nonce is used up, and nothing of what was needed is kept.
        assert reason_of(await posted(desk, request, body)) == (409, "AGE_CHECK_OVER")
        assert reason_of(await desk.http.get(request_uri_of(check.url))) == (409, "AGE_CHECK_OVER")
        assert (await desk.row(check)).sealed == b""
        kept = await all_rows(desk)
        assert request.claims["nonce"] not in kept
        assert "age_over" not in kept
        assert len(await desk.proofs(check.viewer_id)) == 1


async def test_what_a_wallet_shows_for_another_request_or_changed_is_refused(
    mesh: ProcessSettings, tmp_path: Path
) -> None:
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    issuer, stranger = Issuer(now), Issuer(now)
    async with a_desk(mesh, tmp_path, now, [issuer.pem]) as desk:
        check, other, wallet = await desk.start("eu", EU_PROOF), await desk.start("eu", EU_PROOF), Wallet(issuer)
        request, another = await fetched(desk, check), await fetched(desk, other)
        too_young, old = Wallet(issuer), Wallet(issuer)
        too_young.issuer_signed = issuer.issue(too_young.key.public_key(), value=False)
        over = {"signed": now - timedelta(days=9), "validFrom": now - timedelta(days=9), "validUntil": now}
        old.issuer_signed = issuer.issue(old.key.public_key(), validityInfo=over)
        altered = bytearray(wallet.response(request))
        altered[altered.index(b"age_over_18") + 30] ^= 1

        async def why(body: bytes) -> tuple[int, str, str]:
            response = await posted(desk, request, body)
            detail = json.loads(response.content)["details"][0]
            return response.status_code, detail["reason"], detail["metadata"]["cause"]

        invalid = (400, "AGE_PROOF_INVALID")
        assert await why(wallet.posted(request, nonce=another.claims["nonce"])) == (*invalid, "nonce")
        assert await why(wallet.posted(request, client_id="x509_san_dns:other.example")) == (*invalid, "nonce")
        assert await why(encrypted(request, wallet.response(another))) == (*invalid, "nonce")
        assert await why(wallet.posted(request, bound=False)) == (*invalid, "unbound")
        assert await why(Wallet(stranger).posted(request)) == (*invalid, "untrusted")
        assert await why(old.posted(request)) == (*invalid, "expired")
        assert (await why(encrypted(request, bytes(altered))))[:2] in {invalid, (400, "AGE_DELIVERY_MALFORMED")}
        for body in (
            wallet.posted(another),  # to another key
            encrypted(request, wallet.response(request), state=other.age_check_id),
            encrypted(request, b"nothing"),
            b"response=nothing",
            b"",
        ):
            assert (await why(body))[1] == "AGE_DELIVERY_MALFORMED"
        assert (await desk.check(check)).state == OPEN
        assert (await posted(desk, request, too_young.posted(request))).status_code == 200
        assert (await desk.check(check)).failure == "refused"
        assert (await posted(desk, another, b"error=access_denied")).status_code == 200
        assert (await desk.check(other)).state == FAILED
        assert desk.bus.heard(events_pb2.AgeProved) == []


async def test_the_published_proof_counts_once_where_unbound_ones_are_taken(
    mesh: ProcessSettings, tmp_path: Path
) -> None:
    """It came without a device's signature, so that anybody may have a copy."""
    file = VECTORS / "eu_av_example.json"
    if not file.exists():
        pytest.skip("the shared vectors are not here")
    example: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    signer = x509.load_der_x509_certificate(bytes.fromhex(example["ds_cert_der_hex"])).public_bytes(Encoding.PEM)
    now = datetime(2025, 7, 1, tzinfo=UTC)
    async with a_desk(mesh, tmp_path, now, [signer], take_unbound=True) as desk:
        check, other = await desk.start("eu", EU_PROOF), await desk.start("eu", EU_PROOF)
        request, another = await fetched(desk, check), await fetched(desk, other)
        issued = bytes.fromhex(example["issuer_signed_cbor_hex"])
        document = b"\xa2" + _pair("docType", b"\x71" + example["docType"].encode()) + _pair("issuerSigned", issued)
        shown = b"\xa3" + _pair("version", b"\x63" + b"1.0") + _pair("documents", b"\x81" + document)
        shown += _pair("status", b"\x00")
        assert (await posted(desk, request, encrypted(request, shown))).status_code == 200
        assert (await desk.check(check)).state == PASSED
        assert reason_of(await posted(desk, another, encrypted(another, shown))) == (400, "AGE_PROOF_INVALID")
        assert (await desk.check(other)).state == OPEN
        altered = shown.replace(b"\x6celementValue\xf5", b"\x6celementValue\xf4")
        assert reason_of(await posted(desk, another, encrypted(another, altered)))[1] == "AGE_PROOF_INVALID"
        assert len(await desk.proofs("")) == 1


def _pair(name: str, value: bytes) -> bytes:
    return bytes([0x60 + len(name)]) + name.encode() + value
