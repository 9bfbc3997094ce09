"""Sessions that are looked up many at a time, and before anybody asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.kit.database import Database
from services.kit.errors import Refusal
from services.policy import store
from services.policy.decision import store as facts_store
from services.policy.decision.facts import Entitlement, Kind
from services.policy.decision.gathering import Gathering
from services.policy.decision.recorder import Recorder
from services.policy.decision.territories import Territories
from services.policy.domain import Package, Session, Wanted
from services.policy.gate import Gate
from services.policy.judge import Known
from services.policy.looking import LookUps, Seen
from services.policy.revocations.store import Revocation, Target, add
from services.policy.signals.watching import Watch
from tests.policy.scene import Scene


@pytest.fixture
async def database(scene: Scene) -> AsyncIterator[Database]:
    """The service's own."""
    database = Database.of("policy", scene.settings)
    yield database
    await database.close()


def opened(scene: Scene, viewer_id: str, organisation_id: str = "", asset_id: str = "ast_1") -> Session:
    """A session on a film of which nothing else is known."""
    now = scene.clock.now()
    package = Package("pkg_1", asset_id, organisation_id or scene.organisation_id, "", "", "", "", ("k1",), now)
    return Session.opened(package, Wanted(viewer_id=viewer_id, device_id=f"dev_{viewer_id}"), now)


async def test_each_of_many_is_seen_with_its_own_facts_alone(scene: Scene, database: Database) -> None:
    now, owner = scene.clock.now(), scene.organisation_id
    sessions = [opened(scene, f"viewer{number}") for number in range(300)]
    elsewhere = opened(scene, "viewer1", organisation_id="org_other")
    revoked = Revocation("rvk_1", owner, int(Target.DEVICE), "dev_viewer2", "", "", now)
    async with database.transaction() as tx:
        for session in [*sessions, elsewhere]:
            await store.add(tx, session)
        await facts_store.keep_account(tx, "viewer0", facts_store.KnownAccount("premium", locked=False), now)
        for asset_id in ("ast_1", "ast_2"):
            await facts_store.keep_entitlement(tx, owner, "viewer1", Entitlement(f"ent_{asset_id}", asset_id), now)
        await add(tx, revoked)
    kept: list[Seen] = []
    look_ups = LookUps(database, scene.clock, Gathering(Territories(None)), keep=kept.append)
    answers = await asyncio.gather(
        *(look_ups.ask(one.organisation_id, one.session_id) for one in [*sessions, elsewhere])
    )
    seen = [answer for answer in answers if isinstance(answer, Seen)]
    assert [one.session for one in seen] == [*sessions, elsewhere]
    assert {one.session.session_id for one in kept} == {one.session.session_id for one in seen}
    assert [one.facts.viewer.tier for one in seen] == ["premium", *[None] * 300]
    assert [[ent.entitlement_id for ent in one.facts.viewer.entitlements] for one in seen] == [
        [],
        ["ent_ast_1"],
        *[[]] * 299,
    ], "neither another film's, nor what another organisation granted"
    assert [one.facts.standing.barred for one in seen] == ["", "", "device", *[""] * 298]


async def test_what_is_not_there_is_not_found_whoever_asks_beside_it(scene: Scene, database: Database) -> None:
    session = opened(scene, "ada")
    async with database.transaction() as tx:
        await store.add(tx, session)
    look_ups = LookUps(database, scene.clock, Gathering(Territories(None)), keep=lambda _seen: None)
    there, missing = await asyncio.gather(
        look_ups.ask(session.organisation_id, session.session_id), look_ups.ask(session.organisation_id, "pbs_none")
    )
    foreign = await look_ups.ask("org_other", session.session_id)
    assert isinstance(there, Seen)
    assert [answer.reason for answer in (missing, foreign) if isinstance(answer, Refusal)] == ["SESSION_NOT_FOUND"] * 2


async def test_what_was_read_before_a_change_is_not_kept_after_it(scene: Scene, database: Database) -> None:
    session = opened(scene, "ada")
    async with database.transaction() as tx:
        await store.add(tx, session)
    kept: list[Seen] = []
    look_ups = LookUps(database, scene.clock, Gathering(Territories(None)), keep=kept.append)
    before = look_ups.ask(session.organisation_id, session.session_id)
    assert look_ups.ask(session.organisation_id, session.session_id) is before, "one look for all who ask at once"
    look_ups.forget(session.session_id)
    after = look_ups.ask(session.organisation_id, session.session_id)
    assert after is not before
    async with database.transaction() as tx:
        await store.put(tx, replace(session, expire_time=session.expire_time + timedelta(hours=1)))
    await asyncio.gather(before, after)
    assert kept == [await after], "only that of whoever asked after the change"


@pytest.fixture
def gate(scene: Scene, database: Database) -> Gate:
    """Of a replica that heard of nothing."""
    territories = Territories(None)
    gathering = Gathering(territories)

    async def look() -> None:
        """Nothing is throttled."""

    watch = Watch(database, scene.clock, Known(), gathering=gathering, territories=territories, look=look)
    return Gate(database, scene.clock, gathering=gathering, recorder=Recorder(database), watch=watch)


async def kept(database: Database, session: Session) -> Session:
    """A session that is committed."""
    async with database.transaction() as tx:
        await store.add(tx, session)
    return session


async def admitted(gate: Gate, session: Session) -> Session | None:
    return await gate.admit(Kind.MANIFEST, session.organisation_id, session.session_id)


async def test_a_session_that_is_expected_is_known_before_anybody_asks(
    scene: Scene, database: Database, gate: Gate
) -> None:
    session = await kept(database, opened(scene, "ada"))
    gate.expect(session)
    async with asyncio.timeout(30):
        while not gate.knows(session.session_id):
            await asyncio.sleep(0.01)
    async with database.transaction() as tx:  # nobody looks sessions up now
        await tx.execute(sa.text("LOCK TABLE playback_sessions"))
        assert await admitted(gate, session) == session


async def test_what_changes_after_a_playback_was_opened_wins_over_what_was_expected(
    scene: Scene, database: Database, gate: Gate
) -> None:
    session = await kept(database, opened(scene, "ada"))
    gate.expect(session)
    async with database.transaction() as tx:
        locked = facts_store.KnownAccount("premium", locked=True)
        await facts_store.keep_account(tx, "ada", locked, scene.clock.now())
    gate.forget_all()
    with pytest.raises(Refusal) as refusal:
        await admitted(gate, session)
    assert refusal.value.reason == "VIEWER_LOCKED"


async def test_who_opens_a_playback_is_asked_for_nothing_more_when_its_manifest_is(
    scene: Scene, database: Database
) -> None:
    film = await scene.publish()
    async with asyncio.timeout(50):
        while True:
            playback = await scene.play(film.asset_id, viewer_id="ada")
            await asyncio.sleep(0.2)
            async with database.transaction() as tx:
                await tx.execute(sa.text("LOCK TABLE playback_sessions"))
                try:
                    async with asyncio.timeout(2):
                        verdict = await scene.edge.check(playback.playback.dash_url)
                except TimeoutError:  # it is being looked up, on a busy machine
                    continue
            assert verdict.allowed
            return
