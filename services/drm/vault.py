"""Content keys, made and opened within a caller's transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from services.drm import store
from services.drm.domain import ContentKey, key_not_found, keystore_locked
from services.drm.keystore import KeyEncryptionKey, Keystore, Locked
from services.drm.store import SealedKey, WrappedKek
from services.kit.database import Tx
from services.kit.ids import new_id

_MOST_OPEN: Final = 1024
_KEY_BYTES: Final = 16


class Vault:
    """Opens and closes what the store keeps.

    Args:
        kept_open: seconds for which an opened key-encryption key is kept, so that not every licence asks the keystore.
    """

    def __init__(self, keystore: Keystore, kept_open: float) -> None:
        self._keystore = keystore
        self._kept_open = kept_open
        self._open: dict[str, tuple[KeyEncryptionKey, float]] = {}

    async def keys_for(self, tx: Tx, organisation_id: str, package_id: str, labels: Sequence[str]) -> list[ContentKey]:
        """The keys of a package by label, in the order asked; those that do not exist yet are made.

        Raises:
            Refusal: KEYSTORE_LOCKED, or KEY_NOT_FOUND when the package's keys belong to another organisation.
        """
        found = await store.keys_by_label(tx, package_id, labels)
        missing = [label for label in labels if label not in found]
        if missing:
            kek = await self._sealing_kek(tx, organisation_id)
            await store.add_keys(
                tx, [self._sealed(kek, organisation_id, package_id, ContentKey.new(label)) for label in missing]
            )
            found = await store.keys_by_label(tx, package_id, labels)
        if any(key.organisation_id != organisation_id for key in found.values()):
            raise key_not_found(package_id)
        return [await self._unsealed(tx, found[label]) for label in labels]

    async def keys_by_id(self, tx: Tx, package_id: str, key_ids: Sequence[bytes]) -> list[ContentKey]:
        """Those of the asked keys that the package has, in the order asked.

        Raises:
            Refusal: KEYSTORE_LOCKED.
        """
        found = await store.keys_by_id(tx, package_id, key_ids)
        return [await self._unsealed(tx, found[key_id]) for key_id in key_ids if key_id in found]

    async def _sealing_kek(self, tx: Tx, organisation_id: str) -> WrappedKek:
        kek = await store.newest_kek(tx, organisation_id)
        if kek is None:
            await store.add_kek(
                tx, WrappedKek(new_id("kek"), organisation_id, 1, self._keystore.new_key_encryption_key())
            )
            kek = await store.newest_kek(tx, organisation_id)
        assert kek is not None
        return kek

    def _sealed(self, kek: WrappedKek, organisation_id: str, package_id: str, key: ContentKey) -> SealedKey:
        unsealed = SealedKey(key.key_id, package_id, key.label, organisation_id, kek.kek_id, 1, b"")
        sealed = self._opened(kek).seal(key.key + key.iv, unsealed.bound_to)
        return SealedKey(key.key_id, package_id, key.label, organisation_id, kek.kek_id, 1, sealed)

    def unsealed(self, key: SealedKey, kek: WrappedKek) -> ContentKey:
        """Opens a content key with the key-encryption key that it is sealed under.

        Raises:
            Refusal: KEYSTORE_LOCKED.
        """
        return self._unsealed_with(key, self._kept(kek.kek_id) or self._opened(kek))

    async def _unsealed(self, tx: Tx, key: SealedKey) -> ContentKey:
        opened = self._kept(key.kek_id) or self._opened(await store.kek(tx, key.kek_id))
        return self._unsealed_with(key, opened)

    def _kept(self, kek_id: str) -> KeyEncryptionKey | None:
        known = self._open.get(kek_id)
        return None if known is None or known[1] < time.monotonic() else known[0]

    @staticmethod
    def _unsealed_with(key: SealedKey, opened: KeyEncryptionKey) -> ContentKey:
        try:
            secret = opened.unseal(key.sealed, key.bound_to)
        except Locked:
            raise keystore_locked(key.kek_id) from None
        return ContentKey(key.label, key.key_id, secret[:_KEY_BYTES], secret[_KEY_BYTES:])

    def _opened(self, kek: WrappedKek) -> KeyEncryptionKey:
        try:
            opened = self._keystore.open(kek.wrapped)
        except Locked:
            raise keystore_locked(kek.kek_id) from None
        if len(self._open) >= _MOST_OPEN:
            self._open.clear()
        self._open[kek.kek_id] = (opened, time.monotonic() + self._kept_open)
        return opened
