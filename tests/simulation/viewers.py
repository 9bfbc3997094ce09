"""What viewers do: join, watch, pause, seek, watch on a second screen, hand their link on, stop, and come back."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from typing import Final

import grpc

from services.kit.errors import Refusal
from tests.simulation.oracle import STREAMS, Oracle, Seat, Title, Viewer
from tests.simulation.stage import SEGMENTS, Stage, reason_of
from tests.simulation.witnesses import in_force, settled

BEAT_EVERY: Final = 8.0
_SHORT: Final = timedelta(seconds=6)


class Watching:
    """One viewer from joining to leaving.

    Args:
        step: seconds between two segments; thinned, so that a title of hours takes seconds.
    """

    def __init__(self, stage: Stage, oracle: Oracle, viewer: Viewer, rng: random.Random, step: float) -> None:
        self._stage = stage
        self._oracle = oracle
        self._viewer = viewer
        self._rng = rng
        self._step = step

    async def live(self, until: float) -> None:
        """Watches one title, sometimes more, until a moment at the latest."""
        while time.time() < until:
            title = self._rng.choice(self._stage.titles)
            seat = await self._open(title, _SHORT if self._rng.random() < 0.15 else timedelta(hours=1))
            if seat is not None:
                await self._with_others(seat, until)
            if self._rng.random() < 0.7:
                return
            await self._pause()

    async def sit_down(self, title: Title) -> None:
        """Opens a stream that lasts for as long as anything here."""
        await self._open(title, timedelta(hours=6))

    async def fall_asleep(self, title: Title) -> None:
        """Opens as many streams as one viewer may have, and lets no more be heard of them."""
        for _ in range(STREAMS):
            await self._open(title, timedelta(hours=1))

    async def wake_up(self, title: Title) -> None:
        """Goes on after half a minute of silence. The places are still there, until another stream takes them; then one is to be had."""
        asleep = self._viewer.seats[:STREAMS]
        for seat in asleep:
            await self._ask(seat, "video/0.m4s")
        await self._open(title, timedelta(hours=1))
        for _ in range(5):
            for seat in asleep:
                await self._ask(seat, "video/1.m4s")
            await self._pause()
        for seat in asleep:
            await self._beat(seat)
            await self._pause(3)
        for _ in range(5):
            for seat in asleep:
                await self._ask(seat, "video/2.m4s")
            await self._pause()

    async def _with_others(self, seat: Seat, until: float) -> None:
        screens = [self._watch(seat, until, beats=True)]
        if self._rng.random() < 0.15:  # the link is handed on: a ticket is not bound to a place
            screens.append(self._watch(seat, until, beats=False))
        if self._rng.random() < 0.2:
            screens.append(self._more_screens(until))
        await asyncio.gather(*screens)
        if self._rng.random() < 0.4:
            await self._stop(seat)

    async def _more_screens(self, until: float) -> None:
        """A second screen, and a third, which one viewer may not have."""
        for _ in range(2):
            await self._pause()
            seat = await self._open(self._rng.choice(self._stage.titles), timedelta(hours=1))
            if seat is not None:
                await self._watch(seat, min(until, time.time() + 3 * self._step), beats=True)

    async def _open(self, title: Title, lifetime: timedelta) -> Seat | None:
        async with self._stage.calls:
            asked, reason, answer = time.time(), "", None
            try:
                answer = await self._stage.scene.play(
                    title.asset_id, lifetime=lifetime, viewer_id=self._viewer.viewer_id
                )
            except grpc.aio.AioRpcError as error:
                reason = Refusal.from_rpc_error(error).reason
            answered = time.time()
        self._oracle.opening(self._viewer, title, asked, answered, reason)
        if answer is None:
            return None
        url = answer.playback.dash_url
        seat = Seat(
            session_id=answer.session.session_id,
            base=url[url.index("/p/") :].removesuffix("/manifest.mpd"),
            title=title,
            viewer=self._viewer,
            opened=answered,
            expires=answer.session.expire_time.ToNanoseconds() / 1e9,
            alive=asked,
        )
        _perhaps_ended(seat, asked, answered)
        self._viewer.seats.append(seat)
        title.sessions.append(seat)
        self._took_place(seat, asked, answered, opened=True)
        return seat

    async def _watch(self, seat: Seat, until: float, *, beats: bool) -> None:
        await self._ask(seat, "manifest.mpd")
        at, last_beat = self._rng.randrange(SEGMENTS), time.time()
        left = self._rng.randint(4, SEGMENTS)
        while left and time.time() < until:
            left -= 1
            await self._ask(seat, f"video/{at}.m4s")
            if self._rng.random() < 0.1:
                await self._ask(seat, self._rng.choice(["manifest.mpd", "master.m3u8"]))
            at = self._rng.randrange(SEGMENTS) if self._rng.random() < 0.1 else (at + 1) % SEGMENTS
            if beats and time.time() - last_beat > BEAT_EVERY:
                await self._beat(seat)
                last_beat = time.time()
            await self._pause(3 if self._rng.random() < 0.05 else 1)

    async def _stop(self, seat: Seat) -> None:
        """Ends the session, as a service behind a stop button does, and tries whether that is so."""
        async with self._stage.calls:
            bar = seat.end("SESSION_REVOKED", began=time.time())
            await self._stage.scene.revoke(seat.session_id, "stopped")
            bar.sure = time.time()
        await in_force(self._stage, self._oracle, seat, bar)
        for _ in range(3):
            await self._ask(seat, f"video/{self._rng.randrange(SEGMENTS)}.m4s")
            await self._pause()

    async def _beat(self, seat: Seat) -> None:
        asked = time.time()
        edge = self._stage.edges[self._stage.edge(self._rng)]
        answer = await edge.ask("POST", f"{seat.base}/heartbeat", b"{}", content_type="application/json")
        answered = time.time()
        self._oracle.heartbeat(seat, asked, answered, reason_of(answer))
        if answer.status == 200:
            self._took_place(seat, asked, answered, opened=False)

    async def _ask(self, seat: Seat, file: str) -> None:
        await self._stage.asked_at(self._stage.edge(self._rng), self._oracle, seat, file)

    def _took_place(self, seat: Seat, asked: float, answered: float, *, opened: bool) -> None:
        """It has its place, and others of the viewer may have lost theirs: edges are watched until they go by it."""
        for other, bar in seat.took_place(asked, answered, opened=opened):
            watch = in_force if other is not seat else settled
            self._stage.go_on_with(watch(self._stage, self._oracle, other, bar))

    async def _pause(self, steps: float = 1) -> None:
        await asyncio.sleep(self._step * steps * self._rng.uniform(0.5, 1.5))


def _perhaps_ended(seat: Seat, asked: float, answered: float) -> None:
    """What was revoked, or put on terms, while a session was being opened may or may not have ended it: none is asked to be."""
    for bar in (*seat.viewer.bars, *seat.title.bars, *seat.title.terms):
        if bar.may_hold(asked, answered):
            seat.end("SESSION_REVOKED", *bar.reasons, began=bar.began)
