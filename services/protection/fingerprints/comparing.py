"""Whether a file shows a title, and from when to when: picture by picture, and sound by sound, along the line that a candidate says. Pure arithmetic.

What is called the same here is meant to be beyond doubt; the thresholds are in docs/fingerprints.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.protection.fingerprints.fingerprint import RATE, SOUND_RATE, Fingerprint, thermometers
from services.protection.fingerprints.voting import Candidate

Mask = NDArray[np.bool_]

SAME_PICTURE: Final = 150
"""Digits, counted by how far, by which pictures may differ; those of different films differ by 196 at least, copies by 120 at most."""
SAME_SOUND: Final = 0.35
"""Share of bits that may differ over eight seconds; half of them do in what has nothing to do with each other."""
LEAST_SECONDS: Final = 5.0
"""Seconds of pictures that must be the same in a passage."""
LEAST_SOUND_SECONDS: Final = 20.0
"""Seconds of sound that must be the same where pictures are not."""
LEAST_SHARE: Final = 0.6
"""Share of a passage's pictures that must be the same."""
LEAST_PICTURES: Final = 2
"""Pictures of a passage that must differ from each other: one still picture may stand in many films."""

_DIFFERENT: Final = 60
_USUAL: Final = 330.0
_SLACK: Final = 8
_GAP: Final = 3 * RATE
_LONG_GAP: Final = 10 * RATE
_SOUND_SLACK: Final = 12
_SOUND_WINDOW: Final = 64


@dataclass(frozen=True, slots=True)
class Likeness:
    """A passage of a file that is one of a title.

    Attributes:
        start: second of the file at which it begins.
        end: second of the file at which it ends.
        title_start: second of the title that its beginning shows.
        speed: seconds of the title in a second of the file.
        picture_seconds: how much of it shows the same.
        sound_seconds: how much of it sounds the same.
        pictures: how many different pictures are the same.
        nearness: of its pictures, or of its sound where there are none: 1 for identical ones, 0 for as different as different films are on average.
    """

    start: float
    end: float
    title_start: float
    speed: float
    picture_seconds: float
    sound_seconds: float
    pictures: int
    nearness: float


def likenesses(file: Fingerprint, title: Fingerprint, candidate: Candidate) -> list[Likeness]:
    """Passages along a candidate's line, in the order of the file; none where it is not the title after all."""
    sound, error = _sounds_alike(file, title, candidate)
    shown = _shown(file, title, candidate, sound)
    if shown:
        return shown
    if sound.sum() / SOUND_RATE < LEAST_SOUND_SECONDS:
        return []
    first, last = (int(place) for place in np.flatnonzero(sound)[[0, -1]])
    start = first / SOUND_RATE
    length = float(sound.sum() / SOUND_RATE)
    begin = candidate.offset / 1000 + candidate.speed * start
    end = (last + 1) / SOUND_RATE
    return [Likeness(start, end, begin, candidate.speed, 0.0, length, 0, max(0.0, 1 - 2 * error))]


def _shown(file: Fingerprint, title: Fingerprint, candidate: Candidate, sound: Mask) -> list[Likeness]:
    """Passages whose pictures are the same."""
    if not len(file.pictures) or not len(title.pictures):
        return []
    distances, shift = _distances(file, title, candidate)
    telling = file.telling
    same = (distances <= SAME_PICTURE) & telling
    offset = candidate.offset / 1000 + shift / RATE
    made = []
    for first, last in _stretches(same, telling):
        part = slice(first, last + 1)
        matched = same[part]
        share = matched.sum() / max(1, telling[part].sum())
        different = _different(file, np.flatnonzero(matched) + first)
        if matched.sum() / RATE < LEAST_SECONDS or share < LEAST_SHARE or different < LEAST_PICTURES:
            continue
        start, end = first / RATE, (last + 1) / RATE
        heard = sound[int(start * SOUND_RATE) : int(end * SOUND_RATE)].sum() / SOUND_RATE
        nearness = max(0.0, 1 - float(distances[part][matched].mean()) / _USUAL)
        seconds = float(matched.sum() / RATE)
        begin = offset + candidate.speed * start
        made.append(Likeness(start, end, begin, candidate.speed, seconds, float(heard), different, nearness))
    return made


