"""The keystore with its root key in a file: AES-KW (RFC 3394) around key-encryption keys of 256 bits."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from services.drm.keystores.escrow_key import encrypted
from services.drm.keystores.keystore import KEY_BYTES, AesGcmKey, KeyEncryptionKey, Locked, WrongKeystore
from services.drm.keystores.root_files import Passphrase, RootFiles, root_id_of


class FileKeystore:
    """Wraps with the first of the root keys, and opens with all of them.

    Args:
        roots: root keys, 32 bytes each; the one that wraps comes first.
        files: where they come from; they are read again when something does not open and they have changed.
    """

    waits = False

    def __init__(self, *roots: bytes, files: RootFiles | None = None) -> None:
        for root in roots:
            if len(root) != KEY_BYTES:
                raise ValueError(f"the root key must be {KEY_BYTES} bytes long, not {len(root)}")
        self._roots: Sequence[bytes] = roots
        self._files = files
        self._state = files.state() if files else ()

    @classmethod
    def at(cls, folder: Path, passphrase: Passphrase = str) -> FileKeystore:
        """The keystore of a folder of secrets.

        Raises:
            WrongKeystore: there is no root key, others may read it, or it does not open.
        """
        files = RootFiles(folder, passphrase)
        return cls(*files.read(), files=files)

    def root_id(self) -> str:
        self._read_again()
        return root_id_of(self._roots[0])

    def new_key_encryption_key(self) -> bytes:
        return self.wrapped(secrets.token_bytes(KEY_BYTES))

    def open(self, wrapped: bytes) -> KeyEncryptionKey:
        return AesGcmKey(self._unwrapped(wrapped))

    def rewrapped(self, wrapped: bytes) -> bytes:
        return self.wrapped(self._unwrapped(wrapped))

    def wrapped(self, key: bytes) -> bytes:
        return aes_key_wrap(self._roots[0], key)

    def escrowed(self, wrapped: bytes, public_key: bytes) -> bytes:
        return encrypted(self._unwrapped(wrapped), public_key)

    def add_root(self) -> str:
        if self._files is None:
            raise WrongKeystore("this root key does not lie in a file, so no other one can be put in its place")
        self._files.rotate()
        return self.root_id()

    def drop_former_roots(self) -> Sequence[str]:
        if self._files is None:
            return []
        former = [root_id_of(root) for root in self._roots[1:]]
        self._files.drop_former()
        self._read_again()
        return former

    def close(self) -> None:
        """There are no connections."""

    def _unwrapped(self, wrapped: bytes) -> bytes:
        for known in (self._roots, self._read_again()):
            for root in known:
                try:
                    return aes_key_unwrap(root, wrapped)
                except (InvalidUnwrap, ValueError):
                    continue
        # Without the cause: its traceback would hold the keys.
        raise Locked("the root key does not open this key-encryption key") from None

    def _read_again(self) -> Sequence[bytes]:
        """Takes up root keys that were put in place by somebody else, on this host or by whoever mounts secrets here."""
        if self._files is None or (state := self._files.state()) == self._state:
            return self._roots
        try:
            self._roots = self._files.read()
        except (WrongKeystore, OSError):  # half in place: it is looked at again the next time
            return self._roots
        self._state = state
        return self._roots
