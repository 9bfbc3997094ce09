"""The root key in files, as it is or under a passphrase.

A folder of secrets holds up to three of them, 32 random bytes each: `root_key` wraps; `root_key.former`, the one before, and
`root_key.next`, which is handed out to all hosts ahead of its time, only open. Under a passphrase the bytes are sealed by AES-256-GCM under a
key that Argon2id (RFC 9106) makes of it, within a JSON object that says how. Nobody but its owner may read or write such a file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.drm.keystores.keystore import KEY_BYTES, WrongKeystore

ROOT_KEY_FILE: Final = "root_key"
NEXT: Final = "root_key.next"
FORMER: Final = "root_key.former"
SHORTEST_PASSPHRASE: Final = 12
"""Characters: Argon2id makes each guess dear, and cannot make up for a short word."""

_KIND: Final = "reelmesh root key under a passphrase"
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
# The second recommended option of RFC 9106 §4: 64 MiB, three passes, four lanes.
_PASSES: Final = 3
_MEMORY_KIB: Final = 64 * 1024
_LANES: Final = 4
_MOST_MEMORY_KIB: Final = 1024 * 1024
_MOST_PASSES: Final = 32

Passphrase = Callable[[], str]
"""Gives the passphrase; an empty one when none is set."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How a key is made of a passphrase."""

    salt: bytes
    passes: int = _PASSES
    memory_kib: int = _MEMORY_KIB
    lanes: int = _LANES

    def key(self, passphrase: str) -> bytes:
        return hash_secret_raw(
            passphrase.encode(), self.salt, self.passes, self.memory_kib, self.lanes, KEY_BYTES, Type.ID
        )


def root_id_of(root_key: bytes) -> str:
    """Names a root key without telling it: the first 64 bits of a keyed digest."""
    return "file:" + hmac.digest(root_key, b"reelmesh root key id", hashlib.sha256)[:8].hex()


def new_root_key() -> bytes:
    """256 random bits that do not end like a line, because readers of secret files forgive a line end."""
    while (key := secrets.token_bytes(KEY_BYTES)).endswith(b"\n"):
        pass
    return key


def under_passphrase(root_key: bytes, passphrase: str) -> bytes:
    """The content of a file that opens with the passphrase only.

    Raises:
        WrongKeystore: the passphrase is too short.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise WrongKeystore(
            f"the passphrase has {len(passphrase)} characters; take at least {SHORTEST_PASSPHRASE}, such as five words"
        )
    recipe = _Recipe(secrets.token_bytes(_SALT_BYTES))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    head = {
        "kind": _KIND,
        "kdf": "argon2id",
        "salt": b64encode(recipe.salt).decode(),
        "passes": recipe.passes,
        "memory_kib": recipe.memory_kib,
        "lanes": recipe.lanes,
    }
    sealed = AESGCM(recipe.key(passphrase)).encrypt(nonce, root_key, _bound_to(head))
    return json.dumps(head | {"sealed": b64encode(nonce + sealed).decode()}, indent=1).encode() + b"\n"


def is_under_passphrase(content: bytes) -> bool:
    """Whether a file's content asks for a passphrase."""
    return content[:1] == b"{" and len(content) != KEY_BYTES


def opened(content: bytes, passphrase: Passphrase, name: str) -> bytes:
    """The root key in a file's content.

    Raises:
        WrongKeystore: the content is no root key, or the passphrase is missing or another one.
    """
    if not is_under_passphrase(content):
        if len(content) != KEY_BYTES:
            raise WrongKeystore(
                f"{name} has {len(content)} bytes, where a root key has {KEY_BYTES} bytes; restore it from its backup, or from its shares by "
                "`reelmesh keys recover`"
            )
        return content
    try:
        said = json.loads(content)
        head = {key: said[key] for key in ("kind", "kdf", "salt", "passes", "memory_kib", "lanes")}
        recipe = _Recipe(b64decode(said["salt"]), int(said["passes"]), int(said["memory_kib"]), int(said["lanes"]))
        sealed = b64decode(said["sealed"])
        if head["kind"] != _KIND or recipe.memory_kib > _MOST_MEMORY_KIB or recipe.passes > _MOST_PASSES:
            raise ValueError(head["kind"])
    except (ValueError, KeyError, TypeError):
        raise WrongKeystore(f"{name} is damaged: restore it from its backup or from its shares") from None
    word = passphrase()
    if not word:
        raise WrongKeystore(
            f"{name} is under a passphrase: name a file that holds it by REELMESH_DRM_ROOT_PASSPHRASE_FILE, or set "
            "REELMESH_DRM_ROOT_PASSPHRASE"
        )
    try:
        return AESGCM(recipe.key(word)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(head))
    except (InvalidTag, ValueError):
        raise WrongKeystore(f"the passphrase does not open {name}, or the file was altered") from None


