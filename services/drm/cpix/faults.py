"""What can be wrong with a document. Each carries words that may be shown to its sender: never a value out of it that could be secret."""

from __future__ import annotations


class Fault(Exception):
    """Something is wrong with a document.

    Attributes:
        words: what, as the specification words it where it does.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Malformed(Fault):
    """It is no CPIX document, or one that nobody should read: a DTD, a strange encoding, an element where none belongs."""


class Refused(Fault):
    """It is CPIX, but not what SPEKE asks for."""


class SignatureInvalid(Fault):
    """A signature is not good, does not cover what it should, or is of nobody who is known."""


class CertificateUnusable(Fault):
    """A certificate cannot be read, is too weak, or is not valid now."""


class MacInvalid(Fault):
    """An encrypted key was altered on its way: its MAC is another one, or is missing."""


class NotForUs(Fault):
    """The document is not encrypted to this recipient."""
