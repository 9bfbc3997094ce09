"""Fingerprints in the real service: made of what is encoded, searched by the interface, barred by what is taken down, gone with the title."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.compliance.v1.events_pb2 import TAKE_DOWN_GROUND_COPYRIGHT, MaterialRestored, MaterialTakenDown
from reelmesh.protection.v1 import fingerprints_pb2, fingerprints_service_pb2_grpc
from reelmesh.protection.v1 import fingerprints_service_pb2 as api
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted
from reelmesh.transcode.v1.transcode_pb2 import TRACK_KIND_AUDIO, TRACK_KIND_VIDEO, Rendition

from services.kit.clock import FixedClock, SystemClock, timestamp
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.protection import store as protection
from services.protection.__main__ import ProtectionSettings, wire
from services.protection.fingerprints import store
from services.protection.fingerprints.barring import LIST, Barring
from services.protection.fingerprints.domain import Match, object_key
from services.protection.fingerprints.keeping import Keeping, library_folder
from services.protection.fingerprints.naming import titles_shown
from services.protection.fingerprints.upkeep import ASK_AGAIN_AFTER, Upkeep
from services.protection.fingerprints.wiring import CONTRACT
from services.protection.gate import Finding, Ground, Master, Unreachable
from tests.protection.fingerprints.films import copied, scenes
from tests.protection.test_titles import eventually
from tests.support.bus import Bus, on_the_bus
from tests.support.films import committed
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running

SECONDS = 36


class Here:
    """The running service, a caller, and the bus on which the test plays everybody else."""

    def __init__(self, settings: ProcessSettings, channel: grpc.aio.Channel, bus: Bus, database: Database) -> None:
        self.settings = settings
        self.stub = fingerprints_service_pb2_grpc.FingerprintsServiceStub(channel)
        self.bus = bus
        self.database = database
        self.objects = ObjectStore.at(settings.storage_location())
        self.organisation_id = organisation_of_operator(settings)

    async def encoded(self, film: Path, asset_id: str = "") -> str:
        """Lets a film have been encoded. Returns its asset, once it can be found."""
        asset_id, before = asset_id or new_id("ast"), await self.index()
        key = f"renditions/{asset_id}/180p.mp4"
        target = self.settings.data_dir / "objects" / key
        target.parent.mkdir(parents=True)
        shutil.copyfile(film, target)
        picture = Rendition(kind=TRACK_KIND_VIDEO, object_key=key, width=320, height=180)
        renditions = [Rendition(kind=TRACK_KIND_AUDIO, object_key=key), picture]
        event = TranscodeCompleted(asset_id=asset_id, organisation_id=self.organisation_id, renditions=renditions)
        await self.bus.publish(event)

        async def findable() -> bool:
            return (await self.index()).indexed_titles > before.indexed_titles

        await eventually(findable)
        return asset_id

    async def index(self) -> fingerprints_pb2.FingerprintIndex:
        return (await self.stub.GetFingerprintIndex(api.GetFingerprintIndexRequest())).index

    async def uploaded(self, file: Path | bytes) -> str:
        """Lets a file come in. Returns its asset."""
        event = committed(self.settings, file, organisation_id=self.organisation_id)
        await self.bus.publish(event)

        async def known() -> bool:
            try:
                async with self.database.transaction() as tx:
                    await protection.master_of(tx, self.organisation_id, event.asset_id)
            except Refusal:
                return False
            return True

        await eventually(known)
        return event.asset_id

    async def ended(self, asset_id: str) -> fingerprints_pb2.Match:
        """A match of a file, watched to its end."""
        request = api.CreateMatchRequest(request_id=new_id("req"), asset_id=asset_id)
        last = made = (await self.stub.CreateMatch(request)).match
        assert (await self.stub.CreateMatch(request)).match == made
        async for answer in self.stub.WatchMatch(api.WatchMatchRequest(match_id=made.match_id)):
            assert answer.match.fraction >= last.fraction
            last = answer.match
        return last

    async def tells(self, event: MaterialTakenDown | MaterialRestored | AssetDeleted, barred: int) -> None:
        """Publishes what somebody decided, and waits until so many titles are barred because of it."""
        await self.bus.publish(event)

        async def heard() -> bool:
            async with self.database.transaction() as tx:
                return len(await store.numbers_barred(tx)) == barred

        await eventually(heard)


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Here]:
    settings = ProtectionSettings(**mesh.model_dump())
    database = Database.of("protection", settings)
    async with (
        on_the_bus(settings) as bus,
        running("protection", settings, wire),
        connected(settings, "protection", CONTRACT) as channel,
    ):
        yield Here(settings, channel, bus, database)
    await database.close()
    shutil.rmtree(library_folder(settings.data_dir).parent, ignore_errors=True)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("film") / "film.mp4", SECONDS, 3)


async def test_a_silent_copy_with_black_bars_is_matched_with_its_title(here: Here, film: Path, tmp_path: Path) -> None:
    title = await here.encoded(film)
    copy = copied(film, tmp_path / "copy.mp4", "-vf", "pad=iw:ih*4/3:0:-1", "-an", "-crf", "30", start=8.5, seconds=20)
    (passage,) = (await here.ended(await here.uploaded(copy))).passages
    assert passage.title_asset_id == title
    assert passage.picture_seconds == pytest.approx(20, abs=2)


async def test_an_uploaded_copy_is_matched_with_its_title(here: Here, film: Path, tmp_path: Path) -> None:
    title = await here.encoded(film)
    index = await here.index()
    assert (index.titles, index.titles_waiting, index.titles_failed, index.indexed_titles) == (1, 0, 0, 1)
    assert index.hours == pytest.approx(SECONDS / 3600, rel=0.1)
    assert index.index_bytes > 0
    copy = copied(film, tmp_path / "copy.mp4", "-vf", "hflip", "-crf", "30", start=8.5, seconds=20)
    found = await here.ended(await here.uploaded(copy))
    assert found.state == fingerprints_pb2.MATCH_STATE_COMPLETED, found.failure_message
    (passage,) = found.passages
    assert (passage.title_asset_id, passage.mirrored, passage.barred) == (title, True, False)
    assert passage.title_start_seconds - passage.file_start_seconds == pytest.approx(8.5, abs=0.3)
    assert passage.picture_seconds > 18
    assert list((await here.stub.ListMatches(api.ListMatchesRequest())).matches) == [found]
    other = scenes(tmp_path / "foreign.mp4", 12, 8)
    foreign = await here.ended(await here.uploaded(other))
    assert (foreign.state, list(foreign.passages)) == (fingerprints_pb2.MATCH_STATE_COMPLETED, [])
    await _the_title_is_named(here, title, copy, other)


async def _the_title_is_named(here: Here, title: str, copy: Path, foreign: Path) -> None:
    """Of several watermarked titles a detection reads the one that is shown; where none is, all, as long as they are few."""
    marked = [protection.MarkedTitle(asset_id, here.organisation_id, 2, 2.0, ()) for asset_id in (new_id("ast"), title)]
    index = Keeping(here.database, here.objects, here.settings.data_dir).library
    shown = await titles_shown(copy, marked, here.database, here.objects, index)
    assert [one.asset_id for one in shown] == [title]
    unknown = await titles_shown(copy, marked[:1], here.database, here.objects, index)
    assert unknown == marked[:1]
    assert await titles_shown(foreign, marked, here.database, here.objects, index) == marked
    many = marked[1:] + [protection.MarkedTitle(new_id("ast"), here.organisation_id, 2, 2.0, ()) for _ in range(12)]
    assert await titles_shown(foreign, many, here.database, here.objects, index) == many[1:]


async def test_a_file_is_not_matched_with_itself_nor_with_titles_of_others(
    here: Here, film: Path, other_organisation_key: str
) -> None:
    asset_id = await here.uploaded(film)
    await here.encoded(film, asset_id)
    assert not (await here.ended(asset_id)).passages
    async with connected(here.settings, "protection", CONTRACT, key=other_organisation_key) as channel:
        stub = fingerprints_service_pb2_grpc.FingerprintsServiceStub(channel)
        index = (await stub.GetFingerprintIndex(api.GetFingerprintIndexRequest())).index
        assert (index.titles, index.hours) == (0, 0)
        assert not (await stub.ListMatches(api.ListMatchesRequest())).matches


async def test_what_cannot_be_matched_is_refused_or_fails_with_a_reason(here: Here) -> None:
    async def reason(call: object) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call  # type: ignore[misc]
        return Refusal.from_rpc_error(caught.value).reason

    nothing = api.CreateMatchRequest(request_id=new_id("req"), asset_id=new_id("ast"))
    assert await reason(here.stub.CreateMatch(nothing)) == "COPY_NOT_FOUND"
    assert await reason(here.stub.GetMatch(api.GetMatchRequest(match_id=new_id("mtc")))) == "MATCH_NOT_FOUND"
    failed = await here.ended(await here.uploaded(b"no film at all"))
    assert (failed.state, failed.failure_reason) == (fingerprints_pb2.MATCH_STATE_FAILED, "COPY_UNDECODABLE")


async def test_what_was_taken_down_is_held_when_it_comes_again_even_after_it_was_deleted(
    here: Here, film: Path, tmp_path: Path
) -> None:
    title = await here.encoded(film)
    check = Barring(here.database, here.objects, Keeping(here.database, here.objects, here.settings.data_dir))

    def master(file: Path) -> Master:
        return Master(new_id("ast"), new_id("upl"), new_id("org"), file, "video/mp4", "0" * 64, file.stat().st_size)

    async def looked(one: Master) -> Finding | None:
        """Asks again while the index is in another's hands, as the gate does."""
        while True:
            try:
                return await check.look(one)
            except Unreachable:
                await asyncio.sleep(0.05)

    again = master(copied(film, tmp_path / "again.mp4", "-vf", "crop=iw*0.95:ih*0.95", "-crf", "32", seconds=28))
    assert await looked(again) is None
    now, ground = SystemClock().now(), TAKE_DOWN_GROUND_COPYRIGHT
    down = MaterialTakenDown(asset_id=title, case_id="ntc_1", ground=ground, change_time=timestamp(now))
    await here.tells(down, barred=1)
    finding = await looked(again)
    assert finding is not None
    assert (finding.ground, finding.list_name, finding.entry) == (Ground.TAKEN_DOWN, LIST, title)
    assert 0 < finding.distance < 0.4
    assert await looked(master(scenes(tmp_path / "other.mp4", 12, 9))) is None
    (tmp_path / "notes.txt").write_text("no film at all")
    assert await looked(master(tmp_path / "notes.txt")) is None
    await here.tells(AssetDeleted(asset_id=title, organisation_id=here.organisation_id), barred=1)
    assert await looked(again) is not None
    later = timestamp(now + timedelta(seconds=1))
    back = MaterialRestored(asset_id=title, case_id="ntc_1", ground=ground, change_time=later)
    await here.tells(back, barred=0)
    await here.tells(down, barred=0)  # heard late
    assert await looked(again) is None


