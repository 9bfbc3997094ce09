"""When every edge goes by an order. A witness asks for a segment of a session that the order is about, at each edge, over and over, until it is
refused for the reason that was ordered, or served again. From then on so must everybody be who asks later.

That says nothing of how long it may take, which depends on how busy the machine is: it is measured, and told with the result. After `LONGEST` it is
wrong on any machine.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from tests.simulation.oracle import Bar, Oracle, Seat, Wrong

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

LONGEST: Final = 60.0
"""Seconds from the answer to a call until every edge must go by it."""
_FILE: Final = "video/0.m4s"
_EVERY: Final = 0.04


async def in_force(
    stage: Stage, oracle: Oracle, seat: Seat, bar: Bar, *, since: float | None = None, reviewed: bool = False
) -> None:
    """Waits until a bar keeps a session out at every edge; or until that cannot be told any more, because the session is over anyway or the bar was
    lifted.

    Args:
        since: when the call was answered that ordered it; from that moment on the service is sure unless another is given.
        reviewed: whether it is one of many sessions that are decided anew, some at a time.
    """
    told = [await _seen(stage, oracle, seat, bar, edge, refused=True) for edge in range(len(stage.edges))]
    if all(told):
        bar.in_force = time.time()
        after = oracle.reviewed_after if reviewed else oracle.in_force_after
        after.append(bar.in_force - (bar.sure if since is None else since))


async def settled(stage: Stage, oracle: Oracle, seat: Seat, bar: Bar) -> None:
    """Waits until a bar that was lifted keeps a session out at no edge any more; or until that cannot be told, as above."""
    told = [await _seen(stage, oracle, seat, bar, edge, refused=False) for edge in range(len(stage.edges))]
    if all(told):
        bar.settled = time.time()
        oracle.settled_after.append(bar.settled - bar.lifted)


async def _seen(stage: Stage, oracle: Oracle, seat: Seat, bar: Bar, edge: int, *, refused: bool) -> bool:
    begun = time.monotonic()
    while not _beyond_telling(seat, bar, refused=refused):
        asked = time.time()
        reason = await stage.asked_at(edge, oracle, seat, _FILE, "witness")
        also = {one for other in _others(seat, bar) if other.may_hold(asked, time.time()) for one in other.reasons}
        if (reason in bar.reasons and reason not in also) if refused else not reason:
            return True
        if (
            reason == "SESSION_REVOKED" and reason in also
        ):  # perhaps it was ended as it was opened: then nothing else shows any more
            return False
        if time.monotonic() - begun > LONGEST:
            what = (
                f"keep {seat.session_id} out with {sorted(bar.reasons)}"
                if refused
                else f"let {seat.session_id} in again"
            )
            wrong = Wrong.ENTITLED_REFUSED if reason else Wrong.REFUSED_SERVED
            oracle.complain(
                f"{asked:.3f} an edge did not {what} within {LONGEST:g} s: {reason or 'served'}, also {sorted(also)}",
                Wrong.OTHER if refused and reason else wrong,
            )
            return False
        await asyncio.sleep(_EVERY)
    return False


def _others(seat: Seat, bar: Bar) -> list[Bar]:
    """What else may keep a session out, but for what ends it for good as this bar does: whichever of those it is, it is out."""
    for_good = seat.bars if any(one is bar for one in seat.bars) else []
    return [
        one
        for one in (*seat.all_bars(), *seat.displaced)
        if one is not bar and not any(one is other for other in for_good)
    ]


def _beyond_telling(seat: Seat, bar: Bar, *, refused: bool) -> bool:
    """Whether nothing that an edge answers can tell: the ticket is over, something else keeps the session out for good, or the bar is not what it was."""
    now = time.time()
    never = float("inf")
    for_good = any(one is not bar and one.in_force <= now and one.lifting == never for one in seat.all_bars())
    return (
        for_good
        or (refused and bar.lifting != never)
        or any(one is not bar and one.in_force <= now and one.lifting == never for one in seat.displaced)
    )