def _distances(file: Fingerprint, title: Fingerprint, candidate: Candidate) -> tuple[NDArray[np.int64], int]:
    """How much each picture differs from the title's at its place or beside it, and by how many quarters the candidate is off."""
    seen = thermometers(file.digits())
    places = np.rint((candidate.offset / 1000 + candidate.speed * np.arange(len(seen)) / RATE) * RATE).astype(np.int64)
    # Only what may be looked at: the title is mostly longer than the file.
    first = int(np.clip(places[0] - _SLACK, 0, len(title.pictures)))
    known = thermometers(title.digits(first, max(first, int(places[-1]) + _SLACK + 1)))
    places -= first
    by_shift = np.full((2 * _SLACK + 1, len(seen)), 760, np.int64)
    for row, shift in enumerate(range(-_SLACK, _SLACK + 1)):
        there = (places + shift >= 0) & (places + shift < len(known))
        apart = np.bitwise_count(seen[there] ^ known[places[there] + shift])
        by_shift[row, there] = apart.sum(axis=1, dtype=np.int64)
    near = np.maximum(SAME_PICTURE - by_shift, 0).sum(axis=1)
    row = int(np.argmax(near))
    beside = by_shift[max(0, row - 1) : row + 2]
    return beside.min(axis=0), row - _SLACK


def _stretches(same: Mask, telling: Mask) -> list[tuple[int, int]]:
    """Runs of pictures that are the same, with others between them for three seconds at most, and flat ones for ten."""
    places = np.flatnonzero(same)
    if not len(places):
        return []
    seen = np.cumsum(telling)
    breaks = np.flatnonzero((np.diff(seen[places]) > _GAP) | (np.diff(places) > _LONG_GAP))
    firsts, lasts = np.append(0, breaks + 1), np.append(breaks, len(places) - 1)
    return [(int(places[first]), int(places[last])) for first, last in zip(firsts, lasts, strict=True)]


def _different(file: Fingerprint, places: NDArray[np.intp]) -> int:
    """How many pictures there are that differ clearly from the one counted before."""
    if not len(places):
        return 0
    codes = thermometers(file.digits()[places])
    count, last = 1, codes[0]
    for code in codes[1:]:
        if int(np.bitwise_count(code ^ last).sum()) > _DIFFERENT:
            count, last = count + 1, code
    return count


def _sounds_alike(file: Fingerprint, title: Fingerprint, candidate: Candidate) -> tuple[Mask, float]:
    """Values of a file's sound that are within eight seconds of the same sound, and the share of bits by which those differ."""
    heard, known = file.sound, title.sound
    nothing = np.zeros(len(heard), bool)
    if len(heard) < _SOUND_WINDOW or len(known) < _SOUND_WINDOW:
        return nothing, 1.0
    places = np.rint(candidate.offset / 1000 * SOUND_RATE + candidate.speed * np.arange(len(heard))).astype(np.int64)
    best, best_error = nothing, 1.0
    for shift in range(-_SOUND_SLACK, _SOUND_SLACK + 1):
        there = (places + shift >= 0) & (places + shift < len(known))
        errors = np.full(len(heard), 16.0)
        errors[there] = np.bitwise_count(heard[there] ^ known[places[there] + shift])
        means = np.convolve(errors / 32, np.ones(_SOUND_WINDOW) / _SOUND_WINDOW, "valid")
        windows = means < SAME_SOUND
        alike = np.zeros(len(heard) + 1, np.int64)
        np.add.at(alike, np.flatnonzero(windows), 1)
        np.add.at(alike, np.flatnonzero(windows) + _SOUND_WINDOW, -1)
        same = (np.cumsum(alike)[:-1] > 0) & _moving(heard)
        error = float(errors[same].mean() / 32) if same.any() else 1.0
        if (same.sum(), -error) > (best.sum(), -best_error):
            best, best_error = same, error
    return best, best_error


def _moving(sound: NDArray[np.uint32]) -> Mask:
    """Where sound changes within half a second: silence and steady tones are alike in all films."""
    changes = np.append(False, np.diff(sound) != 0)
    return np.asarray(np.convolve(changes, np.ones(8), "same") >= 2, bool)
