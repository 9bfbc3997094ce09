"""Copies of a small watermarked title, leaked in all kinds of ways: the right session is named, or nobody."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.kit.codewords import PERIOD, Code
from services.kit.errors import Refusal
from services.kit.storage import ObjectStore
from services.protection.detection.detecting import Detection, Detector, Outcome
from services.protection.detection.picture import drawn
from services.protection.detection.pipeline import Title
from services.protection.store import MarkedTitle, Rendition, Viewing
from tests.protection.leaks import ASSET, RATE, ROOT, MarkedFilm, attacked, ffmpeg, shared_title

CROWD = [f"pbs_{number}" for number in range(30)]


@pytest.fixture(scope="module")
def title() -> MarkedFilm:
    return shared_title()


async def detected(title: MarkedFilm, copy: Path) -> Detection:
    a, b = title.files["180p"]
    small_a, small_b = title.files["144p"]
    renditions = (
        Rendition(320, 180, RATE, a.name, b.name),
        Rendition(256, 144, RATE, small_a.name, small_b.name),
    )
    known = MarkedTitle(ASSET, "org_1", 2, 2.0, renditions)

    async def viewings(asset_id: str) -> Sequence[Viewing]:
        assert asset_id == ASSET
        return [Viewing(holder, "ada", datetime.now(UTC)) for holder in CROWD]

    return await Detector(ROOT, ObjectStore.at(f"file://{title.folder}"), viewings).detect(copy, [known])


def errors_in(detection: Detection, holder: str) -> int:
    """How many segments were clearly read, and wrongly."""
    assert detection.reading is not None
    segments, evidence = detection.reading.evidence()
    code = Code.of(ROOT, ASSET)
    leaked = np.frombuffer(code.drawn(holder), np.uint8) < np.frombuffer(code.chances, np.uint8)
    return int(np.sum((np.sign(evidence) != np.where(leaked, 1, -1)[segments]) & (np.abs(evidence) >= 0.3)))


def test_a_copy_is_read_for_as_long_as_three_who_mix_theirs_may_stay_hidden() -> None:
    known = Title(Path("a.mp4"), Path("b.mp4"), 640, 360, 25.0, 2.0)
    assert known.telling_seconds >= PERIOD * 2.0
    assert 30 * 60 <= known.telling_seconds < 45 * 60


async def test_a_session_is_named_by_its_copy(title: MarkedFilm, tmp_path: Path) -> None:
    copy = attacked(title.leak("pbs_7", "180p"), tmp_path / "copy.mp4", "-crf", "28")
    detection = await detected(title, copy)
    assert [one.session_id for one in detection.suspects] == ["pbs_7"]
    assert detection.outcome is Outcome.ACCUSED
    assert detection.suspects[0].false_positive < 1e-6
    assert detection.suspects[0].viewer_id == "ada"
    picture = Image.open(io.BytesIO(drawn(detection)))
    assert (picture.format, picture.width) == ("PNG", 780)


async def test_a_copy_that_was_cut_mirrored_made_lighter_scaled_and_paced_anew_names_it_too(
    title: MarkedFilm, tmp_path: Path
) -> None:
    cut = "crop=iw*0.95:ih*0.95:iw*0.03:ih*0.01,hflip,eq=brightness=0.05:contrast=1.1:gamma=1.2,scale=426:240,fps=12"
    copy = attacked(title.leak("pbs_7", "180p"), tmp_path / "copy.mp4", "-vf", cut, "-crf", "24")
    detection = await detected(title, copy)
    assert detection.alignment is not None
    assert detection.alignment.mirrored
    assert [one.session_id for one in detection.suspects] == ["pbs_7"], (detection.as_dict(), detection.reading)


async def test_a_screen_that_stalled_and_skipped_names_it_too(title: MarkedFilm, tmp_path: Path) -> None:
    # Four times the picture stands still, once a second and a half are left out: the copy is up to three seconds late, then early, then late.
    stalls = "+".join(f"{long}*gte(T,{at})" for at, long in ((9.3, 0.8), (17, 2.2), (26.4, 0.5), (49, 1.9)))
    paced = f"select='not(between(t,38,41.5))',setpts='PTS+({stalls}-3.5*gte(T,38))/TB',fps=25"
    copy = attacked(title.leak("pbs_7", "180p"), tmp_path / "copy.mp4", "-vf", paced, "-crf", "26")
    detection = await detected(title, copy)
    assert [one.session_id for one in detection.suspects] == ["pbs_7"], detection.as_dict()
    assert errors_in(detection, "pbs_7") == 0


@pytest.mark.parametrize("bars", ["pad=iw:ih*4/3:0:-1", "pad=iw*1.3:ih:-1:0"], ids=["above and below", "at the sides"])
async def test_black_bars_of_a_screen_of_another_shape_do_not_matter(
    title: MarkedFilm, tmp_path: Path, bars: str
) -> None:
    copy = attacked(title.leak("pbs_7", "180p"), tmp_path / "copy.mp4", "-vf", bars, "-crf", "26")
    detection = await detected(title, copy)
    assert [one.session_id for one in detection.suspects] == ["pbs_7"], detection.as_dict()
    assert errors_in(detection, "pbs_7") == 0


async def test_an_excerpt_lies_where_it_was_cut_out_and_accuses_nobody_when_it_is_short(
    title: MarkedFilm, tmp_path: Path
) -> None:
    copy = attacked(
        title.leak("pbs_7", "180p"), tmp_path / "copy.mkv", "-t", "24", "-crf", "26", before=["-ss", "31.3"]
    )
    detection = await detected(title, copy)
    assert detection.alignment is not None
    assert detection.alignment.offset == pytest.approx(31.3, abs=0.25)
    assert detection.outcome is Outcome.NOT_ENOUGH_EVIDENCE
    assert detection.verdict is not None
    assert CROWD[int(detection.verdict.scores.argmax())] == "pbs_7"


async def test_an_unmarked_film_accuses_nobody(title: MarkedFilm, tmp_path: Path) -> None:
    detection = await detected(title, attacked(title.master, tmp_path / "copy.mp4", "-t", "30", "-crf", "23"))
    assert detection.outcome is Outcome.NOT_ENOUGH_EVIDENCE
    assert not detection.suspects


async def test_the_film_of_somebody_else_is_not_taken_for_ours(title: MarkedFilm, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.mp4"
    ffmpeg("-f", "lavfi", "-i", f"mandelbrot=s=320x180:r={RATE}", "-t", "24", "-pix_fmt", "yuv420p", foreign)
    assert (await detected(title, foreign)).outcome is Outcome.TITLE_NOT_FOUND


async def test_what_is_no_film_is_refused(title: MarkedFilm, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no film at all")
    with pytest.raises(Refusal, match="no moving picture"):
        await detected(title, tmp_path / "notes.txt")
