"""What was found: how much was looked at, who signed it, and everything that is wrong, with where it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

_MOST = 1000


@dataclass(slots=True)
class Anchor:
    """A checkpoint that lies elsewhere too.

    Attributes:
        anchor: where, `evm-` and a chain's id, or `opentimestamps`.
        tree_size: leaves of the tree that it is of.
        confirmed: whether the log's keeper says that it lies there for good.
        transaction_hash: transaction on an EVM chain whose input is the log's name, that size and its root; empty for other kinds, and before one is signed.
        block: number of the block, as the keeper or the timestamp says; 0 for none.
        block_hash: hash of Bitcoin's block by whose header the timestamp was verified; empty when none was given that fits.
        time: when that block was made.
    """

    anchor: str
    tree_size: int
    confirmed: bool
    transaction_hash: str = ""
    block: int = 0
    block_hash: str = ""
    time: datetime | None = None

    def line(self) -> str:
        """For people."""
        what = f"  {self.anchor}: the tree of {self.tree_size} "
        if self.time is not None:
            return f"{what}was there on {self.time:%Y-%m-%d %H:%M} UTC, if block {self.block} of Bitcoin is {self.block_hash}"
        if not self.confirmed:
            return f"{what}is being anchored, which proves nothing yet"
        if self.transaction_hash:
            return (
                f"{what}is the input of {self.transaction_hash}; look there for that transaction and its block's time"
            )
        return f"{what}is in block {self.block} of Bitcoin, says its timestamp: give that block's header (--bitcoin-header)"


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
        anchors: what lies elsewhere, and is of this log.
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
    anchors: list[Anchor] = field(default_factory=list)
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
            "anchors": [_as_dict(anchor) for anchor in self.anchors],
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
        told += [anchor.line() for anchor in self._latest_anchors()]
        if not self.key_given:
            told.append("  the key came with the file: compare it with one that you have from elsewhere (--key)")
        return told

    def _latest_anchors(self) -> list[Anchor]:
        """Of each way of anchoring the one that says most: verified by a header before confirmed before pending, then of the largest tree."""
        best = dict[str, Anchor]()
        for one in sorted(self.anchors, key=lambda one: (one.time is not None, one.confirmed, one.tree_size)):
            best[one.anchor] = one
        return [best[name] for name in sorted(best)]


def _as_dict(anchor: Anchor) -> dict[str, object]:
    return {
        "anchor": anchor.anchor,
        "tree_size": anchor.tree_size,
        "confirmed": anchor.confirmed,
        "transaction_hash": anchor.transaction_hash,
        "block": anchor.block,
        "block_hash": anchor.block_hash,
        "time": None if anchor.time is None else anchor.time.isoformat(),
    }
