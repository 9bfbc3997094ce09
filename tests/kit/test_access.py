"""Credentials and the rules that contracts declare."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.protobuf import descriptor_pb2, descriptor_pool
from reelmesh.drm.v1 import drm_service_pb2

from services.kit.access import (
    ApiKeys,
    Authenticator,
    Principal,
    Rule,
    ServiceTokens,
    UndeclaredMethod,
    api_key_entry,
    declared_rules,
    new_api_key,
)
from services.kit.clock import FixedClock
from services.kit.dpop import Proofs
from services.kit.errors import Refusal
from tests.support.trust import NOBODY

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def signing_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return signing_key()


@pytest.fixture
def tokens(key: ec.EllipticCurvePrivateKey, clock: FixedClock) -> ServiceTokens:
    return ServiceTokens(pem(key), clock)


def test_a_service_is_recognised_by_its_token(tokens: ServiceTokens) -> None:
    assert tokens.check(tokens.mint("packaging")).service == "packaging"


def test_an_expired_token_is_refused_even_when_it_was_accepted_before(tokens: ServiceTokens, clock: FixedClock) -> None:
    token = tokens.mint("packaging")
    tokens.check(token)
    clock.advance(ServiceTokens.LIFETIME)
    with pytest.raises(Refusal, match="CREDENTIAL_INVALID"):
        tokens.check(token)


def test_a_token_is_renewed_before_it_expires(tokens: ServiceTokens, clock: FixedClock) -> None:
    first = tokens.current("drm")
    assert tokens.current("drm") == first
    clock.advance(ServiceTokens.LIFETIME / 2)
    assert tokens.current("drm") != first


def encoded(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def forged(key: ec.EllipticCurvePrivateKey, kind: str) -> str:
    claims: dict[str, object] = {
        "iss": "reelmesh",
        "aud": "reelmesh-services",
        "sub": "service/drm",
        "exp": NOW + timedelta(hours=1),
    }
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    match kind:
        case "another key":
            return jwt.encode(claims, signing_key(), algorithm="ES256")
        case "no signature":
            return jwt.encode(claims, "", algorithm="none")
        case "the public key as an HMAC secret":
            # By hand: PyJWT itself refuses to make such a token.
            signed = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded({**claims, 'exp': 4_000_000_000})}"
            signature = hmac.digest(public, signed.encode(), "sha256")
            return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
        case "another audience":
            return jwt.encode({**claims, "aud": "elsewhere"}, key, algorithm="ES256")
        case "no expiry":
            return jwt.encode({name: claims[name] for name in ("iss", "aud", "sub")}, key, algorithm="ES256")
        case "not a service":
            return jwt.encode({**claims, "sub": "operator"}, key, algorithm="ES256")
        case _:
            return "not.a.token"


@pytest.mark.parametrize(
    "kind",
    [
        "another key",
        "no signature",
        "the public key as an HMAC secret",
        "another audience",
        "no expiry",
        "not a service",
        "garbage",
    ],
)
def test_a_forged_token_is_refused(tokens: ServiceTokens, key: ec.EllipticCurvePrivateKey, kind: str) -> None:
    with pytest.raises(Refusal, match="CREDENTIAL_INVALID"):
        tokens.check(forged(key, kind))


def test_only_the_digest_of_an_api_key_is_kept_and_a_removed_key_stops_working(tmp_path: Path) -> None:
    file, key = tmp_path / "api_keys.json", new_api_key()
    file.write_text(
        json.dumps([api_key_entry(key, key_id="k", name="n", organisation_id="o", permissions=["assets.read"])])
    )
    assert key not in file.read_text()
    keys = ApiKeys(file)
    assert keys.find(key) == Principal("n", "o", frozenset({"assets.read"}))
    file.write_text("[]")
    assert keys.find(key) is None


def test_a_file_of_keys_that_is_half_written_changes_nothing(tmp_path: Path) -> None:
    file, key = tmp_path / "api_keys.json", new_api_key()
    whole = json.dumps([api_key_entry(key, key_id="k", name="n", organisation_id="o", permissions=["*"])])
    file.write_text(whole)
    keys = ApiKeys(file)
    before = keys.find(key)
    assert before is not None
    file.write_text(whole[:-20])
    assert keys.find(key) == before


def test_no_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    assert ApiKeys(tmp_path / "missing.json").find(new_api_key()) is None


@pytest.mark.parametrize("header", ["rmk_x", "Basic abc", "Bearer", "Bearer ", "DPoP rmk_x", "DPoP"])
async def test_a_credential_in_another_form_is_refused(tmp_path: Path, tokens: ServiceTokens, header: str) -> None:
    proofs = Proofs(FixedClock(NOW), "http://edge.example")
    with pytest.raises(Refusal, match="CREDENTIAL_INVALID"):
        await Authenticator(ApiKeys(tmp_path / "none"), tokens, NOBODY, proofs).principal(
            {"authorization": header}, "/a.B/C"
        )


def test_rules_are_read_from_the_contract() -> None:
    rules = declared_rules([drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]])
    assert rules["/reelmesh.drm.v1.DrmService/CreateContentKeys"] == Rule(callers=frozenset({"packaging"}))
    assert rules["/reelmesh.drm.v1.DrmService/GetHlsKey"] == Rule(bearer_in_request=True)


def test_a_contract_that_names_no_rule_does_not_start() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="bare.proto", package="bare", syntax="proto3")
    file.message_type.add(name="Empty")
    service = file.service.add(name="Bare")
    service.method.add(name="Do", input_type=".bare.Empty", output_type=".bare.Empty")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    with pytest.raises(UndeclaredMethod, match=r"bare\.Bare\.Do"):
        declared_rules([pool.FindServiceByName("bare.Bare")])


OPERATOR = Principal("operator", "org", frozenset({"*"}))
READER = Principal("reader", "org", frozenset({"assets.read"}))
PACKAGING = Principal("service/packaging")


@pytest.mark.parametrize(
    ("rule", "principal", "code"),
    [
        (Rule(permission="assets.read"), None, grpc.StatusCode.UNAUTHENTICATED),
        (Rule(permission="assets.read"), READER, None),
        (Rule(permission="assets.write"), READER, grpc.StatusCode.PERMISSION_DENIED),
        (Rule(permission="assets.write"), OPERATOR, None),
        (Rule(permission="assets.write"), PACKAGING, grpc.StatusCode.PERMISSION_DENIED),
        (Rule(callers=frozenset({"packaging"})), PACKAGING, None),
        (Rule(callers=frozenset({"packaging"})), OPERATOR, grpc.StatusCode.PERMISSION_DENIED),
        (Rule(callers=frozenset({"drm"})), PACKAGING, grpc.StatusCode.PERMISSION_DENIED),
        (Rule(bearer_in_request=True), None, None),
    ],
)
def test_a_rule_lets_in_whom_it_names(rule: Rule, principal: Principal | None, code: grpc.StatusCode | None) -> None:
    if code is None:
        rule.check(principal)
        return
    with pytest.raises(Refusal) as caught:
        rule.check(principal)
    assert caught.value.code == code
