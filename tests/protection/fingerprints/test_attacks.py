"""A copy is known again after what people do to copies, and films that have nothing to do with it are not taken for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from services.protection.fingerprints import making
from services.protection.fingerprints.comparing import Likeness, likenesses
from services.protection.fingerprints.fingerprint import Fingerprint
from services.protection.fingerprints.index import Index
from tests.protection.fingerprints.films import copied, scenes
from tests.protection.leaks import ffmpeg

SECONDS = 48
START = 9.3
PIECE = 24


@dataclass(frozen=True)
class Library:
    """Two titles, and the index of them."""

    films: dict[int, Path]
    prints: dict[int, Fingerprint]
    index: Index

    async def found(self, file: Path) -> list[tuple[int, bool, Likeness]]:
        """Titles that a file shows, whether mirrored, and where; most of it first."""
        asked = await making.of_file(file, mirrored=True)
        files = {False: asked.plain, True: asked.mirrored}
        found = [
            (one.candidate.title, one.mirrored, like)
            for one in self.index.sightings(asked)
            if (seen := files[one.mirrored]) is not None
            for like in likenesses(seen, self.prints[one.candidate.title], one.candidate)
        ]
        return sorted(found, key=lambda one: -(one[2].picture_seconds + one[2].sound_seconds / 100))


@pytest.fixture(scope="module")
async def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("library")
    films = {number: scenes(folder / f"{number}.mp4", SECONDS, number) for number in (1, 2)}
    prints = {number: (await making.of_file(film)).plain for number, film in films.items()}
    index = Index(folder / "index")
    index.add(prints)
    return Library(films, prints, index)


ATTACKS = {
    "encoded again at a low quality": ("-crf", "35"),
    "cut, scaled down and made lighter": (
        *("-vf", "crop=iw*0.95:ih*0.95:iw*0.04:ih*0.01,scale=214:120,eq=brightness=0.06:gamma=1.2"),
        *("-crf", "28", "-c:a", "libmp3lame", "-b:a", "48k"),
    ),
    "mirrored and paced anew": ("-vf", "hflip,fps=10", "-crf", "28", "-ar", "16000"),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_excerpt_is_found_where_it_was_cut_out(library: Library, tmp_path: Path, attack: str) -> None:
    copy = copied(library.films[1], tmp_path / "copy.mkv", *ATTACKS[attack], start=START, seconds=PIECE)
    title, mirrored, like = (await library.found(copy))[0]
    assert (title, mirrored) == (1, attack.startswith("mirrored"))
    assert like.title_start - like.start == pytest.approx(START, abs=0.3)
    assert like.picture_seconds > PIECE * 0.9
    assert like.nearness > 0.6
    if not mirrored:
        assert like.sound_seconds > PIECE * 0.6


async def test_sound_alone_tells_a_title(library: Library, tmp_path: Path) -> None:
    """Such as of a copy whose picture was replaced."""
    piece = (START, 30.0)
    copy = copied(
        library.films[2], tmp_path / "copy.mp3", "-vn", "-b:a", "48k", "-ac", "1", start=piece[0], seconds=piece[1]
    )
    title, _, like = (await library.found(copy))[0]
    assert title == 2
    assert (like.picture_seconds, like.sound_seconds > 20) == (0, True)
    assert like.title_start - like.start == pytest.approx(START, abs=0.5)


async def test_a_foreign_film_and_a_black_silent_one_are_not_taken_for_ours(library: Library, tmp_path: Path) -> None:
    assert not await library.found(scenes(tmp_path / "foreign.mp4", 24, 7))
    black = tmp_path / "black.mp4"
    making_black = ("-filter_complex", "color=black:s=320x180:r=8:d=24[v];anullsrc=r=22050,atrim=end=24[a]")
    ffmpeg(*making_black, "-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-pix_fmt", "yuv420p", black)
    assert not await library.found(black)
