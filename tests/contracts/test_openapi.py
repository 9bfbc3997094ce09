"""The description of the REST interface says what the contracts say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from openapi_spec_validator import OpenAPIV31SpecValidator

from tools.openapi import document
from tools.openapi.contracts import Contracts, read
from tools.openapi.operations import Operations, UnsupportedBinding
from tools.openapi.refusals import statuses_named
from tools.openapi.schemas import Schemas

COMMITTED = Path(__file__).resolve().parents[2] / "gen/openapi/reelmesh.openapi.json"


@pytest.fixture(scope="module")
def text(described: FileDescriptorSet) -> str:
    return document(described)


@pytest.fixture(scope="module")
def described_api(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def operation(api: dict[str, Any], name: str) -> dict[str, Any]:
    """One operation by its id."""
    for path in api["paths"].values():
        for made in path.values():
            if made["operationId"] == name:
                found: dict[str, Any] = made
                return found
    raise KeyError(name)


def test_it_is_valid_openapi(described_api: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(described_api).validate()


def test_the_same_contracts_always_give_the_same_text(text: str, described: FileDescriptorSet) -> None:
    assert document(described) == text


def test_the_committed_one_is_up_to_date(text: str) -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text


def test_every_method_with_rest_is_there_and_no_other(described_api: dict[str, Any], contracts: Contracts) -> None:
    made = {item["operationId"] for path in described_api["paths"].values() for item in path.values()}
    assert made == {
        f"{method.service.rpartition('.')[2]}_{method.name}" for method in contracts.methods() if method.binding
    }


def test_rules_of_the_contract_are_constraints(described_api: dict[str, Any]) -> None:
    body = operation(described_api, "UploadService_CreateUpload")["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert body["properties"]["filename"]["minLength"] == 1
    assert body["properties"]["filename"]["maxLength"] == 255
    assert "without folders" in body["properties"]["filename"]["description"]
    assert body["properties"]["size_bytes"]["format"] == "int64"
    assert body["properties"]["size_bytes"]["description"].endswith("Must be at least 1.")
    assert body["required"] == ["request_id", "filename", "size_bytes"]


def test_what_is_in_the_path_is_not_in_the_body(described_api: dict[str, Any]) -> None:
    made = operation(described_api, "UploadService_CompleteUpload")
    (upload_id,) = made["parameters"]
    assert (upload_id["name"], upload_id["in"], upload_id["required"]) == ("upload_id", "path", True)
    assert upload_id["schema"]["pattern"].startswith("^upl_")
    assert list(made["requestBody"]["content"]["application/json"]["schema"]["properties"]) == ["sha256"]


def test_one_path_has_all_its_verbs(described_api: dict[str, Any]) -> None:
    assert set(described_api["paths"]["/v1/assets/{asset_id}"]) == {"get", "patch", "delete"}


def test_what_is_neither_in_the_path_nor_in_the_body_is_in_the_query(described_api: dict[str, Any]) -> None:
    made = operation(described_api, "AssetsService_ListAssets")
    assert [(parameter["name"], parameter["in"]) for parameter in made["parameters"]] == [
        ("page_size", "query"),
        ("page_token", "query"),
        ("state", "query"),
    ]
    assert made["parameters"][0]["schema"] == {"type": "integer", "minimum": 0, "maximum": 200}


def test_permissions_are_named(described_api: dict[str, Any]) -> None:
    made = operation(described_api, "AssetsService_GetAsset")
    assert made["x-reelmesh-permission"] == "assets.read"
    assert "`assets.read`" in made["description"]
    assert described_api["security"] == [{"bearer": []}]


def test_what_carries_its_credential_itself_asks_for_none(described_api: dict[str, Any]) -> None:
    assert operation(described_api, "PolicyService_RedeemPlaybackCode")["security"] == []
    assert operation(described_api, "DrmService_IssueClearKeyLicence")["security"] == []


def test_streams_are_server_sent_events(described_api: dict[str, Any]) -> None:
    content = operation(described_api, "AssetsService_WatchAsset")["responses"]["200"]["content"]
    assert content == {"text/event-stream": {"schema": {"$ref": "#/components/schemas/assets.v1.WatchAssetResponse"}}}


def test_bytes_are_binary(described_api: dict[str, Any]) -> None:
    written = operation(described_api, "UploadService_WriteUpload")
    assert list(written["requestBody"]["content"]) == ["application/octet-stream"]
    key = operation(described_api, "DrmService_GetHlsKey")
    assert key["responses"]["200"]["content"] == {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
    }


def test_refusals_are_described_with_all_their_reasons(described_api: dict[str, Any], contracts: Contracts) -> None:
    schemas = described_api["components"]["schemas"]
    info = schemas["google.rpc.ErrorInfo"]["properties"]
    assert "upload.reelmesh" in info["domain"]["enum"]
    referred = {reference["$ref"].rpartition("/")[2] for reference in info["reason"]["anyOf"]}
    assert referred == {name.removeprefix("reelmesh.") for name in contracts.enums if name.endswith(".ErrorReason")}
    upload = schemas["upload.v1.ErrorReason"]
    assert "UPLOAD_NOT_FOUND" in upload["enum"]
    assert "UNSPECIFIED" not in upload["enum"]
    assert "Status NOT_FOUND. Metadata: `upload_id`." in upload["description"]
    for path, operations in described_api["paths"].items():
        form = "PlayerRefusal" if "/licence/" in path else "Refusal"
        for made in operations.values():
            refused = {status: answer for status, answer in made["responses"].items() if status != "200"}
            assert set(refused) >= {"400", "401", "403", "404", "413", "429", "431", "500", "503", "504"}
            assert refused.pop("429") == {"$ref": "#/components/responses/RateLimited"}
            if path.endswith("/licence/playready"):
                assert list(refused.pop("500")["content"]) == ["text/xml"]
            assert all(answer == {"$ref": f"#/components/responses/{form}"} for answer in refused.values())


def test_statuses_are_those_of_the_reasons_of_the_domain(described_api: dict[str, Any]) -> None:
    assert "501" in operation(described_api, "UploadService_CreateUploadUrl")["responses"]  # PRESIGN_UNSUPPORTED
    assert "409" in operation(described_api, "UploadService_WriteUpload")["responses"]  # OFFSET_MISMATCH
    comment = "It was withdrawn. Status PERMISSION_DENIED at the edge, FAILED_PRECONDITION else. Metadata: `ASSET_ID`."
    assert statuses_named(comment) == {"PERMISSION_DENIED", "FAILED_PRECONDITION"}
    assert statuses_named("Never sent.") == set()


def test_who_must_sign_in_is_told_and_who_need_not_is_asked_for_nothing(described_api: dict[str, Any]) -> None:
    assert operation(described_api, "AccountsService_Register")["security"] == []
    mine = operation(described_api, "AccountsService_GetAccount")
    assert "security" not in mine
    assert "access token of a signed-in person" in mine["description"]


def test_a_refusal_of_the_edge_is_as_described(described_api: dict[str, Any]) -> None:
    """One of Envoy's own answers, against the schema."""
    from openapi_schema_validator import OAS31Validator
    from referencing import Registry, Resource

    reply = {
        "code": 14,
        "message": "away",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "DEPENDENCY_UNAVAILABLE",
                "domain": "rpc.reelmesh",
                "metadata": {"correlation_id": "x", "dependency": "policy"},
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1s"},
        ],
    }
    resource: Resource[Any] = Resource.from_contents(
        {**described_api, "$schema": "https://json-schema.org/draft/2020-12/schema"}
    )
    registry: Registry[Any] = Registry().with_resource("urn:api", resource)
    validator = OAS31Validator({"$ref": "urn:api#/components/schemas/google.rpc.Status"}, registry=registry)
    validator.validate(reply)
    reply["details"][0]["reason"] = "NO_SUCH_REASON"  # type: ignore[index]
    assert not validator.is_valid(reply)


def test_a_query_parameter_that_would_be_a_message_is_refused(described: FileDescriptorSet) -> None:
    """Envoy would take it apart; nobody could read the description. Contracts give such a method a body."""
    changed = FileDescriptorSet()
    changed.CopyFrom(described)
    contracts = read(changed)
    method = next(method for method in contracts.methods() if method.name == "UpdateAsset")
    without_body = type(method)(
        **{name: getattr(method, name) for name in method.__slots__} | {"http": {"get": "/v1/assets"}}
    )
    with pytest.raises(UnsupportedBinding, match="asset is a message"):
        Operations(contracts, Schemas(contracts)).operation(without_body)
