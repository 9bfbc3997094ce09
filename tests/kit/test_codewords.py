"""Codewords follow from a secret, are as random as their biases say, and are read as they are written."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.codewords import PERIOD, Code, bit_of, title_key

ROOT = bytes(range(32))


@given(st.text(max_size=40), st.integers(1, 3 * PERIOD), st.sampled_from([2, 3]))
def test_what_is_read_from_a_codeword_is_what_was_drawn(holder: str, segments: int, colluders: int) -> None:
    code = Code.of(ROOT, "ast_1", colluders)
    codeword = code.codeword(holder, segments)
    assert len(codeword) * 6 >= min(segments, PERIOD)
    positions = len(codeword) * 6
    wanted = [int(byte < chance) for byte, chance in zip(code.drawn(holder, positions), code.chances, strict=False)]
    assert [bit_of(codeword, segment) for segment in range(1, positions + 1)] == wanted
    assert bit_of(codeword, positions + 1) == wanted[0]


def test_a_shorter_film_has_the_beginning_of_the_same_codeword() -> None:
    code = Code.of(ROOT, "ast_1")
    assert code.codeword("pbs_1", 10_000).startswith(code.codeword("pbs_1", 30))
    assert len(code.codeword("pbs_1", 10_000)) == PERIOD // 6


@pytest.mark.parametrize(("colluders", "chance"), [(2, 0.5), (3, 0.5)])
def test_ones_are_as_many_as_the_biases_say(colluders: int, chance: float) -> None:
    """Over a thousand holders: each position by its own bias, and all together by their mean."""
    code = Code.of(ROOT, "ast_1", colluders)
    holders = [code.drawn(f"pbs_{number}") for number in range(1000)]
    rates = [
        sum(drawn[place] < code.chances[place] for drawn in holders) / len(holders) for place in range(0, PERIOD, 10)
    ]
    for place, rate in zip(range(0, PERIOD, 10), rates, strict=True):
        assert abs(rate - code.chances[place] / 256) < 0.08  # five standard deviations
    assert abs(sum(rates) / len(rates) - chance) < 0.08


def test_titles_purposes_and_strengths_share_nothing() -> None:
    keys = {title_key(ROOT, title, purpose) for title in ("ast_1", "ast_2") for purpose in ("code", "pattern")}
    assert len(keys) == 4
    words = [
        Code.of(root, title, colluders).codeword("pbs_1", PERIOD)
        for root, title, colluders in itertools.product((ROOT, ROOT[::-1]), ("ast_1", "ast_2"), (2, 3))
    ]
    for one, other in itertools.combinations(words, 2):
        alike = sum(bit_of(one, place) == bit_of(other, place) for place in range(1, PERIOD + 1))
        assert abs(alike - PERIOD / 2) < 5 * (PERIOD / 4) ** 0.5


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        title_key(b"short", "ast_1", "code")
