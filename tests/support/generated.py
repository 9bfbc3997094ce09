"""Messages made up from their contracts: good ones, nearly good ones, and hostile ones."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from buf.validate import validate_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from tests.support import hostile

Draw = Callable[[st.SearchStrategy[Any]], Any]

_DEEPEST: Final = 5
_KEPT: Final = 16
_ID: Final = re.compile(r"([a-z]{3})_[0-7][0-9a-hjkmnp-tv-z]{25}")
_ID_PATTERN: Final = re.compile(r"([a-z]{3})_\[0-7\]")
_INTEGERS: Final[Mapping[int, tuple[int, int, str]]] = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1, "int32"),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1, "sint32"),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1, "sfixed32"),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1, "uint32"),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1, "fixed32"),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1, "int64"),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1, "sint64"),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1, "sfixed64"),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1, "uint64"),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1, "fixed64"),
}
_FRACTIONS: Final = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
# Words for strings that protovalidate knows, and something that is one.
_FORMATS: Final = {
    "email": "ada@example.com",
    "uri": "https://client.example/back",
    "hostname": "client.example",
    "ip": "203.0.113.7",
    "uuid": "9b2f4c3e-1a5d-4e6f-8a7b-0c1d2e3f4a5b",
}


class Memory:
    """Values that answers held, by the names of their fields: so that later requests are about something that exists."""

    def __init__(self) -> None:
        self._values: dict[str, list[Any]] = {}

    def learn(self, message: Message) -> None:
        """Remembers the texts and bytes of an answer."""
        for name, value in _leaves(message):
            self.keep(name.removeprefix("next_"), value)
            if isinstance(value, str) and (found := _ID.fullmatch(value)):
                self.keep(f"{found[1]}_", value)

    def keep(self, name: str, value: Any) -> None:
        """Remembers one value; the oldest of its name is forgotten when there are many."""
        values = self._values.setdefault(name, [])
        if value and value not in values:
            values.append(value)
            del values[:-_KEPT]

    def recall(self, name: str, number: int) -> Any:
        """One of the values of a name; None when there is none."""
        values = self._values.get(name)
        return values[number % len(values)] if values else None


def _leaves(message: Message) -> Iterator[tuple[str, Any]]:
    for field, value in message.ListFields():
        for item in value if _repeated(field) and not _is_map(field) else [value]:
            if isinstance(item, Message):
                yield from _leaves(item)
            elif isinstance(item, str | bytes):
                yield field.name, item


def _repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


def encoded_requests(descriptor: Descriptor, memory: Memory) -> st.SearchStrategy[bytes]:
    """Requests as they go over the wire: half of them by the rules, a third with slips, the rest broken."""

    @st.composite
    def made(draw: Draw) -> bytes:
        manner = draw(st.integers(0, 5))
        if manner == 0:
            return bytes(draw(st.binary(max_size=200) | st.sampled_from(hostile.BYTES)))
        slips = {1: 3, 2: 12}.get(manner, 0)
        message = _Maker(draw, memory, slips).message(descriptor, 0)
        return hostile.on_the_wire(message.SerializeToString()) + (
            draw(st.sampled_from(hostile.UNKNOWN_FIELDS)) if slips else b""
        )

    return made()


class _Maker:
    """Makes one message.

    Args:
        draw: Hypothesis' own.
        memory: what exists.
        slips: of 16 fields, how many break their rules, more or less.
    """

    def __init__(self, draw: Draw, memory: Memory, slips: int) -> None:
        self._draw = draw
        self._memory = memory
        self._slips = slips

    def message(self, descriptor: Descriptor, depth: int) -> Message:
        made = message_factory.GetMessageClass(descriptor)()
        chosen = {
            group.name: group.fields[self._draw(st.integers(0, len(group.fields) - 1))].name
            for group in descriptor.oneofs
        }
        for field in descriptor.fields:
            group = field.containing_oneof
            if group is not None and chosen[group.name] != field.name:
                continue
            rules = field.GetOptions().Extensions[validate_pb2.field]
            if not self._left_out(field, rules, depth):
                self._fill(made, field, rules, depth)
        return made

    def _left_out(self, field: FieldDescriptor, rules: Any, depth: int) -> bool:
        if field.message_type is not None and depth >= _DEEPEST:
            return True
        return bool(self._draw(st.integers(0, 15)) < (self._slips or (0 if _must_be_there(field, rules) else 4)))

    def _fill(self, made: Message, field: FieldDescriptor, rules: Any, depth: int) -> None:
        wild = self._wild()
        if _is_map(field):
            entry: Any = field.message_type
            key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
            for _ in range(self._draw(st.integers(0, 3))):
                where = getattr(made, field.name)
                if value.message_type is not None:
                    where[self._scalar(key, rules.map.keys, wild)].CopyFrom(self._whole(value, rules, wild, depth))
                else:
                    where[self._scalar(key, rules.map.keys, wild)] = self._scalar(value, rules.map.values, wild)
        elif _repeated(field):
            getattr(made, field.name).extend(self._items(field, rules.repeated, wild, depth))
        elif field.message_type is not None:
            getattr(made, field.name).CopyFrom(self._whole(field, rules, wild, depth))
        else:
            setattr(made, field.name, self._scalar(field, rules, wild))

    def _wild(self) -> bool:
        return bool(self._draw(st.integers(0, 15)) < self._slips)

    def _items(self, field: FieldDescriptor, rules: Any, wild: bool, depth: int) -> list[Any]:
        least = int(rules.min_items)
        most = min(int(rules.max_items) or 3, least + 3)
        how_many = self._draw(st.integers(least, max(least, most)))
        items = [
            self._whole(field, rules.items, wild, depth)
            if field.message_type is not None
            else self._scalar(field, rules.items, wild)
            for _ in range(how_many)
        ]
        if wild and items and self._draw(st.integers(0, 3)) == 0 and len(str(items[0])) < 100:
            return items[:1] * 5000
        if rules.unique and field.message_type is None and not wild:
            return list(dict.fromkeys(items))
        return items

    def _whole(self, field: FieldDescriptor, rules: Any, wild: bool, depth: int) -> Any:
        kind: Any = field.message_type
        match kind.full_name:
            case "google.protobuf.Timestamp":
                near = int(time.time()) // 3600 * 3600
                seconds = hostile.SECONDS if wild else (near + 86_400, near + 3600, near - 86_400)
                return self._moment(kind, seconds, wild)
            case "google.protobuf.Duration":
                low = rules.duration.gte.seconds or 1
                spans: tuple[int, ...] = hostile.SECONDS if wild else (low, rules.duration.lte.seconds or low + 3600)
                return self._moment(kind, spans, wild)
            case "google.protobuf.FieldMask":
                return self._mask(field, wild)
        return self.message(kind, depth + 1)

    def _moment(self, kind: Descriptor, seconds: tuple[int, ...], wild: bool) -> Any:
        made: Any = message_factory.GetMessageClass(kind)()
        made.seconds = self._draw(st.sampled_from(seconds))
        if wild:
            made.nanos = self._draw(st.sampled_from(hostile.NANOSECONDS))
        return made

    def _mask(self, field: FieldDescriptor, wild: bool) -> Any:
        kind: Any = field.message_type
        around: Any = field.containing_type
        made: Any = message_factory.GetMessageClass(kind)()
        beside = [other for other in around.fields if other.message_type is not None]
        named = [item.name for other in beside for item in other.message_type.fields]
        named += [item.name for item in around.fields]
        paths = list(hostile.FIELD_PATHS) if wild else named
        made.paths.extend(self._draw(st.lists(st.sampled_from(paths), min_size=0 if wild else 1, max_size=3)))
        return made

    def _scalar(self, field: FieldDescriptor, rules: Any, wild: bool) -> Any:
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._text(field, rules.string, wild)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._bytes(field, rules.bytes, wild)
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self._draw(st.booleans())
        if field.type == FieldDescriptor.TYPE_ENUM:
            enum: Any = field.enum_type
            known = [value.number for value in enum.values]
            return self._draw(st.sampled_from([*known, -1, 99, 2**31 - 1] if wild else known))
        if field.type in _FRACTIONS:
            return self._draw(st.sampled_from(hostile.FRACTIONS) if wild else st.floats(0, 1, width=32))
        least, most, name = _INTEGERS[field.type]
        if wild:
            return self._draw(st.sampled_from([value for value in hostile.WHOLE_NUMBERS if least <= value <= most]))
        return self._draw(_within(getattr(rules, name), least, most))

    def _text(self, field: FieldDescriptor, rules: Any, wild: bool) -> str:
        """What is drawn never depends on what is remembered, or Hypothesis could not draw the same once more."""
        if wild:
            return str(self._draw(st.sampled_from(hostile.TEXTS) | st.text(max_size=40)))
        number = self._draw(st.integers(0, 63))
        remembered = self._memory.recall(field.name, number)
        # Some ids are bytes in one contract and text in another.
        remembered = remembered if isinstance(remembered, str) else None
        if field.name == "request_id" and number % 4:
            return f"request-{number}"
        if form := _ID_PATTERN.search(rules.pattern):
            # What exists is asked for more often than not.
            remembered = remembered or self._memory.recall(f"{form[1]}_", number)
            return remembered if remembered and number % 4 else f"{form[1]}_{number % 8}{'0' * 25}"
        made = self._made_up(rules)
        return remembered if isinstance(remembered, str) and number % 4 else made

    def _made_up(self, rules: Any) -> str:
        """A text by the rules, and nothing more that makes sense."""
        if getattr(rules, "in"):
            return str(self._draw(st.sampled_from(list(getattr(rules, "in")))))
        for word, example in _FORMATS.items():
            if getattr(rules, word, False):
                return example
        if rules.pattern:
            return str(self._draw(_matching(rules.pattern)))
        least, most = int(rules.min_len), int(rules.max_len) or 64
        free = st.text(min_size=min(least, 64), max_size=min(most, 64))
        return str(self._draw(st.sampled_from(hostile.TEXTS) | free)).ljust(least, "x")[:most]

    def _bytes(self, field: FieldDescriptor, rules: Any, wild: bool) -> bytes:
        if wild:
            return bytes(self._draw(st.sampled_from(hostile.BYTES) | st.binary(max_size=64)))
        least = int(rules.len or rules.min_len)
        most = max(least, min(int(rules.len or rules.max_len) or 64, 4096))
        number, made = self._draw(st.integers(0, 15)), self._draw(st.binary(min_size=least, max_size=most))
        remembered = self._memory.recall(field.name, number)
        return remembered if isinstance(remembered, bytes) and number % 4 else bytes(made)


def _must_be_there(field: FieldDescriptor, rules: Any) -> bool:
    if rules.required:
        return True
    pattern = rules.string.pattern
    empty_fits = not pattern or _fits_empty(pattern)
    return rules.string.min_len > 0 or not empty_fits or rules.repeated.min_items > 0 or field.name == "request_id"


@cache
def _fits_empty(pattern: str) -> bool:
    try:
        return re.search(pattern, "") is not None
    except re.error:
        return True


@cache
def _matching(pattern: str) -> st.SearchStrategy[str]:
    """Texts that match. Python's `$` would also stand before a last line break, which RE2's does not."""
    ends = pattern.endswith("$") and not pattern.endswith(r"\$")
    try:
        return st.from_regex(pattern[:-1] + r"\Z" if ends else pattern)
    except re.error:
        return st.text(max_size=40)


def _within(rules: Any, least: int, most: int) -> st.SearchStrategy[int]:
    """Whole numbers that the rules let pass, those at their ends often."""
    low = max(
        least,
        rules.gte if rules.HasField("gte") else least,
        rules.gt + 1 if rules.HasField("gt") else least,
    )
    high = min(
        most,
        rules.lte if rules.HasField("lte") else most,
        rules.lt - 1 if rules.HasField("lt") else most,
    )
    return st.sampled_from([low, high]) | st.integers(low, min(high, low + 1000))
