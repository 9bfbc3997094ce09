"""Held masters, encrypted: sealed a megabyte at a time, so that files of any size can be, and opened the same way.

The form is that of age's payload (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015): a header of 8 bytes and 32 random
ones, from which and from the install's key this file's own key follows (HKDF, RFC 5869), then chunks under AES-256-GCM whose nonce counts
them and marks the last. A file that was cut short, or whose chunks changed places, cannot be opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.kit.storage import ObjectStore
from services.protection.scanners.domain import quarantine_key

KEY_FILE: Final = "quarantine_key"
"""The install's secret, 32 bytes, in the folder of secrets. Without it no held master can be looked at or released any more."""

_PARTIAL: Final = "quarantine/.partial"
_OLD_SECONDS: Final = 86_400.0
_MAGIC: Final = b"RMQUAR01"
_SALT: Final = 32
_CHUNK: Final = 1 << 20
_TAG: Final = 16


class EvidenceDamaged(Exception):
    """What lies in quarantine is not what was put there."""


class Quarantine:
    """The quarantine of an object store.

    Args:
        key: what `KEY_FILE` holds.
    """

    def __init__(self, objects: ObjectStore, key: bytes) -> None:
        if len(key) != hashlib.sha256().digest_size:
            raise ValueError(f"{KEY_FILE} must hold 32 bytes, not {len(key)}")
        self._objects = objects
        self._key = key

    async def holds(self, sha256: str) -> bool:
        """Whether a file with this content lies in it."""
        return await self._objects.size_of(quarantine_key(sha256)) is not None

    async def put(self, file: Path, sha256: str) -> str:
        """Seals a file whose content has this SHA-256, and leaves the file where it is. Returns the SHA-256 of what lies in quarantine
        then; what lay there before is kept if it can be opened.

        Raises:
            EvidenceDamaged: the file has another content.
        """
        if await self.holds(sha256):
            with contextlib.suppress(EvidenceDamaged):
                return await self.verified(sha256)
        async with self._beside(f"{sha256}.sealed") as target:
            sealed = await asyncio.to_thread(self._seal, file, target, sha256)
            await self._objects.put_file(target, quarantine_key(sha256))
        return sealed

    async def verified(self, sha256: str) -> str:
        """Opens what lies there, for nothing but to see that it can be. Returns the SHA-256 of the sealed file.

        Raises:
            EvidenceDamaged: it cannot.
        """
        async with self._objects.local_copy(quarantine_key(sha256)) as sealed:
            return await asyncio.to_thread(self._verify, sealed, sha256)

    async def restore(self, sha256: str, key: str) -> None:
        """Puts the file back into the store under `key`, in the clear.

        Raises:
            EvidenceDamaged: it cannot be opened.
        """
        async with (
            self._objects.local_copy(quarantine_key(sha256)) as sealed,
            self._beside(f"{sha256}.opened") as target,
        ):
            await asyncio.to_thread(self._open, sealed, target, sha256)
            await self._objects.add_file(target, key)

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """The file in the clear, a chunk at a time. A chunk that was changed is not handed out.

        Raises:
            EvidenceDamaged: it was.
        """
        async with self._objects.local_copy(quarantine_key(sha256)) as sealed:
            file = await asyncio.to_thread(sealed.open, "rb")
            with file:
                chunks = self._chunks(file, sha256)
                while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                    yield chunk

    async def destroy(self, sha256: str) -> None:
        """Removes the sealed file."""
        await self._objects.delete(quarantine_key(sha256))

    async def tidy(self) -> None:
        """Removes what processes left that died over a file which nobody asked for again."""
        if self._objects.is_local:
            await asyncio.to_thread(_remove_old, self._objects.path_of(_PARTIAL))

    @asynccontextmanager
    async def _beside(self, name: str) -> AsyncIterator[Path]:
        """A file to write, on the file system of the store where that is local, so that it only has to be renamed. What a process that died
        left of it is written over by whoever does the same again."""
        if not self._objects.is_local:
            with tempfile.TemporaryDirectory(prefix="reelmesh-quarantine-") as folder:
                yield Path(folder) / name
            return
        path = self._objects.path_of(f"{_PARTIAL}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _cipher(self, salt: bytes, sha256: str) -> AESGCM:
        purpose = f"reelmesh quarantine {sha256}".encode()
        return AESGCM(HKDF(SHA256(), 32, salt=salt, info=purpose).derive(self._key))

    def _seal(self, source: Path, target: Path, sha256: str) -> str:
        salt = secrets.token_bytes(_SALT)
        cipher, plain, whole = self._cipher(salt, sha256), hashlib.sha256(), hashlib.sha256()
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with source.open("rb") as file, os.fdopen(descriptor, "wb") as out:

            def write(data: bytes) -> None:
                whole.update(data)
                out.write(data)

            write(_MAGIC + salt)
            for number, (chunk, last) in enumerate(_with_last(file, _CHUNK)):
                plain.update(chunk)
                write(cipher.encrypt(_nonce(number, last=last), chunk, None))
            out.flush()
            os.fsync(out.fileno())
        if plain.hexdigest() != sha256:
            raise EvidenceDamaged(f"the master is not {sha256} any more")
        return whole.hexdigest()

    def _verify(self, sealed: Path, sha256: str) -> str:
        with sealed.open("rb") as file:
            for _ in self._chunks(file, sha256):
                pass
        with sealed.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _open(self, sealed: Path, target: Path, sha256: str) -> None:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with sealed.open("rb") as file, os.fdopen(descriptor, "wb") as out:
            for chunk in self._chunks(file, sha256):
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())

    def _chunks(self, file: BinaryIO, sha256: str) -> Iterator[bytes]:
        """The chunks in the clear; at the end the whole is compared with its sum."""
        header = file.read(len(_MAGIC) + _SALT)
        if not header.startswith(_MAGIC):
            raise EvidenceDamaged("this is no file of the quarantine")
        cipher, plain = self._cipher(header[len(_MAGIC) :], sha256), hashlib.sha256()
        for number, (chunk, last) in enumerate(_with_last(file, _CHUNK + _TAG)):
            try:
                clear = cipher.decrypt(_nonce(number, last=last), chunk, None)
            except InvalidTag as error:
                raise EvidenceDamaged(f"chunk {number} was changed, or another key sealed it") from error
            plain.update(clear)
            yield clear
        if plain.hexdigest() != sha256:
            raise EvidenceDamaged(f"what was sealed is not {sha256}")


def _with_last(file: BinaryIO, size: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces of a file, each with whether it is the last. An empty file has one, which is empty."""
    piece = file.read(size)
    while True:
        following = file.read(size)
        yield piece, not following
        if not following:
            return
        piece = following


def _remove_old(folder: Path) -> None:
    before = time.time() - _OLD_SECONDS
    for file in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # whoever works on it has just ended
            if file.stat().st_mtime < before:
                file.unlink()


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
