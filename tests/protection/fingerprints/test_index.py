"""The index finds what was put in, by codes that changed a little, however its files were brought together, and whoever died over it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from services.protection.fingerprints.codes import Sense
from services.protection.fingerprints.fingerprint import RATE, Fingerprint
from services.protection.fingerprints.index import Index
from services.protection.fingerprints.making import Prints
from services.protection.fingerprints.shards import Entries, Shard, write

SECONDS = 40


def invented(seed: int, seconds: int = SECONDS) -> Fingerprint:
    """A fingerprint of no film, whose pictures move on as those of a film do: some digits change from one to the next, all at a cut."""
    rng = np.random.default_rng(seed)
    digits = np.zeros((seconds * RATE, 380), np.uint8)
    for place in range(len(digits)):
        fresh = rng.integers(0, 3, 380, np.uint8)
        keep = rng.random(380) < (0 if place % 16 == 0 else 0.95)
        digits[place] = np.where(keep, digits[place - 1], fresh)
    return of_digits(digits, rng.integers(0, 2**32, int(seconds * 8), np.uint32))


def of_digits(digits: np.typing.NDArray[np.uint8], sound: np.typing.NDArray[np.uint32]) -> Fingerprint:
    packed = digits.reshape(len(digits), 76, 5) @ np.array([81, 27, 9, 3, 1])
    return Fingerprint(packed.astype(np.uint8), np.full(len(digits), 90, np.uint8), sound)


def damaged(whole: Fingerprint, start: float, seconds: float, share: float) -> Prints:
    """A piece of it of which some digits are others."""
    rng = np.random.default_rng(9)
    part = slice(int(start * RATE), int((start + seconds) * RATE))
    digits = whole.digits()[part]
    digits = np.where(rng.random(digits.shape) < share, rng.integers(0, 3, digits.shape, np.uint8), digits)
    return Prints(of_digits(digits.astype(np.uint8), np.zeros(0, np.uint32)))


@pytest.fixture(scope="module")
def titles() -> dict[int, Fingerprint]:
    return {number: invented(number) for number in range(1, 31)}


def best(index: Index, asked: Prints) -> tuple[int, float]:
    """The likeliest title, and the second of it that the file begins with."""
    candidate = index.sightings(asked)[0].candidate
    return candidate.title, candidate.offset / 1000


def test_what_was_put_in_is_found_where_it_is(titles: dict[int, Fingerprint], tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    assert not index.sightings(Prints(titles[1]))
    index.add(titles)
    for number in (1, 7, 30):
        title, offset = best(index, damaged(titles[number], 11.25, 20, 0.2))
        assert title == number
        assert offset == pytest.approx(11.25, abs=0.5)
    strange = index.sightings(Prints(invented(99)))
    assert all(one.candidate.score < 2 for one in strange)


def test_files_are_few_however_titles_come_in_and_those_that_are_gone_leave(
    titles: dict[int, Fingerprint], tmp_path: Path
) -> None:
    index = Index(tmp_path / "index")
    for number, print_ in titles.items():
        index.add({number: print_})
        index.tidy(titles.keys())
    assert len(index.files(Sense.PICTURE)) <= 3
    assert index.titles() == titles.keys()
    assert best(index, damaged(titles[12], 3, 20, 0.2))[0] == 12
    index.tidy(frozenset({12, 13}))
    assert index.titles() == {12, 13}
    assert best(index, damaged(titles[12], 3, 20, 0.2))[0] == 12
    assert sum(map(len, index.files(Sense.PICTURE))) == 2 * SECONDS
    index.tidy(frozenset())
    assert not list((tmp_path / "index").glob("*.idx"))


def test_files_stay_apart_that_would_become_too_large(titles: dict[int, Fingerprint], tmp_path: Path) -> None:
    index = Index(tmp_path / "index", largest=10 * SECONDS)
    for number, print_ in titles.items():
        index.add({number: print_})
        index.tidy(titles.keys())
    assert all(len(shard) <= 10 * SECONDS for shard in index.files(Sense.PICTURE))
    assert best(index, damaged(titles[30], 3, 20, 0.2))[0] == 30


def test_what_a_merge_that_died_left_is_neither_used_nor_kept(titles: dict[int, Fingerprint], tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index = Index(folder)
    index.add({1: titles[1], 2: titles[2]})
    (first,) = folder.glob("picture-*.idx")
    left = tmp_path / "left.idx"
    shutil.copyfile(first, left)
    index.add({3: titles[3]})
    index.tidy({1, 2, 3})
    shutil.copyfile(left, folder / "picture-1-dead.idx")
    (folder / "picture-2-dead.7.part").write_bytes(b"half")
    assert sum(map(len, index.files(Sense.PICTURE))) == 3 * SECONDS
    index.tidy({1, 2, 3})
    assert not list(folder.glob("*dead*"))
    assert best(Index(folder), damaged(titles[2], 3, 20, 0.2))[0] == 2


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    index, other = Index(tmp_path / "index"), Index(tmp_path / "index")
    with index.writing() as ours, other.writing() as theirs:
        assert (ours, theirs) == (True, False)
    with other.writing() as theirs:
        assert theirs


def test_many_entries_lie_in_lists_that_hold_about_as_many(tmp_path: Path) -> None:
    """Every entry is in exactly one list, and is found by its own code."""
    rng = np.random.default_rng(3)
    words = rng.integers(0, 2**63, (70_000, 4), np.uint64)
    numbers = np.arange(len(words), dtype=np.uint32)
    write(tmp_path / "a.idx", [Entries(words, numbers, numbers)], [0])
    shard = Shard(tmp_path / "a.idx")
    hits = shard.near(words[::1000], 0)
    assert sorted(hits.titles.tolist()) == numbers[::1000].tolist()
    assert sorted(shard.entries.titles.tolist()) == numbers.tolist()
    with pytest.raises(ValueError, match="no part of an index"):
        (tmp_path / "b.idx").write_bytes(b"something else" * 1000)
        Shard(tmp_path / "b.idx")
