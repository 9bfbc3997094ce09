"""A real OAuth client library is let in through the real Envoy, and what is secret on the way is in no log."""

from __future__ import annotations

import contextlib
import json
import secrets
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.kit.settings import ProcessSettings
from tests.envoy.edge import Edge, running_edge
from tests.identity.scene import claims
from tests.support.oauth import CALLBACK, CLIENT, DEVICE_GRANT, OAuthScene, Program, an_oauth_scene, answer_of

with warnings.catch_warnings():
    # Authlib would rather use a library that is not there yet.
    warnings.simplefilter("ignore")
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.httpx_client import AsyncOAuth2Client

from tests.identity.test_oauth_devices import answered

FRIENDLY = "https://studio.example"


@dataclass(frozen=True)
class Through:
    """Everything behind an edge."""

    scene: OAuthScene
    edge: Edge

    def client(self, program: Program, **more: Any) -> Any:
        """The library, as the program."""
        return AsyncOAuth2Client(
            client_id=program.client_id,
            client_secret=program.secret or None,
            token_endpoint_auth_method="client_secret_basic" if program.secret else "none",
            redirect_uri=CALLBACK,
            trust_env=False,
            **more,
        )

    def at(self, path: str) -> str:
        return f"http://{self.edge.address}{path}"

    def log(self) -> str:
        """All that the edge wrote."""
        return Path(self.edge.settings.access_log).read_text(encoding="utf-8")

    async def lines(self, path: str) -> list[str]:
        """What the edge wrote about a path."""
        return [json.dumps(line) for line in await self.edge.lines("path", path)]


@pytest.fixture
async def through(mesh: ProcessSettings) -> AsyncIterator[Through]:
    async with contextlib.AsyncExitStack() as stack:
        scene = await stack.enter_async_context(an_oauth_scene(mesh))
        edge = await stack.enter_async_context(
            running_edge(mesh.secrets_dir, oauth=f"unix:{scene.socket}", identity=mesh.peer("identity"))
        )
        yield Through(scene, edge)


async def test_a_client_library_goes_the_way_of_code_and_pkce(through: Through) -> None:
    person, program = await through.scene.identity.register(), await through.scene.register(confidential=True)
    verifier = secrets.token_urlsafe(48)
    async with through.client(
        program, scope="openid offline_access playback.create", code_challenge_method="S256"
    ) as client:
        address, state = client.create_authorization_url(
            through.at("/oauth/authorize"), code_verifier=verifier, nonce="n-1"
        )
        asked = await through.edge.http.get(address)
        back = await through.scene.answers(person, asked)
        assert answer_of(back)["state"] == state
        token = await client.fetch_token(
            through.at("/oauth/token"), authorization_response=back, code_verifier=verifier, state=state
        )
        assert claims(token["id_token"])["nonce"] == "n-1"
        info = await client.get(through.at("/oauth/userinfo"))
        assert info.json()["sub"] == person.account.account_id
        fresh = await client.refresh_token(through.at("/oauth/token"))
        assert fresh["refresh_token"] != token["refresh_token"]
        told = await client.introspect_token(through.at("/oauth/introspect"), token=fresh["access_token"])
        assert told.json()["active"] is True
        gone = await client.revoke_token(through.at("/oauth/revoke"), token=fresh["refresh_token"])
        assert gone.status_code == 200
        with pytest.raises(OAuthError, match="invalid_grant"):
            await client.refresh_token(through.at("/oauth/token"), refresh_token=fresh["refresh_token"])
    (line,) = await through.lines("/oauth/authorize")
    code = answer_of(back)["code"]
    everything = through.log()
    for secret in (code, verifier, state, program.secret, token["access_token"], token["refresh_token"], "n-1"):
        assert secret not in everything
    assert "code_challenge" not in line


async def test_a_client_library_goes_the_way_of_devices(through: Through) -> None:
    person, tv = await through.scene.identity.register(), Program("reelmesh-tv")
    async with through.client(tv) as client, httpx.AsyncClient() as http:
        form = {"client_id": tv.client_id, "scope": "openid offline_access playback.create"}
        codes = (await http.post(through.at("/oauth/device_authorization"), data=form)).json()
        with pytest.raises(OAuthError, match="authorization_pending"):
            await client.fetch_token(
                through.at("/oauth/token"), grant_type=DEVICE_GRANT, device_code=codes["device_code"]
            )
        await answered(through.scene, person, codes["user_code"], approve=True)
        token = await client.fetch_token(
            through.at("/oauth/token"), grant_type=DEVICE_GRANT, device_code=codes["device_code"]
        )
    assert claims(token["access_token"])["sub"] == person.account.account_id


async def test_a_client_library_acts_for_its_organisation(through: Through) -> None:
    program = await through.scene.register(confidential=True, grants=[CLIENT], scopes=["accounts.read"])
    async with through.client(program) as client:
        token = await client.fetch_token(through.at("/oauth/token"), grant_type="client_credentials")
        listed = await client.get(through.at("/v1/accounts"))
    assert (token["scope"], listed.status_code) == ("accounts.read", 200)


async def test_documents_are_kept_and_answers_are_not(through: Through) -> None:
    for path in ("openid-configuration", "oauth-authorization-server", "jwks.json"):
        answer = await through.edge.http.get(f"/.well-known/{path}")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=300")
    answer = await through.edge.http.post("/oauth/token", data={"grant_type": "password"})
    assert (answer.status_code, answer.headers["cache-control"]) == (400, "no-store")
    assert answer.json()["error"] == "unsupported_grant_type"
    assert answer.headers["x-correlation-id"]


async def test_a_page_of_a_friendly_origin_may_ask_for_tokens(through: Through) -> None:
    for origin, allowed in ((FRIENDLY, FRIENDLY), ("https://evil.example", None)):
        preflight = await through.edge.http.options(
            "/oauth/token", headers={"origin": origin, "access-control-request-method": "POST"}
        )
        assert preflight.headers.get("access-control-allow-origin") == allowed


async def test_what_is_not_there_is_refused(through: Through) -> None:
    for path in ("/oauth/", "/oauth", "/oauth/nothing", "/sso/x/y", "/.well-known/other"):
        assert (await through.edge.http.get(path)).status_code == 404, path


async def test_pages_that_let_apps_in_are_the_web_app(through: Through) -> None:
    file = through.edge.parts.folder / "web/index.html"
    file.parent.mkdir(exist_ok=True)
    file.write_text("<!doctype html>")
    for path in ("/authorize", "/activate", "/sso", "/sign-out", "/withdraw"):
        answer = await through.edge.http.get(path)
        assert (answer.status_code, answer.text) == (200, "<!doctype html>"), path
        assert answer.headers["x-frame-options"] == "DENY"
