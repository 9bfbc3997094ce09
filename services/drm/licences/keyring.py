"""Sealed keys of the packages that are being played, by heart: rows that open nothing without the key above them.

So a licence costs no look into the database, and licences of what is being played go on while it is away. Content keys are opened for each
licence anew, and never kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from services.drm import store
from services.drm.domain import ContentKey, key_not_found
from services.drm.store import SealedKey, WrappedKek
from services.drm.vault import Vault
from services.kit.database import Database
from services.kit.errors import Refusal, unavailable
from services.kit.server import as_refusal

log = structlog.stdlib.get_logger()

_KEPT: Final = 10_000
"""Packages; each takes about a kilobyte."""
_PATIENCE: Final = 1.0
"""Seconds that a database which does not answer is waited for while there is something to go on with."""
_LOOK_AGAIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Package:
    keys: Mapping[bytes, SealedKey]
    keks: Mapping[str, WrappedKek]
    seen: float
    fresh_until: float


class KeyRing:
    """Finds and opens the keys of packages.

    Args:
        fresh_for: seconds after which a package is looked up again, such as for keys that were sealed anew.
        kept_for: seconds for which one goes on without having been looked up while the database is away.
    """

    def __init__(self, database: Database, vault: Vault, *, fresh_for: float, kept_for: float) -> None:
        self._database = database
        self._vault = vault
        self._fresh_for = fresh_for
        self._kept_for = kept_for
        self._packages: OrderedDict[str, _Package] = OrderedDict()
        self._looking: dict[str, asyncio.Task[_Package]] = {}

    def forget(self, package_id: str = "") -> None:
        """Keys of a package, or of all, were sealed anew or taken away: they are looked up again."""
        if package_id:
            self._packages.pop(package_id, None)
        else:
            self._packages.clear()

    async def labels(self, package_id: str, key_ids: Sequence[bytes]) -> Mapping[bytes, str]:
        """Label of each of the keys that the package has, in the order asked.

        Raises:
            Refusal: DEPENDENCY_UNAVAILABLE: the database is away and the package is not known by heart.
        """
        package = self._packages.get(package_id)
        if package is None or time.monotonic() >= package.fresh_until or self._lacks(package, key_ids):
            package = await self._looked_up(package_id, package)
        return {key_id: package.keys[key_id].label for key_id in key_ids if key_id in package.keys}

    async def organisation(self, package_id: str) -> str:
        """Whose package it is; empty when it has no keys.

        Raises:
            Refusal: DEPENDENCY_UNAVAILABLE, as `labels`.
        """
        package = self._packages.get(package_id)
        if package is None or time.monotonic() >= package.fresh_until:
            package = await self._looked_up(package_id, package)
        return next((key.organisation_id for key in package.keys.values()), "")

    async def opened(self, package_id: str, key_ids: Sequence[bytes]) -> tuple[ContentKey, ...]:
        """Keys that `labels` named a moment ago, opened.

        Raises:
            Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE.
        """
        package = self._packages.get(package_id)
        if package is None:  # forgotten in between
            raise key_not_found(package_id)
        try:
            return await self._unsealed(package, key_ids)
        except Refusal as refusal:
            if refusal.reason != "KEYSTORE_LOCKED":
                raise
        # What is known by heart may be older than the last change of the root key, or than its recovery.
        package = await self._looked_up(package_id, None)
        if any(key_id not in package.keys for key_id in key_ids):
            raise key_not_found(package_id)
        return await self._unsealed(package, key_ids)

    async def _unsealed(self, package: _Package, key_ids: Sequence[bytes]) -> tuple[ContentKey, ...]:
        found = [package.keys[key_id] for key_id in key_ids]
        return tuple([await self._vault.unsealed(key, package.keks[key.kek_id]) for key in found])

    @staticmethod
    def _lacks(package: _Package, key_ids: Sequence[bytes]) -> bool:
        """Whether a key is asked for that was not there a while ago: it may have been made since."""
        return any(key_id not in package.keys for key_id in key_ids) and time.monotonic() > package.seen + _LOOK_AGAIN

    async def _looked_up(self, package_id: str, before: _Package | None) -> _Package:
        task = self._looking.get(package_id)
        if task is None:
            task = self._looking[package_id] = asyncio.create_task(self._look(package_id, before))
            task.add_done_callback(lambda _: self._looking.pop(package_id, None))
        return await asyncio.shield(task)

    async def _look(self, package_id: str, before: _Package | None) -> _Package:
        try:
            async with asyncio.timeout(_PATIENCE if before else None), self._database.transaction() as tx:
                keys = await store.keys_of(tx, package_id)
                keks = {kek_id: await store.kek(tx, kek_id) for kek_id in {key.kek_id for key in keys.values()}}
        except Exception as error:
            now, refusal = time.monotonic(), as_refusal(error)
            if refusal is None:
                raise
            if before is None or now > before.seen + self._kept_for or not _away(refusal):
                raise unavailable("the database") from error
            log.warning("the database is away: keys go on from memory", package_id=package_id)
            package = replace(before, fresh_until=now + _LOOK_AGAIN)
        else:
            now = time.monotonic()
            package = _Package(keys, keks, now, now + self._fresh_for)
        self._packages[package_id] = package
        self._packages.move_to_end(package_id)
        if len(self._packages) > _KEPT:
            self._packages.popitem(last=False)
        return package


def _away(refusal: Refusal) -> bool:
    return refusal.reason in {"DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED"}
