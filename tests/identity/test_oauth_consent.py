"""What people are asked, what is remembered of their answers, and how they take it back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from reelmesh.identity.v1 import events_pb2, oauth_clients_service_pb2, oauth_pb2
from reelmesh.identity.v1 import oauth_service_pb2 as api

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.identity.scene import Person, refused
from tests.support.keys import with_api_key
from tests.support.oauth import CALLBACK, OAuthScene, Program, an_oauth_scene, answer_of, pkce, request_of

WEB = Program("reelmesh-web")


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[OAuthScene]:
    async with an_oauth_scene(mesh) as scene:
        yield scene


async def shown(scene: OAuthScene, person: Person, program: Program, **asked: str | None) -> oauth_pb2.Authorization:
    """What the page shows."""
    request = api.GetAuthorizationRequest(authorization_id=request_of(await scene.asks(program, **asked)))
    return (await scene.oauth.GetAuthorization(request, metadata=person.shown)).authorization


async def test_a_person_sees_who_asks_for_what(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    page = await shown(scene, person, program, login_hint="ada@example.com")
    assert (page.client_name, page.organisation_name) == ("An app", "Home")
    assert list(page.scopes) == ["offline_access", "openid", "playback.create"]
    assert (page.consent_needed, page.sign_in_needed, page.silent) == (True, False, False)
    assert page.login_hint == "ada@example.com"


async def test_who_said_yes_is_not_asked_again_for_the_same(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    await scene.let_in(program, person, scope="openid")
    assert (await shown(scene, person, program, scope="openid")).consent_needed is False
    assert (await shown(scene, person, program, scope="openid email")).consent_needed is True
    assert (await shown(scene, person, program, scope="openid", prompt="consent")).consent_needed is True


async def test_a_program_that_could_be_another_is_always_asked_about(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register(redirect_uris=["com.example.app:/back"])
    uri = "com.example.app:/back"
    await scene.answers(person, await scene.asks(program, redirect_uri=uri))
    assert (await shown(scene, person, program, redirect_uri=uri)).consent_needed is True


async def test_our_own_pages_need_not_ask_where_the_operator_says_so(mesh: ProcessSettings) -> None:
    for trusted in (False, True):
        async with an_oauth_scene(mesh, identity_oauth_trust_first_party=trusted) as scene:
            person = await scene.identity.register()
            page = await shown(scene, person, WEB, redirect_uri=f"{scene.issuer}/signed-in")
            assert page.consent_needed is not trusted
            phone = await shown(scene, person, Program("reelmesh-mobile"), redirect_uri="com.reelmesh.app:/signed-in")
            assert phone.consent_needed is True


async def test_a_program_may_want_a_fresh_sign_in(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    scene.identity.clock.advance(timedelta(minutes=5))
    assert (await shown(scene, person, program, max_age="600")).sign_in_needed is False
    asked = await scene.asks(program, max_age="60")
    request = api.AnswerAuthorizationRequest(authorization_id=request_of(asked), approve=True)
    call = scene.oauth.AnswerAuthorization(request, metadata=person.shown)
    assert (await refused(call)).reason == "SIGN_IN_TOO_OLD"
    assert (await shown(scene, person, program, prompt="login")).sign_in_needed is True
    again = Person(person.email, person.password, person.account, await scene.identity.log_in(person.email))
    assert "code" in answer_of(await scene.answers(again, asked))


async def test_a_program_that_wants_no_page_hears_what_one_was_needed_for(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()

    async def refusal_without_anybody() -> str:
        asked = await scene.asks(program, prompt="none")
        assert asked.headers["location"].endswith("&silent=1")
        request = api.RefuseAuthorizationRequest(authorization_id=request_of(asked))
        return answer_of((await scene.oauth.RefuseAuthorization(request)).redirect_uri)["error"]

    async def refusal(**asked: str) -> str:
        page = await scene.asks(program, prompt="none", **asked)
        return answer_of(await scene.answers(person, page, approve=False))["error"]

    assert await refusal_without_anybody() == "login_required"
    assert await refusal() == "consent_required"
    scene.identity.clock.advance(timedelta(minutes=5))
    assert await refusal(max_age="60") == "login_required"


async def test_an_answer_is_given_once_but_may_be_repeated(scene: OAuthScene) -> None:
    person, other, program = await scene.identity.register(), await scene.identity.register(), await scene.register()
    verifier, challenge = pkce()
    asked = await scene.asks(program, code_challenge=challenge)
    lost = answer_of(await scene.answers(person, asked))["code"]
    code = answer_of(await scene.answers(person, asked))["code"]
    assert (await refused(scene.answers(other, asked))).reason == "AUTHORIZATION_NOT_FOUND"
    assert (await refused(scene.answers(person, asked, approve=False))).reason == "AUTHORIZATION_NOT_FOUND"
    assert (await scene.exchanged(program, lost, verifier)).json()["error"] == "invalid_grant"
    assert (await scene.exchanged(program, code, verifier)).status_code == 200
    assert (await refused(scene.answers(person, asked))).reason == "AUTHORIZATION_NOT_FOUND"


async def test_a_request_waits_for_half_an_hour(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    asked = await scene.asks(program)
    scene.identity.clock.advance(timedelta(minutes=30))
    again = Person(person.email, person.password, person.account, await scene.identity.log_in(person.email))
    assert (await refused(scene.answers(again, asked))).reason == "AUTHORIZATION_NOT_FOUND"


async def test_a_client_of_another_organisation_lets_nobody_in(scene: OAuthScene) -> None:
    person = await scene.identity.register()
    with with_api_key(scene.identity.settings, organisation_id=new_id("org"), permissions=["*"]) as key:
        foreign = await scene.clients.CreateOAuthClient(
            oauth_clients_service_pb2.CreateOAuthClientRequest(
                request_id=new_id("req"),
                display_name="Foreign",
                redirect_uris=[CALLBACK],
                grants=[oauth_pb2.O_AUTH_GRANT_AUTHORIZATION_CODE],
                scopes=["openid"],
            ),
            metadata=(("authorization", f"Bearer {key}"),),
        )
    program = Program(foreign.client.client_id)
    asked = await scene.asks(program, scope="openid")
    assert (await refused(scene.answers(person, asked))).reason == "OAUTH_CLIENT_FOREIGN"


async def test_a_person_takes_back_what_a_program_may_do(scene: OAuthScene) -> None:
    person, program, other = await scene.identity.register(), await scene.register(), await scene.register()
    tokens = await scene.let_in(program, person)
    kept = await scene.let_in(other, person)
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge)
    first = await scene.oauth.ListConsents(api.ListConsentsRequest(page_size=1), metadata=person.shown)
    second = await scene.oauth.ListConsents(
        api.ListConsentsRequest(page_size=1, page_token=first.next_page_token), metadata=person.shown
    )
    listed = [*first.consents, *second.consents]
    assert {consent.client_id for consent in listed} == {program.client_id, other.client_id}
    assert listed[0].client_name == "An app"
    request = api.WithdrawConsentRequest(client_id=program.client_id)
    await scene.oauth.WithdrawConsent(request, metadata=person.shown)
    await scene.oauth.WithdrawConsent(request, metadata=person.shown)
    assert (await scene.refreshed(program, tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await scene.exchanged(program, code, verifier)).json()["error"] == "invalid_grant"
    assert (await scene.refreshed(other, kept["refresh_token"])).status_code == 200
    event = await scene.identity.bus.hears(events_pb2.ConsentWithdrawn)
    assert event.client_id == program.client_id


async def test_a_program_lets_no_other_program_in(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    tokens = await scene.let_in(program, person)
    asked = await scene.asks(program)
    request = api.AnswerAuthorizationRequest(authorization_id=request_of(asked), approve=True)
    shown = (("authorization", f"Bearer {tokens['access_token']}"),)
    assert (await refused(scene.oauth.AnswerAuthorization(request, metadata=shown))).reason == "PERMISSION_MISSING"
