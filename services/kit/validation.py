"""Checks requests against the rules that their contract states (protovalidate), and that every time and span in them is one.

A `Timestamp` and a `Duration` can be written on the wire with numbers that their own definitions forbid. Nothing behind this point could tell when that is:
reading them raises. So they are looked for in every request here, and no contract has to say so field by field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from protovalidate import Validator, Violation

from services.kit.errors import RPC_DOMAIN, Refusal

_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799
_LONGEST_SPAN: Final = 315_576_000_000
_SECOND: Final = 1_000_000_000
_NO_TIME: Final = (
    "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z, with nanos from 0 to 999999999"
)
_NO_SPAN: Final = "must be a span of at most 315576000000 seconds either way, with nanos of the same sign, from -999999999 to 999999999"
_CHECKED: Final = frozenset({Timestamp.DESCRIPTOR.full_name, Duration.DESCRIPTOR.full_name})


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


@cache
def _reaches(message: Descriptor) -> frozenset[str]:
    """Names of the types of all messages that can stand in one, at any depth."""
    found, left = set[str](), [message]
    while left:
        for field in left.pop().fields:
            if field.message_type is not None and field.message_type.full_name not in found:
                found.add(field.message_type.full_name)
                left.append(field.message_type)
    return frozenset(found)


@cache
def _ways(message: Descriptor) -> tuple[FieldDescriptor, ...]:
    """Fields of a message that are times or spans, or hold some."""
    return tuple(
        field
        for field in message.fields
        if field.message_type is not None
        and (field.message_type.full_name in _CHECKED or _CHECKED & _reaches(field.message_type))
    )


def _messages_in(message: Message, field: FieldDescriptor) -> Iterable[tuple[str, Message]]:
    """What a field of messages holds, each with its path."""
    held: Any = getattr(message, field.name)
    kind: Any = field.message_type
    if kind.GetOptions().map_entry:
        return [(f"{field.name}[{key!r}]", held[key]) for key in held]
    if field.is_repeated:
        return [(f"{field.name}[{index}]", one) for index, one in enumerate(held)]
    return [(field.name, held)] if message.HasField(field.name) else []


def no_times(message: Message) -> Iterator[tuple[str, str]]:
    """Each `Timestamp` and `Duration` of a message that is none: its path, and what it would have to be."""
    for field in _ways(message.DESCRIPTOR):
        for path, held in _messages_in(message, field):
            match held:
                case Timestamp(seconds=seconds, nanos=nanos):
                    if not (_FIRST_SECOND <= seconds <= _LAST_SECOND and 0 <= nanos < _SECOND):
                        yield path, _NO_TIME
                case Duration(seconds=seconds, nanos=nanos):
                    if abs(seconds) > _LONGEST_SPAN or abs(nanos) >= _SECOND or seconds * nanos < 0:
                        yield path, _NO_SPAN
                case _:
                    yield from ((f"{path}.{inner}", why) for inner, why in no_times(held))


def check(request: Message) -> None:
    """Refuses a request that breaks its contract.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID`, naming each field and what is wrong with it.
    """
    if not _has_rules(request.DESCRIPTOR.file):
        return
    # First, as rules about times cannot be held against what is none.
    fields = list(no_times(request)) or [
        (field_path(violation), violation.proto.message) for violation in _validator().collect_violations(request)
    ]
    if not fields:
        return
    raise Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        "the request breaks its contract: " + "; ".join(f"{name or 'request'}: {why}" for name, why in fields),
        domain=RPC_DOMAIN,
        fields=fields,
    )
