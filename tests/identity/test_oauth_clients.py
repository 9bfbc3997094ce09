"""OAuth clients: registered, changed, removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from reelmesh.identity.v1 import events_pb2, oauth_pb2
from reelmesh.identity.v1 import oauth_clients_service_pb2 as api

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.identity.scene import claims, refused
from tests.support.keys import with_api_key
from tests.support.oauth import CALLBACK, CLIENT, CODE, REFRESH, OAuthScene, Program, an_oauth_scene, pkce


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[OAuthScene]:
    async with an_oauth_scene(mesh) as scene:
        yield scene


def wanted(**changed: Any) -> api.CreateOAuthClientRequest:
    fields: dict[str, Any] = {
        "request_id": new_id("req"),
        "display_name": "An app",
        "redirect_uris": [CALLBACK],
        "grants": [CODE],
        "scopes": ["openid"],
    }
    return api.CreateOAuthClientRequest(**(fields | changed))


async def test_a_secret_is_shown_once(scene: OAuthScene) -> None:
    request = wanted(confidential=True)
    first = await scene.clients.CreateOAuthClient(request, metadata=scene.identity.operator)
    again = await scene.clients.CreateOAuthClient(request, metadata=scene.identity.operator)
    assert first.secret.startswith("rms_")
    assert (again.client.client_id, again.secret) == (first.client.client_id, "")
    public = await scene.clients.CreateOAuthClient(wanted(), metadata=scene.identity.operator)
    assert (public.secret, public.client.confidential) == ("", False)
    event = await scene.identity.bus.hears(events_pb2.OAuthClientCreated)
    assert event.client_id == first.client.client_id


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/back",
        "http://localhost/back",
        "https://app.example/back#x",
        "https://user@app.example/back",
        "https:///back",
        "javascript:alert(1)",
        "data:text/html,x",
        "app:/back",
        "/back",
        "https://app.example/b ack",
        "https://app.example\\back",
        "https://app.example:99999/back",
        "https://*.example/back",
    ],
)
async def test_a_redirect_uri_that_is_not_safe_is_not_registered(scene: OAuthScene, uri: str) -> None:
    call = scene.clients.CreateOAuthClient(wanted(redirect_uris=[uri]), metadata=scene.identity.operator)
    assert (await refused(call)).reason == "OAUTH_CLIENT_INVALID"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"grants": [CLIENT]}, "OAUTH_CLIENT_INVALID"),
        ({"grants": [REFRESH]}, "OAUTH_CLIENT_INVALID"),
        ({"redirect_uris": []}, "OAUTH_CLIENT_INVALID"),
        ({"scopes": ["nothing.such"]}, "SCOPE_INVALID"),
        ({"scopes": ["*"]}, "REQUEST_INVALID"),
    ],
)
async def test_settings_that_cannot_be_are_refused(scene: OAuthScene, changed: dict[str, Any], reason: str) -> None:
    call = scene.clients.CreateOAuthClient(wanted(**changed), metadata=scene.identity.operator)
    assert (await refused(call)).reason == reason


async def test_nobody_lets_a_client_do_what_they_may_not_do(scene: OAuthScene) -> None:
    permissions = ["oauth_clients.manage", "assets.read"]
    with with_api_key(scene.identity.settings, organisation_id=scene.identity.home, permissions=permissions) as key:
        shown = (("authorization", f"Bearer {key}"),)
        await scene.clients.CreateOAuthClient(wanted(scopes=["openid", "assets.read"]), metadata=shown)
        call = scene.clients.CreateOAuthClient(wanted(scopes=["assets.write"]), metadata=shown)
        refusal = await refused(call)
    assert (refusal.reason, refusal.metadata["permission"]) == ("PERMISSION_NOT_HELD", "assets.write")


async def test_built_in_clients_are_seen_but_not_changed(scene: OAuthScene) -> None:
    operator = scene.identity.operator
    tv = await scene.clients.GetOAuthClient(api.GetOAuthClientRequest(client_id="reelmesh-tv"), metadata=operator)
    assert (tv.client.first_party, tv.client.confidential) == (True, False)
    web = await scene.clients.GetOAuthClient(api.GetOAuthClientRequest(client_id="reelmesh-web"), metadata=operator)
    assert list(web.client.redirect_uris) == [f"{scene.issuer}/signed-in"]
    delete = scene.clients.DeleteOAuthClient(api.DeleteOAuthClientRequest(client_id="reelmesh-tv"), metadata=operator)
    assert (await refused(delete)).reason == "OAUTH_CLIENT_BUILT_IN"


async def test_clients_are_listed_by_page_and_only_those_of_ones_own(
    scene: OAuthScene, other_organisation_key: str
) -> None:
    one, two = await scene.register(), await scene.register()
    operator = scene.identity.operator
    first = await scene.clients.ListOAuthClients(api.ListOAuthClientsRequest(page_size=1), metadata=operator)
    second = await scene.clients.ListOAuthClients(
        api.ListOAuthClientsRequest(page_size=1, page_token=first.next_page_token), metadata=operator
    )
    assert [c.client_id for c in (*first.clients, *second.clients)] == [two.client_id, one.client_id]
    other = (("authorization", f"Bearer {other_organisation_key}"),)
    listed = await scene.clients.ListOAuthClients(api.ListOAuthClientsRequest(), metadata=other)
    assert list(listed.clients) == []
    get = scene.clients.GetOAuthClient(api.GetOAuthClientRequest(client_id=one.client_id), metadata=other)
    assert (await refused(get)).reason == "OAUTH_CLIENT_NOT_FOUND"
    await scene.clients.DeleteOAuthClient(api.DeleteOAuthClientRequest(client_id=one.client_id), metadata=other)
    assert (await scene.asks(one)).status_code == 302


async def test_a_client_that_loses_a_scope_loses_it_everywhere(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    tokens = await scene.let_in(program, person)
    update = api.UpdateOAuthClientRequest(
        request_id=new_id("req"),
        client=oauth_pb2.OAuthClient(client_id=program.client_id, scopes=["openid", "offline_access"]),
        update_mask=FieldMask(paths=["scopes"]),
    )
    await scene.clients.UpdateOAuthClient(update, metadata=scene.identity.operator)
    old = await scene.http.get("/oauth/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"})
    assert old.status_code == 401
    fresh = (await scene.refreshed(program, tokens["refresh_token"])).json()
    assert (fresh["scope"], claims(fresh["access_token"])["scope"]) == ("offline_access openid", "")


async def test_an_update_of_what_somebody_else_changed_is_refused(scene: OAuthScene) -> None:
    program = await scene.register()
    update = api.UpdateOAuthClientRequest(
        request_id=new_id("req"),
        client=oauth_pb2.OAuthClient(client_id=program.client_id, display_name="Other", etag="7"),
        update_mask=FieldMask(paths=["display_name"]),
    )
    call = scene.clients.UpdateOAuthClient(update, metadata=scene.identity.operator)
    assert (await refused(call)).reason == "ETAG_MISMATCH"


async def test_a_removed_client_is_gone_with_all_it_had(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    tokens = await scene.let_in(program, person)
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge)
    request = api.DeleteOAuthClientRequest(client_id=program.client_id)
    await scene.clients.DeleteOAuthClient(request, metadata=scene.identity.operator)
    await scene.clients.DeleteOAuthClient(request, metadata=scene.identity.operator)
    assert (await scene.asks(program)).status_code == 400
    assert (await scene.exchanged(program, code, verifier)).json()["error"] == "invalid_client"
    assert (await scene.refreshed(program, tokens["refresh_token"])).json()["error"] == "invalid_client"
    info = await scene.http.get("/oauth/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"})
    assert info.status_code == 401


async def test_a_rotated_secret_takes_the_place_of_the_old_one(scene: OAuthScene) -> None:
    program = await scene.register(confidential=True, grants=[CLIENT], scopes=["assets.read"])
    request = api.RotateOAuthClientSecretRequest(request_id=new_id("req"), client_id=program.client_id)
    fresh = await scene.clients.RotateOAuthClientSecret(request, metadata=scene.identity.operator)
    assert (await scene.token(program, grant_type="client_credentials")).json()["error"] == "invalid_client"
    renewed = Program(program.client_id, fresh.secret)
    assert (await scene.token(renewed, grant_type="client_credentials")).status_code == 200
