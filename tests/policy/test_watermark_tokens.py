"""Tokens by which an outside CDN chooses variants: read as RFC 8392 and RFC 9052 have it, they say what our own edge does."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.packaging.v1.packaging_pb2 import Watermark
from reelmesh.policy.v1 import tokens_service_pb2 as api
from reelmesh.policy.v1 import tokens_service_pb2_grpc

from services.kit.codewords import KEY_FILE, Code, bit_of
from services.kit.settings import ProcessSettings
from services.packaging.pace import position_of
from services.policy.cat.cose import KeyRing, Malformed, opened
from services.policy.cat.keys import CAT_KEYS_FILE
from services.policy.tokens.watermarking import length_of, pattern_of
from tests.policy.scene import Scene, a_scene, refused
from tests.support.examples import fuzzed

NAME, SECRET = "watermark-cdn", secrets.token_bytes(32)
DIRECT, INDIRECT = api.WATERMARK_TOKEN_MODE_DIRECT, api.WATERMARK_TOKEN_MODE_INDIRECT


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[Scene]:
    file = mesh.secrets_dir / CAT_KEYS_FILE
    before = file.read_text(encoding="utf-8")
    content = json.loads(before)
    secret = base64.urlsafe_b64encode(SECRET).decode()
    content["keys"].append({"key_id": NAME, "algorithm": "HS256", "secret": secret, "issuers": ["watermark"]})
    file.write_text(json.dumps(content), encoding="utf-8")
    async with a_scene(mesh) as scene:
        yield scene
    file.write_text(before, encoding="utf-8")


async def token(scene: Scene, session_id: str, mode: Any = DIRECT, key: str = NAME, vendor: int = 7) -> str:
    stub = tokens_service_pb2_grpc.TokensServiceStub(scene.channel)
    request = api.CreateWatermarkTokenRequest(session_id=session_id, key_name=key, mode=mode, vendor=vendor)
    return str((await stub.CreateWatermarkToken(request)).token)


def read(text: str) -> dict[int, Any]:
    """What a CDN with the key reads: a CWT (tag 61) in a COSE_Mac0 (tag 17) under HMAC 256/256."""
    whole = cbor2.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert (whole.tag, whole.value.tag) == (61, 17)
    protected, unprotected, payload, mac = whole.value.value
    assert cbor2.loads(protected) == {1: 5}
    assert unprotected == {4: NAME.encode()}
    expected = hmac.digest(SECRET, cbor2.dumps(["MAC0", protected, b"", payload]), "sha256")
    assert hmac.compare_digest(expected, mac)
    claims = dict(cbor2.loads(payload))
    assert cbor2.dumps(claims, canonical=True) == payload  # deterministically encoded, RFC 8949 §4.2
    return claims


def chosen(pattern: bytes, position: int) -> int:
    """The bit at a position, big-endian, as §5.4 has it: of 0A 0B 0C 0D, position 3 is the fourth bit of 0A."""
    return pattern[position // 8] >> (7 - position % 8) & 1


@fuzzed(50)
@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=170))
def test_a_pattern_says_bit_for_bit_what_the_codeword_does(codeword: str) -> None:
    pattern, length = pattern_of(codeword), length_of(codeword)
    assert len(pattern) == -(-length // 8)
    segments = range(1, length + 1)
    assert [chosen(pattern, position_of(n)) for n in segments] == [bit_of(codeword, n) for n in segments]


async def test_a_token_carries_or_leads_to_the_pattern_that_our_edge_goes_by(scene: Scene) -> None:
    film = await scene.publish(watermark=Watermark(colluders=2, segments=40))
    sessions = [(await scene.play(film.asset_id)).session.session_id for _ in range(2)]
    root = scene.settings.secret(KEY_FILE)
    patterns = set()
    for session_id in sessions:
        codeword = Code.of(root, film.asset_id, 2).codeword(session_id, 40)
        told = read(await token(scene, session_id))
        assert (told[300], told[301], told[302]) == (1, 7, 42)
        assert told[4] > told[6]
        assert not told.keys() & {305, 306, 307}
        assert [chosen(told[304], n) for n in range(42)] == [bit_of(codeword, n + 1) for n in range(42)]
        patterns.add(told[304])
        asset_id, colluders, segments, holder = read(await token(scene, session_id, INDIRECT))[305].split(".")
        assert Code.of(root, asset_id, int(colluders)).codeword(holder, int(segments)) == codeword
    assert len(patterns) == 2
    led = read(await token(scene, sessions[0], INDIRECT))
    assert (led[306], led[307], led[302], 304 in led) == (1, 1, 42, False)


async def test_a_token_is_for_marked_packages_and_by_keys_of_cdns_only(scene: Scene) -> None:
    film = await scene.publish(watermark=Watermark(colluders=2, segments=40))
    session_id = (await scene.play(film.asset_id)).session.session_id
    plain = (await scene.play()).session.session_id
    assert (await refused(token(scene, plain))).reason == "PACKAGE_UNMARKED"
    ours = [one["key_id"] for one in json.loads(scene.settings.secret(CAT_KEYS_FILE))["keys"] if one["key_id"] != NAME]
    for key in ("unknown", *ours):
        assert (await refused(token(scene, session_id, key=key))).reason == "WATERMARK_KEY_NOT_FOUND"
    text = await token(scene, session_id)
    changed = text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]
    with pytest.raises(AssertionError):
        read(changed)
    with pytest.raises(Malformed):
        opened(text, KeyRing([]))
    # No edge takes it for an access token.
    verdict = await scene.edge.check(f"http://edge.example/p/{text}/{film.package_id}/manifest.mpd")
    assert not verdict.allowed
    await scene.revoke(session_id)
    assert (await refused(token(scene, session_id))).reason == "SESSION_REVOKED"
