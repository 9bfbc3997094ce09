"""Keeps key-encryption keys encrypted to the escrow, and takes them back in when they come out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import grpc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from services.drm import store as keys
from services.drm import uses
from services.drm.domain import DOMAIN
from services.drm.escrow import store
from services.drm.escrow.store import Escrow
from services.drm.keks import Keks, asked
from services.drm.keystores.keystore import AesGcmKey, Keystore, Locked
from services.drm.store import WrappedKek
from services.drm.uses import Action, Use
from services.kit.clock import Clock
from services.kit.database import Tx
from services.kit.errors import Refusal

_SHORTEST_BITS = 3072


def checked(escrow: Escrow) -> Escrow:
    """The escrow, if it is one that can be trusted to hold.

    Raises:
        Refusal: ESCROW_INVALID.
    """
    if escrow.threshold > escrow.share_count:
        raise _invalid(f"{escrow.threshold} shares of {escrow.share_count} can never come together; ask for fewer")
    try:
        public = load_der_public_key(escrow.public_key)
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size < _SHORTEST_BITS:
        raise _invalid(f"the public key must be RSA of {_SHORTEST_BITS} bits or more, as DER of SubjectPublicKeyInfo")
    return escrow


class Keeping:
    """What the service does with its escrow."""

    def __init__(self, keks: Keks, clock: Clock) -> None:
        self._keks = keks
        self._clock = clock

    async def complete(self, tx: Tx, actor: str = "service/drm") -> int:
        """Encrypts to the escrow in force what is not yet, as far as it opens. Returns how many that were."""
        into = await store.current(tx)
        if into is None:
            return 0
        wanted = await store.missing(tx, into.escrow_id)
        if not wanted:
            return 0
        encrypted = await asked("", lambda: _encrypted(self._keks.keystore, wanted, into.public_key))
        now = self._clock.now()
        await store.keep(tx, into.escrow_id, encrypted)
        await uses.note(
            tx,
            [
                Use.of(
                    kek.organisation_id,
                    Action.KEK_ESCROWED,
                    actor,
                    now,
                    kek_id=kek.kek_id,
                    detail=into.escrow_id,
                )
                for kek in wanted
                if kek.kek_id in encrypted
            ],
        )
        return len(encrypted)

    async def restore(self, tx: Tx, restored: Mapping[str, bytes], actor: str) -> int:
        """Wraps keys by the root key of today that came out of the escrow; those that open already stay as they are. Returns how many
        were wrapped.

        Raises:
            Refusal: KEY_MISMATCH, KEYSTORE_UNREACHABLE.
        """
        done = 0
        for kek_id in sorted(restored):
            kek = await keys.kek_locked(tx, kek_id)
            if kek is None or not kek.wrapped:
                raise key_mismatch(kek_id)
            if kek.check_value:
                _check(kek, restored[kek_id])
            taken = await asked(kek_id, partial(_taken_in, self._keks.keystore, kek, restored[kek_id]))
            if taken is None:
                continue
            wrapped, root_id = taken
            await keys.rewrap_kek(tx, kek_id, wrapped, root_id, kek.check_value)
            use = Use.of(
                kek.organisation_id, Action.KEK_RESTORED, actor, self._clock.now(), kek_id=kek_id, detail=root_id
            )
            await uses.note(tx, [use])
            done += 1
        return done


def opens(keystore: Keystore, kek: WrappedKek) -> bool:
    """Whether the root key of today opens a key-encryption key.

    Raises:
        Unreachable: see there.
    """
    try:
        keystore.open(kek.wrapped).close()
    except Locked:
        return False
    return True


def _taken_in(keystore: Keystore, kek: WrappedKek, bare: bytes) -> tuple[bytes, str] | None:
    """A key wrapped by the root key of today, and the name of that; None when it opens already."""
    return None if opens(keystore, kek) else (keystore.wrapped(bare), keystore.root_id())


def key_mismatch(kek_id: str) -> Refusal:
    """A key is not the one that it is said to be."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "KEY_MISMATCH",
        f"what came back is not the key {kek_id} of this install, so nothing was changed; bring the shares of this install's escrow together",
        domain=DOMAIN,
        metadata={"kek_id": kek_id},
    )


def escrow_missing() -> Refusal:
    """There is no escrow."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "ESCROW_MISSING",
        "there is no escrow yet; `reelmesh keys escrow` makes one and shows its shares",
        domain=DOMAIN,
    )


def _check(kek: WrappedKek, bare: bytes) -> None:
    try:
        AesGcmKey(bare).unseal(kek.check_value, kek.kek_id.encode())
    except Locked:
        raise key_mismatch(kek.kek_id) from None


def _encrypted(keystore: Keystore, wanted: Sequence[WrappedKek], public_key: bytes) -> dict[str, bytes]:
    encrypted = {}
    for kek in wanted:
        try:
            encrypted[kek.kek_id] = keystore.escrowed(kek.wrapped, public_key)
        except Locked:  # it waits for whoever brings the root key, or the shares of the escrow before, back
            continue
    return encrypted


def _invalid(why: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "ESCROW_INVALID", why, domain=DOMAIN)
