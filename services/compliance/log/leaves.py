"""What a leaf holds, and what opens it. Pure: no I/O.

A record is a JSON object in the canonical form of RFC 8785: keys in order, no spaces, UTF-8. Its numbers are small integers and its keys ASCII, so
Python's own encoder writes that form. Nothing in it is personal: the event's content and the persons whom it is about stand there as HMAC-SHA256 under
keys that are random, or made from a key that erasure destroys.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.compliance.log.subjects import Subject

VERSION: Final = 1
SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it came over the bus.

    Attributes:
        event_id: by which it is known.
        event_type: its kind, which is its subject on the bus.
        time: when it was written to the bus, as its stream says.
        payload: its content, in protobuf's encoding.
        sequence: its place in the stream.
    """

    event_id: str
    event_type: str
    time: datetime
    payload: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Slotted:
    """What an event does to the slot of an asset's content.

    Attributes:
        asset_id: the asset.
        state: `reserved` by its upload, `committed` by its publication.
        content_sha256: SHA-256 of the master, hexadecimal.
        package_id: under which it was published; empty while it is not.
    """

    asset_id: str
    state: str
    content_sha256: str
    package_id: str = ""


@dataclass(frozen=True, slots=True)
class SubjectSalt:
    """A person, and the key by which one leaf commits to them."""

    subject: Subject
    salt: bytes


def commitment(salt: bytes, content: bytes) -> str:
    """A commitment to content, hexadecimal: nothing can be told from it without the salt, and it can be opened in one way."""
    return hmac.digest(salt, content, "sha256").hex()


def record_of(
    event: Event, organisation_id: str, salt: bytes, subjects: Sequence[SubjectSalt], slot: Slotted | None
) -> bytes:
    """The record of an event."""
    members: dict[str, object] = {
        "content": commitment(salt, event.payload),
        "event_id": event.event_id,
        "event_time": _written(event.time),
        "event_type": event.event_type,
        "organisation_id": organisation_id,
        "subjects": [commitment(one.salt, one.subject.name.encode()) for one in subjects],
        "version": VERSION,
    }
    if slot is not None:
        members["slot"] = {
            "asset_id": slot.asset_id,
            "content_sha256": slot.content_sha256,
            "package_id": slot.package_id,
            "state": slot.state,
        }
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def event_time_of(record: bytes) -> datetime | None:
    """When the event of a record was written to the bus; None for a record that somebody changed beyond recognition."""
    try:
        return datetime.fromisoformat(json.loads(record)["event_time"])
    except (ValueError, KeyError, TypeError):
        return None


def disclosed(salt: bytes, payload: bytes, subjects: Sequence[SubjectSalt]) -> dict[str, object]:
    """What opens a record, as an export has it."""
    return {
        "payload": base64.b64encode(payload).decode(),
        "salt": base64.b64encode(salt).decode(),
        "subjects": [{"salt": base64.b64encode(one.salt).decode(), "subject": one.subject.name} for one in subjects],
    }


def _written(moment: datetime) -> str:
    """A moment by RFC 3339, in UTC and to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
