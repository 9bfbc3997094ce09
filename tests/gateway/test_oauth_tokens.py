"""Tokens that are not what they seem, and what clients can find out by themselves."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from authlib.oauth2 import rfc8414, rfc9207
from authlib.oidc import discovery
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.kit.settings import ProcessSettings
from tests.identity.scene import claims
from tests.support.oauth import OAuthScene, an_oauth_scene


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[OAuthScene]:
    async with an_oauth_scene(mesh, public_url="https://reelmesh.example") as scene:
        yield scene


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def status(scene: OAuthScene, token: str) -> int:
    answer = await scene.http.get("/oauth/userinfo", headers={"authorization": f"Bearer {token}"})
    return answer.status_code


async def good(scene: OAuthScene) -> str:
    person, program = await scene.identity.register(), await scene.register()
    return str((await scene.let_in(program, person))["access_token"])


async def test_a_token_that_nobody_signed_is_refused(scene: OAuthScene) -> None:
    token = await good(scene)
    assert await status(scene, token) == 200
    header, payload, _ = token.split(".")
    for algorithm in ("none", "None", "NONE"):
        bare = encoded({**jwt.get_unverified_header(token), "alg": algorithm})
        assert await status(scene, f"{bare}.{payload}.") == 401
    assert await status(scene, f"{header}.{payload}.") == 401


async def test_a_token_signed_by_the_public_key_as_a_secret_is_refused(scene: OAuthScene) -> None:
    token = await good(scene)
    jwks = (await scene.http.get("/.well-known/jwks.json")).json()
    key = jwt.PyJWKSet.from_dict(jwks).keys[0].key
    payload = token.split(".")[1]
    head = encoded({**jwt.get_unverified_header(token), "alg": "HS256"})
    for secret in (
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwks["keys"][0]).encode(),
    ):
        mac = base64.urlsafe_b64encode(hmac.digest(secret, f"{head}.{payload}".encode(), "sha256")).decode().rstrip("=")
        assert await status(scene, f"{head}.{payload}.{mac}") == 401


async def test_a_token_signed_by_a_key_of_its_own_is_refused(scene: OAuthScene) -> None:
    token, key = await good(scene), ec.generate_private_key(ec.SECP256R1())
    header = jwt.get_unverified_header(token)
    own = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    for more in ({}, {"jwk": own}, {"jku": "https://evil.example/jwks.json"}, {"kid": "../../dev/null"}):
        forged = jwt.encode(claims(token), key, algorithm="ES256", headers={**header, **more})
        assert await status(scene, forged) == 401


async def test_an_expired_token_is_refused(scene: OAuthScene) -> None:
    token = await good(scene)
    scene.identity.clock.advance(timedelta(minutes=15))
    assert await status(scene, token) == 401


async def test_a_token_from_the_future_is_refused(scene: OAuthScene) -> None:
    scene.identity.clock.advance(timedelta(minutes=5))
    token = await good(scene)
    scene.identity.clock.advance(-timedelta(minutes=5))
    assert await status(scene, token) == 401


async def test_an_id_token_is_no_access_token(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    tokens = await scene.let_in(program, person)
    assert await status(scene, tokens["id_token"]) == 401


async def test_the_documents_say_what_there_is(scene: OAuthScene) -> None:
    answer = await scene.http.get("/.well-known/openid-configuration")
    assert answer.headers["cache-control"] == "public, max-age=300"
    # Discovery §3 wants every provider to sign by RS256 too. Our clients all know ES256, as OAuth 2.1 profiles do.
    metadata = discovery.OpenIDProviderMetadata(
        answer.json() | {"id_token_signing_alg_values_supported": ["RS256", "ES256"]}
    )
    metadata.validate(metadata_classes=[rfc9207.AuthorizationServerMetadata])
    also = await scene.http.get("/.well-known/oauth-authorization-server")
    rfc8414.AuthorizationServerMetadata(also.json()).validate()
    said = answer.json()
    assert (also.json(), said["id_token_signing_alg_values_supported"]) == (said, ["ES256"])
    assert said["issuer"] == "https://reelmesh.example"
    assert said["grant_types_supported"] == [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:device_code",
    ]
    assert {"openid", "offline_access", "assets.read", "playback.create"} <= set(said["scopes_supported"])
    for name, address in said.items():
        if not name.endswith(("_endpoint", "_uri")):
            continue
        path = address.removeprefix(said["issuer"])
        ways: list[httpx.Response] = [await scene.http.get(path), await scene.http.post(path)]
        assert {404} != {way.status_code for way in ways}, name


async def test_a_key_is_published_before_it_signs_and_until_its_last_token_has_expired(scene: OAuthScene) -> None:
    async def keys() -> list[str]:
        return [key["kid"] for key in (await scene.http.get("/.well-known/jwks.json")).json()["keys"]]

    token = await good(scene)
    assert await keys() == [jwt.get_unverified_header(token)["kid"]]
    told = (await scene.http.get("/.well-known/jwks.json")).json()["keys"][0]
    assert {**told, "kid": "", "x": "", "y": ""} == {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
        "kid": "",
        "x": "",
        "y": "",
    }
