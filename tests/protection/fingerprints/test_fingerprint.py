"""What a film is known by is read as ffmpeg means it, and kept without loss."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from services.protection.fingerprints import making
from services.protection.fingerprints.fingerprint import Fingerprint, Unreadable, parsed, thermometers
from tests.protection.fingerprints.films import scenes
from tests.protection.leaks import ffmpeg


def test_signatures_are_what_ffmpeg_says_in_xml(tmp_path: Path) -> None:
    """The binary form is read bit by bit; the XML form of the same film tells every digit in plain text."""
    film = scenes(tmp_path / "film.mp4", 4, 1)
    for name in ("binary", "xml"):
        ffmpeg("-i", film, "-vf", f"fps=4,signature=format={name}:filename={tmp_path / name}", "-f", "null", "-")
    pictures, confidences = parsed((tmp_path / "binary").read_bytes())
    told = (tmp_path / "xml").read_text()
    digits = [[int(digit) for digit in text.split()] for text in re.findall(r"<FrameSignature>([\d\s]+)<", told)]
    sure = [int(text) for text in re.findall(r"<FrameConfidence>(\d+)<", told)]
    made = Fingerprint(pictures, confidences, np.zeros(0, np.uint32))
    assert made.digits().tolist() == digits
    assert confidences.tolist() == sure
    apart = np.abs(np.array(digits[0]) - np.array(digits[-1])).sum()
    first, *_, last = thermometers(made.digits())
    assert int(np.bitwise_count(first ^ last).sum()) == apart


async def test_a_file_without_a_picture_has_a_fingerprint_of_its_sound_alone_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    film = scenes(tmp_path / "film.mp4", 12, 1)
    ffmpeg("-i", film, "-vn", tmp_path / "sound.mp3")
    ffmpeg("-i", film, "-an", "-c:v", "copy", tmp_path / "silent.mkv")
    sound = (await making.of_file(tmp_path / "sound.mp3")).plain
    assert (len(sound.pictures), len(sound.sound) > 60) == (0, True)
    seen: list[float] = []
    silent = await making.of_file(tmp_path / "silent.mkv", mirrored=True, on_fraction=seen.append)
    assert (len(silent.plain.pictures), len(silent.plain.sound)) == (48, 0)
    assert silent.mirrored is not None
    assert (silent.mirrored.pictures != silent.plain.pictures).any()
    assert seen == sorted(seen)


def test_a_fingerprint_is_kept_without_loss_and_a_damaged_one_is_told() -> None:
    rng = np.random.default_rng(1)
    made = Fingerprint(
        rng.integers(0, 243, (40, 76), np.uint8),
        rng.integers(0, 256, 40, np.uint8),
        rng.integers(0, 2**32, 80, np.uint32),
    )
    data = made.to_bytes()
    again = Fingerprint.from_bytes(data)
    assert (again.pictures == made.pictures).all()
    assert (again.confidences == made.confidences).all()
    assert (again.sound == made.sound).all()
    with pytest.raises(Unreadable):
        Fingerprint.from_bytes(b"RIFF" + data)
    with pytest.raises(Unreadable):
        parsed(b"\0" * 8)
