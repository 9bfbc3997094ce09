"""Who uploads what was taken down is held; who quotes it, shares a song with it, or shows the same logo, is not."""

from __future__ import annotations

from dataclasses import replace

from services.protection.fingerprints.domain import Passage, held_for

WHOLE = Passage(
    title_asset_id="ast_1",
    file_start_seconds=0,
    file_end_seconds=600,
    title_start_seconds=0,
    speed=1,
    mirrored=False,
    picture_seconds=590,
    sound_seconds=580,
    likeness=0.9,
    barred=True,
    pictures=400,
    title_seconds=600,
)


def held(*passages: Passage, file_seconds: float = 600) -> bool:
    """Whether a file of such a length is held."""
    return bool(held_for(passages, file_seconds))


def test_all_of_it_is_held_whatever_is_put_around_it() -> None:
    assert held(WHOLE)
    assert held(WHOLE, file_seconds=36_000)


def test_what_is_there_by_right_is_not_held() -> None:
    assert not held(replace(WHOLE, barred=False))


def test_an_excerpt_is_held_when_it_is_much_of_the_file_or_of_the_title() -> None:
    excerpt = replace(WHOLE, picture_seconds=30, pictures=20)
    assert held(excerpt, file_seconds=60)
    assert held(replace(excerpt, title_seconds=120), file_seconds=3600)


def test_a_quotation_in_a_longer_film_is_not_held() -> None:
    quoted = replace(WHOLE, picture_seconds=30, pictures=20)
    assert not held(quoted, file_seconds=1200)
    assert held(*[quoted] * 5, file_seconds=1200)


def test_less_than_twenty_seconds_hold_nothing_but_what_is_that_short_itself() -> None:
    logo = replace(WHOLE, picture_seconds=15, pictures=12)
    assert not held(logo, file_seconds=16)
    assert held(replace(logo, title_seconds=16), file_seconds=16)
    assert not held(replace(logo, picture_seconds=4, title_seconds=4.5), file_seconds=4.5)


def test_a_still_picture_a_song_and_a_faint_resemblance_hold_nothing() -> None:
    assert not held(replace(WHOLE, pictures=3))
    assert not held(replace(WHOLE, picture_seconds=0, pictures=0))
    assert not held(replace(WHOLE, likeness=0.55))


def test_it_is_held_for_the_title_of_which_it_has_most() -> None:
    other = replace(WHOLE, title_asset_id="ast_2", picture_seconds=595)
    assert [one.title_asset_id for one in held_for([WHOLE, other], 600)] == ["ast_2"]
