"""PolicyService on the real stores."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import asyncpg
import pytest
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.policy.v1 import events_pb2, policy_pb2, policy_service_pb2_grpc
from reelmesh.policy.v1 import policy_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.__main__ import CONTRACT
from services.policy.decision.territories import Territories
from services.policy.upkeep import CODES_KEPT, Upkeep
from tests.policy.scene import Scene, eventually, hasty, refused
from tests.support.keys import with_api_key
from tests.support.running import connected

ACTIVE, EXPIRED, REVOKED = (
    policy_pb2.SESSION_STATE_ACTIVE,
    policy_pb2.SESSION_STATE_EXPIRED,
    policy_pb2.SESSION_STATE_REVOKED,
)


async def session_of(scene: Scene, session_id: str) -> policy_pb2.PlaybackSession:
    return (await scene.stub.GetPlaybackSession(api.GetPlaybackSessionRequest(session_id=session_id))).session


async def redeem(scene: Scene, code: str) -> policy_pb2.Playback:
    return (await scene.stub.RedeemPlaybackCode(api.RedeemPlaybackCodeRequest(code=code))).playback


async def test_what_the_edge_refuses_is_not_opened_while_the_database_is_behind(scene: Scene) -> None:
    """The edge hears of a deletion at once; the table follows when the durable consumer gets to it."""
    film = await scene.publish()
    url = (await scene.play(film.asset_id)).playback.dash_url
    database = await asyncpg.connect(
        host=scene.settings.database_host, user="policy", database=scene.settings.database_name
    )
    try:
        async with database.transaction():
            await database.execute("SELECT 1 FROM assets WHERE asset_id = $1 FOR SHARE", film.asset_id)
            deleting = asyncio.create_task(scene.delete(film.asset_id))
            await eventually(scene.edge, url, "ASSET_WITHDRAWN")
            assert (await refused(scene.play(film.asset_id))).reason == "ASSET_WITHDRAWN"
        await deleting
    finally:
        await database.close()


async def all_rows(settings: ProcessSettings) -> str:
    """Everything that the service keeps, as text, and as hex where it is binary."""
    connection = await asyncpg.connect(host=settings.database_host, user="policy", database=settings.database_name)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'policy'")
        rows = [await connection.fetch(f'SELECT * FROM "{table["tablename"]}"') for table in tables]
        return repr(rows) + "".join(
            value.hex() for table in rows for row in table for value in row if isinstance(value, bytes)
        )
    finally:
        await connection.close()


class TestOpeningAPlayback:
    async def test_it_gives_all_that_a_player_needs(self, scene: Scene) -> None:
        film = await scene.publish(title="Der Film")
        answer = await scene.play(film.asset_id, viewer_id="anna")

        session, playback = answer.session, answer.playback
        assert (session.asset_id, session.package_id) == (film.asset_id, film.package_id)
        assert (session.organisation_id, session.viewer_id, session.state) == (scene.organisation_id, "anna", ACTIVE)
        ticket = playback.dash_url.split("/")[4]
        below = f"http://127.0.0.1:8080/p/{ticket}/{film.package_id}"
        assert playback == policy_pb2.Playback(
            session_id=session.session_id,
            asset_id=film.asset_id,
            title="Der Film",
            package_id=film.package_id,
            hls_url=f"{below}/master.m3u8",
            dash_url=f"{below}/manifest.mpd",
            licence_url=f"{below}/licence/clearkey",
            poster_url=f"{below}/poster.jpg",
            thumbnails_url=f"{below}/thumbnails/index.vtt",
            expire_time=session.expire_time,
        )
        assert answer.watch_url == f"http://127.0.0.1:8080/watch/{film.asset_id}#code={answer.code}"
        assert re.fullmatch(r"otc_[A-Za-z0-9_-]{32}", answer.code)
        announced = await scene.bus.hears(events_pb2.PlaybackCreated)
        assert announced.session_id == session.session_id
        assert announced.expire_time == session.expire_time

    async def test_it_lasts_six_hours_unless_said_otherwise(self, scene: Scene) -> None:
        film = await scene.publish()
        for asked, hours in ((None, 6), (timedelta(hours=24), 24)):
            session = (await scene.play(film.asset_id, lifetime=asked)).session
            lasts = session.expire_time.ToDatetime() - session.create_time.ToDatetime()
            assert timedelta(0) <= timedelta(hours=hours) - lasts < timedelta(seconds=1)

    @pytest.mark.parametrize("seconds", [0, -1, 86_401])
    async def test_a_lifetime_out_of_bounds_is_refused(self, scene: Scene, seconds: int) -> None:
        refusal = await refused(scene.play(new_id("ast"), lifetime=timedelta(seconds=seconds)))
        assert (refusal.reason, refusal.fields[0][0]) == ("REQUEST_INVALID", "lifetime")

    async def test_the_newest_package_is_played(self, scene: Scene) -> None:
        first = await scene.publish()
        scene.clock.advance(timedelta(seconds=5))
        second = await scene.publish(first.asset_id)
        await scene.play((await scene.publish()).asset_id)  # by now all of it has arrived
        assert (await scene.play(first.asset_id)).playback.package_id == second.package_id

    async def test_a_film_published_a_moment_later_can_be_played(self, scene: Scene) -> None:
        """Whoever heard from the assets service that a film is ready may be quicker than the event."""
        asset_id = new_id("ast")
        asking = asyncio.ensure_future(scene.play(asset_id))
        await asyncio.sleep(0.3)
        film = await scene.publish(asset_id)
        assert (await asking).playback.package_id == film.package_id

    async def test_an_unknown_asset_is_not_playable_and_the_refusal_says_what_to_do(self, scene: Scene) -> None:
        asset_id = new_id("ast")
        async with hasty(scene) as second:
            refusal = await refused(second.play(asset_id))
        assert (refusal.code.name, refusal.reason, refusal.domain) == (
            "FAILED_PRECONDITION",
            "ASSET_NOT_PLAYABLE",
            "policy.reelmesh",
        )
        assert refusal.metadata["asset_id"] == asset_id
        assert "WatchAsset" in refusal.message

    async def test_another_organisations_asset_is_the_same_as_unknown(self, scene: Scene) -> None:
        film = await scene.publish(organisation_id=new_id("org"))
        unknown = new_id("ast")
        await scene.play((await scene.publish()).asset_id)  # by now theirs was heard of too
        async with hasty(scene) as second:
            theirs, nobodys = await asyncio.gather(refused(second.play(film.asset_id)), refused(second.play(unknown)))
        assert (theirs.code, theirs.reason) == (nobodys.code, nobodys.reason)
        assert theirs.message.replace(film.asset_id, unknown) == nobodys.message

    async def test_a_deleted_asset_cannot_be_played(self, scene: Scene) -> None:
        film = await scene.publish()
        await scene.play(film.asset_id)
        await scene.delete(film.asset_id)
        await scene.bus.hears(events_pb2.SessionRevoked)
        refusal = await refused(scene.play(film.asset_id))
        assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "ASSET_WITHDRAWN")

    async def test_events_may_come_in_any_order(self, scene: Scene) -> None:
        """A deletion that is heard before its asset is still one; an old title does not replace a new one."""
        gone = new_id("ast")
        await scene.delete(gone)
        await scene.publish(gone)
        await scene.bus.publish(scene.created(gone, "A film"))
        renamed = new_id("ast")
        later = timestamp(scene.clock.now() + timedelta(seconds=9))
        await scene.bus.publish(
            assets.AssetUpdated(asset_id=renamed, organisation_id=scene.organisation_id, title="New", update_time=later)
        )
        await scene.bus.publish(scene.created(renamed, "Old"))
        await scene.publish(renamed)
        assert (await scene.play(renamed)).playback.title == "New"
        assert (await refused(scene.play(gone))).reason == "ASSET_WITHDRAWN"

    async def test_the_permission_is_asked_for(self, scene: Scene) -> None:
        with with_api_key(scene.settings, organisation_id=scene.organisation_id, permissions=["playback.read"]) as key:
            async with connected(scene.settings, "policy", CONTRACT, key=key) as channel:
                stub = policy_service_pb2_grpc.PolicyServiceStub(channel)
                refusal = await refused(
                    stub.CreatePlayback(api.CreatePlaybackRequest(request_id=new_id("req"), asset_id=new_id("ast")))
                )
        assert (refusal.reason, refusal.metadata["permission"]) == ("PERMISSION_MISSING", "playback.create")

    async def test_a_viewer_whose_name_cannot_be_kept_is_refused(self, scene: Scene) -> None:
        refusal = await refused(scene.play(new_id("ast"), viewer_id="a\0b"))
        assert (refusal.reason, refusal.fields[0][0]) == ("REQUEST_INVALID", "viewer_id")


class TestRepeatingARequest:
    async def test_it_returns_the_same_session_with_a_new_ticket_and_code(self, scene: Scene) -> None:
        film, request_id = await scene.publish(), new_id("req")
        first = await scene.play(film.asset_id, request_id=request_id)
        scene.clock.advance(timedelta(minutes=1))
        second = await scene.play(film.asset_id, request_id=request_id)

        assert second.session == first.session
        assert second.playback.dash_url != first.playback.dash_url
        assert second.code != first.code
        assert (await scene.edge.check(second.playback.dash_url)).allowed
        assert (await scene.edge.check(first.playback.dash_url)).allowed
        assert len(scene.bus.heard(events_pb2.PlaybackCreated)) <= 1

    async def test_of_the_codes_only_the_last_works(self, scene: Scene) -> None:
        """One request gives one code, however often it is repeated."""
        film, request_id = await scene.publish(), new_id("req")
        first = await scene.play(film.asset_id, request_id=request_id)
        second = await scene.play(film.asset_id, request_id=request_id)
        assert (await refused(redeem(scene, first.code))).reason == "CODE_INVALID"
        assert (await redeem(scene, second.code)).session_id == first.session.session_id

    async def test_ten_at_once_open_one_session(self, scene: Scene) -> None:
        film, request_id = await scene.publish(), new_id("req")
        answers = await asyncio.gather(*(scene.play(film.asset_id, request_id=request_id) for _ in range(10)))
        assert len({answer.session.session_id for answer in answers}) == 1

    async def test_another_body_is_refused(self, scene: Scene) -> None:
        film, request_id = await scene.publish(), new_id("req")
        await scene.play(film.asset_id, request_id=request_id)
        refusal = await refused(scene.play(film.asset_id, request_id=request_id, viewer_id="anna"))
        assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")

    async def test_another_organisations_request_of_the_same_id_is_another(
        self, scene: Scene, other_organisation_key: str
    ) -> None:
        film, request_id = await scene.publish(), new_id("req")
        await scene.play(film.asset_id, request_id=request_id)
        async with hasty(scene, other_organisation_key) as second:
            refusal = await refused(second.play(film.asset_id, request_id=request_id))
        assert refusal.reason == "ASSET_NOT_PLAYABLE"

    async def test_a_session_that_has_ended_gets_no_new_ticket(self, scene: Scene) -> None:
        film = await scene.publish()
        revoked = await scene.play(film.asset_id, request_id="revoked-0001")
        await scene.play(film.asset_id, request_id="expired-0001", lifetime=timedelta(seconds=10))
        await scene.revoke(revoked.session.session_id)
        scene.clock.advance(timedelta(seconds=12))
        assert (await refused(scene.play(film.asset_id, request_id="revoked-0001"))).reason == "SESSION_REVOKED"
        again = scene.play(film.asset_id, request_id="expired-0001", lifetime=timedelta(seconds=10))
        assert (await refused(again)).reason == "TICKET_EXPIRED"


class TestOneTimeCodes:
    async def test_a_code_is_worth_a_playback(self, scene: Scene) -> None:
        answer = await scene.play()
        playback = await redeem(scene, answer.code)
        assert playback.session_id == answer.session.session_id
        assert (await scene.edge.check(playback.hls_url)).allowed
        assert playback.hls_url != answer.playback.hls_url, "each holder has a ticket of their own"

    async def test_nobody_needs_another_credential_to_redeem_one(self, scene: Scene) -> None:
        answer = await scene.play()
        async with connected(scene.settings, "policy", CONTRACT, key="") as channel:
            stub = policy_service_pb2_grpc.PolicyServiceStub(channel)
            assert await stub.RedeemPlaybackCode(api.RedeemPlaybackCodeRequest(code=answer.code))

    async def test_it_works_once(self, scene: Scene) -> None:
        answer = await scene.play()
        await redeem(scene, answer.code)
        refusal = await refused(redeem(scene, answer.code))
        assert (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", "CODE_INVALID")
        assert answer.code not in refusal.message

    async def test_of_fifty_at_once_one_gets_in(self, scene: Scene) -> None:
        answer = await scene.play()
        tries = await asyncio.gather(*(redeem(scene, answer.code) for _ in range(50)), return_exceptions=True)
        assert sum(isinstance(outcome, policy_pb2.Playback) for outcome in tries) == 1

    async def test_it_ends_after_five_minutes(self, scene: Scene) -> None:
        answer = await scene.play()
        assert answer.code_expire_time.ToDatetime() == answer.session.create_time.ToDatetime() + timedelta(minutes=5)
        scene.clock.advance(timedelta(minutes=5))
        assert (await refused(redeem(scene, answer.code))).reason == "CODE_EXPIRED"

    async def test_it_does_not_outlive_its_session(self, scene: Scene) -> None:
        film = await scene.publish()
        answer = await scene.play(film.asset_id, lifetime=timedelta(seconds=30))
        assert answer.code_expire_time == answer.session.expire_time

    async def test_an_unknown_code_is_refused(self, scene: Scene) -> None:
        assert (await refused(redeem(scene, "otc_" + "x" * 32))).reason == "CODE_INVALID"

    async def test_the_code_of_a_revoked_session_is_worth_nothing(self, scene: Scene) -> None:
        answer = await scene.play()
        await scene.revoke(answer.session.session_id)
        assert (await refused(redeem(scene, answer.code))).reason == "SESSION_REVOKED"

    async def test_the_code_of_a_deleted_film_is_worth_nothing(self, scene: Scene) -> None:
        answer = await scene.play()
        await scene.delete(answer.session.asset_id)
        await scene.bus.hears(events_pb2.SessionRevoked)
        assert (await refused(redeem(scene, answer.code))).reason == "ASSET_WITHDRAWN"

    async def test_neither_codes_nor_tickets_are_kept(self, scene: Scene) -> None:
        film, request_id = await scene.publish(), new_id("req")
        answers = [await scene.play(film.asset_id, request_id=request_id) for _ in range(2)]
        await redeem(scene, answers[1].code)
        kept = await all_rows(scene.settings)
        assert answers[0].session.session_id in kept
        assert "eyJ" not in kept, "nothing that looks like a ticket, this one or another"
        assert "otc_" not in kept
        for answer in answers:
            ticket = answer.playback.dash_url.split("/")[4]
            for secret in (answer.code, ticket, ticket.rpartition(".")[2]):
                assert secret not in kept
                assert secret.encode().hex() not in kept

    async def test_codes_are_removed_a_day_after_they_ended(self, scene: Scene) -> None:
        answer = await scene.play()
        database = Database.of("policy", scene.settings)
        try:
            upkeep = Upkeep(database, scene.clock, Territories(None))
            scene.clock.advance(timedelta(minutes=6))
            await upkeep.once()
            assert (await refused(redeem(scene, answer.code))).reason == "CODE_EXPIRED"
            scene.clock.advance(CODES_KEPT)
            await upkeep.once()
            assert (await refused(redeem(scene, answer.code))).reason == "CODE_INVALID"
        finally:
            await database.close()


class TestSessions:
    async def test_a_session_is_active_then_expired(self, scene: Scene) -> None:
        answer = await scene.play()
        assert (await session_of(scene, answer.session.session_id)).state == ACTIVE
        scene.clock.advance(timedelta(hours=7))
        assert (await session_of(scene, answer.session.session_id)).state == EXPIRED

    async def test_a_session_of_another_organisation_is_not_found(
        self, scene: Scene, other_organisation_key: str
    ) -> None:
        session_id = (await scene.play()).session.session_id
        async with connected(scene.settings, "policy", CONTRACT, key=other_organisation_key) as channel:
            stub = policy_service_pb2_grpc.PolicyServiceStub(channel)
            for call in (
                stub.GetPlaybackSession(api.GetPlaybackSessionRequest(session_id=session_id)),
                stub.RevokePlaybackSession(api.RevokePlaybackSessionRequest(session_id=session_id)),
            ):
                refusal = await refused(call)
                assert (refusal.code.name, refusal.reason) == ("NOT_FOUND", "SESSION_NOT_FOUND")
                assert refusal.metadata["session_id"] == session_id
            assert not (await stub.ListPlaybackSessions(api.ListPlaybackSessionsRequest())).sessions

    async def test_they_are_listed_newest_first_page_by_page(self, scene: Scene) -> None:
        film, other = await scene.publish(), await scene.publish()
        opened = []
        for viewer in ("anna", "ben", "anna", "ben", "anna"):
            opened.append((await scene.play(film.asset_id, viewer_id=viewer)).session.session_id)
            await asyncio.sleep(0.002)
        await scene.play(other.asset_id)

        seen, token = [], ""
        for size in (2, 2, 1):
            request = api.ListPlaybackSessionsRequest(page_size=2, page_token=token, asset_id=film.asset_id)
            page = await scene.stub.ListPlaybackSessions(request)
            assert len(page.sessions) == size
            seen += [session.session_id for session in page.sessions]
            token = page.next_page_token
        assert token == ""
        assert seen == opened[::-1]
        annas = await scene.stub.ListPlaybackSessions(api.ListPlaybackSessionsRequest(viewer_id="anna"))
        assert [session.session_id for session in annas.sessions] == opened[::-2]
        assert len((await scene.stub.ListPlaybackSessions(api.ListPlaybackSessionsRequest())).sessions) == 6

    async def test_a_page_token_is_good_for_its_own_filter_only(self, scene: Scene) -> None:
        film = await scene.publish()
        for _ in range(2):
            await scene.play(film.asset_id)
        page = await scene.stub.ListPlaybackSessions(api.ListPlaybackSessionsRequest(page_size=1))
        request = api.ListPlaybackSessionsRequest(page_size=1, page_token=page.next_page_token, viewer_id="anna")
        assert (await refused(scene.stub.ListPlaybackSessions(request))).reason == "PAGE_TOKEN_INVALID"

    async def test_revoking_again_returns_the_same_answer(self, scene: Scene) -> None:
        session_id = (await scene.play()).session.session_id
        first = await scene.revoke(session_id, "shared with the world")
        scene.clock.advance(timedelta(seconds=3))
        second = await scene.revoke(session_id, "again")
        assert first == second
        assert (first.session.state, first.session.revoke_comment) == (REVOKED, "shared with the world")
        announced = await scene.bus.hears(events_pb2.SessionRevoked)
        assert (announced.session_id, announced.expire_time) == (session_id, first.session.expire_time)
        await scene.bus.hears(events_pb2.PlaybackCreated)
        assert len(scene.bus.heard(events_pb2.SessionRevoked)) == 1

    async def test_deleting_a_film_revokes_its_sessions_and_no_other(self, scene: Scene) -> None:
        film, other = await scene.publish(), await scene.publish()
        over = await scene.play(film.asset_id, lifetime=timedelta(seconds=1))
        scene.clock.advance(timedelta(seconds=3))
        mine = [(await scene.play(film.asset_id)).session.session_id for _ in range(3)]
        kept = (await scene.play(other.asset_id)).session.session_id
        await scene.delete(film.asset_id)
        await scene.bus.hears(events_pb2.SessionRevoked, count=3)
        assert {event.session_id for event in scene.bus.heard(events_pb2.SessionRevoked)} == set(mine)
        for session_id in mine:
            session = await session_of(scene, session_id)
            assert (session.state, session.revoke_comment) == (REVOKED, "the asset was deleted")
        assert (await session_of(scene, kept)).state == ACTIVE
        assert (await session_of(scene, over.session.session_id)).state == EXPIRED


class TestAuthorizingKeys:
    async def authorize(self, scene: Scene, ticket: str, package_id: str, *key_ids: str) -> api.AuthorizeKeysResponse:
        async with connected(scene.settings, "policy", CONTRACT, key="", caller="drm") as channel:
            stub = policy_service_pb2_grpc.PolicyServiceStub(channel)
            return await stub.AuthorizeKeys(
                api.AuthorizeKeysRequest(ticket=ticket, package_id=package_id, key_ids=key_ids)
            )

    async def test_only_keys_of_the_package_are_granted(self, scene: Scene) -> None:
        film = await scene.publish(key_ids=("1" * 32, "2" * 32))
        answer = await scene.play(film.asset_id)
        ticket = answer.playback.dash_url.split("/")[4]
        granted = await self.authorize(scene, ticket, film.package_id, "2" * 32, "3" * 32, "1" * 32, "2" * 32)
        assert list(granted.key_ids) == ["2" * 32, "1" * 32]
        assert (granted.session_id, granted.organisation_id) == (answer.session.session_id, scene.organisation_id)
        refusal = await refused(self.authorize(scene, ticket, film.package_id, "3" * 32))
        assert (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", "KEY_NOT_ENTITLED")
        assert refusal.metadata["key_id"] == "3" * 32

    async def test_the_edges_rules_are_the_rules_of_keys_too(self, scene: Scene) -> None:
        film, other = await scene.publish(), await scene.publish()
        answer = await scene.play(film.asset_id)
        ticket = answer.playback.dash_url.split("/")[4]
        key_id = film.track_keys[0].key_id
        await scene.play(other.asset_id)
        assert (await refused(self.authorize(scene, "x.y.z", film.package_id, key_id))).reason == "TICKET_INVALID"
        assert (await refused(self.authorize(scene, ticket, other.package_id, key_id))).reason == "TICKET_OTHER_PACKAGE"
        await scene.revoke(answer.session.session_id)
        assert (await refused(self.authorize(scene, ticket, film.package_id, key_id))).reason == "SESSION_REVOKED"
        scene.clock.advance(timedelta(minutes=30))
        ticket = (await scene.play(film.asset_id, lifetime=timedelta(seconds=1))).playback.dash_url.split("/")[4]
        scene.clock.advance(timedelta(seconds=2))
        assert (await refused(self.authorize(scene, ticket, film.package_id, key_id))).reason == "TICKET_EXPIRED"

    async def test_people_may_not_ask(self, scene: Scene) -> None:
        request = api.AuthorizeKeysRequest(ticket="a.b.c", package_id=new_id("pkg"), key_ids=["0" * 32])
        refusal = await refused(scene.stub.AuthorizeKeys(request))
        assert (refusal.reason, refusal.metadata["callers"]) == ("PERMISSION_MISSING", "drm")

    async def test_nor_may_other_services(self, scene: Scene) -> None:
        async with connected(scene.settings, "policy", CONTRACT, caller="packaging") as channel:
            request = api.AuthorizeKeysRequest(ticket="a.b.c", package_id=new_id("pkg"), key_ids=["0" * 32])
            stub = policy_service_pb2_grpc.PolicyServiceStub(channel)
            assert (await refused(stub.AuthorizeKeys(request))).reason == "PERMISSION_MISSING"
