"""Content keys, made and opened within a caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.drm import store
from services.drm.domain import ContentKey, key_not_found, keys_revoked
from services.drm.keks import Keks
from services.drm.store import SealedKey, WrappedKek
from services.kit.database import Tx

_KEY_BYTES: Final = 16


class Vault:
    """Opens and closes what the store keeps."""

    def __init__(self, keks: Keks) -> None:
        self._keks = keks

    async def keys_for(self, tx: Tx, organisation_id: str, package_id: str, labels: Sequence[str]) -> list[ContentKey]:
        """The keys of a package by label, in the order asked; those that do not exist yet are made.

        Raises:
            Refusal: KEYSTORE_LOCKED, KEYSTORE_UNREACHABLE, KEYS_REVOKED, or KEY_NOT_FOUND when the package's keys belong to another
                organisation.
        """
        found = await store.keys_by_label(tx, package_id, labels)
        missing = [label for label in labels if label not in found]
        if missing:
            kek = await self._keks.sealing(tx, organisation_id)
            new = [await self._sealed(kek, organisation_id, package_id, ContentKey.new(label)) for label in missing]
            await store.add_keys(tx, new)
            found = await store.keys_by_label(tx, package_id, labels)
        if any(key.organisation_id != organisation_id for key in found.values()):
            raise key_not_found(package_id)
        if not all(key.sealed for key in found.values()):
            raise keys_revoked(package_id)
        return [await self._unsealed(tx, found[label]) for label in labels]

    async def keys_by_id(self, tx: Tx, package_id: str, key_ids: Sequence[bytes]) -> list[ContentKey]:
        """Those of the asked keys that the package has, in the order asked.

        Raises:
            Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE.
        """
        found = await store.keys_by_id(tx, package_id, key_ids)
        return [await self._unsealed(tx, found[key_id]) for key_id in key_ids if key_id in found]

    async def keys_given(
        self, tx: Tx, organisation_id: str, package_id: str, wanted: Sequence[ContentKey]
    ) -> list[ContentKey]:
        """The keys of these ids, in the order given; where one does not exist yet, it becomes what is wanted. For keys whose ids somebody else chose.

        Raises:
            Refusal: KEYSTORE_LOCKED, KEYSTORE_UNREACHABLE or KEYS_REVOKED.
        """
        key_ids = [key.key_id for key in wanted]
        found = await store.keys_by_id(tx, package_id, key_ids)
        missing = [key for key in wanted if key.key_id not in found]
        if missing:
            kek = await self._keks.sealing(tx, organisation_id)
            new = [await self._sealed(kek, organisation_id, package_id, key) for key in missing]
            await store.add_keys(tx, new)
            found = await store.keys_by_id(tx, package_id, key_ids)
        if len(found) < len(set(key_ids)):
            raise keys_revoked(package_id)
        return [await self._unsealed(tx, found[key_id]) for key_id in key_ids]

    async def unsealed(self, key: SealedKey, kek: WrappedKek) -> ContentKey:
        """Opens a content key with the key-encryption key that it is sealed under.

        Raises:
            Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE.
        """
        return _content_key(key, await self._keks.unseal_with(kek, key.sealed, key.bound_to))

    async def _sealed(self, kek: WrappedKek, organisation_id: str, package_id: str, key: ContentKey) -> SealedKey:
        unsealed = SealedKey(key.key_id, package_id, key.label, organisation_id, kek.kek_id, 1, b"")
        sealed = await self._keks.seal(kek, key.key + key.iv, unsealed.bound_to)
        return SealedKey(key.key_id, package_id, key.label, organisation_id, kek.kek_id, 1, sealed)

    async def _unsealed(self, tx: Tx, key: SealedKey) -> ContentKey:
        return _content_key(key, await self._keks.unseal(tx, key.kek_id, key.sealed, key.bound_to))


def _content_key(key: SealedKey, secret: bytes) -> ContentKey:
    return ContentKey(key.label, key.key_id, secret[:_KEY_BYTES], secret[_KEY_BYTES:])
