"""Every licence that was answered is recorded and announced once, whatever dies: the database, or the service itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from reelmesh.drm.v1 import events_pb2

from services.drm.__main__ import CONTRACT, DrmSettings
from services.drm.licences.journal import segments_in
from services.kit.settings import ProcessSettings
from tests.drm.scene import Film, Keys, keys_over, with_keys
from tests.drm.test_logs import environment
from tests.policy.scene import Scene, a_scene, refused
from tests.support import service_forks
from tests.support.bus import Bus
from tests.support.examples import so_many
from tests.support.running import connected
from tests.support.stores import Stores, mortal_stores, without_environment


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    without_environment()
    with mortal_stores() as found:
        yield found


OUTAGE: Final = so_many(1, long=30)
"""Seconds for which the database is gone: a second in the ordinary run, half a minute in `make soak`."""


async def recorded(settings: ProcessSettings) -> list[str]:
    """Ids of the licences that the database has, in their order."""
    connection = await asyncpg.connect(host=settings.database_host, user="drm", database=settings.database_name)
    try:
        rows = await connection.fetch("SELECT licence_id FROM licences ORDER BY licence_id")
        return [row["licence_id"] for row in rows]
    finally:
        await connection.close()


async def all_recorded(settings: ProcessSettings, wanted: set[str], within: float = 100) -> list[str]:
    """Waits until the database has at least these."""
    found: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while not wanted <= set(found):
                await asyncio.sleep(0.1)
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    found = await recorded(settings)
    return found


async def announced(bus: Bus, wanted: set[str], within: float = 100) -> None:
    """Waits until these licences were announced."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while not wanted <= {event.licence_id for event in bus.heard(events_pb2.LicenceIssued)}:
                await asyncio.sleep(0.1)


async def licences(keys: Keys, film: Film, count: int) -> set[str]:
    """Ids of so many licences."""
    answers = await asyncio.gather(*(keys.licence(film) for _ in range(count)))
    return {answer.licence_id for answer in answers}


@pytest.mark.timeout(so_many(300, long=7200))
async def test_without_the_database_licences_of_live_sessions_go_on_and_none_goes_unrecorded(stores: Stores) -> None:
    async with a_scene(stores.settings) as scene, with_keys(scene) as keys:
        film, strange = await keys.film(), await keys.film()
        issued = await licences(keys, film, 20)
        await asyncio.to_thread(stores.kill, "postgres")
        try:
            for _ in range(so_many(10, long=300)):
                issued |= await licences(keys, film, 20)
                await asyncio.sleep(OUTAGE / so_many(10, long=300))
            # Keys that nobody asked for before are not known by heart.
            assert (await refused(keys.licence(strange))).reason == "DEPENDENCY_UNAVAILABLE"
        finally:
            stores.start("postgres")
        found = await all_recorded(stores.settings, issued)
        assert set(found) >= issued
        assert len(found) == len(set(found))
        await announced(scene.bus, issued)
        told = [event.licence_id for event in scene.bus.heard(events_pb2.LicenceIssued)]
        assert sorted(told) == sorted(issued)
        assert len(told) == len(set(told)), "each once"


async def test_what_was_drained_leaves_the_disk(stores: Stores, tmp_path: Path) -> None:
    async with a_scene(stores.settings) as scene:
        async with with_keys(scene, drm_journal_dir=tmp_path) as keys:
            film = await keys.film()
            issued = await licences(keys, film, 10)
            (folder,) = tmp_path.iterdir()
            (segment,) = segments_in(folder)
            written = segment.read_bytes()
            assert film.keys[0].key_id.hex().encode() in written
            assert not any(form in written for key in film.keys for form in (key.key, key.key.hex().encode()))
        assert set(await recorded(stores.settings)) >= issued, "a service that ends has drained"
        assert list(tmp_path.iterdir()) == []


async def test_when_the_journal_is_full_nothing_is_issued(stores: Stores, tmp_path: Path) -> None:
    async with a_scene(stores.settings) as scene, with_keys(scene, drm_journal_dir=tmp_path / "journal") as keys:
        film = await keys.film()
        await keys.licence(film)
        (folder,) = (tmp_path / "journal").iterdir()
        for segment in segments_in(folder):
            while segment.exists():  # drained, and removed once nothing was written for a while
                await asyncio.sleep(0.1)
        away = folder.with_name("away")
        folder.rename(away)
        refusal = await refused(keys.licence(film))
        assert (refusal.code.name, refusal.reason, refusal.metadata["why"]) == (
            "UNAVAILABLE",
            "LICENCE_UNRECORDED",
            "failed",
        )
        assert refusal.retry_after is not None
        away.rename(folder)
        await keys.licence(film)


@contextlib.asynccontextmanager
async def a_process(settings: DrmSettings, log: Path) -> AsyncIterator[service_forks.Forked]:
    """The service as a process of its own. It is killed at the end, if it was not before."""
    with log.open("ab") as out:
        process = service_forks.started("drm", environment=environment(settings), output=out)
        try:
            async with asyncio.timeout(60), connected(settings, "drm", CONTRACT) as channel:
                await channel.channel_ready()
            yield process
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)


@contextlib.asynccontextmanager
async def players(scene: Scene, settings: DrmSettings) -> AsyncIterator[Keys]:
    """Whoever asks a process that has just been started."""
    async with connected(settings, "drm", CONTRACT, key="") as channel:
        await channel.channel_ready()
        yield keys_over(scene, settings, channel, channel, channel)


@pytest.mark.timeout(so_many(300, long=7200))
async def test_kill_9_loses_nothing_that_was_answered_and_announces_nothing_twice(
    stores: Stores, tmp_path: Path
) -> None:
    settings = DrmSettings(**stores.settings.model_dump(), drm_journal_dir=tmp_path / "journal")
    async with a_scene(stores.settings) as scene:
        async with with_keys(scene) as keys:
            film = await keys.film()
        answered: set[str] = set()
        for _ in range(so_many(2, long=10)):
            async with a_process(settings, tmp_path / "log") as process, players(scene, settings) as keys:
                answered |= await licences(keys, film, 30)
                asking = [asyncio.create_task(keys.licence(film)) for _ in range(60)]
                await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                process.kill()
                done = await asyncio.gather(*asking, return_exceptions=True)
                answered |= {one.licence_id for one in done if not isinstance(one, BaseException)}
        async with a_process(settings, tmp_path / "log") as process:
            found = await all_recorded(stores.settings, answered)
            assert set(found) >= answered
            await announced(scene.bus, answered)
            async with asyncio.timeout(60):  # what the dead left has gone: only its own is there
                while len(list((tmp_path / "journal").iterdir())) > 1:
                    await asyncio.sleep(0.1)
            process.terminate()
            assert await asyncio.to_thread(process.wait) == 0
        told = [event.licence_id for event in scene.bus.heard(events_pb2.LicenceIssued)]
        assert len(told) == len(set(told))
        assert set(told) >= answered
        assert list((tmp_path / "journal").iterdir()) == [], "those of the dead are drained and gone"
