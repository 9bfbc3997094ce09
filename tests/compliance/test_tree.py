"""The tree: proofs that the log makes, judged by the verifier, which has other code; the verifier, judged by vectors of others."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compliance.log import merkle
from services.compliance.log.merkle import EMPTY_ROOT, Frontier, Node, Run, consistency_runs, folded, inclusion_runs
from services.compliance.log.tiles import WIDTH, Tile, new_tiles
from tools.audit_verifier import tree

VECTORS = Path(__file__).resolve().parents[3] / "shared/vectors/merkle"
LARGEST = 70


def naive(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return merkle.node_hash(naive(leaves[:half]), naive(leaves[half:]))


def hashes(size: int) -> list[bytes]:
    return [merkle.leaf_hash(str(number).encode()) for number in range(size)]


LEAVES = hashes(LARGEST)


def proof(runs: list[Run], leaves: list[bytes]) -> list[bytes]:
    """Each run's root from its perfect subtrees, as the log works it out."""
    return [
        folded(naive(leaves[node.index << node.level : (node.index + 1) << node.level]) for node in run.nodes())
        for run in runs
    ]


@pytest.mark.parametrize("size", range(LARGEST + 1))
def test_a_tree_that_grew_has_the_root_of_one_that_was_made_at_once(size: int) -> None:
    wanted = naive(LEAVES[:size])
    assert Frontier().grown(LEAVES[:size]).frontier.root() == wanted
    assert tree.root(LEAVES[:size]) == wanted
    growing = tree.Growing()
    for one in LEAVES[:size]:
        growing.add(one)
    assert growing.root() == wanted


@given(st.lists(st.integers(0, 300), max_size=6))
def test_it_does_not_matter_in_how_many_parts_it_grew(parts: list[int]) -> None:
    frontier, full = Frontier(), list[tuple[Node, bytes]]()
    for part in parts:
        start = frontier.size
        grown = frontier.grown(merkle.leaf_hash(str(number).encode()) for number in range(start, start + part))
        frontier, full = grown.frontier, full + list(grown.full)
    leaves = hashes(sum(parts))
    at_once = Frontier().grown(leaves)
    assert (frontier, tuple(full)) == (at_once.frontier, at_once.full)
    tiles = [(node.index, root) for node, root in full if node.level == 8]
    assert tiles == [(index, tree.root(leaves[index * 256 : index * 256 + 256])) for index in range(len(leaves) // 256)]


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_every_leaf_is_proved_to_be_in_every_tree(size: int) -> None:
    root = naive(LEAVES[:size])
    for index in range(size):
        path = proof(inclusion_runs(index, size), LEAVES)
        assert tree.included(index, size, LEAVES[index], path, root)
        assert not tree.included(index, size, LEAVES[index - 1] if size > 1 else b"", path, root)
        assert not tree.included(index, size, LEAVES[index], [*path, root], root)


@pytest.mark.parametrize("second", range(1, LARGEST + 1))
def test_every_tree_is_proved_to_continue_every_smaller_one(second: int) -> None:
    for first in range(1, second + 1):
        path = proof(consistency_runs(first, second), LEAVES)
        roots = naive(LEAVES[:first]), naive(LEAVES[:second])
        assert tree.continues(first, second, *roots, path)
        assert not tree.continues(first, second, roots[0], EMPTY_ROOT, path)
        if first < second:
            assert not tree.continues(first, second, roots[1], roots[1], path)


def changed(path: list[bytes], bit: int) -> list[bytes]:
    """A proof with one bit changed."""
    whole = bytearray(b"".join(path))
    whole[bit // 8 % len(whole)] ^= 1 << bit % 8
    return [bytes(whole[at : at + 32]) for at in range(0, len(whole), 32)]


@given(st.integers(1, LARGEST), st.integers(1, LARGEST), st.integers(0, 10_000))
def test_a_proof_with_any_bit_changed_proves_nothing(one: int, other: int, bit: int) -> None:
    first, second = sorted((one, other))
    roots = naive(LEAVES[:first]), naive(LEAVES[:second])
    if inclusion := proof(inclusion_runs(first - 1, second), LEAVES):
        assert not tree.included(first - 1, second, LEAVES[first - 1], changed(inclusion, bit), roots[1])
    if consistency := proof(consistency_runs(first, second), LEAVES):
        assert not tree.continues(first, second, *roots, changed(consistency, bit))


def vectors(kind: str) -> list[Path]:
    return sorted((VECTORS / kind).rglob("*.json"))


def decoded(texts: list[str] | None) -> list[bytes]:
    return [base64.b64decode(text) for text in texts or []]


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not beside this repository")
def test_published_proofs_of_inclusion_are_judged_as_published() -> None:
    files = vectors("inclusion")
    assert len(files) > 30
    for file in files:
        said = json.loads(file.read_text())
        root, leaf = decoded([said["root"] or ""])[0], decoded([said["leafHash"] or ""])[0]
        good = tree.included(said["leafIdx"], said["treeSize"], leaf, decoded(said["proof"]), root)
        assert good is not said["wantErr"], f"{file}: {said['desc']}"


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not beside this repository")
def test_published_proofs_of_consistency_are_judged_as_published() -> None:
    files = vectors("consistency")
    assert len(files) > 30
    for file in files:
        said = json.loads(file.read_text())
        roots = decoded([said["root1"] or "", said["root2"] or ""])
        good = tree.continues(said["size1"], said["size2"], roots[0], roots[1], decoded(said["proof"]))
        assert good is not said["wantErr"], f"{file}: {said['desc']}"


def test_tiles_have_the_paths_of_the_specification() -> None:
    """C2SP tlog-tiles: three digits a group, all but the last with an x; the width where a tile is not full."""
    assert Tile(0, 1_234_067).path == "tile/0/x001/x234/067"
    assert Tile(1, 0, 8).path == "tile/1/000.p/8"
    assert Tile(0, 5).entries_path == "tile/entries/005"


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_what_was_published_step_by_step_is_what_a_tree_has(old: int, more: int) -> None:
    def full(tiles: list[Tile]) -> set[Tile]:
        return {tile for tile in tiles if tile.width == WIDTH}

    size = old + more
    at_once, steps = list(new_tiles(0, size)), list(new_tiles(old, size))
    assert full(at_once) == full(list(new_tiles(0, old))) | full(steps)
    partial = {tile for tile in at_once if tile.width < WIDTH}
    assert partial <= set(steps) | set(new_tiles(0, old))
