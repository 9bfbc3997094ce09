"""What is in a webhook's body, read so that nothing a stranger may send makes more of it than `WEBHOOK_MALFORMED`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from services.payments import refusals

_MOST_FIELDS: Final = 400
_MOST_CHARACTERS: Final = 200
_MOST_SECONDS: Final = 2**33


class Node:
    """An object of JSON or the fields of a form, of which anything may be missing.

    Args:
        processor: for refusals.
        fields: by name.
    """

    def __init__(self, processor: str, fields: Mapping[str, Any]) -> None:
        self.processor = processor
        self.fields = fields

    def at(self, *path: str) -> Node:
        """An object within; an empty one where there is none."""
        found: Any = self.fields
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return Node(self.processor, found if isinstance(found, dict) else {})

    def items(self, name: str) -> Iterator[Node]:
        """The objects of a list; nothing where there is no list."""
        found = self.fields.get(name)
        for item in found if isinstance(found, list) else ():
            if isinstance(item, dict):
                yield Node(self.processor, item)

    def text(self, name: str, *, least: int = 0) -> str:
        """A short printable text; a whole number counts as one, and what is missing is empty.

        Raises:
            Refusal: `WEBHOOK_MALFORMED` for anything else, and for a text of fewer characters.
        """
        value = self.fields.get(name)
        if value is None:
            value = ""
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30:
            value = str(value)
        if (
            not isinstance(value, str)
            or not value.isascii()
            or not value.isprintable()
            or len(value) > _MOST_CHARACTERS
        ):
            raise self.malformed(f"{name} is no text of up to {_MOST_CHARACTERS} characters")
        value = value.strip()
        if len(value) < least:
            raise self.malformed(f"{name} is missing")
        return value

    def lower(self, name: str) -> str:
        """A word without regard to case."""
        return self.text(name).lower()

    def seconds(self, name: str) -> datetime | None:
        """A moment in seconds since 1970; None where it is missing.

        Raises:
            Refusal: `WEBHOOK_MALFORMED`.
        """
        text = self.text(name)
        if not text:
            return None
        if not text.isdecimal() or not 0 < int(text) < _MOST_SECONDS:
            raise self.malformed(f"{name} is no moment")
        return datetime.fromtimestamp(int(text), UTC)

    def moment(self, name: str, zone: tzinfo = UTC) -> datetime | None:
        """A moment of ISO 8601, or `2012-08-05 15:18:17`; None where it is missing.

        Args:
            name: of the field.
            zone: of a moment that says none.

        Raises:
            Refusal: `WEBHOOK_MALFORMED`.
        """
        text = self.text(name)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.malformed(f"{name} is no moment") from None

    def malformed(self, what: str) -> Exception:
        """The refusal of it, to be raised."""
        return refusals.webhook_malformed(self.processor, what)


def of_json(processor: str, body: bytes) -> Node:
    """The object that a body is. Decimals come as the text that they are written in, never as binary fractions.

    Raises:
        Refusal: `WEBHOOK_MALFORMED` for anything but an object, and for NaN and infinities, which are no JSON.
    """

    def refuse(_: str) -> NoReturn:
        raise ValueError

    try:
        found = json.loads(body, parse_float=str, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise refusals.webhook_malformed(processor, "the body is no JSON") from None
    if not isinstance(found, dict):
        raise refusals.webhook_malformed(processor, "the body is no object")
    return Node(processor, found)


def of_form(processor: str, *parts: bytes | str) -> Node:
    """The fields of a form, from the query and the body alike.

    Raises:
        Refusal: `WEBHOOK_MALFORMED` when it is none, or says two things of one name.
    """
    fields: dict[str, str] = {}
    for part in parts:
        try:
            text = part if isinstance(part, str) else part.decode()
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
        except ValueError:
            raise refusals.webhook_malformed(processor, "the body is no form") from None
        for name, value in pairs:
            if fields.setdefault(name, value) != value:
                raise refusals.webhook_malformed(processor, "a field says two things")
    return Node(processor, fields)
