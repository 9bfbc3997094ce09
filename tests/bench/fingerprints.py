"""Fingerprints: how many attacked excerpts are found among 10,000 hours, how many of those that are named are right, and how long it takes.

Three titles that nothing was tuned on lie among synthetic ones. Excerpts from a moment that nobody tells are attacked and searched, and so are films that
are in no library. The 10,000 hours are codes that are spread, and hang together, as those of the titles' own pictures do.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.protection.fingerprints import making, shards
from services.protection.fingerprints.codes import BITS, Codes, Sense, digits_of
from services.protection.fingerprints.comparing import Likeness, likenesses
from services.protection.fingerprints.finding import MOST_TITLES
from services.protection.fingerprints.fingerprint import SOUND_RATE, Fingerprint
from services.protection.fingerprints.index import Index
from services.protection.fingerprints.making import Prints
from services.protection.fingerprints.shards import Entries
from tests.bench.harness import SCRATCH, Measurement, median
from tests.protection.fingerprints.films import copied, scenes
from tests.protection.leaks import film

HOURS: Final = int(os.environ.get("REELMESH_BENCH_FINGERPRINT_HOURS", "10000"))
"""Of the index; fewer for a trial."""
PIECE: Final = 12.0
"""Seconds of an excerpt."""
_TITLE: Final = 48
_HOURS_EACH: Final = 2
_FIRST_FILLER: Final = 1000
_POOL: Final = 1_000_000
_FLIPPED: Final = 0.12
_ROUNDS: Final = 5
_RIGHT: Final = 1.0

ATTACKS: Final[Mapping[str, tuple[str, ...]]] = {
    "same_quality": ("-crf", "20"),
    "crf_28": ("-crf", "28"),
    "crf_35": ("-crf", "35"),
    "480p": ("-vf", "scale=-2:480", "-crf", "28"),
    "crop_5_percent": ("-vf", "crop=iw*0.95:ih*0.95:iw*0.04:ih*0.01", "-crf", "28"),
    "brightness_gamma": ("-vf", "eq=brightness=0.06:contrast=1.1:gamma=1.2", "-crf", "28"),
    "25_to_30_fps": ("-vf", "fps=30", "-crf", "28"),
    "mirror": ("-vf", "hflip", "-crf", "28"),
    "crop_480p_crf_35": ("-vf", "crop=iw*0.95:ih*0.95:iw*0.04:ih*0.01,scale=-2:480", "-crf", "35"),
    "mirror_gamma": ("-vf", "hflip,eq=gamma=1.3", "-crf", "30"),
}


@dataclass(slots=True)
class Tally:
    """What came of the searches.

    Attributes:
        asked: excerpts that are in the library.
        found: of those, how many were found, at the right moment.
        named: passages that were told.
        right: of those, how many are what they are said to be.
        missed: what was not found, for the note.
    """

    asked: int = 0
    found: int = 0
    named: int = 0
    right: int = 0
    missed: list[str] = field(default_factory=list)


async def measure() -> list[Measurement]:
    """Takes about three minutes on two cores, and 3 GB of disk and of memory."""
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fingerprints-", dir=SCRATCH) as name:
        folder = Path(name)
        films = await asyncio.to_thread(_films, folder)
        prints = {number: (await making.of_file(one)).plain for number, one in films.items()}
        began = time.monotonic()
        index = await asyncio.to_thread(_filled, folder / "index", prints)
        built = time.monotonic() - began
        tally = Tally()
        for number, one in films.items():
            for attack, arguments in ATTACKS.items():
                await _search(
                    tally, index, prints, (number, one), attack, copied_piece(folder, one, arguments, tally.asked)
                )
        for seed in (91, 92, 93):
            foreign = await asyncio.to_thread(scenes, folder / f"{seed}.mp4", 24, seed, size="640x360", rate=25)
            tally.named += len(_passages(index, prints, await making.of_file(foreign, mirrored=True)))
        minute = await asyncio.to_thread(
            copied, films[1], folder / "minute.mp4", "-vf", "loop=-1:900,scale=640:360", seconds=60
        )
        return [*_judged(tally), *await _timed(index, prints, minute, built)]


def _films(folder: Path) -> dict[int, Path]:
    """The titles; one of them of 1080 lines."""
    return {
        1: scenes(folder / "1.mp4", _TITLE, 81, size="1920x1080", rate=25),
        2: scenes(folder / "2.mp4", _TITLE, 82, size="640x360", rate=25),
        3: film(folder / "3.mp4", _TITLE, 83, "320x180", 25),
    }


def _filled(folder: Path, prints: Mapping[int, Fingerprint]) -> Index:
    """An index of the titles and of as many hours besides."""
    index, rng = Index(folder), np.random.default_rng(20261129)
    pool, flips = _pool(rng, prints), _random_bits(rng, 4096, _FLIPPED)
    folder.mkdir()
    seconds = HOURS * 3600
    for sense, every in ((Sense.PICTURE, 1.0), (Sense.SOUND, 16 / SOUND_RATE)):
        many = int(seconds / every)
        source = pool if sense is Sense.PICTURE else rng.integers(0, 2**63, (_POOL, BITS // 64), np.uint64)
        words = np.empty((many, BITS // 64), np.uint64)
        for start in range(0, many, _POOL):
            part = words[start : start + _POOL]
            part[:] = source[rng.integers(0, len(source), len(part))] ^ flips[rng.integers(0, len(flips), len(part))]
        each = int(_HOURS_EACH * 3600 / every)
        titles = (np.arange(many) // each + _FIRST_FILLER).astype(np.uint32)
        places = (np.arange(many) % each * every * 1000).astype(np.uint32)
        known = range(_FIRST_FILLER, _FIRST_FILLER + HOURS // _HOURS_EACH)
        shards.write(folder / f"{sense}-filler.idx", [Entries(words, titles, places)], known)
    index.add(prints)
    return index


def _pool(rng: np.random.Generator, prints: Mapping[int, Fingerprint]) -> NDArray[np.uint64]:
    """Codes that hang together as those of real pictures: digits are thirds of normal variables with the covariance of the titles' own digits."""
    digits = np.concatenate([digits_of(one) for one in prints.values()]).astype(np.float64) - 1
    spread = 0.8 * np.cov(digits.T) + 0.2 * np.eye(digits.shape[1])
    scale = np.sqrt(np.diag(spread))
    root = np.linalg.cholesky(spread / np.outer(scale, scale)).T.astype(np.float32)
    made = np.empty((_POOL, BITS // 64), np.uint64)
    for start in range(0, _POOL, 50_000):
        drawn = rng.standard_normal((min(50_000, _POOL - start), len(root)), np.float32) @ root
        third = np.float32(0.43)
        made[start : start + len(drawn)] = Codes.of_digits((drawn > -third).astype(np.uint8) + (drawn > third)).words
    return made


def _random_bits(rng: np.random.Generator, many: int, share: float) -> NDArray[np.uint64]:
    bits = rng.random((many, BITS)) < share
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)


def copied_piece(folder: Path, one: Path, arguments: tuple[str, ...], number: int) -> tuple[Path, float]:
    """An attacked excerpt, and the moment at which it begins."""
    start = float(np.random.default_rng(number).uniform(1, _TITLE - PIECE - 1))
    return copied(one, folder / f"piece-{number}.mkv", "-an", *arguments, start=start, seconds=PIECE), start


async def _search(
    tally: Tally,
    index: Index,
    prints: Mapping[int, Fingerprint],
    title: tuple[int, Path],
    attack: str,
    piece: tuple[Path, float],
) -> None:
    file, start = piece
    passages = _passages(index, prints, await making.of_file(file, mirrored=True))
    right = [number == title[0] and abs(one.title_start - one.start - start) < _RIGHT for number, one in passages]
    tally.asked += 1
    tally.found += any(right)
    tally.named += len(passages)
    tally.right += sum(right)
    if not any(right):
        tally.missed.append(f"{attack} of {title[1].stem}")
    file.unlink()


def _passages(index: Index, prints: Mapping[int, Fingerprint], asked: Prints) -> list[tuple[int, Likeness]]:
    """What is told of a file: the best passage of each title that it is found to show."""
    sightings = index.sightings(asked)
    numbers = list(dict.fromkeys(one.candidate.title for one in sightings))[:MOST_TITLES]
    told = []
    for number in numbers:
        likes = []
        for one in sightings:
            file = asked.mirrored if one.mirrored and asked.mirrored else asked.plain
            if one.candidate.title == number:
                likes += likenesses(file, prints.get(number) or _invented(number), one.candidate)
        if likes:
            told.append((number, max(likes, key=lambda like: like.picture_seconds + like.sound_seconds / 100)))
    return told


def _invented(number: int) -> Fingerprint:
    """The whole fingerprint of a synthetic title, for the comparison that is to refuse it."""
    rng, pictures = np.random.default_rng(number), _HOURS_EACH * 3600 * 4
    sound = rng.integers(0, 2**32, int(_HOURS_EACH * 3600 * SOUND_RATE), np.uint32)
    return Fingerprint(rng.integers(0, 243, (pictures, 76), np.uint8), np.full(pictures, 90, np.uint8), sound)


def _judged(tally: Tally) -> list[Measurement]:
    note = f"{PIECE:.0f} s excerpts of 3 titles after {len(ATTACKS)} attacks, and 3 foreign films, of which only the foreign have sound, among {HOURS} h"
    missed = f"; missed: {', '.join(tally.missed)}" if tally.missed else ""
    precision = tally.right / tally.named if tally.named else 0.0
    return [
        Measurement("fingerprint.precision", precision, "ratio", "", f"{note}; {tally.named} passages told"),
        Measurement(
            "fingerprint.recall", tally.found / tally.asked, "ratio", "", f"{note}; {tally.asked} asked{missed}"
        ),
    ]


async def _timed(index: Index, prints: Mapping[int, Fingerprint], minute: Path, built: float) -> list[Measurement]:
    whole, search = [], []
    for _ in range(_ROUNDS):
        began = time.monotonic()
        asked = await making.of_file(minute, mirrored=True)
        ready = time.monotonic()
        _passages(index, prints, asked)
        search.append(time.monotonic() - ready)
        whole.append(time.monotonic() - began)
    note = f"a minute of 640 x 360 at 25 frames a second, as it is and mirrored, against {HOURS} h, median of {_ROUNDS}, files in the page cache"
    size = index.size / HOURS
    return [
        Measurement(
            "fingerprint.match_minute_in_10kh_s", median(whole), "s", "", f"{note}; decoding and fingerprints included"
        ),
        Measurement(
            "fingerprint.search_minute_in_10kh_s", median(search), "s", "", f"{note}; search and comparison alone"
        ),
        Measurement(
            "fingerprint.index_bytes_per_hour",
            size,
            "B",
            "",
            f"picture and sound; {HOURS} h were made in {built:.0f} s",
        ),
    ]
