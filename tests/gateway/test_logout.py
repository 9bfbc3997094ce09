"""A program signs its person out and asks whether Reelmesh shall too (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2, oauth_clients_service_pb2, oauth_pb2
from reelmesh.identity.v1 import oauth_service_pb2 as api

from services.identity.oauth.leaving import CONFIRMABLE_FOR
from services.identity.trust.signing import LIFETIME
from services.kit.settings import ProcessSettings
from tests.identity.scene import Person, claims, refused
from tests.support.oauth import OAuthScene, Program, an_oauth_scene

BYE = "https://app.example/bye?from=reelmesh"


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[OAuthScene]:
    async with an_oauth_scene(mesh) as scene:
        yield scene


@pytest.fixture
async def program(scene: OAuthScene) -> Program:
    return await scene.register(post_logout_redirect_uris=[BYE])


async def leaves(scene: OAuthScene, **parameters: str) -> httpx.Response:
    """A browser comes with a program's request."""
    return await scene.http.get("/oauth/logout", params=parameters)


def sealed(answer: httpx.Response) -> str:
    """What the page is told."""
    assert answer.status_code in {302, 303}, answer.text
    parts = urlsplit(answer.headers["location"])
    assert parts.path == "/sign-out"
    return dict(parse_qsl(parts.fragment))["logout"]


async def shown(scene: OAuthScene, logout: str) -> oauth_pb2.Logout:
    """What the page shows, to whom that comes: nobody need be signed in."""
    return (await scene.oauth.FindLogout(api.FindLogoutRequest(logout=logout))).logout


async def confirms(scene: OAuthScene, person: Person, logout: str) -> None:
    await scene.oauth.ConfirmLogout(api.ConfirmLogoutRequest(logout=logout), metadata=person.shown)


async def signed_in(scene: OAuthScene, person: Person) -> bool:
    request = accounts_service_pb2.RefreshSessionRequest(
        request_id="refresh-once", refresh_token=person.tokens.refresh_token
    )
    try:
        await scene.identity.accounts.RefreshSession(request, metadata=scene.identity.outside)
    except grpc.aio.AioRpcError:
        return False
    return True


def wrong(answer: httpx.Response) -> bool:
    """Whether the page says that something is wrong, and leads nowhere."""
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert 'data-error="invalid_request"' in answer.text
    return "You are not signed out here" in answer.text


async def test_a_person_is_signed_out_of_the_program_and_of_reelmesh_and_sent_back(
    scene: OAuthScene, program: Program
) -> None:
    person = await scene.identity.register()
    tokens = await scene.let_in(program, person)
    asked = await leaves(scene, id_token_hint=tokens["id_token"], post_logout_redirect_uri=BYE, state="a b&c")
    assert asked.headers["cache-control"] == "no-store"
    page = await shown(scene, sealed(asked))
    assert (page.client_name, page.account_id) == ("An app", person.account.account_id)
    assert page.redirect_uri == f"{BYE}&state=a+b%26c"
    await confirms(scene, person, sealed(asked))
    assert not await signed_in(scene, person)
    assert (await scene.refreshed(program, tokens["refresh_token"])).json()["error"] == "invalid_grant"
    ended = [await scene.identity.bus.hears(events_pb2.SessionEnded, count=count) for count in (1, 2)]
    assert {one.cause for one in ended} == {events_pb2.SESSION_END_LOGGED_OUT}
    assert {one.session_id for one in ended} == {person.tokens.session_id, claims(tokens["access_token"])["sid"]}


async def test_nothing_ends_before_the_person_says_so(scene: OAuthScene, program: Program) -> None:
    person = await scene.identity.register()
    tokens = await scene.let_in(program, person)
    await shown(scene, sealed(await leaves(scene, id_token_hint=tokens["id_token"])))
    assert await signed_in(scene, person)
    assert (await scene.refreshed(program, tokens["refresh_token"])).status_code == 200


async def test_discovery_tells_where_to_sign_out_and_a_form_will_do(scene: OAuthScene, program: Program) -> None:
    told = (await scene.http.get("/.well-known/openid-configuration")).json()
    assert told["end_session_endpoint"] == f"{scene.issuer}/oauth/logout"
    asked = await scene.http.post(
        "/oauth/logout", data={"client_id": program.client_id, "post_logout_redirect_uri": BYE}
    )
    assert asked.status_code == 303
    page = await shown(scene, sealed(asked))
    assert (page.client_id, page.account_id, page.redirect_uri) == (program.client_id, "", BYE)


async def test_whoever_says_nothing_is_asked_and_sent_nowhere(scene: OAuthScene) -> None:
    page = await shown(scene, sealed(await leaves(scene)))
    assert (page.client_id, page.client_name, page.redirect_uri) == ("", "", "")


async def test_an_id_token_is_good_as_a_hint_long_after_it_expired(scene: OAuthScene, program: Program) -> None:
    person = await scene.identity.register()
    tokens = await scene.let_in(program, person)
    scene.identity.clock.advance(LIFETIME * 2)
    page = await shown(scene, sealed(await leaves(scene, id_token_hint=tokens["id_token"])))
    assert page.account_id == person.account.account_id


@pytest.mark.parametrize(
    "uri", ["https://evil.example/", "https://app.example/bye", f"{BYE}&x=1", f"{BYE}#x", "https://APP.example/bye"]
)
async def test_nobody_is_sent_to_an_address_that_is_not_registered(
    scene: OAuthScene, program: Program, uri: str
) -> None:
    assert wrong(await leaves(scene, client_id=program.client_id, post_logout_redirect_uri=uri))


