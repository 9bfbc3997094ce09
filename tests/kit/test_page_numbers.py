"""Lists that go by a number, and page tokens that somebody made up for them."""

from __future__ import annotations

import pytest

from services.kit.errors import Refusal
from services.kit.pagination import number_of


@pytest.mark.parametrize("after", ["0", "7", "9" * 18])
def test_a_number_is_read(after: str) -> None:
    assert number_of(after) == int(after)


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "1e3", " 1", "1_0", "\u0663", "9" * 19])
def test_anything_else_is_no_token_of_ours(after: str) -> None:
    with pytest.raises(Refusal) as refused:
        number_of(after)
    assert refused.value.reason == "PAGE_TOKEN_INVALID"
