"""Exports: files of `reelmesh audit export`, lines of JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tools.audit_verifier.anchors import Headers, judge_anchor
from tools.audit_verifier.note import Bad, Checkpoint, Key, signed_checkpoint
from tools.audit_verifier.records import judge_leaf
from tools.audit_verifier.tiles import WIDTH, Tiles
from tools.audit_verifier.verdict import Verdict

FORMAT: Final = "reelmesh-audit/1"
MOST_LEVELS: Final = 8
"""Levels of tiles that a tree of 2^64 leaves has."""


@dataclass(slots=True)
class _Contents:
    """What stands in an export besides records, which are judged on the way."""

    header: dict[str, Any]
    tiles: Tiles = field(default_factory=Tiles)
    notes: list[tuple[int, str]] = field(default_factory=list)
    anchors: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


def verified(
    file: Path, key: Key | None, known: str, witnesses: tuple[Key, ...], headers: Headers | None = None
) -> Verdict:
    """Verifies an export.

    Args:
        file: the export.
        key: the log's. None: the one that the file names.
        known: a checkpoint of this log from elsewhere, which it must continue; empty for none.
        witnesses: keys of witnesses whose cosignatures count.
        headers: headers of blocks of Bitcoin to compare timestamps with.

    Raises:
        Bad: it is no export at all.
    """
    verdict = Verdict(key_given=key is not None)
    contents = _read(file, verdict)
    header = contents.header
    key = key or Key.read(str(header.get("verifier_key", "")))
    verdict.origin, verdict.tree_size = key.name, int(header.get("tree_size", -1))
    if header.get("origin") != key.name:
        verdict.fault("line 1", f"it is an export of {header.get('origin')!r}, and the key is of {key.name!r}")
    contents.tiles.judge_shape(verdict, verdict.tree_size)
    contents.tiles.judge_levels(verdict)
    said = _signed(verdict, contents.notes, key, witnesses)
    if known:
        said += signed_elsewhere(verdict, known, key)
    anchored = [judge_anchor(verdict, *line, key, headers or Headers({})) for line in contents.anchors]
    said += [one for one in anchored if one is not None]
    contents.tiles.judge_checkpoints(verdict, said)
    if not any(checkpoint.size == verdict.tree_size for _, checkpoint in said):
        verdict.fault(
            f"the tree of {verdict.tree_size}",
            "no good checkpoint of this size is there: nobody signed its last leaves",
        )
    return verdict


def signed_elsewhere(verdict: Verdict, known: str, key: Key) -> list[tuple[str, Checkpoint]]:
    """The checkpoint that somebody kept, if it is good."""
    where = "the checkpoint that was given"
    try:
        checkpoint, _ = signed_checkpoint(known, key)
    except Bad as error:
        verdict.fault(where, str(error))
        return []
    return [(where, checkpoint)]


def witnessed(verdict: Verdict, names: list[str]) -> None:
    """Notes who saw the latest checkpoint."""
    verdict.witnesses = sorted({*verdict.witnesses, *names})


def _signed(
    verdict: Verdict, notes: list[tuple[int, str]], key: Key, witnesses: tuple[Key, ...]
) -> list[tuple[str, Checkpoint]]:
    found = []
    for number, text in notes:
        try:
            checkpoint, note = signed_checkpoint(text, key)
            names = [witness.name for witness in note.by(witnesses)]
        except Bad as error:
            verdict.fault(f"the checkpoint in line {number}", str(error))
            continue
        verdict.checkpoints += 1
        witnessed(verdict, names)
        found.append((f"the checkpoint of {checkpoint.size}", checkpoint))
    return found


def _read(file: Path, verdict: Verdict) -> _Contents:
    lines = _lines(file)
    _, header = next(lines, (0, None))
    if not isinstance(header, dict) or header.get("export") != FORMAT:
        raise Bad(f"{file} is no export of an audit log: its first line does not say {FORMAT}")
    contents = _Contents(header)
    for number, said in lines:
        match said:
            case {"leaf": dict(leaf)} if len(said) == 1:
                judge_leaf(verdict, leaf, contents.tiles.leaves)
            case {"tile": {"level": int(level), "index": int(index), "hashes": str(hashes)}} if len(said) == 1:
                _take(verdict, contents, f"line {number}", (level, index), hashes)
            case {"checkpoint": str(note)} if len(said) == 1:
                contents.notes.append((number, note))
            case {"anchor": dict(anchor)} if len(said) == 1:
                contents.anchors.append((number, anchor))
            case _:
                verdict.fault(f"line {number}", "it is neither a leaf, nor a tile, nor a checkpoint, nor an anchor")
    return contents


def _take(verdict: Verdict, contents: _Contents, where: str, place: tuple[int, int], text: str) -> None:
    """Takes a tile. Hashes that are missing in it leave gaps, so that the others keep their places."""
    level, index = place
    row, size = contents.tiles.levels.setdefault(level, []), contents.header.get("tree_size")
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = b"?"
    wanted = min(WIDTH, (size >> 8 * level) - index * WIDTH) if isinstance(size, int) and level < MOST_LEVELS else 0
    if len(content) % 32 or not 0 < len(content) <= 32 * wanted or index * WIDTH != len(row):
        verdict.fault(where, f"it is not the tile that should come here, {level}/{len(row) // WIDTH}")
        return
    row.extend(content[at : at + 32] for at in range(0, len(content), 32))
    if missing := (index * WIDTH + wanted) - len(row):
        verdict.fault(f"tile {level}/{index}", f"{missing} of its {wanted} hashes are missing: something was removed")
        row.extend([bytes(32)] * missing)


def _lines(file: Path) -> Iterator[tuple[int, Any]]:
    with file.open("rb") as source:
        for number, line in enumerate(source, 1):
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None
