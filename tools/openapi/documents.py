"""The whole document."""

from __future__ import annotations

import json
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.openapi.contracts import Contracts, read
from tools.openapi.operations import Operations, path_template
from tools.openapi.schemas import Schemas

_STATUS: Final = "google.rpc.Status"
_ABOUT: Final = """\
The interface of Reelmesh by HTTP and JSON. The same methods are there by gRPC and grpc-web.

**Names and values** are those of the contracts in proto3 JSON: field names in snake_case, 64-bit integers as strings, times by
RFC 3339, spans of time as seconds with an `s`. Unknown query parameters are refused.

**Credentials**: `Authorization: Bearer <API key or access token>`, unless an operation says otherwise. Each operation names the
permission that it needs.

**Refusals** are a `google.rpc.Status` with a `google.rpc.ErrorInfo` whose `reason` is one of the `ErrorReason` values of its
`domain`; its metadata always holds the `correlation_id`. Send `X-Correlation-Id` (8 to 64 letters, digits, `_` or `-`) to choose it.

**Limits** are told by `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers); a call too many is refused with 429 and
`Retry-After`.

**Repeating**: a call with a `request_id` may be sent again and gets its first answer.

**Beside these operations** there are `/files/` (tus 1.0, for resumable uploads from browsers),
`/p/<ticket>/<package_id>/<file>` (manifests and segments), and OAuth 2.1 with OpenID Connect, whose addresses
`/.well-known/openid-configuration` lists."""
_REFUSED: Final = (
    "Refused. The HTTP status follows from `code` as `google.rpc.Code` says; `details[0]` tells the reason."
)

_REFUSED_TO_PLAYERS: Final = (
    "Refused, in the form that players read (RFC 9457), with the members of `google.rpc.Status` beside its own; in the form of all other refusals "
    "where the edge itself refuses."
)

_LIMITED: Final = (
    "More calls than a limit allows: reason `RATE_LIMITED` of `rpc.reelmesh`. Nothing was done; the same call may be sent again after "
    "the time in `Retry-After`, which `google.rpc.RetryInfo` tells to the nanosecond."
)
_LIMITS: Final = (
    ("Retry-After", "Whole seconds to wait."),
    (
        "RateLimit-Policy",
        "The limits that apply: for each, `q` calls may come at once and are refilled in `w` seconds.",
    ),
    (
        "RateLimit",
        "What is left of each: `r` calls, and all of them are back in `t` seconds. Answers that are not refusals have it too.",
    ),
)


def document(described: FileDescriptorSet) -> str:
    """The REST interface of the contracts as OpenAPI 3.1 in JSON. The same contracts always give the same text.

    Args:
        described: all contracts with what they import, and with their comments (`buf build`).
    """
    contracts = read(described)
    schemas = Schemas(contracts)
    operations = Operations(contracts, schemas)
    paths: dict[str, dict[str, Any]] = {}
    tags = []
    for service in contracts.services.values():
        bound = [(*method.binding, method) for method in service.methods if method.binding is not None]
        if bound:
            tags.append({"name": service.name.rpartition(".")[2], "description": service.comment})
        for verb, path, method in bound:
            paths.setdefault(path_template(path), {})[verb] = operations.operation(method)
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "Reelmesh",
            "version": "1",
            "description": _ABOUT,
        },
        "servers": [{"url": "/", "description": "This install."}],
        "security": [{"bearer": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `rmk_…`, or a person's access token.",
                },
            },
            "responses": {
                "Refusal": {
                    "description": _REFUSED,
                    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_STATUS}"}}},
                },
                "PlayerRefusal": {
                    "description": _REFUSED_TO_PLAYERS,
                    "content": {
                        kind: {"schema": {"$ref": f"#/components/schemas/{_STATUS}"}}
                        for kind in ("application/json", "application/problem+json")
                    },
                },
                "RateLimited": {
                    "description": _LIMITED,
                    "headers": {name: {"description": said, "schema": {"type": "string"}} for name, said in _LIMITS},
                    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_STATUS}"}}},
                },
            },
            "schemas": _errors(contracts, schemas) | schemas.components(),
        },
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _errors(contracts: Contracts, schemas: Schemas) -> dict[str, Any]:
    """The form of every refusal: a status whose details are told apart by their `@type`."""
    reasons = [name for name in contracts.enums if name.endswith(".ErrorReason")]
    details = {
        "google.rpc.ErrorInfo": _detail(
            "google.rpc.ErrorInfo",
            "The reason, for programs.",
            reason={
                "description": "A value of the domain's `ErrorReason`, without its prefix.",
                "anyOf": [schemas.reference(name) for name in reasons],
            },
            domain={
                "type": "string",
                "description": "Whose reason it is.",
                "enum": [f"{name.split('.')[1]}.reelmesh" for name in reasons],
            },
            metadata={
                "type": "object",
                "description": "The facts that the reason documents, and `correlation_id`: the id to quote to the operator. Absent only "
                "when what came could not be read as HTTP, or its headers were too large.",
                "additionalProperties": {"type": "string"},
            },
        ),
        "google.rpc.BadRequest": _detail(
            "google.rpc.BadRequest",
            "Which fields break the rules of the contract.",
            field_violations={
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "field": {"type": "string", "description": "Path of the field."},
                        "description": {"type": "string", "description": "What is wrong with it."},
                    },
                },
            },
        ),
        "google.rpc.RetryInfo": _detail(
            "google.rpc.RetryInfo",
            "It makes sense to try again.",
            retry_delay={"type": "string", "description": "After this long, such as `1s`."},
        ),
    }
    return {_STATUS: _status(list(details)), **details}


def _status(details: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Why something was refused.",
        "properties": {
            "code": {
                "type": "integer",
                "description": "A `google.rpc.Code`, such as 5 for NOT_FOUND.",
                "minimum": 1,
                "maximum": 16,
            },
            "message": {"type": "string", "description": "What is wrong and how to mend it, for people."},
            "details": {
                "type": "array",
                "description": "First the reason; then, where they apply, the fields at fault and when to try again.",
                "items": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in details]},
            },
        },
        "required": ["code", "message", "details"],
    }


def _detail(name: str, description: str, **properties: dict[str, Any]) -> dict[str, Any]:
    kind = {"type": "string", "const": f"type.googleapis.com/{name}"}
    return {
        "type": "object",
        "description": description,
        "properties": {"@type": kind, **properties},
        "required": ["@type", *(name for name in properties if name != "metadata")],
    }
