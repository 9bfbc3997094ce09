"""The contracts as plain objects: what descriptors hold in many places, put where one looks for it.

Options are read through a descriptor pool made of the contracts themselves, so that none of the generated code is needed: this
also runs when there is none yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodOptions,
    ServiceDescriptorProto,
)
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message as AnyMessage

HTTP_VERBS: Final = ("get", "put", "post", "delete", "patch")
_RULES: Final = "[buf.validate.field]"
_HTTP: Final = "[google.api.http]"
_ACCESS: Final = "[reelmesh.rpc.v1.access]"
# Field numbers in descriptor.proto, of which the paths of comments are made.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS = 2, 3, 4
_VALUES, _METHODS = 2, 2


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Attributes:
        kind: `TYPE_STRING` and so on, as in descriptor.proto.
        type_name: full name of its message or enum; empty for scalars.
        rules: its protovalidate rules in their JSON form, such as `{"string": {"min_len": "8"}}`.
    """

    name: str
    comment: str
    kind: str
    type_name: str
    repeated: bool
    optional: bool
    rules: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `entry` marks the hidden message behind a map field."""

    name: str
    comment: str
    file: str
    fields: Sequence[Field]
    entry: bool

    def field(self, name: str) -> Field:
        """One field by its name.

        Raises:
            KeyError: there is none.
        """
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(f"{self.name} has no field {name}")


@dataclass(frozen=True, slots=True)
class Enum:
    """One enum with its values' names and comments."""

    name: str
    comment: str
    values: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    Attributes:
        access: the `(reelmesh.rpc.v1.access)` option in its JSON form; empty when there is none.
        http: the `(google.api.http)` option in its JSON form; empty when there is none.
        reads: whether it is declared NO_SIDE_EFFECTS.
        idempotent: whether it is declared IDEMPOTENT.
    """

    name: str
    service: str
    comment: str
    request: str
    response: str
    client_streaming: bool
    server_streaming: bool
    access: Mapping[str, Any]
    http: Mapping[str, Any]
    reads: bool
    idempotent: bool

    @property
    def binding(self) -> tuple[str, str] | None:
        """HTTP verb and path template, if it can be called by REST."""
        return next(((verb, self.http[verb]) for verb in HTTP_VERBS if verb in self.http), None)


@dataclass(frozen=True, slots=True)
class Service:
    """One service."""

    name: str
    comment: str
    package: str
    methods: Sequence[Method]


@dataclass(slots=True)
class Contracts:
    """All of them, by full name, in the order in which they are written."""

    messages: dict[str, Message] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)

    def methods(self) -> Iterator[Method]:
        """Every method of every service."""
        for service in self.services.values():
            yield from service.methods


def read(described: FileDescriptorSet) -> Contracts:
    """Reads a complete set of descriptors, comments included."""
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    # The same set once more, by a class of that pool: only such a class knows the contracts' own options.
    own_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet"))
    reread = own_class.FromString(described.SerializeToString())
    contracts = Contracts()
    for file in reread.file:  # type: ignore[attr-defined] # a class made at run time
        _Reader(file, pool, contracts).read()
    return contracts


class _Reader:
    """Reads one file into the contracts."""

    def __init__(self, file: FileDescriptorProto, pool: descriptor_pool.DescriptorPool, contracts: Contracts) -> None:
        self._file = file
        self._pool = pool
        self._contracts = contracts
        self._comments = {
            tuple(place.path): _unwrapped(place.leading_comments) for place in file.source_code_info.location
        }

    def read(self) -> None:
        for number, message in enumerate(self._file.message_type):
            self._message(message, self._file.package, (_MESSAGES, number))
        for number, enum in enumerate(self._file.enum_type):
            self._enum(enum, self._file.package, (_ENUMS, number))
        for number, service in enumerate(self._file.service):
            self._service(service, (_SERVICES, number))

    def _comment(self, *path: int) -> str:
        return self._comments.get(path, "")

    def _options(self, options: AnyMessage) -> dict[str, Any]:
        return MessageToDict(options, preserving_proto_field_name=True, descriptor_pool=self._pool)

    def _message(self, message: DescriptorProto, scope: str, path: tuple[int, ...]) -> None:
        name = f"{scope}.{message.name}"
        fields = [self._field(item, (*path, _FIELDS, number)) for number, item in enumerate(message.field)]
        entry = message.options.map_entry
        self._contracts.messages[name] = Message(name, self._comment(*path), self._file.name, fields, entry)
        for number, nested in enumerate(message.nested_type):
            self._message(nested, name, (*path, _NESTED, number))
        for number, enum in enumerate(message.enum_type):
            self._enum(enum, name, (*path, _NESTED_ENUMS, number))

    def _field(self, item: FieldDescriptorProto, path: tuple[int, ...]) -> Field:
        return Field(
            name=item.name,
            comment=self._comment(*path),
            kind=FieldDescriptorProto.Type.Name(item.type),
            type_name=item.type_name.removeprefix("."),
            repeated=item.label == FieldDescriptorProto.LABEL_REPEATED,
            optional=item.proto3_optional,
            rules=self._options(item.options).get(_RULES, {}),
        )

    def _enum(self, enum: EnumDescriptorProto, scope: str, path: tuple[int, ...]) -> None:
        name = f"{scope}.{enum.name}"
        values = [(value.name, self._comment(*path, _VALUES, number)) for number, value in enumerate(enum.value)]
        self._contracts.enums[name] = Enum(name, self._comment(*path), values)

    def _service(self, service: ServiceDescriptorProto, path: tuple[int, ...]) -> None:
        name = f"{self._file.package}.{service.name}"
        methods = []
        for number, method in enumerate(service.method):
            options = self._options(method.options)
            level = method.options.idempotency_level
            methods.append(
                Method(
                    name=method.name,
                    service=name,
                    comment=self._comment(*path, _METHODS, number),
                    request=method.input_type.removeprefix("."),
                    response=method.output_type.removeprefix("."),
                    client_streaming=method.client_streaming,
                    server_streaming=method.server_streaming,
                    access=options.get(_ACCESS, {}),
                    http=options.get(_HTTP, {}),
                    reads=level == MethodOptions.NO_SIDE_EFFECTS,
                    idempotent=level == MethodOptions.IDEMPOTENT,
                )
            )
        self._contracts.services[name] = Service(name, self._comment(*path), self._file.package, methods)


def _unwrapped(comment: str) -> str:
    """A comment with its lines joined; an empty line keeps paragraphs apart."""
    paragraphs = comment.strip().split("\n\n")
    return "\n\n".join(" ".join(line.strip() for line in paragraph.splitlines()) for paragraph in paragraphs)
