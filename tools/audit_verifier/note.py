"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature), as a verifier needs them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_DASH: Final = "— "
SIGNATURE: Final = 1
COSIGNATURE: Final = 4


class Bad(ValueError):
    """Something is not what it should be; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A verifier key."""

    name: str
    kind: int
    public: bytes

    @classmethod
    def read(cls, text: str) -> Key:
        """Reads `<name>+<key id>+<base64>`.

        Raises:
            Bad: it is none.
        """
        name, _, rest = text.strip().partition("+")
        shown_id, _, encoded = rest.partition("+")
        material = _decoded(encoded)
        if not name or len(material) != 33 or material[0] not in (SIGNATURE, COSIGNATURE):
            raise Bad(f"{text!r} is no verifier key of Ed25519")
        key = cls(name, material[0], material[1:])
        if key.key_id.hex() != shown_id:
            raise Bad(f"the key id of {text!r} is another key's")
        return key

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256 of name, line feed, type, key."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.public).digest()[:4]

    def signed(self, text: str, signature: bytes) -> bool:
        """Whether the rest of a signature line, after the key id, is good."""
        message, signed = text.encode(), signature
        if self.kind == COSIGNATURE:
            message = f"cosignature/v1\ntime {int.from_bytes(signature[:8])}\n{text}".encode()
            signed = signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signed, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read and not judged yet: its text, and name, key id and signature of each line."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def read(cls, note: str) -> Note:
        """Reads a note.

        Raises:
            Bad: it has not the form of one.
        """
        text, blank, lines = note.rpartition("\n\n")
        if not blank or not lines.endswith("\n") or any(ord(one) < 32 and one != "\n" for one in note):
            raise Bad("it is no signed note: a text, an empty line, and lines with signatures")
        found = []
        for line in lines.splitlines():
            name, _, encoded = line.removeprefix(_DASH).partition(" ")
            signature = _decoded(encoded)
            if not line.startswith(_DASH) or not name or len(signature) < 5:
                raise Bad(f"{line!r} is no signature of a note")
            found.append((name, signature[:4], signature[4:]))
        return cls(text + "\n", tuple(found))

    def by(self, keys: Iterable[Key]) -> list[Key]:
        """Those of some keys that signed it.

        Raises:
            Bad: a line says to be of one of them, and is not.
        """
        found = []
        for key in keys:
            for name, key_id, signature in self.signatures:
                if (name, key_id) == (key.name, key.key_id):
                    if not key.signed(self.text, signature):
                        raise Bad(f"the signature of {name} is not good")
                    found.append(key)
        return found


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def read(cls, text: str) -> Checkpoint:
        """Reads the text of a note as a checkpoint.

        Raises:
            Bad: it is none.
        """
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or any(not line for line in lines[:-1]):
            raise Bad("it is no checkpoint: name, size and root of a log, each on a line")
        if not lines[1].isdecimal() or str(int(lines[1])) != lines[1]:
            raise Bad(f"{lines[1]!r} is no size of a tree")
        hashed = _decoded(lines[2])
        if len(hashed) != 32:
            raise Bad(f"{lines[2]!r} is no root of a tree")
        return cls(lines[0], int(lines[1]), hashed)


def signed_checkpoint(note: str, key: Key) -> tuple[Checkpoint, Note]:
    """Reads a checkpoint that a log signed, and judges its signature.

    Raises:
        Bad: it is none, is another log's, or was not signed by the key.
    """
    found = Note.read(note)
    checkpoint = Checkpoint.read(found.text)
    if checkpoint.origin != key.name:
        raise Bad(f"it is a checkpoint of {checkpoint.origin}, not of {key.name}")
    if not found.by([key]):
        raise Bad(f"it is not signed by {key.name} with the key {key.key_id.hex()}")
    return checkpoint, found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Bad(f"{text!r} is no base64") from error
