"""Messages and enums as JSON Schema, by the rules of proto3 JSON (protobuf.dev/programming-guides/json).

Field names are those of the contracts, as Envoy is told to print them. 64-bit integers are strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tools.openapi.contracts import Contracts, Enum, Field

Schema = dict[str, Any]

HTTP_BODY: Final = "google.api.HttpBody"
REASON_PREFIX: Final = "ERROR_REASON_"

_SCALARS: Final[Mapping[str, Schema]] = {
    "TYPE_BOOL": {"type": "boolean"},
    "TYPE_STRING": {"type": "string"},
    "TYPE_BYTES": {"type": "string", "contentEncoding": "base64"},
    "TYPE_DOUBLE": {"type": "number", "format": "double"},
    "TYPE_FLOAT": {"type": "number", "format": "float"},
    **{
        kind: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
        for kind in ("TYPE_INT32", "TYPE_SINT32", "TYPE_SFIXED32")
    },
    **{kind: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1} for kind in ("TYPE_UINT32", "TYPE_FIXED32")},
    **{
        kind: {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
        for kind in ("TYPE_INT64", "TYPE_SINT64", "TYPE_SFIXED64")
    },
    **{
        kind: {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}
        for kind in ("TYPE_UINT64", "TYPE_FIXED64")
    },
}
_WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["1.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "description": "Field names, separated by commas."},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
    HTTP_BODY: {"type": "string", "format": "binary"},
}
# Rules of protovalidate that JSON Schema has a word for, by the kind of value they are about.
_STRING_WORDS: Final = {"min_len": "minLength", "max_len": "maxLength"}
_NUMBER_WORDS: Final = {"gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
_LIST_WORDS: Final = {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"}
_NUMBERS_AS_TEXT: Final = {"gte": "at least", "gt": "more than", "lte": "at most", "lt": "less than"}


def component(name: str) -> str:
    """Name under which a message or enum stands in the document: `upload.v1.Upload`."""
    return name.removeprefix("reelmesh.")


class Schemas:
    """Makes schemas, and remembers which messages and enums they refer to."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._wanted: dict[str, None] = {}

    def reference(self, name: str) -> Schema:
        """A reference to a message or enum, which is thereby part of the document."""
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        self._wanted.setdefault(name)
        return {"$ref": f"#/components/schemas/{component(name)}"}

    def components(self) -> dict[str, Schema]:
        """Everything that was referred to, in the order of the alphabet."""
        made: dict[str, Schema] = {}
        while missing := [name for name in self._wanted if component(name) not in made]:
            for name in missing:
                made[component(name)] = self._component(name)
        return dict(sorted(made.items()))

    def _component(self, name: str) -> Schema:
        if name in self._contracts.enums:
            return enumerated(self._contracts.enums[name])
        message = self._contracts.messages[name]
        return self.object(message.fields, message.comment)

    def object(self, fields: Iterable[Field], comment: str = "") -> Schema:
        """An object of some or all of a message's fields."""
        fields = list(fields)
        schema: Schema = {"type": "object"}
        if comment:
            schema["description"] = comment
        schema["properties"] = {item.name: self.field(item) for item in fields}
        if required := [item.name for item in fields if must_be_sent(item)]:
            schema["required"] = required
        return schema

    def field(self, item: Field) -> Schema:
        """The value of one field."""
        entry = self._contracts.messages.get(item.type_name)
        if entry is not None and entry.entry:
            schema: Schema = {"type": "object", "additionalProperties": self.field(entry.field("value"))}
        elif item.repeated:
            listed = dict(item.rules.get("repeated", {}))
            schema = {"type": "array", "items": self._single(item, listed.pop("items", {}))}
            schema |= _translated(listed, _LIST_WORDS)
        else:
            schema = self._single(item, item.rules)
        comment = " ".join(
            part for part in (item.comment, schema.pop("description", ""), _rules_in_words(item)) if part
        )
        return schema | {"description": comment} if comment else schema

    def _single(self, item: Field, rules: Mapping[str, Any]) -> Schema:
        if item.type_name:
            return self.reference(item.type_name)
        schema = dict(_SCALARS[item.kind])
        if strings := rules.get("string"):
            schema |= _translated(strings, _STRING_WORDS)
            if "pattern" in strings:
                schema["pattern"] = strings["pattern"]
            if "in" in strings:
                schema["enum"] = list(strings["in"])
        elif schema["type"] in {"integer", "number"}:
            for kind in rules:
                schema |= _translated(rules[kind], _NUMBER_WORDS) if isinstance(rules[kind], dict) else {}
        return schema


def enumerated(enum: Enum) -> Schema:
    """An enum as its names. Reasons stand without their prefix, as on the wire; the value for `unspecified` is left out of them."""
    reasons = enum.name.endswith(".ErrorReason")
    values = [(name.removeprefix(REASON_PREFIX), comment) for name, comment in enum.values] if reasons else enum.values
    shown = [(name, comment) for name, comment in values if not (reasons and name == "UNSPECIFIED")]
    listed = "\n".join(f"* `{name}`: {comment}" for name, comment in shown)
    return {"type": "string", "description": f"{enum.comment}\n\n{listed}", "enum": [name for name, _ in shown]}


def must_be_sent(item: Field) -> bool:
    """Whether leaving a field out breaks its own rules: whether its zero value does."""
    rules = item.rules
    if item.optional:
        return False
    if rules.get("required"):
        return True
    strings, lists = rules.get("string", {}), rules.get("repeated", {})
    numbers: Mapping[str, Any] = next(
        (
            rules[kind]
            for kind in rules
            if kind.startswith(("int", "uint", "sint", "fixed", "sfixed", "float", "double"))
        ),
        {},
    )
    return (
        int(strings.get("min_len", 0)) > 0
        or ("pattern" in strings and re.search(strings["pattern"], "") is None)
        or int(lists.get("min_items", 0)) > 0
        or float(numbers.get("gte", 0)) > 0
        or float(numbers.get("gt", -1)) >= 0
    )


def _translated(rules: Mapping[str, Any], words: Mapping[str, str]) -> Schema:
    return {words[rule]: _number(value) for rule, value in rules.items() if rule in words}


def _number(value: Any) -> Any:
    """64-bit numbers of a rule come as strings."""
    return int(value) if isinstance(value, str) else value


def _rules_in_words(item: Field) -> str:
    """Rules that JSON Schema cannot say about a value that is a string in JSON, and rules in CEL."""
    sentences = []
    for kind in ("int64", "uint64", "duration"):
        bounds = [
            f"{_NUMBERS_AS_TEXT[rule]} {value}"
            for rule, value in item.rules.get(kind, {}).items()
            if rule in _NUMBERS_AS_TEXT
        ]
        if bounds:
            sentences.append(f"Must be {' and '.join(bounds)}.")
    sentences += [f"Rule: {rule['message']}." for rule in item.rules.get("cel", [])]
    return " ".join(sentences)
