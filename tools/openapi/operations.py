"""Methods as operations, by the rules of `google.api.http`."""

from __future__ import annotations

import re
from typing import Any, Final

from tools.openapi.contracts import Contracts, Field, Message, Method
from tools.openapi.refusals import RefusalStatuses
from tools.openapi.schemas import HTTP_BODY, Schemas, must_be_sent

Operation = dict[str, Any]

_VARIABLE: Final = re.compile(r"\{([a-z0-9_.]+)\}")
_FAULT: Final = "Refused: a SOAP fault, as PlayReady clients read it. Its `StatusCode` tells what to do, its `CustomData` the reason."
_STREAMED: Final = (
    "Server-sent events, each with one message as its data. A stream that is refused on its way ends with an event `refusal`, "
    "whose data is a `google.rpc.Status`."
)


def path_template(path: str) -> str:
    """A path with its variables under their last names: `{asset.asset_id}` and `{asset_id}` are one place in a path."""
    return _VARIABLE.sub(lambda variable: f"{{{_last(variable[1])}}}", path)


def _last(field_path: str) -> str:
    return field_path.rpartition(".")[2]


class UnsupportedBinding(Exception):
    """A method is bound to REST in a way that this description has no words for."""


class Operations:
    """Makes operations."""

    def __init__(self, contracts: Contracts, schemas: Schemas) -> None:
        self._contracts = contracts
        self._schemas = schemas
        self._statuses = RefusalStatuses(contracts)

    def operation(self, method: Method) -> Operation:
        """One method as an operation.

        Raises:
            UnsupportedBinding: a query parameter would have to be a message.
        """
        request = self._contracts.messages[method.request]
        _, path = method.binding or ("", "")
        in_path = _VARIABLE.findall(path)
        body = method.http.get("body", "")
        made: Operation = {
            "operationId": f"{method.service.rpartition('.')[2]}_{method.name}",
            "tags": [method.service.rpartition(".")[2]],
            "summary": method.comment.partition(". ")[0].removesuffix("."),
            "description": f"{method.comment}\n\n{_who_may_call(method)}",
        }
        if permission := method.access.get("permission"):
            made["x-reelmesh-permission"] = permission
        if method.access.get("bearer_in_request") or method.access.get("public"):
            made["security"] = []
        parameters = [self._parameter("path", _last(name), self._found(request, name)) for name in in_path]
        if body != "*":
            left = [item for item in request.fields if item.name not in in_path and item.name != body]
            parameters += [self._parameter("query", item.name, item) for item in left]
        if parameters:
            made["parameters"] = parameters
        if body:
            made["requestBody"] = self._body(request, body, in_path)
        form = "PlayerRefusal" if "/licence/" in path else "Refusal"
        refused = {status: {"$ref": f"#/components/responses/{form}"} for status in self._statuses.of(method)}
        if path.endswith("/licence/playready"):
            refused["500"] = {"description": _FAULT, "content": {"text/xml": {"schema": {"type": "string"}}}}
        limited = {"429": {"$ref": "#/components/responses/RateLimited"}}
        made["responses"] = {"200": self._answer(method), **refused, **limited}
        return made

    def _found(self, message: Message, path: str) -> Field:
        name, _, rest = path.partition(".")
        item = message.field(name)
        return self._found(self._contracts.messages[item.type_name], rest) if rest else item

    def _parameter(self, place: str, name: str, item: Field) -> dict[str, Any]:
        if item.type_name in self._contracts.messages and "$ref" in self._schemas.field(item):
            raise UnsupportedBinding(f"{item.name} is a message and cannot be a {place} parameter")
        schema = self._schemas.field(item)
        parameter: dict[str, Any] = {"name": name, "in": place}
        if comment := schema.pop("description", ""):
            parameter["description"] = comment
        if place == "path" or must_be_sent(item):
            parameter["required"] = True
        return parameter | {"schema": schema}

    def _body(self, request: Message, body: str, in_path: list[str]) -> dict[str, Any]:
        if body != "*":
            item = request.field(body)
            if item.type_name == HTTP_BODY:
                content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
                return {"description": item.comment, "required": True, "content": content}
            return {"required": True, "content": {"application/json": {"schema": self._schemas.field(item)}}}
        fields = [item for item in request.fields if item.name not in in_path]
        schema = self._schemas.object(fields)
        return {"required": bool(schema.get("required")), "content": {"application/json": {"schema": schema}}}

    def _answer(self, method: Method) -> dict[str, Any]:
        response = self._contracts.messages[method.response]
        if part := method.http.get("response_body"):
            item = response.field(part)
            content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
            return {"description": item.comment, "content": content}
        schema = self._schemas.reference(method.response)
        if method.server_streaming:
            return {"description": _STREAMED, "content": {"text/event-stream": {"schema": schema}}}
        return {"description": response.comment, "content": {"application/json": {"schema": schema}}}


def _who_may_call(method: Method) -> str:
    if permission := method.access.get("permission"):
        return f"Needs a credential with the permission `{permission}`."
    if method.access.get("person"):
        return "Needs the access token of a signed-in person; an API key does not do."
    if method.access.get("public"):
        return "Needs no credential."
    return "Needs no credential in the headers: the request itself carries one."
