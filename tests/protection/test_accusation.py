"""Whoever leaked is named, whoever did not is not, whatever was done to the copy."""

from __future__ import annotations

import numpy as np
import pytest

from services.kit.codewords import PERIOD, Code
from services.protection.code.accusation import Floats, accuse, folded

ROOT = bytes(range(32))
CROWD = [f"pbs_{number}" for number in range(2000)]


def bits_of(code: Code, holder: str, positions: int = PERIOD) -> Floats:
    """+1 where a holder gets variant b, -1 where it is a."""
    drawn = np.frombuffer(code.drawn(holder, positions), np.uint8)
    return np.where(drawn < np.frombuffer(code.chances, np.uint8)[:positions], 1.0, -1.0)


def read(amplitudes: Floats, start: int = 0) -> Floats:
    """Evidence of as many segments as there are amplitudes, from one on."""
    return folded(np.arange(start, start + len(amplitudes)), amplitudes)


def test_one_who_leaks_alone_is_named_after_forty_clean_positions_in_a_million() -> None:
    """The floor: 2^-40 · 10^6 is below 10^-6. `tries` stands for the rest of the million."""
    code = Code.of(ROOT, "ast_1")
    verdict = accuse(code, read(bits_of(code, "pbs_7", 41)), CROWD, tries=500)
    assert [one.holder for one in verdict.accused] == ["pbs_7"]
    short = accuse(code, read(bits_of(code, "pbs_7", 38)), CROWD, tries=500)
    assert not short.accused
    assert not short.enough


def test_misread_positions_cost_length_and_not_innocents() -> None:
    code, rng = Code.of(ROOT, "ast_1"), np.random.default_rng(1)
    amplitudes = bits_of(code, "pbs_7", 80) * np.where(rng.random(80) < 0.05, -0.5, 1)
    assert [one.holder for one in accuse(code, read(amplitudes, 0), CROWD, tries=500).accused] == ["pbs_7"]


def test_what_is_read_twice_counts_twice() -> None:
    """A long film repeats the codeword: weak readings of both halves add up."""
    code, rng = Code.of(ROOT, "ast_1"), np.random.default_rng(2)
    truth = np.tile(bits_of(code, "pbs_7", 30), 1)
    positions = np.concatenate([np.arange(30), np.arange(PERIOD, PERIOD + 30)])
    evidence = folded(positions, np.concatenate([truth, truth]) + rng.normal(0, 0.1, 60))
    assert np.count_nonzero(evidence) == 30
    assert accuse(code, evidence, CROWD).attainable == pytest.approx(30**0.5, rel=0.02)


@pytest.mark.parametrize("attack", ["interleave", "average", "segment by chance"])
def test_two_who_mix_their_copies_are_both_named(attack: str) -> None:
    code, rng = Code.of(ROOT, "ast_1"), np.random.default_rng(3)
    one, other = bits_of(code, "pbs_7", 400), bits_of(code, "pbs_8", 400)
    mixed = {
        "interleave": np.where(np.arange(400) % 2 == 0, one, other),
        "average": (one + other) / 2,
        "segment by chance": np.where(rng.random(400) < 0.5, one, other),
    }[attack]
    verdict = accuse(code, read(mixed + rng.normal(0, 0.2, 400)), CROWD, tries=500)
    assert {one.holder for one in verdict.accused} == {"pbs_7", "pbs_8"}


@pytest.mark.parametrize("attack", ["by chance", "majority", "minority", "average"])
def test_three_who_mix_their_copies_meet_the_stronger_code(attack: str) -> None:
    """At least one of them is named, and nobody else."""
    code, rng = Code.of(ROOT, "ast_1", 3), np.random.default_rng(4)
    pirates = np.array([bits_of(code, f"pbs_{number}") for number in (7, 8, 9)])
    total = pirates.sum(axis=0)
    mixed = {
        "by chance": pirates[rng.integers(0, 3, PERIOD), np.arange(PERIOD)],
        "majority": np.sign(total),
        "minority": np.where(np.abs(total) == 3, total / 3, -np.sign(total)),
        "average": total / 3,
    }[attack]
    verdict = accuse(code, read(mixed), CROWD, tries=500)
    assert verdict.accused
    assert {one.holder for one in verdict.accused} <= {"pbs_7", "pbs_8", "pbs_9"}


@pytest.mark.parametrize("colluders", [2, 3])
def test_innocents_are_accused_no_more_often_than_the_bound_says(colluders: int) -> None:
    """Six hundred copies of nobody, read with all kinds of weights, at a bound high enough to see: one in a hundred."""
    rng, accused = np.random.default_rng(5), 0
    for copy in range(600):
        code = Code.of(ROOT, f"ast_{copy}", colluders)
        positions = int(rng.integers(20, 200))
        amplitudes = rng.choice([rng.normal(0, 1, positions), rng.choice([-1.0, 1.0], positions)])
        accused += bool(accuse(code, read(amplitudes), CROWD[:20], false_positives=0.01).accused)
    assert accused <= 14  # of six expected at most, three standard deviations more


def test_the_bound_is_no_looser_than_it_must_be() -> None:
    """At a bound of one half somebody is accused now and then, so the bound is not one that never accuses."""
    rng, accused = np.random.default_rng(6), 0
    for copy in range(300):
        code = Code.of(ROOT, f"ast_{copy}")
        accused += bool(accuse(code, read(rng.normal(0, 1, 100)), CROWD[:20], false_positives=0.5).accused)
    assert 15 <= accused <= 150


def test_nothing_read_and_nobody_to_accuse_are_no_evidence() -> None:
    code = Code.of(ROOT, "ast_1")
    assert not accuse(code, np.zeros(PERIOD), CROWD).enough
    assert not accuse(code, read(np.ones(100)), []).accused
