"""What follows from the facts of an asset."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.assets.domain import Asset, Failure, Purpose, Stage, StageState, State
from services.kit.errors import Refusal
from services.kit.ids import new_id

T0 = datetime(2026, 11, 21, 12, tzinfo=UTC)
BLANK = Asset("ast_1", "org_1", version=0, update_time=T0)
Fact = Callable[[Asset], Asset]


def at(seconds: int) -> datetime:
    return T0 + timedelta(seconds=seconds)


def committed(asset: Asset) -> Asset:
    return asset.committed(
        upload_id=new_id("upl"),
        filename="a.mp4",
        title="A",
        size_bytes=3,
        sha256="00",
        commit_time=at(1),
        purpose=Purpose.TITLE,
    )


def committed_as_evidence(asset: Asset) -> Asset:
    return replace(committed(asset), purpose=Purpose.EVIDENCE)


def cleared(asset: Asset) -> Asset:
    return asset.cleared(at(1))


def probed(asset: Asset) -> Asset:
    return asset.probed({"width": 320}, at(2))


def transcoded(asset: Asset) -> Asset:
    return asset.transcoded(at(3))


def packaging(asset: Asset) -> Asset:
    return asset.packaging(at(4))


def published(asset: Asset) -> Asset:
    return asset.published("pkg_1", at(5))


def transcode_failed(asset: Asset) -> Asset:
    return asset.failed(Failure(Stage.TRANSCODE, "ENCODE_FAILED", "no", at(3)))


def states(asset: Asset) -> list[StageState]:
    return [stage.state for stage in asset.stages]


def after(*facts: Fact) -> Asset:
    asset = BLANK
    for fact in facts:
        asset = fact(asset)
    return asset


def test_every_order_of_the_same_facts_ends_in_the_same_place() -> None:
    facts = (committed, cleared, probed, transcoded, packaging, published)
    for order in itertools.permutations(facts):
        asset = after(*order)
        assert asset.state is State.READY
        assert states(asset) == [StageState.DONE] * 5
        assert [stage.end_time for stage in asset.stages] == [at(1), at(1), at(2), at(3), at(5)]


def test_a_fact_told_twice_changes_nothing() -> None:
    for fact in (cleared, probed, transcoded, packaging, published, transcode_failed):
        once = after(committed, fact)
        assert fact(once) == once


def test_an_asset_does_not_exist_before_its_upload_is_committed() -> None:
    assert not after(probed, transcoded, packaging, published).exists


def test_stages_run_one_after_the_other() -> None:
    done, running, pending = StageState.DONE, StageState.RUNNING, StageState.PENDING
    assert states(after(committed)) == [done, running, pending, pending, pending]
    assert states(after(committed, cleared)) == [done, done, running, pending, pending]
    assert states(after(committed, cleared, probed)) == [done, done, done, running, pending]
    assert states(after(committed, cleared, probed, transcoded)) == [done, done, done, done, pending]
    assert states(after(committed, cleared, probed, transcoded, packaging)) == [done, done, done, done, running]


def test_a_master_that_is_held_waits_until_it_is_cleared_in_whatever_order_that_is_heard() -> None:
    delayed, held = (lambda asset: asset.delayed(at(1))), (lambda asset: asset.held(at(2)))
    waiting = after(committed, delayed)
    assert (waiting.state, states(waiting)[1]) == (State.PROCESSING, StageState.WAITING)
    on_hold = after(committed, delayed, held)
    assert (on_hold.state, states(on_hold)[1:3]) == (State.HELD, [StageState.WAITING, StageState.PENDING])
    for order in itertools.permutations((delayed, held, cleared)):
        through = after(committed, *order)
        assert (through.state, states(through)[1:3]) == (State.PROCESSING, [StageState.DONE, StageState.RUNNING])


def test_evidence_is_checked_and_kept_and_goes_no_further() -> None:
    done, running = StageState.DONE, StageState.RUNNING
    assert (after(committed_as_evidence).state, states(after(committed_as_evidence))) == (
        State.PROCESSING,
        [done, running],
    )
    for order in itertools.permutations((committed_as_evidence, cleared)):
        kept = after(*order)
        assert (kept.state, states(kept)) == (State.KEPT, [done, done])
    assert after(committed_as_evidence, lambda asset: asset.held(at(2))).state is State.HELD
    # Whoever encoded it all the same does not make a title of it.
    assert after(committed_as_evidence, cleared, transcoded, packaging, published).state is State.KEPT


def test_a_later_stage_proves_the_ones_before_it() -> None:
    assert states(after(committed, packaging)) == [StageState.DONE] * 4 + [StageState.RUNNING]


def test_a_failed_stage_leaves_the_later_ones_pending() -> None:
    asset = after(committed, probed, transcode_failed)
    assert asset.state is State.FAILED
    assert states(asset) == [StageState.DONE] * 3 + [StageState.FAILED, StageState.PENDING]


def test_a_failure_does_not_stand_once_the_stage_was_done_after_all() -> None:
    asset = after(committed, probed, transcode_failed, transcoded)
    assert asset.state is State.PROCESSING
    assert asset.standing_failure is None


def test_an_older_package_never_takes_the_place_of_a_newer_one() -> None:
    asset = after(committed).published("pkg_new", at(9)).published("pkg_old", at(5))
    assert asset.package_id == "pkg_new"


def test_a_deleted_asset_stays_deleted_whatever_comes_after() -> None:
    assert published(after(committed).deleted(at(2))).state is State.DELETED


@pytest.mark.parametrize("title", ["", "   ", "x" * 501, "a\x00b", "a\nb"])
def test_a_title_that_nobody_could_read_is_refused(title: str) -> None:
    with pytest.raises(Refusal) as refused:
        after(committed).renamed(title)
    assert refused.value.fields[0][0] == "asset.title"
