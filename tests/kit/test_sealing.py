"""What was sealed is opened by whoever has the key, also years later."""

from __future__ import annotations

import pytest

from services.kit.sealing import Seal, Unreadable

KEY = bytes(range(32))
SEALED = bytes.fromhex("d0afa353bf0a2986514dcf33adfb94cc02af243f3ddb952ffa5874f727249e8d0614b596")
DIGEST = bytes.fromhex("b15f1fde761c4f9affcf71cce2aeffd44153c0890905e76d92b8e0356cc77b64")


def test_what_identity_sealed_before_can_be_opened() -> None:
    """Made when identity had a seal of its own."""
    seal = Seal(KEY, "identity")
    assert seal.open(SEALED, "a place") == b"a secret"
    assert seal.digest("x", "y") == DIGEST


def test_it_opens_nowhere_else() -> None:
    for seal, place in ((Seal(KEY, "identity"), "another"), (Seal(KEY, "policy"), "a place")):
        with pytest.raises(Unreadable):
            seal.open(SEALED, place)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Seal(bytes(16), "identity")
