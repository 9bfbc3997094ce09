"""Preserves evidence: bytes are kept under their SHA-256, once, and are never written again."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.kit.storage import ObjectStore
from services.protection.leaks import refusals
from services.protection.leaks.domain import Evidence, evidence_key

_PART: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Preserved:
    """What was preserved."""

    sha256: str
    size_bytes: int


class Preserving:
    """Puts evidence into the object store, and takes it out. An object that is there already is the same bytes, and is left as it is."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def film(self, organisation_id: str, object_key: str) -> Preserved:
        """Preserves an object of the store, such as an uploaded master: what happens to that later does not touch it.

        Raises:
            FileNotFoundError: there is none.
        """
        async with self._objects.local_copy(object_key) as file:
            found = await asyncio.to_thread(_digested, file)
            await self._objects.add_file(file, evidence_key(organisation_id, found.sha256))
        return found

    async def content(self, organisation_id: str, data: bytes) -> Preserved:
        """Preserves bytes."""
        found = Preserved(hashlib.sha256(data).hexdigest(), len(data))
        with tempfile.TemporaryDirectory(prefix="reelmesh-evidence-") as folder:
            file = Path(folder) / found.sha256
            await asyncio.to_thread(file.write_bytes, data)
            await self._objects.add_file(file, evidence_key(organisation_id, found.sha256))
        return found

    async def parts(self, evidence: Evidence) -> AsyncIterator[bytes]:
        """The bytes, part by part, after their digest was computed anew.

        Raises:
            Refusal: LEAK_EVIDENCE_DAMAGED.
        """
        try:
            async with self._objects.local_copy(evidence.object_key) as file:
                found = await asyncio.to_thread(_digested, file)
                if found.sha256 != evidence.sha256:
                    raise refusals.evidence_damaged(evidence.evidence_id)
                for start in range(0, found.size_bytes, _PART):
                    yield await asyncio.to_thread(_part, file, start)
        except FileNotFoundError:
            raise refusals.evidence_damaged(evidence.evidence_id) from None


def _digested(file: Path) -> Preserved:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return Preserved(digest, opened.tell())


def _part(file: Path, start: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read(_PART)
