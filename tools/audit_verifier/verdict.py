"""What was found: how much was looked at, who signed it, and everything that is wrong, with where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST = 1000


@dataclass(slots=True)
class Verdict:
    """The outcome of a verification.

    Attributes:
        origin: name of the log.
        tree_size: leaves of the tree that was verified.
        root: its root, hexadecimal.
        leaves: hashes of leaves that were looked at.
        records: records that were compared with their leaves.
        opened: records whose commitments were opened.
        closed: records whose content cannot be opened, because somebody was erased or it was left out.
        checkpoints: checkpoints whose signatures and roots were looked at.
        witnesses: names of the witnesses whose cosignatures are good.
        key_given: whether the log's key came from somewhere else than the file itself.
        faults: what is wrong, as (where, what); the first thousand.
    """

    origin: str = ""
    tree_size: int = 0
    root: str = ""
    leaves: int = 0
    records: int = 0
    opened: int = 0
    closed: int = 0
    checkpoints: int = 0
    witnesses: list[str] = field(default_factory=list)
    key_given: bool = False
    faults: list[tuple[str, str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def fault(self, where: str, what: str) -> None:
        """Notes something that is wrong."""
        if len(self.faults) < _MOST:
            self.faults.append((where, what))

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {
            "verified": self.good,
            "origin": self.origin,
            "tree_size": self.tree_size,
            "root": self.root,
            "leaves": self.leaves,
            "records": self.records,
            "opened": self.opened,
            "closed": self.closed,
            "checkpoints": self.checkpoints,
            "witnesses": self.witnesses,
            "key_given": self.key_given,
            "faults": [{"where": where, "what": what} for where, what in self.faults],
        }

    def lines(self) -> list[str]:
        """For people."""
        if self.faults:
            return [f"✗ {where}: {what}" for where, what in self.faults]
        seen = f"{self.leaves} leaves" if self.leaves else "one leaf"
        told = [f"✓ {self.origin}: {seen} in the tree of {self.tree_size}, root {self.root}"]
        if self.records:
            told.append(f"  {self.records} records are what was logged; {self.opened} opened, {self.closed} closed")
        if self.checkpoints:
            told.append(f"  {self.checkpoints} checkpoints, each a beginning of the next")
        if self.witnesses:
            told.append(f"  seen by {', '.join(self.witnesses)}")
        else:
            told.append(
                "  no known witness saw it: that nobody was shown another log is proved by no one but its keeper"
            )
        if not self.key_given:
            told.append("  the key came with the file: compare it with one that you have from elsewhere (--key)")
        return told
