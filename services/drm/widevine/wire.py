"""Reads protobuf messages that somebody else defined, of which a few fields matter here (https://protobuf.dev/programming-guides/encoding/)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Fields: TypeAlias = Mapping[int, Sequence[int | bytes]]
_MOST_FIELDS: Final = 512
_LONGEST_VARINT: Final = 10
_FIXED: Final = {1: 8, 5: 4}


class NotProtobuf(Exception):
    """The bytes are no such message."""


def fields(message: bytes) -> Fields:
    """Values by field number, in the order in which they stand: numbers of varints, bytes of all else. Groups are not known.

    Raises:
        NotProtobuf: see there.
    """
    found: defaultdict[int, list[int | bytes]] = defaultdict(list)
    place = count = 0
    while place < len(message):
        count += 1
        if count > _MOST_FIELDS:
            raise NotProtobuf("too many fields")
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise NotProtobuf("field 0")
        if kind == 0:
            value, place = _varint(message, place)
            found[number].append(value)
            continue
        if kind == 2:
            length, place = _varint(message, place)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise NotProtobuf("a wire type that is not known")
        if length > len(message) - place:
            raise NotProtobuf("cut off")
        found[number].append(message[place : place + length])
        place += length
    return found


def number(values: Fields, field: int, default: int = 0) -> int:
    """The last value of a field that is a number.

    Raises:
        NotProtobuf: it is none.
    """
    value = values[field][-1] if field in values else default
    if not isinstance(value, int):
        raise NotProtobuf(f"field {field} is no number")
    return value


def blobs(values: Fields, field: int) -> list[bytes]:
    """All values of a field that is bytes.

    Raises:
        NotProtobuf: one is none.
    """
    found = [value for value in values.get(field, ()) if isinstance(value, bytes)]
    if len(found) != len(values.get(field, ())):
        raise NotProtobuf(f"field {field} is not bytes")
    return found


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[place : place + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, place + index + 1
    raise NotProtobuf("a number that does not end")
