"""Licences as players get them: bodies in and out, renewals, and devices that prove who they are."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.drm.v1 import drm_service_pb2, events_pb2
from reelmesh.drm.v1 import licences_service_pb2 as api

from services.drm.domain import kid_of
from services.drm.licences import answers, clearkey
from services.kit.errors import Refusal
from services.kit.ids import new_id
from tests.drm.scene import Film, Keys
from tests.drm.test_licence_policy import span, update
from tests.policy.scene import refused
from tests.support.dpop import KeyHolder

METHOD = "/reelmesh.drm.v1.LicencesService/AcquireClearKeyLicence"


async def acquired(keys: Keys, film: Film, body: Any = None, *, ticket: str = "", **metadata: str) -> HttpBody:
    """What the service answers a player."""
    asked = {"kids": [kid_of(key.key_id) for key in film.keys]} if body is None else body
    data = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    request = api.AcquireClearKeyLicenceRequest(
        ticket=ticket or film.ticket, package_id=film.package_id, challenge=HttpBody(data=data)
    )
    return (await keys.players.AcquireClearKeyLicence(request, metadata=tuple(metadata.items()))).licence


def reason_of(answer: HttpBody) -> str:
    """Reason of a refusal; empty for a licence."""
    return str(json.loads(answer.data)["details"][0]["reason"]) if "problem" in answer.content_type else ""


async def test_a_player_gets_what_it_asks_for(keys: Keys) -> None:
    film = await keys.film("AUDIO", "HD")
    answer = await acquired(keys, film)
    assert answer.content_type == "application/json"
    expected = [{"kty": "oct", "kid": kid_of(key.key_id), "k": kid_of(key.key)} for key in film.keys]
    assert json.loads(answer.data) == {"keys": expected, "type": "temporary"}
    issued = await keys.scene.bus.hears(events_pb2.LicenceIssued)
    assert (issued.key_system, issued.organisation_id) == ("org.w3.clearkey", keys.scene.organisation_id)
    assert issued.expire_time.ToDatetime() > issued.issue_time.ToDatetime()


async def test_a_refusal_is_a_problem_that_says_what_our_other_answers_say(keys: Keys) -> None:
    film = await keys.film()
    await keys.scene.revoke(film.session_id)
    answer = await acquired(keys, film)
    assert answer.content_type == "application/problem+json; status=403; reason=SESSION_REVOKED"
    told = json.loads(answer.data)
    assert told["type"] == "urn:reelmesh:refusal:policy.reelmesh:SESSION_REVOKED"
    assert (told["title"], told["status"], told["code"]) == ("Session revoked", 403, 7)
    assert told["detail"] == told["message"] != ""
    info = told["details"][0]
    assert (info["reason"], info["metadata"]["session_id"]) == ("SESSION_REVOKED", film.session_id)
    assert info["metadata"]["correlation_id"]
    refusal = await keys.scene.bus.hears(events_pb2.LicenceRefused)
    assert (refusal.reason, refusal.session_id) == ("SESSION_REVOKED", film.session_id)
    assert not keys.scene.bus.heard(events_pb2.LicenceIssued)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "LICENCE_REQUEST_MALFORMED"),
        (b"\xff\xfe", "LICENCE_REQUEST_MALFORMED"),
        (b"[" * 10_000, "LICENCE_REQUEST_MALFORMED"),
        (b" " * 20_000, "LICENCE_REQUEST_MALFORMED"),
        ([], "LICENCE_REQUEST_MALFORMED"),
        ({}, "LICENCE_REQUEST_MALFORMED"),
        ({"kids": []}, "LICENCE_REQUEST_MALFORMED"),
        ({"kids": [1]}, "LICENCE_REQUEST_MALFORMED"),
        ({"kids": ["x"] * 65}, "LICENCE_REQUEST_MALFORMED"),
        ({"kids": ["A" * 22], "type": "persistent-license"}, "LICENCE_REQUEST_MALFORMED"),
        ({"kids": ["A" * 22], "renewal_of": "x"}, "LICENCE_REQUEST_MALFORMED"),
        ({"kids": ["x"]}, "KEY_ID_MALFORMED"),
        ({"kids": ["A" * 22]}, "KEY_NOT_ENTITLED"),
    ],
)
async def test_what_is_no_licence_request_is_told_so(keys: Keys, body: Any, reason: str) -> None:
    answer = await acquired(keys, await keys.film(), body)
    assert reason_of(answer) == reason
    assert f"status={403 if reason == 'KEY_NOT_ENTITLED' else 400}" in answer.content_type


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_no_body_does_anything_but_ask_or_be_refused(body: bytes) -> None:
    caught: Refusal | None = None
    try:
        assert clearkey.read(body).key_ids
    except Refusal as refusal:
        caught = refusal
    if caught is not None:
        assert caught.reason in {"LICENCE_REQUEST_MALFORMED", "KEY_ID_MALFORMED"}
        assert answers.problem(caught).http_body().content_type.startswith("application/problem+json; status=400")


class TestRenewal:
    async def test_a_licence_says_when_to_renew_it_and_the_renewal_names_it(self, keys: Keys) -> None:
        film = await keys.film()
        await update(keys, licence_duration=span(minutes=10), renew_after=span(minutes=5))
        first = json.loads((await acquired(keys, film)).data)
        assert first["renew_after"] == 300
        kids = [kid_of(key.key_id) for key in film.keys]
        keys.scene.clock.advance(timedelta(minutes=5))
        second = json.loads((await acquired(keys, film, {"kids": kids, "renewal_of": first["licence_id"]})).data)
        assert second["licence_id"] != first["licence_id"]
        issued = await keys.scene.bus.hears(events_pb2.LicenceIssued, count=2)
        assert (issued.renewal_of, issued.licence_id) == (first["licence_id"], second["licence_id"])
        assert issued.expire_time.ToDatetime() - issued.issue_time.ToDatetime() == timedelta(minutes=10)

    async def test_after_a_revocation_it_is_refused(self, keys: Keys) -> None:
        film = await keys.film()
        await update(keys, renew_after=span(minutes=5))
        first = await keys.licence(film)
        assert first.renew_time.ToDatetime() - keys.scene.clock.now().replace(tzinfo=None) == timedelta(minutes=5)
        await keys.scene.revoke(film.session_id)
        assert (await refused(keys.licence(film, renewal_of=first.licence_id))).reason == "SESSION_REVOKED"

    async def test_what_is_no_licence_cannot_be_named(self, keys: Keys) -> None:
        film = await keys.film()
        assert (await refused(keys.licence(film, renewal_of="x"))).reason == "REQUEST_INVALID"


class TestManyAtOnce:
    async def test_each_gets_its_own_answer(self, keys: Keys) -> None:
        """A hundred that are decided together: good, revoked and made-up tickets side by side."""
        good, gone = await keys.film(), await keys.film()
        await keys.scene.revoke(gone.session_id)
        kinds = [(good, good.ticket, ""), (gone, gone.ticket, "SESSION_REVOKED"), (good, "x.y.z", "TICKET_INVALID")]
        kinds.append((good, gone.ticket, "TICKET_OTHER_PACKAGE"))
        got = await asyncio.gather(
            *(acquired(keys, film, ticket=ticket) for _ in range(25) for film, ticket, _ in kinds)
        )
        assert [reason_of(answer) for answer in got] == [reason for _ in range(25) for _, _, reason in kinds]


class TestDevices:
    async def playback(self, keys: Keys, holder: KeyHolder) -> Film:
        """A film opened for the viewer of another system on a device whose key that system knows."""
        film = await keys.film()
        answer = await keys.scene.play(
            film.asset_id, viewer_id="ada", device_id=new_id("dev"), device_key_thumbprint=holder.thumbprint
        )
        ticket = answer.playback.licence_url.split("/")[4]
        return Film(film.package_id, film.asset_id, answer.session.session_id, ticket, film.keys)

    def proof(self, keys: Keys, holder: KeyHolder, film: Film, **changed: Any) -> str:
        url = f"{keys.settings.public_url}{METHOD}"
        return holder.proof(keys.scene.clock.now(), "POST", url, film.ticket, **changed)

    async def test_only_who_holds_the_key_gets_licences_that_are_bound_to_it(self, keys: Keys) -> None:
        await update(keys, "device_required", device_required=True)
        holder, thief = KeyHolder(), KeyHolder()
        film = await self.playback(keys, holder)
        good = await acquired(keys, film, dpop=self.proof(keys, holder, film))
        assert reason_of(good) == ""
        for metadata in ({}, {"dpop": self.proof(keys, thief, film)}):
            assert reason_of(await acquired(keys, film, **metadata)) == "DEVICE_NOT_PROVEN"
        spoilt = self.proof(keys, holder, film, ath="x")
        assert reason_of(await acquired(keys, film, dpop=spoilt)) == "PROOF_INVALID"

    async def test_a_proof_works_once(self, keys: Keys) -> None:
        holder = KeyHolder()
        film = await self.playback(keys, holder)
        proof = self.proof(keys, holder, film)
        assert reason_of(await acquired(keys, film, dpop=proof)) == ""
        assert reason_of(await acquired(keys, film, dpop=proof)) == "PROOF_INVALID"

    async def test_a_playback_without_a_device_gets_none(self, keys: Keys) -> None:
        await update(keys, "device_required", device_required=True)
        film, holder = await keys.film(), KeyHolder()
        request = drm_service_pb2.IssueClearKeyLicenceRequest(
            ticket=film.ticket, package_id=film.package_id, kids=[kid_of(film.keys[0].key_id)]
        )
        refusal = await refused(keys.player.IssueClearKeyLicence(request))
        assert (refusal.reason, refusal.metadata["device_id"]) == ("DEVICE_NOT_PROVEN", "")
        assert reason_of(await acquired(keys, film, dpop=self.proof(keys, holder, film))) == "DEVICE_NOT_PROVEN"
