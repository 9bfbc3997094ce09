"""Whom an event is about: the persons whose erasure must take its meaning away. Pure: no I/O.

Which fields name a person is said here for all events. `tests/compliance/test_subjects.py` looks through every event of the contracts and fails where a
field looks like a person's and is in neither list.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from google.protobuf import symbol_database
from google.protobuf.message import DecodeError, Message

from services.kit.ids import is_id

PERSONS: Final = frozenset(
    {
        "account_id",
        "viewer_id",
        "buyer_id",
        "creator_id",
        "performer_id",
        "depicted_person_id",
        "recipient_id",
        "payee_id",
    }
)
"""Fields that name a person."""
ACTORS: Final = frozenset({"actor", "author", "reviewer", "approver"})
"""Fields that say who did something: a person by `user/<account>`, and otherwise a key or a service."""
_USER: Final = "user/"
_DOMAINS: Final = (
    "assets",
    "compliance",
    "drm",
    "identity",
    "notifications",
    "packaging",
    "payments",
    "policy",
    "protection",
    "transcode",
    "upload",
)


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """A person, as events name them.

    Attributes:
        scope: organisation whose own name for them it is; empty for accounts, which are the same person everywhere.
        name: account, or whatever the organisation calls them.
    """

    scope: str
    name: str

    @classmethod
    def of(cls, organisation_id: str, name: str) -> Subject:
        """Whom an organisation means by a name."""
        return cls("" if is_id("usr", name) else organisation_id, name)


@dataclass(frozen=True, slots=True)
class Read:
    """What an event says of itself.

    Attributes:
        organisation_id: whose event it is; empty when it is the install's.
        subjects: the persons it is about, each once, in order.
        message: the event.
    """

    organisation_id: str
    subjects: tuple[Subject, ...]
    message: Message


@cache
def known_kinds() -> dict[str, type[Message]]:
    """The events of all contracts by their full names."""
    database, found = symbol_database.Default(), dict[str, type[Message]]()
    for domain in _DOMAINS:
        file = importlib.import_module(f"reelmesh.{domain}.v1.events_pb2").DESCRIPTOR
        found.update({one.full_name: database.GetSymbol(one.full_name) for one in file.message_types_by_name.values()})
    return found


def read(event_type: str, payload: bytes) -> Read | None:
    """Reads an event; None when its kind is not known here or it is none, so that nobody can say whom it is about."""
    kind = known_kinds().get(event_type)
    if kind is None:
        return None
    try:
        message = kind.FromString(payload)
    except DecodeError:
        return None
    organisation_id = str(getattr(message, "organisation_id", ""))
    if not is_id("org", organisation_id):
        organisation_id = ""
    named = {Subject.of(organisation_id, name) for name in _names(message)}
    return Read(organisation_id, tuple(sorted(named)), message)


def _names(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            continue
        if field.name in PERSONS:
            yield str(value)
        elif field.name in ACTORS and str(value).startswith(_USER):
            yield str(value).removeprefix(_USER)
