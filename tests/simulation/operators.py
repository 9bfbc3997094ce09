"""What operators do to viewers: revoke sessions, viewers and titles, lift that again, delete a title, and change the terms of another."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from reelmesh.policy.v1 import revocations_service_pb2 as api

from services.kit.ids import new_id
from tests.simulation.oracle import Bar, Seat, Title, Viewer
from tests.simulation.stage import Stage

_REVIEWED_EACH: Final = 0.05
"""Seconds, at most, for each session that has to be decided anew when terms change: reviews go on beside everything else."""


class Operating:
    """One operator.

    Args:
        viewers: all of them.
    """

    def __init__(self, stage: Stage, viewers: Sequence[Viewer], rng: random.Random) -> None:
        self._stage = stage
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

    async def revoke_viewers(self, until: float, every: float) -> None:
        """Revokes one viewer after another, and lifts it a while later; their sessions stay ended."""
        while time.time() < until:
            await asyncio.sleep(every * self._rng.uniform(0.5, 1.5))
            viewer = self._rng.choice([one for one in self._viewers if one.seats] or list(self._viewers))
            await self._held(viewer, api.REVOCATION_TARGET_VIEWER, viewer.viewer_id, viewer.seats, every)

    async def revoke_titles(self, titles: Sequence[Title], until: float, every: float) -> None:
        """Holds one title after another, and lets it go on a while later, sessions and all."""
        while time.time() < until:
            await asyncio.sleep(every * self._rng.uniform(0.5, 1.5))
            title = self._rng.choice(titles)
            await self._held(title, api.REVOCATION_TARGET_ASSET, title.asset_id, (), every)

    async def delete(self, title: Title) -> None:
        """Takes a title away for good."""
        async with self._ordering() as began:
            title.bars.append(bar := Bar(frozenset({"ASSET_WITHDRAWN"}), began))
            await self._stage.scene.delete(title.asset_id)
        bar.sure = time.time()

    async def restrict(self, title: Title) -> None:
        """From now on a title needs an entitlement, which nobody here has."""
        async with self._ordering() as began:
            bar = Bar(frozenset({"ENTITLEMENT_REQUIRED", "SESSION_REVOKED"}), began)
            title.bars.append(bar)
            await self._stage.scene.terms(title.asset_id, entitlement_required=True)
        bar.sure = time.time() + _REVIEWED_EACH * len(title.sessions)

    async def _held(
        self,
        whom: Viewer | Title,
        target: api.RevocationTarget.ValueType,
        target_id: str,
        ended: Sequence[Seat],
        pause: float,
    ) -> None:
        async with self._ordering() as began:
            whom.bars.append(bar := Bar(frozenset({"PLAYBACK_REVOKED"}), began))
            ends = [seat.end("SESSION_REVOKED", "PLAYBACK_REVOKED", began=began) for seat in ended]
            request = api.CreateRevocationRequest(request_id=new_id("req"), target=target, target_id=target_id)
            made = await self._stage.scene.revocations.CreateRevocation(request)
        bar.sure = time.time()
        for end in ends:
            end.sure = bar.sure
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
