"""What a way of anchoring is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

EVM: Final = "evm-"
"""How the name of an anchor on an EVM chain begins; the chain's id follows."""
OPENTIMESTAMPS: Final = "opentimestamps"


class Trouble(Exception):
    """Something is in the way for now. The message says what, and how to mend it; it holds no address that could carry a credential."""


class NotInstalled(Exception):
    """A way of anchoring is set whose library is not there."""

    def __init__(self, way: str, library: str) -> None:
        super().__init__(f"{way} needs the library {library}: install Reelmesh with the extra `anchoring`")


@dataclass(frozen=True, slots=True)
class Pending:
    """A checkpoint that is being anchored.

    Attributes:
        anchor_id: by which it is known.
        tree_size: leaves of the tree that it is of.
        root: root of that tree, 32 bytes.
        note: the checkpoint, with the log's own signature.
    """

    anchor_id: str
    tree_size: int
    root: bytes
    note: str

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.note.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Where an anchor lies for good.

    Attributes:
        block_number: number of the block, of Bitcoin's for OpenTimestamps.
        transaction_hash: on an EVM chain; empty otherwise.
        block_hash: of that block on an EVM chain; empty otherwise.
    """

    block_number: int
    transaction_hash: str = ""
    block_hash: str = ""


class Anchor(Protocol):
    """A way of anchoring.

    Attributes:
        name: by which it is known, such as `evm-1`.
        at_once: how many anchors may be pending.
        followed_for: after how long one that is not confirmed is let be, so that what was lost elsewhere does not keep others from being begun.
    """

    name: str
    at_once: int
    followed_for: timedelta

    async def submit(self, pending: Pending) -> None:
        """Sees to it that a checkpoint is out there. Called again and again until it is confirmed, by one process at a time, also after
        one that died in the middle: what was sent must be known by what was committed before.

        Raises:
            Trouble: it cannot be done now.
        """

    async def confirm(self, pending: Pending) -> Confirmation | None:
        """Where it lies, once that is for good; None until then.

        Raises:
            Trouble: that cannot be found out now.
        """


_HOST: Final = re.compile(r"\b[a-z]+://\S+|/\S*[0-9A-Za-z_-]{16,}\S*", re.IGNORECASE)


def without_addresses(text: str) -> str:
    """A library's words without addresses: those of nodes carry keys."""
    return _HOST.sub("…", text)[:300]


def since(begin: datetime, now: datetime) -> float:
    """Seconds from one moment to another."""
    return (now - begin).total_seconds()