def _bound_to(head: dict[str, object]) -> bytes:
    return json.dumps(head, sort_keys=True).encode()


def private(file: Path) -> None:
    """Goes on when nobody but its owner may read or write a file.

    Raises:
        WrongKeystore: others may.
    """
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise WrongKeystore(
            f"{file} has mode {mode:04o}, so others than its owner may get at the root key: `chmod 600 {file}`, and change the root key "
            "(`reelmesh keys rotate --root`) if somebody may have read it"
        )


class RootFiles:
    """The files of one folder.

    Args:
        passphrase: gives the passphrase when a file asks for one.
    """

    def __init__(self, folder: Path, passphrase: Passphrase = str) -> None:
        self._folder = folder
        self._passphrase = passphrase

    def read(self) -> Sequence[bytes]:
        """The root keys that there are; the one that wraps comes first.

        Raises:
            WrongKeystore: there is none, others may read it, or it does not open.
        """
        found = [self._read(name) for name in (ROOT_KEY_FILE, NEXT, FORMER) if (self._folder / name).exists()]
        if not (self._folder / ROOT_KEY_FILE).exists():
            raise WrongKeystore(
                f"there is no root key at {self._folder / ROOT_KEY_FILE}: restore it from its backup, or from its shares by "
                "`reelmesh keys recover`; a new one would open nothing that is stored"
            )
        return found

    def state(self) -> tuple[tuple[str, int, int], ...]:
        """Changes when a file does."""
        found = []
        for name in (ROOT_KEY_FILE, NEXT, FORMER):
            try:
                about = (self._folder / name).stat()
            except FileNotFoundError:
                continue
            found.append((name, about.st_mtime_ns, about.st_ino))
        return tuple(found)

    @property
    def protected(self) -> bool:
        """Whether the root key lies under a passphrase."""
        return is_under_passphrase((self._folder / ROOT_KEY_FILE).read_bytes())

    def rotate(self) -> bytes:
        """Makes `root_key` the former one and another, `root_key.next` where there is one, the one that wraps. Returns that."""
        if (self._folder / FORMER).exists():
            raise WrongKeystore(
                f"{self._folder / FORMER} is still there, so an earlier change of the root key is not finished; `reelmesh keys rotate --root` "
                "goes on with it"
            )
        old = (self._folder / ROOT_KEY_FILE).read_bytes()
        ahead = self._folder / NEXT
        key = self._read(NEXT) if ahead.exists() else new_root_key()
        # In this order a crash at any moment leaves every key that anything may be wrapped by.
        write(self._folder / FORMER, old)
        # Whoever sets a passphrase later gets it with the next root key.
        self.write(key, protect=is_under_passphrase(old) or bool(self._passphrase()))
        ahead.unlink(missing_ok=True)
        return key

    def write(self, root_key: bytes, *, protect: bool) -> None:
        """Puts a root key in place, under the passphrase if so wished."""
        content = under_passphrase(root_key, self._passphrase()) if protect else root_key
        write(self._folder / ROOT_KEY_FILE, content)

    def drop_former(self) -> None:
        """Removes the former root key."""
        former = self._folder / FORMER
        if former.exists():
            # What it wrapped is in backups of the database still, so the bytes go too, as far as the disk lets them.
            with former.open("r+b") as file:
                file.write(b"\0" * former.stat().st_size)
                file.flush()
                os.fsync(file.fileno())
            former.unlink()

    def _read(self, name: str) -> bytes:
        file = self._folder / name
        private(file)
        return opened(file.read_bytes(), self._passphrase, str(file))


def write(file: Path, content: bytes) -> None:
    """Writes a secret file: whole or not at all, on disk when this returns, and its owner's alone."""
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
