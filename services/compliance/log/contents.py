"""What events say, sealed: under the install's key and under one key for each person whom the event is about. Pure: no I/O.

Only who has all of them can open it, so destroying one person's key takes the meaning from everything about them, in copies and backups of the contents too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.compliance.log.leaves import SALT_BYTES, SubjectSalt
from services.compliance.log.subjects import Subject
from services.kit.sealing import Seal

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A person's key: its id in the tables, and what seals and digests by it."""

    key_id: int
    seal: Seal


Keys = Mapping[Subject, SubjectKey]
"""The keys of some persons."""


def new_key() -> bytes:
    """A key for a person."""
    return secrets.token_bytes(KEY_BYTES)


def seal_of(key: bytes) -> Seal:
    """What seals by a person's key."""
    return Seal(key, "audit subject")


def salt_of(key: SubjectKey, subject: Subject, event_id: str) -> SubjectSalt:
    """The key by which the leaf of one event commits to a person; another event's says nothing of it."""
    return SubjectSalt(subject, key.seal.digest("subject", event_id))


def sealed(install: Seal, keys: Sequence[SubjectKey], event_id: str, salt: bytes, payload: bytes) -> bytes:
    """Seals a salt and what was committed to by it, for one event: under the install's key first, then under each person's in the order of the ids."""
    content = install.seal(salt + payload, event_id)
    for key in sorted(keys, key=lambda one: one.key_id):
        content = key.seal.seal(content, event_id)
    return content


def opened(install: Seal, keys: Mapping[int, Seal], event_id: str, content: bytes) -> tuple[bytes, bytes]:
    """Opens what `sealed` made, with the keys of the same persons: the salt and the payload.

    Raises:
        Unreadable: it was changed, or belongs to another event.
    """
    for key_id in sorted(keys, reverse=True):
        content = keys[key_id].open(content, event_id)
    plain = install.open(content, event_id)
    return plain[:SALT_BYTES], plain[SALT_BYTES:]
