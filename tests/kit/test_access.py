"""Credentials and the rules that contracts declare."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from reelmesh.drm.v1 import drm_service_pb2

from services.kit.access import (
    ApiKeys,
    Authenticator,
    Principal,
    Rule,
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
async def test_a_credential_in_another_form_is_refused(tmp_path: Path, header: str) -> None:
    proofs = Proofs(FixedClock(NOW), "http://edge.example")
    with pytest.raises(Refusal, match="CREDENTIAL_INVALID"):
        await Authenticator(ApiKeys(tmp_path / "none"), NOBODY, proofs).principal({"authorization": header}, "/a.B/C")


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
