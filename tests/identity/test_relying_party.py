"""Which site passkeys belong to."""

from __future__ import annotations

import pytest

from services.identity.passkeys.relying_party import RelyingParty


@pytest.mark.parametrize(
    ("public_url", "rp_id", "origin"),
    [
        ("https://video.example", "video.example", "https://video.example"),
        ("https://video.example:443/", "video.example", "https://video.example"),
        ("https://video.example:8443", "video.example", "https://video.example:8443"),
        ("http://localhost:8080", "localhost", "http://localhost:8080"),
        ("http://127.0.0.1:8080", "localhost", "http://localhost:8080"),
        ("http://[::1]:8080", "localhost", "http://localhost:8080"),
    ],
)
def test_it_follows_from_the_public_address(public_url: str, rp_id: str, origin: str) -> None:
    assert RelyingParty.of(public_url) == RelyingParty(rp_id, (origin,))


def test_an_address_without_a_name_has_no_passkeys() -> None:
    assert RelyingParty.of("https://203.0.113.7:8443").rp_id == ""


def test_a_site_may_be_wider_than_the_public_address_and_have_more_pages() -> None:
    party = RelyingParty.of("https://api.video.example", "video.example", ["https://www.video.example/"])
    assert party == RelyingParty("video.example", ("https://www.video.example",))


@pytest.mark.parametrize(
    "origin", ["https://video.example.evil", "https://evilvideo.example", "video.example", "ftp://video.example"]
)
def test_pages_of_another_site_are_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValueError, match=r"video\.example"):
        RelyingParty.of("https://video.example", "video.example", [origin])
