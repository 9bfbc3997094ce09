"""What can be wrong with an SPC, as typed exceptions with the numbers that Key Security Modules have for it (FairPlay Streaming Programming
Guide, −42580 … −42591)."""

from __future__ import annotations

from typing import ClassVar


class KsmError(Exception):
    """An SPC gets no CKC.

    Attributes:
        status: the number that Apple's own module answers with in this case.
    """

    status: ClassVar[int] = -42585

    @property
    def kind(self) -> str:
        """Name of what is wrong."""
        return type(self).__name__


class UnknownSpcVersion(KsmError):
    """The container has a version that this module does not read."""

    status = -42580


class Malformed(KsmError):
    """The container or a TLLV in it is not of the form that it must have."""

    status = -42581


class CkcFailed(KsmError):
    """A CKC cannot be made of what is given."""

    status = -42582


class MissingTag(KsmError):
    """A TLLV that must be there is not."""

    status = -42583


class UnknownAsset(KsmError):
    """The asset id names no key."""

    status = -42584


class UnusableParameter(KsmError):
    """Something that came along cannot be used as it is."""

    status = -42585


class OutOfMemory(KsmError):
    """The module had no memory left. Only ever said by a module that we forward to."""

    status = -42586


class NotProvided(KsmError):
    """A file that the module needs, such as its certificate, is not there."""

    status = -42587


class CryptographyFailed(KsmError):
    """The key in the SPC does not open with the private key, or an operation on keys failed."""

    status = -42588


class BrokenIntegrity(KsmError):
    """Session key and R1 are not what the device bound together, or the application secret key is another one."""

    status = -42589


class UnknownProtocolVersion(KsmError):
    """The device speaks a version of the protocol that this module does not."""

    status = -42590


class DuplicateTag(KsmError):
    """A TLLV that may be there once is there twice."""

    status = -42591


class RefusedByServer(KsmError):
    """Apple's server refuses with a number of its own.

    Args:
        status: that number.
    """

    def __init__(self, what: str, status: int) -> None:
        super().__init__(what)
        self.status = status  # type: ignore[misc] # what the others have by class, this one has by instance


BY_STATUS = {kind.status: kind for kind in KsmError.__subclasses__() if kind is not RefusedByServer}
"""The exception of each number."""
