"""A watermarked film has two variants of each segment, which open with one init segment and one key, and which nobody can ask for by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cbor2
import pytest

from services.kit.errors import Refusal
from services.packaging.engine import package
from services.packaging.tracks import PackageRequest, Scheme
from tests.packaging.sets import KEYS, LATER_KEYS, PackagedSet, frames, original_frames, whole_film
from tests.packaging.sources import RATE_FACTORS, SEGMENTS, X264, Sources, ffmpeg


@dataclass(frozen=True)
class Marked:
    """A watermarked set, and what its variants b were made from."""

    made: PackagedSet
    others: tuple[Path, ...]


def other(source: Path, factor: str, folder: Path) -> Path:
    """The same film, a little lighter: what another variant is to the packager."""
    target = folder / f"other-{source.name}"
    ffmpeg("-i", source, "-vf", "lutyuv=y=val+2", "-an", *X264, "-crf", factor, target)
    return target


def request_for(sources: Sources, folder: Path, **changes: object) -> PackageRequest:
    film = whole_film(sources, folder / "package")
    video = tuple(
        replace(track, other=other(track.path, factor, folder))
        for track, factor in zip(film.video, RATE_FACTORS, strict=True)
    )
    return replace(film, video=video, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=[Scheme.CBCS, Scheme.CENC])
async def marked(request: pytest.FixtureRequest, sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Marked:
    wanted = request_for(sources, tmp_path_factory.mktemp("marked"), scheme=request.param, paced=True)
    made = PackagedSet(wanted.output, wanted, await package(wanted))
    return Marked(made, tuple(track.other for track in wanted.video if track.other))


async def test_both_variants_open_with_the_one_init_segment_and_key(marked: Marked, tmp_path: Path) -> None:
    root, joined = marked.made.root, tmp_path / "joined.mp4"
    for track, b in zip(marked.made.request.video, marked.others, strict=True):
        for folder, source in ((".a", track.path), (".b", b)):
            segments = [root / folder / "video" / track.name / f"{number}.m4s" for number in range(1, SEGMENTS + 1)]
            init = root / "video" / track.name / "init.mp4"
            joined.write_bytes(b"".join(path.read_bytes() for path in [init, *segments]))
            key = KEYS[track.label].key.hex()
            assert frames(joined, "-decryption_key", key) == original_frames(source)


async def test_variants_may_follow_each_other_in_any_order(marked: Marked, tmp_path: Path) -> None:
    root, track, joined = marked.made.root, marked.made.request.video[0], tmp_path / "joined.mp4"
    mixed = [root / folder / "video" / track.name / f"{n}.m4s" for n, folder in ((1, ".b"), (2, ".a"), (3, ".b"))]
    init = root / "video" / track.name / "init.mp4"
    joined.write_bytes(b"".join(path.read_bytes() for path in [init, *mixed]))
    a, b = original_frames(track.path), original_frames(marked.others[0])
    assert frames(joined, "-decryption_key", KEYS[track.label].key.hex()) == b[:48] + a[48:96] + b[96:144]


async def test_where_players_ask_there_is_no_segment_of_a_picture(marked: Marked) -> None:
    root = marked.made.root
    assert not list(root.glob("video/*/*.m4s"))
    assert list(root.glob("audio/*/*.m4s"))
    assert not list(root.glob(".other"))
    assert set(marked.made.result.files) == {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


async def test_nothing_that_a_player_is_told_names_a_variant(marked: Marked) -> None:
    for name in marked.made.result.files:
        if name.endswith((".m3u8", ".mpd")):
            text = marked.made.text(name)
            assert ".a/" not in text
            assert ".b/" not in text
            assert "iframes" not in text
    segments = [path for folder in (".a", ".b") for path in (marked.made.root / folder).glob("video/*/*.m4s")]
    assert len(segments) == 2 * 2 * SEGMENTS
    assert len({path.stat().st_mtime_ns for path in segments}) == 1


async def test_a_bit_rate_is_that_of_the_larger_variant(marked: Marked) -> None:
    for track in marked.made.result.tracks[:2]:
        for folder in (".a", ".b"):
            sizes = [path.stat().st_size for path in (marked.made.root / folder / track.folder).glob("*.m4s")]
            assert track.average_bits >= sum(sizes) * 8 / track.seconds - 1


async def test_sidecars_tell_the_edges_of_others_which_is_which(marked: Marked) -> None:
    for folder in (".a", ".b"):
        info = cbor2.loads((marked.made.root / folder / "video/180p/WMPaceInfo/3.m4s").read_bytes())
        assert info == {1: 1, 2: [{6: 2, 7: True, 8: True}]}  # sidecar-discrete, ETSI TS 104 002 §5.5.3.2


async def test_both_variants_turn_to_new_keys_together(sources: Sources, tmp_path: Path) -> None:
    """Keys whose vectors the packager chooses as well."""
    fresh = {label: replace(key, iv=None) for label, key in LATER_KEYS[0].items()}
    film = request_for(sources, tmp_path, later_keys=(fresh,), key_period=4.0)
    made, track, joined = PackagedSet(film.output, film, await package(film)), film.video[0], tmp_path / "joined.mp4"
    for folder, source in ((".a", track.path), (".b", track.other)):
        lying = made.root / folder / "video" / track.name
        init = made.root / "video" / track.name / "init-2.mp4"
        joined.write_bytes(b"".join(path.read_bytes() for path in (init, lying / "3.m4s", lying / "4.m4s")))
        assert source is not None
        assert frames(joined, "-decryption_key", fresh[track.label].key.hex()) == original_frames(source)[96:]


async def test_variants_that_do_not_fit_together_are_refused(sources: Sources, tmp_path: Path) -> None:
    film = request_for(sources, tmp_path)
    crossed = tuple(replace(track, other=film.video[1 - place].other) for place, track in enumerate(film.video))
    with pytest.raises(Refusal, match="do not share an init segment"):
        await package(replace(film, video=crossed))
    assert not list(film.output.iterdir())
