"""How tracks are presented to people: folders, names, default language, groups. Pure.

HLS wants every group of sound renditions to have the same members (RFC 8216 §4.3.4.2.1), so a sound track that comes in
fewer channel layouts than another stands in for itself in the groups that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.packaging.manifest import Described, SoundTrack
from services.packaging.periods import TextFile
from services.packaging.playlists import Sound, Subtitle
from services.packaging.tracks import AudioTrack, Measured, TextTrack

_NAMES: Final = {
    "ar": "العربية",
    "bn": "বাংলা",
    "cs": "Čeština",
    "da": "Dansk",
    "de": "Deutsch",
    "el": "Ελληνικά",
    "en": "English",
    "es": "Español",
    "fa": "فارسی",
    "fi": "Suomi",
    "fr": "Français",
    "he": "עברית",
    "hi": "हिन्दी",
    "hu": "Magyar",
    "id": "Bahasa Indonesia",
    "it": "Italiano",
    "ja": "日本語",
    "ko": "한국어",
    "nl": "Nederlands",
    "no": "Norsk",
    "nb": "Norsk bokmål",
    "pl": "Polski",
    "pt": "Português",
    "ro": "Română",
    "ru": "Русский",
    "sv": "Svenska",
    "ta": "தமிழ்",
    "te": "తెలుగు",
    "th": "ไทย",
    "tr": "Türkçe",
    "uk": "Українська",
    "ur": "اردو",
    "vi": "Tiếng Việt",
    "zh": "中文",
}
_STEREO: Final = 2


@dataclass(frozen=True, slots=True)
class Member:
    """One sound track with all its encodings: channels → index in the request."""

    name: str
    language: str
    ordinal: int
    default: bool
    by_channels: Mapping[int, int]

    def encoding(self, channels: int) -> int:
        """Index of the encoding nearest to so many channels: rather fewer than more."""
        fewer = [count for count in self.by_channels if count <= channels]
        return self.by_channels[max(fewer) if fewer else min(self.by_channels)]


def audio_folders(tracks: Sequence[AudioTrack]) -> list[str]:
    """A folder for each track below the package: `audio/en`, `audio/en-6ch`, `audio/en-2`."""
    return _distinct(
        f"audio/{track.language.lower()}" + ("" if track.channels == _STEREO else f"-{track.channels}ch")
        for track in tracks
    )


def text_names(tracks: Sequence[TextTrack]) -> list[str]:
    """A path for each track below the package, without suffix: `text/en`, `text/en-forced`."""
    return _distinct(f"text/{track.language.lower()}" + ("-forced" if track.forced else "") for track in tracks)


def members(tracks: Sequence[AudioTrack], default_language: str) -> list[Member]:
    """The sound tracks in the order of the request, the default first.

    Encodings of one language belong together in the order they come: the first 5.1 one with the first stereo one, and
    so on.
    """
    seen: dict[tuple[str, int], int] = {}
    together: dict[tuple[str, int], dict[int, int]] = {}
    for index, track in enumerate(tracks):
        language = track.language.lower()
        ordinal = seen.get((language, track.channels), 0)
        seen[language, track.channels] = ordinal + 1
        together.setdefault((language, ordinal), {})[track.channels] = index
    default = _default(list(together), default_language)
    names = _distinct(
        (_member_name([tracks[index] for index in group.values()]) for group in together.values()), " ({})"
    )
    found = [
        Member(name, tracks[next(iter(group.values()))].language, key[1], key == default, group)
        for name, (key, group) in zip(names, together.items(), strict=True)
    ]
    return sorted(found, key=lambda member: not member.default)


def sounds(
    tracks: Sequence[AudioTrack],
    default_language: str,
    measured: Sequence[Measured],
    described: Mapping[str, Described],
) -> list[Sound]:
    """The HLS renditions: a group for each number of channels, stereo first.

    Args:
        tracks: of the request.
        default_language: of the request.
        measured: of the same tracks, in the same order.
        described: folder → what the packager's MPD says.
    """
    found = []
    for channels in sorted({track.channels for track in tracks}, key=lambda count: (abs(count - _STEREO), count)):
        for member in members(tracks, default_language):
            index = member.encoding(channels)
            facts = measured[index]
            found.append(
                Sound(
                    playlist=f"{facts.folder}/main.m3u8",
                    codecs=described[facts.folder].codecs,
                    group=f"audio-{channels}ch",
                    name=member.name,
                    language=member.language,
                    channels=tracks[index].channels,
                    default=member.default,
                    chosen_by_language=member.default or member.ordinal == 0,
                    peak_bits=facts.peak_bits,
                    average_bits=facts.average_bits,
                )
            )
    return found


def sound_tracks(tracks: Sequence[AudioTrack], default_language: str) -> dict[str, SoundTrack]:
    """The DASH presentation: folder → language, label and role."""
    folders, found = audio_folders(tracks), {}
    for member in members(tracks, default_language):
        role = "main" if member.default else "alternate" if member.ordinal else "dub"
        for index in member.by_channels.values():
            found[folders[index]] = SoundTrack(tracks[index].language, member.name, role)
    return found


def subtitles(tracks: Sequence[TextTrack]) -> list[Subtitle]:
    """The HLS renditions of text."""
    return [
        Subtitle(f"{path}.m3u8", name, track.language, track.forced)
        for path, name, track in zip(text_names(tracks), _text_labels(tracks), tracks, strict=True)
    ]


def text_files(tracks: Sequence[TextTrack], period: int = 0) -> list[TextFile]:
    """The DASH presentation of text; in a key period, counted from 1, with the files that `text_part` names."""
    return [
        TextFile(text_part(path, period) if period else f"{path}.vtt", track.language, name, track.forced)
        for path, name, track in zip(text_names(tracks), _text_labels(tracks), tracks, strict=True)
    ]


def text_part(path: str, period: int) -> str:
    """The part of a text that shows in a key period, counted from 1."""
    return f"{path}-p{period}.vtt"


def _text_labels(tracks: Sequence[TextTrack]) -> list[str]:
    return _distinct(
        (
            (_tidy(track.title) or _language_name(track.language) or "Subtitles")
            + (" (forced)" if track.forced else "")
            for track in tracks
        ),
        " ({})",
    )


def _member_name(encodings: Sequence[AudioTrack]) -> str:
    titles = {track.title for track in encodings}
    common = titles.pop() if len(titles) == 1 else ""
    return _tidy(common) or _language_name(encodings[0].language) or "Audio"


def _tidy(title: str) -> str:
    """A title on one line without control characters: it comes from a stranger's file."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in title).split())


def _language_name(language: str) -> str:
    if language.lower() == "und":
        return ""
    return _NAMES.get(language.lower().partition("-")[0], language)


def _default(keys: Sequence[tuple[str, int]], wanted: str) -> tuple[str, int] | None:
    firsts = [key for key in keys if key[1] == 0]
    wanted = wanted.lower()
    exact = [key for key in firsts if key[0] == wanted]
    related = [key for key in firsts if wanted and key[0].partition("-")[0] == wanted.partition("-")[0]]
    return next(iter(exact + related + firsts), None)


def _distinct(names: Iterable[str], suffix: str = "-{}") -> list[str]:
    """The names, with 2, 3 … put after those that were there before."""
    taken: set[str] = set()
    found = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = name + suffix.format(number)
        taken.add(candidate)
        found.append(candidate)
    return found
