"""Signed notes, checkpoints and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature). Pure: no I/O.

A checkpoint is a text of three lines, the log's name, its size and its root; a blank line; and a line for each signature,
`— <name> base64(key id ‖ signature)`. The log signs the text itself (Ed25519, type 0x01), a witness a text that begins with the time at which it
saw it (type 0x04).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519: Final = 0x01
_COSIGNATURE: Final = 0x04
_DASH: Final = "— "
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_KEY_BYTES: Final = 32
_NAME: Final = re.compile(r"[^\s+]+")


class BadKey(ValueError):
    """Something is no verifier key; the message says why."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """Whose signature of which kind can be judged by it.

    Attributes:
        name: key name, such as `example.com/log`.
        kind: signature type identifier, one byte.
        public: the Ed25519 public key, 32 bytes (RFC 8032).
    """

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256 of name, line feed, type and key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        shown = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{shown}"

    @classmethod
    def parsed(cls, text: str) -> VerifierKey:
        """Reads `<name>+<key id>+<base64 of type and key>`.

        Raises:
            BadKey: it is none, or its key id is another's.
        """
        name, _, rest = text.strip().partition("+")
        shown_id, _, encoded = rest.partition("+")
        try:
            material = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise BadKey(f"{text!r} does not end with base64") from error
        if not _NAME.fullmatch(name) or len(material) != 1 + _KEY_BYTES or material[0] not in (_ED25519, _COSIGNATURE):
            raise BadKey(f"{text!r} is not `<name>+<key id>+<base64 of type 0x01 or 0x04 and an Ed25519 key>`")
        found = cls(name, material[0], material[1:])
        if found.key_id.hex() != shown_id:
            raise BadKey(f"the key id of {text!r} should be {found.key_id.hex()}")
        return found


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The text that a log signs."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def text_of(note: str) -> str:
    """The text of a note, without its signatures."""
    text, _, _ = note.rpartition("\n\n")
    return text + "\n"


class Signer:
    """The log's own key. `key` is the 32-byte seed of RFC 8032; `name` the origin of the log."""

    def __init__(self, name: str, key: bytes) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a log: it must have no spaces and no plus")
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self.name = name
        self.verifier_key = VerifierKey(name, _ED25519, self._key.public_key().public_bytes_raw())

    def checkpoint(self, size: int, root: bytes) -> str:
        """A signed checkpoint, which ends after its one signature."""
        text = checkpoint_text(self.name, size, root)
        line = base64.b64encode(self.verifier_key.key_id + self._key.sign(text.encode())).decode()
        return f"{text}\n{_DASH}{self.name} {line}\n"


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A line of a witness that was found good, and the time that it says."""

    witness: str
    line: str
    time: datetime


def good_cosignatures(text: str, lines: str, witnesses: tuple[VerifierKey, ...]) -> list[Cosignature]:
    """Those of some lines that are good cosignatures of known witnesses on a checkpoint's text. Whatever else stands there is ignored."""
    found = list[Cosignature]()
    for line in lines.splitlines():
        parts = line.removeprefix(_DASH).split(" ")
        if not line.startswith(_DASH) or len(parts) != 2:
            continue
        try:
            signature = base64.b64decode(parts[1], validate=True)
        except binascii.Error:
            continue
        found += [
            Cosignature(witness.name, line + "\n", moment)
            for witness in witnesses
            if witness.name == parts[0] and (moment := _cosigned(text, signature, witness)) is not None
        ]
    return found


def _cosigned(text: str, signature: bytes, witness: VerifierKey) -> datetime | None:
    """When a witness says that it cosigned; None when the signature is not good."""
    if witness.kind != _COSIGNATURE or signature[:_ID_BYTES] != witness.key_id:
        return None
    seconds = int.from_bytes(signature[_ID_BYTES : _ID_BYTES + _TIME_BYTES])
    message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
    try:
        Ed25519PublicKey.from_public_bytes(witness.public).verify(signature[_ID_BYTES + _TIME_BYTES :], message)
        return datetime.fromtimestamp(seconds, UTC)
    except (InvalidSignature, ValueError, OverflowError, OSError):
        return None
