"""Puts viewers and operators together."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from reelmesh.policy.v1 import decisions_pb2

from services.kit.settings import ProcessSettings
from services.policy.domain import SILENT_AFTER
from tests.simulation.operators import Operating
from tests.simulation.oracle import STREAMS, Oracle, Seat, Viewer
from tests.simulation.stage import Stage, a_stage
from tests.simulation.viewers import Watching

_SLEEPERS: Final = 6
_SLEPT: Final = SILENT_AFTER + timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Script:
    """What is played.

    Attributes:
        viewers: how many there are.
        seconds: from the first that joins to the last that leaves, about.
        titles: what there is to watch; two of them are lost on the way.
        seed: what everybody does follows from it; when exactly does not.
        step: seconds between two segments of a viewer.
    """

    viewers: int
    seconds: float
    titles: int = 8
    seed: int = 2026
    step: float = 0.8


async def played(mesh: ProcessSettings, script: Script) -> Oracle:
    """Plays it all; the oracle says what was wrong."""
    oracle = Oracle()
    async with a_stage(mesh, script.titles) as stage:
        limit = decisions_pb2.Rule(kind=decisions_pb2.RULE_KIND_CONCURRENCY, streams_by_tier={"*": STREAMS})
        # Terms are looked at by whoever has this rule.
        terms = decisions_pb2.Rule(kind=decisions_pb2.RULE_KIND_ENTITLEMENT)
        await stage.scene.rules(terms, limit)
        asleep = await _fallen_asleep(stage, oracle, script)
        witnesses = await _witnesses(stage, oracle, script)
        viewers = [Viewer(f"viewer-{number}") for number in range(script.viewers)]
        until = time.time() + script.seconds
        await asyncio.gather(
            *(_viewer(stage, oracle, script, viewer, number, until) for number, viewer in enumerate(viewers)),
            *(watching.wake_up(stage.titles[-1]) for watching in asleep),
            _operators(stage, script, Operating(stage, oracle, viewers, witnesses, _operator(script)), until),
        )
        await asyncio.gather(*stage.beside)
    return oracle


def _operator(script: Script) -> random.Random:
    return random.Random(f"{script.seed} operators")


async def _witnesses(stage: Stage, oracle: Oracle, script: Script) -> dict[str, Seat]:
    """A session of each title, by its asset, of somebody who does nothing else."""
    found: dict[str, Seat] = {}
    for title in stage.titles:
        viewer = Viewer(f"witness of {title.asset_id}")
        watching = Watching(stage, oracle, viewer, random.Random(script.seed), script.step)
        await watching.sit_down(title)
        (found[title.asset_id],) = viewer.seats
    return found


async def _fallen_asleep(stage: Stage, oracle: Oracle, script: Script) -> list[Watching]:
    """Some viewers who were last heard of more than half a minute ago. To the policy service that is how long ago it was."""
    viewers = [Viewer(f"sleeper-{number}") for number in range(_SLEEPERS)]
    rng = random.Random(f"{script.seed} sleepers")
    found = [Watching(stage, oracle, viewer, rng, script.step) for viewer in viewers]
    stage.time.behind = _SLEPT
    await asyncio.sleep(0.1)
    for watching in found:
        await watching.fall_asleep(stage.titles[-1])
    stage.time.behind = timedelta()
    await asyncio.sleep(0.1)
    for viewer in viewers:
        for seat in viewer.seats:
            seat.alive -= _SLEPT.total_seconds()
    return found


async def _viewer(stage: Stage, oracle: Oracle, script: Script, viewer: Viewer, number: int, until: float) -> None:
    rng = random.Random(f"{script.seed} {number}")
    await asyncio.sleep(rng.uniform(0, script.seconds * 0.7))
    await Watching(stage, oracle, viewer, rng, script.step).live(until)


async def _operators(stage: Stage, script: Script, operating: Operating, until: float) -> None:
    lost, restricted, *others = stage.titles

    async def later(share: float) -> None:
        await asyncio.sleep(script.seconds * share)

    async def deleting() -> None:
        await later(0.5)
        await operating.delete(lost)

    async def restricting() -> None:
        await later(0.6)
        await operating.restrict(restricted)

    last = until - 0.2 * script.seconds
    await asyncio.gather(
        deleting(),
        restricting(),
        operating.revoke_sessions(last, every=0.6),
        operating.revoke_viewers(last, every=1.5),
        operating.revoke_titles(others[:2], last, every=2.5),
    )