async def test_fingerprints_go_a_while_after_their_title_and_matches_in_their_time(here: Here, film: Path) -> None:
    title = await here.encoded(film)
    kept = here.settings.data_dir / "objects" / object_key(title)
    assert kept.exists()
    await here.bus.publish(AssetDeleted(asset_id=title, organisation_id=here.organisation_id))

    async def gone() -> bool:
        return (await here.index()).indexed_titles == 0

    await eventually(gone)
    assert kept.exists()
    now = SystemClock().now()
    old = Match(new_id("mtc"), here.organisation_id, title, "masters/x", "a.mp4", now, now).running()
    async with here.database.transaction() as tx:
        await store.add_match(tx, old.completed([], now))
    later = FixedClock(now + timedelta(days=731))
    await Upkeep(here.database, here.objects, later, timedelta(days=730)).once()
    assert not kept.exists()
    assert not (await here.stub.ListMatches(api.ListMatchesRequest())).matches


async def test_what_a_process_left_that_died_is_taken_up(here: Here, film: Path) -> None:
    """A match in hand, and an index of which nothing is left."""
    title = await here.encoded(film)
    shutil.rmtree(library_folder(here.settings.data_dir))
    keeping = Keeping(here.database, here.objects, here.settings.data_dir)

    async def there() -> bool:
        await keeping.once()  # does nothing while the service itself is at it
        return len(keeping.library.titles()) == 1

    await eventually(there)
    asset_id, now = await here.uploaded(b"half looked at"), SystemClock().now()
    long_ago = now - ASK_AGAIN_AFTER * 2
    left = Match(new_id("mtc"), here.organisation_id, asset_id, f"masters/{'0' * 64}", "a.mp4", now, long_ago)
    async with here.database.transaction() as tx:
        await store.add_match(tx, left.running())
        await store.wait_again(tx, title)
    await Upkeep(here.database, here.objects, SystemClock(), timedelta(days=730)).once()
    watched = here.stub.WatchMatch(api.WatchMatchRequest(match_id=left.match_id))
    assert [answer.match.state async for answer in watched][-1] == fingerprints_pb2.MATCH_STATE_FAILED

    async def made_again() -> bool:
        return (await here.index()).titles == 1

    await eventually(made_again)
