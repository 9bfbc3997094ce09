"""What operators do to viewers: revoke sessions, viewers and titles, lift that again, delete a title, and change the terms of another."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from reelmesh.policy.v1 import revocations_service_pb2 as api

from services.kit.ids import new_id
from tests.simulation.oracle import Bar, Oracle, Seat, Title, Viewer
from tests.simulation.stage import Stage
from tests.simulation.witnesses import in_force, settled

_AT_A_TIME: Final = 16
"""Sessions that are watched at a time until they have ended."""


class Operating:
    """One operator.

    Args:
        viewers: all of them.
        witnesses: a session of each title, by its asset, which nothing but what happens to the title ends.
    """

    def __init__(
        self,
        stage: Stage,
        oracle: Oracle,
        viewers: Sequence[Viewer],
        witnesses: Mapping[str, Seat],
        rng: random.Random,
    ) -> None:
        self._stage = stage
        self._oracle = oracle
        self._witnesses = witnesses
        self._viewers = viewers
        self._rng = rng

    async def revoke_sessions(self, until: float, every: float) -> None:
        """Ends one running session after another."""
        while time.time() < until:
            await asyncio.sleep(every * self._rng.uniform(0.5, 1.5))
            running = [seat for viewer in self._viewers for seat in viewer.seats[-2:] if not seat.bars]
            if running:
                seat = self._rng.choice(running)
                async with self._ordering() as began:
                    bar = seat.end("SESSION_REVOKED", began=began)
                    await self._stage.scene.revoke(seat.session_id, "by an operator")
                bar.sure = time.time()
                await in_force(self._stage, self._oracle, seat, bar)

    async def revoke_viewers(self, until: float, every: float) -> None:
        """Revokes one viewer after another, and lifts it a while later; their sessions stay ended."""
        while time.time() < until:
            await asyncio.sleep(every * self._rng.uniform(0.5, 1.5))
            viewer = self._rng.choice([one for one in self._viewers if one.seats] or list(self._viewers))
            await self._hold_viewer(viewer, every)

    async def revoke_titles(self, titles: Sequence[Title], until: float, every: float) -> None:
        """Holds one title after another, and lets it go on a while later, sessions and all."""
        while time.time() < until:
            await asyncio.sleep(every * self._rng.uniform(0.5, 1.5))
            await self._hold_title(self._rng.choice(titles), every)

    async def delete(self, title: Title) -> None:
        """Takes a title away for good."""
        async with self._ordering() as began:
            title.bars.append(bar := Bar(frozenset({"ASSET_WITHDRAWN"}), began))
            await self._stage.scene.delete(title.asset_id)
        # That it was announced is not that it was heard.
        await in_force(self._stage, self._oracle, self._witnesses[title.asset_id], bar, since=time.time())
        bar.sure = bar.in_force

    async def restrict(self, title: Title) -> None:
        """From now on a title needs an entitlement, which nobody here has. What plays is decided anew, one session after another."""
        async with self._ordering() as began:
            title.terms.append(terms := Bar(frozenset({"ENTITLEMENT_REQUIRED"}), began))
            running = [seat for seat in title.sessions if seat.expires > began]
            bars = [seat.end("SESSION_REVOKED", "ENTITLEMENT_REQUIRED", began=began) for seat in running]
            await self._stage.scene.terms(title.asset_id, entitlement_required=True)
        terms.sure = time.time()
        pairs = list(zip(running, bars, strict=True))
        for first in range(0, len(pairs), _AT_A_TIME):
            some = pairs[first : first + _AT_A_TIME]
            await asyncio.gather(*(self._reviewed(seat, bar, terms.sure) for seat, bar in some))

    async def _reviewed(self, seat: Seat, bar: Bar, since: float) -> None:
        await in_force(self._stage, self._oracle, seat, bar, since=since, reviewed=True)
        bar.sure = bar.in_force  # until then it may count as a stream

    async def _hold_viewer(self, viewer: Viewer, pause: float) -> None:
        async with self._ordering() as began:
            seats = list(viewer.seats)
            viewer.bars.append(bar := Bar(frozenset({"PLAYBACK_REVOKED"}), began))
            ends = [seat.end("SESSION_REVOKED", "PLAYBACK_REVOKED", began=began) for seat in seats]
            made = await self._revoked(api.REVOCATION_TARGET_VIEWER, viewer.viewer_id)
        bar.sure = time.time()
        for end in ends:
            end.sure = bar.sure
        watched = (in_force(self._stage, self._oracle, *one) for one in zip(seats, ends, strict=True))
        await asyncio.gather(self._lifted_later(bar, made, pause), *watched)
        bar.settled = bar.lifted  # it kept them from opening anything, which edges have no say in

    async def _hold_title(self, title: Title, pause: float) -> None:
        witness = self._witnesses[title.asset_id]
        async with self._ordering() as began:
            title.bars.append(bar := Bar(frozenset({"PLAYBACK_REVOKED"}), began))
            made = await self._revoked(api.REVOCATION_TARGET_ASSET, title.asset_id)
        bar.sure = time.time()
        await in_force(self._stage, self._oracle, witness, bar)
        await self._lifted_later(bar, made, pause)
        await settled(self._stage, self._oracle, witness, bar)

    async def _revoked(self, target: api.RevocationTarget.ValueType, target_id: str) -> api.CreateRevocationResponse:
        request = api.CreateRevocationRequest(request_id=new_id("req"), target=target, target_id=target_id)
        return await self._stage.scene.revocations.CreateRevocation(request)

    async def _lifted_later(self, bar: Bar, made: api.CreateRevocationResponse, pause: float) -> None:
        await asyncio.sleep(pause * self._rng.uniform(1, 2))
        async with self._ordering() as lifting:
            bar.lifting = lifting
            lift = api.LiftRevocationRequest(revocation_id=made.revocation.revocation_id)
            await self._stage.scene.revocations.LiftRevocation(lift)
        bar.lifted = time.time()

    @contextlib.asynccontextmanager
    async def _ordering(self) -> AsyncIterator[float]:
        """Waits for a turn; yields the moment at which it came."""
        async with self._stage.calls:
            yield time.time()