async def test_an_address_is_no_use_without_saying_whose_it_is(scene: OAuthScene, program: Program) -> None:
    assert wrong(await leaves(scene, post_logout_redirect_uri=BYE))
    assert wrong(await leaves(scene, client_id="cli_00000000000000000000000000", post_logout_redirect_uri=BYE))
    assert wrong(await scene.http.get(f"/oauth/logout?client_id={program.client_id}&client_id={program.client_id}"))


async def test_what_is_no_id_token_of_ours_or_of_another_program_is_refused(
    scene: OAuthScene, program: Program
) -> None:
    tokens = await scene.let_in(program, await scene.identity.register())
    header = {"typ": "JWT", "kid": jwt.get_unverified_header(tokens["id_token"])["kid"]}
    forged = jwt.encode(
        {**claims(tokens["id_token"]), "sub": "usr_00000000000000000000000000"},
        ec.generate_private_key(ec.SECP256R1()),
        algorithm="ES256",
        headers=header,
    )
    plain = jwt.encode(claims(tokens["id_token"]), "", algorithm="none", headers=header)
    for hint in ("nonsense", "a.b.c", tokens["access_token"], forged, plain):
        assert wrong(await leaves(scene, id_token_hint=hint)), hint
    other = await scene.register()
    assert wrong(await leaves(scene, id_token_hint=tokens["id_token"], client_id=other.client_id))


async def test_a_hint_whose_key_is_forgotten_is_none(scene: OAuthScene, program: Program) -> None:
    unknown = jwt.encode(
        {"iss": scene.issuer, "sub": "usr_x", "aud": program.client_id},
        ec.generate_private_key(ec.SECP256R1()),
        algorithm="ES256",
        headers={"kid": "sgk_of_long_ago"},
    )
    page = await shown(scene, sealed(await leaves(scene, id_token_hint=unknown)))
    assert (page.client_id, page.account_id) == ("", "")


async def test_somebody_elses_id_token_ends_none_of_their_sessions(scene: OAuthScene, program: Program) -> None:
    victim, other = await scene.identity.register(), await scene.identity.register()
    tokens = await scene.let_in(program, victim)
    await confirms(scene, other, sealed(await leaves(scene, id_token_hint=tokens["id_token"])))
    assert not await signed_in(scene, other)
    assert await signed_in(scene, victim)
    assert (await scene.refreshed(program, tokens["refresh_token"])).status_code == 200


async def test_a_request_waits_for_half_an_hour_and_only_as_it_was_sealed(scene: OAuthScene, program: Program) -> None:
    person = await scene.identity.register()
    logout = sealed(await leaves(scene, client_id=program.client_id))
    changed = logout[:-2] + ("A" if logout[-2] != "A" else "B") + logout[-1]
    for text in (changed, "x", "%%%", logout[:40]):
        refusal = await refused(scene.oauth.FindLogout(api.FindLogoutRequest(logout=text)))
        assert (refusal.reason, refusal.metadata["parameter"]) == ("LOGOUT_INVALID", "logout")
    scene.identity.clock.advance(CONFIRMABLE_FOR - timedelta(seconds=1))
    await shown(scene, logout)
    scene.identity.clock.advance(timedelta(seconds=1))
    assert (await refused(scene.oauth.FindLogout(api.FindLogoutRequest(logout=logout)))).reason == "LOGOUT_INVALID"
    again = Person(person.email, person.password, person.account, await scene.identity.log_in(person.email))
    assert (await refused(confirms(scene, again, logout))).reason == "LOGOUT_INVALID"


async def test_an_address_that_was_taken_away_meanwhile_leads_nowhere(scene: OAuthScene, program: Program) -> None:
    logout = sealed(await leaves(scene, client_id=program.client_id, post_logout_redirect_uri=BYE))
    update = oauth_clients_service_pb2.UpdateOAuthClientRequest(
        request_id="take-it-away", client=oauth_pb2.OAuthClient(client_id=program.client_id)
    )
    update.update_mask.paths.append("post_logout_redirect_uris")
    changed = await scene.clients.UpdateOAuthClient(update, metadata=scene.identity.operator)
    assert list(changed.client.post_logout_redirect_uris) == []
    assert (await shown(scene, logout)).redirect_uri == ""
    remove = oauth_clients_service_pb2.DeleteOAuthClientRequest(client_id=program.client_id)
    await scene.clients.DeleteOAuthClient(remove, metadata=scene.identity.operator)
    assert (await shown(scene, logout)).client_name == ""


async def test_a_program_cannot_say_yes_for_its_person(scene: OAuthScene, program: Program) -> None:
    tokens = await scene.let_in(program, await scene.identity.register())
    request = api.ConfirmLogoutRequest(logout=sealed(await leaves(scene)))
    bearer = (("authorization", f"Bearer {tokens['access_token']}"),)
    assert (await refused(scene.oauth.ConfirmLogout(request, metadata=bearer))).reason == "PERMISSION_MISSING"


@pytest.mark.parametrize("uri", ["http://app.example/bye", "https://app.example/bye#x", "javascript:alert(1)"])
async def test_what_a_redirect_uri_cannot_be_an_address_after_signing_out_cannot(scene: OAuthScene, uri: str) -> None:
    refusal = await refused(scene.register(post_logout_redirect_uris=[uri]))
    assert (refusal.reason, refusal.metadata["field"]) == ("OAUTH_CLIENT_INVALID", "post_logout_redirect_uris")
