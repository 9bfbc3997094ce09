"""Opens what leaves committed to, for the organisation that they belong to and for as long as every person's key is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.compliance.log import contents, store
from services.compliance.log.contents import SubjectKey
from services.compliance.log.keys import SubjectKeys
from services.compliance.log.leaves import SubjectSalt, disclosed
from services.compliance.log.subjects import read
from services.kit.database import Tx
from services.kit.sealing import Seal, Unreadable


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What opens the commitments of a record."""

    salt: bytes
    payload: bytes
    subjects: tuple[SubjectSalt, ...]

    def as_dict(self) -> dict[str, object]:
        """As an export has it."""
        return disclosed(self.salt, self.payload, self.subjects)


@dataclass(frozen=True, slots=True)
class Unopened:
    """What is kept was changed, or belongs to another leaf: its seal does not open with keys that are there."""


class Discloser:
    """Opens leaves."""

    def __init__(self, install: Seal) -> None:
        self._install = install
        self._keys = SubjectKeys(install)

    async def opened(self, tx: Tx, leaves: Sequence[store.Leaf]) -> dict[int, Disclosure | Unopened]:
        """What opens some leaves, by their places. Those are missing that were erased, and those whose content was never kept."""
        kept = await store.contents_of(tx, [leaf.leaf_index for leaf in leaves])
        keys = await self._keys.by_id(tx, {key_id for one in kept.values() for key_id in one.key_ids})
        found = dict[int, Disclosure | Unopened]()
        for leaf in leaves:
            content = kept.get(leaf.leaf_index)
            if content is not None and all(key_id in keys for key_id in content.key_ids):
                found[leaf.leaf_index] = self._disclosure(leaf, content, keys)
        return found

    def _disclosure(
        self, leaf: store.Leaf, content: store.Content, keys: dict[int, Seal | None]
    ) -> Disclosure | Unopened:
        theirs = [key for key_id in content.key_ids if (key := keys[key_id]) is not None]
        if len(theirs) != len(content.key_ids):
            return Unopened()
        try:
            salt, payload = contents.opened(
                self._install, dict(zip(content.key_ids, theirs, strict=True)), leaf.event_id, content.sealed
            )
        except Unreadable:
            return Unopened()
        event = read(leaf.event_type, payload)
        if event is None or len(event.subjects) != len(content.key_ids):
            return Disclosure(salt, payload, ())  # other fields named persons when it was written
        salts = [
            contents.salt_of(SubjectKey(key_id, key), subject, leaf.event_id)
            for key_id, key, subject in zip(content.key_ids, theirs, event.subjects, strict=True)
        ]
        return Disclosure(salt, payload, tuple(salts))
