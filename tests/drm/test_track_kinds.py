"""Which rule of the licence policy a key's label falls under."""

from __future__ import annotations

import pytest

from services.drm.licences.policy import TrackKind


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("AUDIO", TrackKind.AUDIO),
        ("HD", TrackKind.HD),
        ("HD2", TrackKind.HD),
        ("UHD1", TrackKind.UHD1),
        ("AUDIO_P2", TrackKind.AUDIO),
        ("UHD1_P24", TrackKind.UHD1),
        ("UHD1_P", None),
        ("HD_P0", None),
        ("OTHER", None),
    ],
)
def test_a_key_of_a_later_period_follows_the_rule_of_its_kind(label: str, kind: TrackKind | None) -> None:
    assert TrackKind.of(label) is kind
