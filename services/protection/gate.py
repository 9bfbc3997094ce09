"""The gate that every master passes before anything is made of it: what a check is asked, and what it may answer.

Checks are handed to `services.protection.scanners.wiring.start_scanners`, which asks them about each master that comes in, one after the
other until one finds something. Nothing is encoded before all of them have answered. A check says one of three things:

- it returns None: as far as it can tell, nothing is to be said against the master;
- it returns a `Finding`: the master is held, and people of the compliance role look at it;
- it raises `Unreachable`: what it works with is away. The master waits and is asked about again by itself. Any other exception does the
  same, and is logged as the defect that it is: the gate never opens because something went wrong.

A check may be asked about the same master again, after a process died or another check was away, and must come to an answer that is as good. One
that can tell beforehand whether it can be made has a method `reach` besides (`services.protection.scanners.screening.Reachable`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Protocol


class Severity(IntEnum):
    """What a finding leads to. Held is held; there is no milder one."""

    HOLD = 1


class Ground(IntEnum):
    """What a finding says of the master; the numbers are those of the contract."""

    MALWARE = 1
    ILLEGAL_CONTENT = 2
    """It is on a list of illegal content. Its release takes two people."""
    TAKEN_DOWN = 3
    """It is what was taken down before, uploaded again."""
    UNCHECKABLE = 4
    """A check could not look at all of it, such as a file larger than what the scanner takes."""


@dataclass(frozen=True, slots=True)
class Master:
    """A file that came in and waits at the gate.

    Attributes:
        organisation_id: whose it is.
        file: where it can be read, for as long as the check runs. It is not to be written to, and its name says nothing.
        content_type: media type that the uploader claimed; empty when none. Nothing was checked of it.
        sha256: of the file, lower-case hex.
        size_bytes: of the file.
    """

    asset_id: str
    upload_id: str
    organisation_id: str
    file: Path
    content_type: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has against a master.

    Attributes:
        check: its name.
        list_name: what the master was compared with, such as a hash list's name or a signature database.
        entry: what of it the master agrees with, such as a hash or the name of a signature.
        distance: how far from it, in the check's own measure; 0 for the very same.
        detail: what a reviewer should know besides, such as the second of the film; empty when nothing.
    """

    check: str
    ground: Ground
    list_name: str
    entry: str
    distance: float = 0.0
    detail: str = ""
    severity: Severity = Severity.HOLD


class Unreachable(Exception):
    """What a check works with is away. The message says what, for the operator and without addresses that are secret."""


class Check(Protocol):
    """One thing that is looked for in every master."""

    @property
    def name(self) -> str:
        """Short, lower-case, the same for ever: findings are kept under it."""
        ...

    async def look(self, master: Master) -> Finding | None:
        """Looks at a master.

        Raises:
            Unreachable: see there.
        """
        ...
