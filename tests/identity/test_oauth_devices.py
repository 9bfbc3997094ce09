"""Televisions: a code on the screen, a person who types it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from reelmesh.identity.v1 import events_pb2, oauth_pb2
from reelmesh.identity.v1 import oauth_service_pb2 as api

from services.kit.settings import ProcessSettings
from tests.identity.scene import Person, claims, refused
from tests.support.oauth import DEVICE_GRANT, OAuthScene, Program, an_oauth_scene

TV = Program("reelmesh-tv")
SCOPE = "openid offline_access playback.create"


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[OAuthScene]:
    async with an_oauth_scene(mesh) as scene:
        yield scene


async def begun(scene: OAuthScene) -> dict[str, Any]:
    """What a television is given."""
    answer = await scene.http.post(
        "/oauth/device_authorization",
        data={"client_id": TV.client_id, "scope": SCOPE},
        headers={"x-forwarded-for": "198.51.100.9"},
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def asked(scene: OAuthScene, codes: dict[str, Any], program: Program = TV) -> httpx.Response:
    """The television asks whether it may."""
    return await scene.token(program, grant_type=DEVICE_GRANT, device_code=codes["device_code"])


async def found(scene: OAuthScene, person: Person, user_code: str) -> oauth_pb2.DeviceAuthorization:
    """The person types the code."""
    request = api.FindDeviceAuthorizationRequest(user_code=user_code)
    return (await scene.oauth.FindDeviceAuthorization(request, metadata=person.shown)).device_authorization


async def answered(scene: OAuthScene, person: Person, user_code: str, *, approve: bool) -> None:
    """The person types the code and answers."""
    device = await found(scene, person, user_code)
    request = api.AnswerDeviceAuthorizationRequest(
        device_authorization_id=device.device_authorization_id, approve=approve
    )
    await scene.oauth.AnswerDeviceAuthorization(request, metadata=person.shown)


async def test_a_television_is_let_in(scene: OAuthScene) -> None:
    person, codes = await scene.identity.register(), await begun(scene)
    assert set(codes["user_code"]) <= set("BCDFGHJKLMNPQRSTVWXZ-")
    assert (len(codes["user_code"]), codes["expires_in"], codes["interval"]) == (9, 600, 5)
    assert codes["verification_uri"] == f"{scene.issuer}/activate"
    assert codes["verification_uri_complete"] == f"{scene.issuer}/activate#user_code={codes['user_code']}"
    waiting = await asked(scene, codes)
    assert (waiting.status_code, waiting.json()["error"]) == (400, "authorization_pending")
    device = await found(scene, person, codes["user_code"].lower().replace("-", " "))
    assert (device.client_name, device.network) == ("Reelmesh for televisions", "198.51.100.0/24")
    await answered(scene, person, codes["user_code"], approve=True)
    scene.identity.clock.advance(timedelta(seconds=5))
    tokens = (await asked(scene, codes)).json()
    assert tokens["scope"] == SCOPE.replace("openid offline_access", "offline_access openid")
    assert claims(tokens["access_token"])["client_id"] == "reelmesh-tv"
    assert claims(tokens["id_token"])["aud"] == "reelmesh-tv"
    assert (await scene.refreshed(TV, tokens["refresh_token"])).status_code == 200
    event = await scene.identity.bus.hears(events_pb2.DeviceAuthorized)
    assert (event.account_id, event.network) == (person.account.account_id, "198.51.100.0/24")
    assert (await asked(scene, codes)).json()["error"] == "invalid_grant"


async def test_a_television_that_asks_too_often_must_wait_longer(scene: OAuthScene) -> None:
    codes = await begun(scene)
    assert (await asked(scene, codes)).json()["error"] == "authorization_pending"
    scene.identity.clock.advance(timedelta(seconds=4))
    assert (await asked(scene, codes)).json()["error"] == "slow_down"
    scene.identity.clock.advance(timedelta(seconds=9))
    assert (await asked(scene, codes)).json()["error"] == "slow_down"
    scene.identity.clock.advance(timedelta(seconds=15))
    assert (await asked(scene, codes)).json()["error"] == "authorization_pending"


async def test_a_person_can_say_no_to_a_television(scene: OAuthScene) -> None:
    person, codes = await scene.identity.register(), await begun(scene)
    await answered(scene, person, codes["user_code"], approve=False)
    assert (await asked(scene, codes)).json()["error"] == "access_denied"


async def test_codes_of_a_television_are_good_for_ten_minutes(scene: OAuthScene) -> None:
    person, codes = await scene.identity.register(), await begun(scene)
    scene.identity.clock.advance(timedelta(minutes=10))
    assert (await asked(scene, codes)).json()["error"] == "expired_token"
    assert (await refused(found(scene, person, codes["user_code"]))).reason in {
        "USER_CODE_INVALID",
        "CREDENTIAL_INVALID",
    }


async def test_a_device_code_is_good_for_its_client_only(scene: OAuthScene) -> None:
    person, codes = await scene.identity.register(), await begun(scene)
    other = await scene.register(grants=[oauth_pb2.O_AUTH_GRANT_DEVICE_CODE])
    await answered(scene, person, codes["user_code"], approve=True)
    assert (await asked(scene, codes, other)).json()["error"] == "invalid_grant"
    assert (await asked(scene, codes)).status_code == 200


async def test_guessing_codes_gets_slower(scene: OAuthScene) -> None:
    person = await scene.identity.register()
    for _ in range(5):
        assert (await refused(found(scene, person, "BBBB-BBBB"))).reason == "USER_CODE_INVALID"
    assert (await refused(found(scene, person, "BBBB-BBBC"))).reason == "USER_CODE_INVALID"
    slowed = await refused(found(scene, person, (await begun(scene))["user_code"]))
    assert slowed.reason == "TOO_MANY_ATTEMPTS"
    assert slowed.retry_after is not None


async def test_only_who_typed_the_code_answers(scene: OAuthScene) -> None:
    one, other, codes = await scene.identity.register(), await scene.identity.register(), await begun(scene)
    device = await found(scene, one, codes["user_code"])
    request = api.AnswerDeviceAuthorizationRequest(device_authorization_id=device.device_authorization_id, approve=True)
    call = scene.oauth.AnswerDeviceAuthorization(request, metadata=other.shown)
    assert (await refused(call)).reason == "AUTHORIZATION_NOT_FOUND"
    assert (await asked(scene, codes)).json()["error"] == "authorization_pending"


async def test_a_television_lets_no_other_device_in(scene: OAuthScene) -> None:
    person, codes = await scene.identity.register(), await begun(scene)
    await answered(scene, person, codes["user_code"], approve=True)
    tokens = (await asked(scene, codes)).json()
    shown = (("authorization", f"Bearer {tokens['access_token']}"),)
    request = api.FindDeviceAuthorizationRequest(user_code=(await begun(scene))["user_code"])
    assert (await refused(scene.oauth.FindDeviceAuthorization(request, metadata=shown))).reason == "PERMISSION_MISSING"
