"""Key-encryption keys: made, opened for as long as they are needed, and given up."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from services.drm import store, uses
from services.drm.domain import keystore_locked, keystore_unreachable
from services.drm.escrow import store as escrow
from services.drm.keystores.keystore import KeyEncryptionKey, Keystore, Locked, Unreachable
from services.drm.store import WrappedKek
from services.drm.uses import Action, Use
from services.kit.clock import Clock
from services.kit.database import Tx
from services.kit.ids import new_id

_MOST_OPEN: Final = 1024

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Open:
    key: KeyEncryptionKey
    until: float


class Keks:
    """The organisations' key-encryption keys, by the keystore.

    Args:
        kept_open: seconds for which an opened one is kept, so that not every licence asks the keystore.
    """

    def __init__(self, keystore: Keystore, kept_open: float, clock: Clock) -> None:
        self.keystore = keystore
        self._kept_open = kept_open
        self._clock = clock
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._opening: dict[str, asyncio.Task[KeyEncryptionKey]] = {}

    async def sealing(self, tx: Tx, organisation_id: str) -> WrappedKek:
        """The one that seals an organisation's new keys; made when there is none.

        Raises:
            Refusal: KEYSTORE_UNREACHABLE.
        """
        kek = await store.newest_kek(tx, organisation_id)
        if kek is not None:
            return kek
        generation = await store.newest_generation(tx, organisation_id) + 1
        # Whoever made one between the two looks above made this generation's, which must not get a successor at once.
        kek = await store.newest_kek(tx, organisation_id)
        return kek or await self.add(tx, organisation_id, generation, "service/drm")

    async def add(self, tx: Tx, organisation_id: str, generation: int, actor: str) -> WrappedKek:
        """Makes one and keeps it, to the escrow's key too if there is an escrow. Another of this generation stays instead.

        Raises:
            Refusal: KEYSTORE_UNREACHABLE.
        """
        kek_id = new_id("kek")
        into = await escrow.current(tx)

        def make() -> tuple[WrappedKek, bytes]:
            wrapped = self.keystore.new_key_encryption_key()
            opened = self.keystore.open(wrapped)
            check_value = opened.seal(b"", kek_id.encode())
            opened.close()
            encrypted = self.keystore.escrowed(wrapped, into.public_key) if into else b""
            new = WrappedKek(kek_id, organisation_id, generation, wrapped, self.keystore.root_id(), check_value)
            return new, encrypted

        new, encrypted = await asked(kek_id, make)
        now = self._clock.now()
        if not await store.add_kek(tx, new, now):  # somebody was quicker
            there = await store.newest_kek(tx, organisation_id)
            assert there is not None
            return there
        use = Use.of(organisation_id, Action.KEK_CREATED, actor, now, kek_id=kek_id, detail=new.root_id)
        noted = [use]
        if into:
            await escrow.keep(tx, into.escrow_id, {kek_id: encrypted})
            noted.append(replace(use, use_id=new_id("kus"), action=int(Action.KEK_ESCROWED), detail=into.escrow_id))
        await uses.note(tx, noted)
        return new

    async def seal(self, kek: WrappedKek, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypts a secret.

        Raises:
            Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE.
        """
        key = await self._opened(kek.kek_id, lambda: kek)
        return await self._used(kek.kek_id, lambda: key.seal(secret, bound_to))

    async def unseal(self, tx: Tx, kek_id: str, sealed: bytes, bound_to: bytes) -> bytes:
        """Decrypts a secret.

        Raises:
            Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE.
        """
        key = await self.opened(tx, kek_id)
        return await self._used(kek_id, lambda: key.unseal(sealed, bound_to))

    async def unseal_with(self, kek: WrappedKek, sealed: bytes, bound_to: bytes) -> bytes:
        """Decrypts a secret with one whose row is at hand.

        Raises:
            Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE.
        """
        key = await self._opened(kek.kek_id, lambda: kek)
        return await self._used(kek.kek_id, lambda: key.unseal(sealed, bound_to))

    async def opened(self, tx: Tx, kek_id: str) -> KeyEncryptionKey:
        """One, ready for use; whoever has a lot to do uses it in a thread.

        Raises:
            Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE.
        """
        known = self._open.get(kek_id)
        if known is not None and known.until > time.monotonic():
            return known.key
        kek = await store.kek(tx, kek_id)
        return await self._opened(kek_id, lambda: kek)

    def forget(self, *, everything: bool = False) -> None:
        """Gives up what was kept open long enough, or all."""
        now = time.monotonic()
        for kek_id in [kek_id for kek_id, known in self._open.items() if everything or known.until <= now]:
            self._open.pop(kek_id).key.close()

    async def _opened(self, kek_id: str, wrapped: Callable[[], WrappedKek]) -> KeyEncryptionKey:
        known = self._open.get(kek_id)
        if known is not None and known.until > time.monotonic():
            return known.key
        # Whoever needs it at the same moment waits for the same answer: a keystore over the network is asked once.
        opening = self._opening.get(kek_id)
        if opening is None:
            kek = wrapped()
            opening = asyncio.create_task(asked(kek_id, lambda: self.keystore.open(kek.wrapped)))
            self._opening[kek_id] = opening
            opening.add_done_callback(lambda done: self._kept(kek_id, done))
        return await asyncio.shield(opening)

    def _kept(self, kek_id: str, done: asyncio.Task[KeyEncryptionKey]) -> None:
        self._opening.pop(kek_id, None)
        self.forget()
        if done.cancelled() or done.exception() is not None:
            return
        before = self._open.pop(kek_id, None)
        if before is not None:
            before.key.close()
        self._open[kek_id] = _Open(done.result(), time.monotonic() + self._kept_open)
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)[1].key.close()

    async def _used(self, kek_id: str, act: Callable[[], Answer]) -> Answer:
        if self.keystore.waits:
            return await asked(kek_id, act)
        try:
            return act()
        except Locked:
            raise keystore_locked(kek_id) from None


async def asked(kek_id: str, act: Callable[[], Answer]) -> Answer:
    """Asks the keystore in a thread of its own, because it may wait for hardware or a network.

    Raises:
        Refusal: KEYSTORE_LOCKED or KEYSTORE_UNREACHABLE.
    """
    try:
        return await asyncio.to_thread(act)
    except Locked:
        raise keystore_locked(kek_id) from None
    except Unreachable as error:
        raise keystore_unreachable(str(error)) from None
