"""Folders of tiles, as the edge serves them and as anybody may mirror them (C2SP tlog-tiles)."""

from __future__ import annotations

from pathlib import Path

from tools.audit_verifier import tree
from tools.audit_verifier.export import signed_elsewhere, witnessed
from tools.audit_verifier.note import Key, signed_checkpoint
from tools.audit_verifier.tiles import WIDTH, Tiles
from tools.audit_verifier.verdict import Verdict


def verified(folder: Path, key: Key, known: str, witnesses: tuple[Key, ...]) -> Verdict:
    """Verifies a folder with `checkpoint` and `tile/`; entries too where there are some. Arguments as those of `export.verified`.

    Raises:
        Bad: its checkpoint is none, or was not signed by the key.
    """
    checkpoint, note = signed_checkpoint((folder / "checkpoint").read_text(encoding="utf-8"), key)
    verdict = Verdict(origin=key.name, tree_size=checkpoint.size, checkpoints=1, key_given=True)
    witnessed(verdict, [witness.name for witness in note.by(witnesses)])
    tiles, level, count = Tiles(), 0, checkpoint.size
    while count:
        tiles.levels[level] = _level(verdict, folder, level, count)
        level, count = level + 1, count // WIDTH
    tiles.judge_shape(verdict, checkpoint.size)
    tiles.judge_levels(verdict)
    said = [(f"the checkpoint of {checkpoint.size}", checkpoint)]
    tiles.judge_checkpoints(verdict, said + (signed_elsewhere(verdict, known, key) if known else []))
    _judge_entries(verdict, folder, tiles.leaves)
    return verdict


def _level(verdict: Verdict, folder: Path, level: int, count: int) -> list[bytes]:
    found = list[bytes]()
    for index in range(-(-count // WIDTH)):
        width = min(WIDTH, count - index * WIDTH)
        path = f"tile/{level}/{_place(index, width)}"
        content = _content(folder / path)
        if len(content) != width * 32:
            verdict.fault(path, f"it has {len(content)} bytes; {width} hashes have {width * 32}")
            return found
        found.extend(content[at : at + 32] for at in range(0, len(content), 32))
    return found


def _judge_entries(verdict: Verdict, folder: Path, hashes: list[bytes]) -> None:
    """Entries are not everywhere; those that are there must be those of their leaves."""
    for index in range(-(-len(hashes) // WIDTH)):
        width = min(WIDTH, len(hashes) - index * WIDTH)
        path = f"tile/entries/{_place(index, width)}"
        left = _content(folder / path)
        for leaf_index in range(index * WIDTH, index * WIDTH + width):
            if not left:
                break
            length = int.from_bytes(left[:2])
            record, left = left[2 : 2 + length], left[2 + length :]
            verdict.records += 1
            verdict.closed += 1
            if len(record) != length or tree.leaf(record) != hashes[leaf_index]:
                verdict.fault(f"leaf {leaf_index}", f"its entry in {path} is not the one that was logged")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _place(index: int, width: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups) + (f".p/{width}" if width < WIDTH else "")
