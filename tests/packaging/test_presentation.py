"""Names, folders, groups and defaults of tracks."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.packaging import presentation
from services.packaging.tracks import AudioTrack, TextTrack

NOWHERE = Path("nowhere.mp4")


def audio(language: str, channels: int = 2, title: str = "") -> AudioTrack:
    return AudioTrack(NOWHERE, language, channels, title)


def text(language: str, title: str = "", *, forced: bool = False) -> TextTrack:
    return TextTrack(NOWHERE, language, title, forced)


def test_folders_are_plain_and_distinct() -> None:
    tracks = [audio("en"), audio("en", 6), audio("en"), audio("zh-Hans"), audio("und", 1)]
    assert presentation.audio_folders(tracks) == [
        "audio/en",
        "audio/en-6ch",
        "audio/en-2",
        "audio/zh-hans",
        "audio/und-1ch",
    ]
    assert presentation.text_names([text("en"), text("en"), text("en", forced=True)]) == [
        "text/en",
        "text/en-2",
        "text/en-forced",
    ]


def test_encodings_of_one_sound_track_belong_together() -> None:
    """The first 5.1 in a language goes with its first stereo, the second with the second."""
    tracks = [audio("en", 6), audio("en", 2), audio("en", 2, "Commentary"), audio("fr", 2)]
    members = presentation.members(tracks, "")
    assert [dict(member.by_channels) for member in members] == [{6: 0, 2: 1}, {2: 2}, {2: 3}]
    assert [member.name for member in members] == ["English", "Commentary", "Français"]


@pytest.mark.parametrize(
    ("wanted", "default"),
    [("", "fr"), ("en", "en-GB"), ("en-GB", "en-GB"), ("EN-us", "en-GB"), ("de", "fr"), ("fr", "fr")],
)
def test_there_is_exactly_one_default_sound(wanted: str, default: str) -> None:
    members = presentation.members([audio("fr"), audio("en-GB"), audio("en-GB")], wanted)
    assert [member.language for member in members if member.default] == [default]
    assert members[0].default


def test_a_member_without_a_layout_stands_in_with_its_nearest() -> None:
    (member,) = presentation.members([audio("en", 2), audio("en", 8)], "")
    assert [member.encoding(channels) for channels in (1, 2, 6, 8)] == [0, 0, 0, 1]


def test_names_are_for_people_and_distinct() -> None:
    tracks = [audio("und"), audio("und"), audio("tlh"), audio("en", title=" \x00\n "), audio("en", title="Two\nlines")]
    names = [member.name for member in presentation.members(tracks, "")]
    assert names == ["Audio", "Audio (2)", "tlh", "English", "Two lines"]
    labels = [subtitle.name for subtitle in presentation.subtitles([text("en"), text("en"), text("en", forced=True)])]
    assert labels == ["English", "English (2)", "English (forced)"]


def test_roles_tell_the_default_from_dubs_and_alternates() -> None:
    tracks = [audio("en"), audio("en", 6), audio("en"), audio("fr")]
    roles = {folder: track.role for folder, track in presentation.sound_tracks(tracks, "en").items()}
    assert roles == {"audio/en": "main", "audio/en-6ch": "main", "audio/en-2": "alternate", "audio/fr": "dub"}
