"""A tree as its tiles tell it: hashes of all leaves, and above them the roots of each 256 of the level below (C2SP tlog-tiles)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tools.audit_verifier import tree
from tools.audit_verifier.note import Checkpoint
from tools.audit_verifier.verdict import Verdict

WIDTH: Final = 256


@dataclass(slots=True)
class Tiles:
    """The hashes of each level of tiles, from left to right; level 0 has those of leaves."""

    levels: dict[int, list[bytes]] = field(default_factory=lambda: {0: []})

    @property
    def leaves(self) -> list[bytes]:
        """Hashes of leaves."""
        return self.levels[0]

    def judge_shape(self, verdict: Verdict, size: int) -> None:
        """Whether each level has as many hashes as a tree of a size has."""
        level, wanted = 0, size
        while wanted or level == 0:
            if (found := len(self.levels.get(level, []))) != wanted:
                verdict.fault(
                    f"tiles of level {level}", f"they have {found} hashes; a tree of {size} leaves has {wanted} there"
                )
            level, wanted = level + 1, wanted // WIDTH
        if beyond := [one for one in self.levels if one >= level and self.levels[one]]:
            verdict.fault(f"tiles of level {min(beyond)}", f"a tree of {size} leaves has none")

    def judge_levels(self, verdict: Verdict) -> None:
        """Whether every hash above the leaves is the root of those that it stands for; says which leaves it is about."""
        for level in sorted(self.levels)[1:]:
            below = self.levels.get(level - 1, [])
            for at, kept in enumerate(self.levels[level]):
                under = below[at * WIDTH : (at + 1) * WIDTH]
                if len(under) == WIDTH and tree.root(under) != kept:
                    first, each = at * WIDTH**level, WIDTH**level
                    what = "leaves" if level == 1 else f"tiles of level {level - 1} over leaves"
                    verdict.fault(
                        f"{what} {first} to {first + each - 1}",
                        f"their hashes do not make the root that tile {level}/{at // WIDTH} has at {at % WIDTH}: one of them was changed",
                    )

    def judge_checkpoints(self, verdict: Verdict, said: Iterable[tuple[str, Checkpoint]]) -> None:
        """Whether the tree had the root that each checkpoint says, at its size; names the leaves that came after the last one that fits.

        Args:
            verdict: where faults go.
            said: checkpoints whose signatures are good, each with what it is called.
        """
        growing, fits, wrong = tree.Growing(), 0, list[tuple[str, Checkpoint]]()
        for where, checkpoint in sorted(said, key=lambda one: one[1].size):
            if checkpoint.size > len(self.leaves):
                verdict.fault(
                    where,
                    f"it was signed for {checkpoint.size} leaves, and there are {len(self.leaves)}: the end was cut off",
                )
                continue
            for hashed in self.leaves[growing.size : checkpoint.size]:
                growing.add(hashed)
            if growing.root() != checkpoint.root:
                wrong.append((where, checkpoint))
            else:
                fits = checkpoint.size
        for where, checkpoint in wrong:
            if checkpoint.size <= fits:
                verdict.fault(
                    where, f"it signs another tree of {checkpoint.size} leaves than this one: two logs were shown"
                )
        if after := [(where, checkpoint) for where, checkpoint in wrong if checkpoint.size > fits]:
            where, checkpoint = after[0]
            verdict.fault(
                f"leaves {fits} to {checkpoint.size - 1}",
                f"with them the tree has not the root that {where} signs: one of them was changed, added, removed or moved",
            )
        for hashed in self.leaves[growing.size :]:
            growing.add(hashed)
        verdict.root, verdict.leaves = growing.root().hex(), growing.size
