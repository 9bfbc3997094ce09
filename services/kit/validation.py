"""Checks requests against the rules that their contract states (protovalidate)."""

from __future__ import annotations

from functools import cache

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from protovalidate import Validator, Violation

from services.kit.errors import RPC_DOMAIN, Refusal


@cache
def _validator() -> Validator:
    return Validator()


@cache
def _has_rules(file: FileDescriptor) -> bool:
    """Whether messages of a file can carry rules: other people's contracts do not, and looking for them takes time."""
    return file.name == "buf/validate/validate.proto" or any(_has_rules(imported) for imported in file.dependencies)


def field_path(violation: Violation) -> str:
    """The field that breaks a rule, as `upload.items[2].name`."""
    parts: list[str] = []
    field = violation.proto.field
    for element in field.elements if field is not None else ():
        name = element.field_name
        if element.subscript is not None and element.subscript.field == "index":
            name += f"[{element.subscript.value}]"
        elif element.subscript is not None:
            name += f"[{element.subscript.value!r}]"
        parts.append(name)
    return ".".join(parts)


def check(request: Message) -> None:
    """Refuses a request that breaks its contract.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID`, naming each field and what is wrong with it.
    """
    if not _has_rules(request.DESCRIPTOR.file):
        return
    violations = _validator().collect_violations(request)
    if not violations:
        return
    fields = [(field_path(violation), violation.proto.message) for violation in violations]
    raise Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        "the request breaks its contract: " + "; ".join(f"{name or 'request'}: {why}" for name, why in fields),
        domain=RPC_DOMAIN,
        fields=fields,
    )
