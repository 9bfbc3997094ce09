"""OAuth 2.1 over HTTP: a program is let in, and everything that is not quite right is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2

from services.kit.settings import ProcessSettings
from tests.identity.scene import claims, refused
from tests.support.oauth import CALLBACK, CODE, REFRESH, OAuthScene, Program, an_oauth_scene, answer_of, pkce


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[OAuthScene]:
    async with an_oauth_scene(mesh) as scene:
        yield scene


def error(answer: httpx.Response) -> str:
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["error"])


async def verified(scene: OAuthScene, token: str, audience: str) -> dict[str, object]:
    """The claims of a token, by the published keys."""
    keys = jwt.PyJWKSet.from_dict((await scene.http.get("/.well-known/jwks.json")).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return dict(jwt.decode(token, key, algorithms=["ES256"], audience=audience, options={"verify_exp": False, "verify_iat": False}))


async def test_a_program_is_let_in_by_code_and_pkce(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(display_name="Ada"), await scene.register()
    verifier, challenge = pkce()
    asked = await scene.asks(program, code_challenge=challenge)
    assert asked.headers["location"].startswith(f"{scene.issuer}/authorize#request=aut_")
    back = await scene.answers(person, asked)
    assert back.startswith(f"{CALLBACK}?")
    said = answer_of(back)
    assert (said["state"], said["iss"]) == ("xyz", scene.issuer)
    answer = await scene.exchanged(program, said["code"], verifier)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    assert tokens["scope"] == "offline_access openid playback.create"
    access = claims(tokens["access_token"])
    assert (access["sub"], access["client_id"], access["scope"]) == (
        person.account.account_id,
        program.client_id,
        "playback.create",
    )
    told = await verified(scene, tokens["id_token"], program.client_id)
    assert (told["iss"], told["sub"], told["nonce"]) == (scene.issuer, person.account.account_id, "n-0S6_WzA2Mj")
    assert told["auth_time"] == int(scene.identity.clock.now().timestamp())
    assert told["at_hash"]
    granted = await scene.identity.bus.hears(events_pb2.AuthorizationGranted)
    assert (granted.account_id, granted.client_id) == (person.account.account_id, program.client_id)
