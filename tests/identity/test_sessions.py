"""Sessions: refreshed, stolen, listed, ended."""

from __future__ import annotations

from datetime import timedelta

from reelmesh.identity.v1 import accounts_service_pb2 as api
from reelmesh.identity.v1 import events_pb2, identity_pb2

from services.kit.ids import new_id
from tests.identity.scene import Scene, claims, refused


async def _refreshed(scene: Scene, token: str, request_id: str = "") -> identity_pb2.Tokens:
    request = api.RefreshSessionRequest(request_id=request_id or new_id("req"), refresh_token=token)
    return (await scene.accounts.RefreshSession(request)).tokens


async def test_a_refresh_token_gets_new_tokens_of_the_same_session(scene: Scene) -> None:
    person = await scene.register()
    scene.clock.advance(timedelta(days=29))
    fresh = await _refreshed(scene, person.tokens.refresh_token)
    assert fresh.session_id == person.tokens.session_id
    assert fresh.refresh_token != person.tokens.refresh_token
    scene.clock.advance(timedelta(days=29))
    assert claims((await _refreshed(scene, fresh.refresh_token)).access_token)["sid"] == fresh.session_id


async def test_a_stolen_refresh_token_used_twice_ends_the_whole_family(scene: Scene) -> None:
    person = await scene.register()
    fresh = await _refreshed(scene, person.tokens.refresh_token)
    reused = await refused(_refreshed(scene, person.tokens.refresh_token))
    assert (reused.reason, reused.metadata["session_id"]) == ("REFRESH_TOKEN_REUSED", fresh.session_id)
    assert (await refused(_refreshed(scene, fresh.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    shown = (("authorization", f"Bearer {fresh.access_token}"),)
    mine = await refused(scene.accounts.GetAccount(api.GetAccountRequest(), metadata=shown))
    assert mine.reason == "CREDENTIAL_INVALID"
    ended = await scene.bus.hears(events_pb2.SessionEnded)
    assert ended.cause == events_pb2.SESSION_END_TOKEN_REUSED


async def test_an_exchange_whose_answer_was_lost_may_be_repeated_for_a_minute(scene: Scene) -> None:
    person = await scene.register()
    lost = await _refreshed(scene, person.tokens.refresh_token, "request-1")
    again = await _refreshed(scene, person.tokens.refresh_token, "request-1")
    assert (await refused(_refreshed(scene, lost.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    newer = await _refreshed(scene, again.refresh_token)
    # Once what it was exchanged for is in use, a repeat is a theft, whoever sends it.
    assert (await refused(_refreshed(scene, person.tokens.refresh_token, "request-1"))).reason == "REFRESH_TOKEN_REUSED"
    assert (await refused(_refreshed(scene, newer.refresh_token))).reason == "REFRESH_TOKEN_INVALID"


async def test_a_repeat_after_a_minute_is_a_theft(scene: Scene) -> None:
    person = await scene.register()
    await _refreshed(scene, person.tokens.refresh_token, "request-1")
    scene.clock.advance(timedelta(seconds=61))
    assert (await refused(_refreshed(scene, person.tokens.refresh_token, "request-1"))).reason == "REFRESH_TOKEN_REUSED"


async def test_a_session_that_is_not_refreshed_for_thirty_days_ends(scene: Scene) -> None:
    person = await scene.register()
    scene.clock.advance(timedelta(days=30))
    assert (await refused(_refreshed(scene, person.tokens.refresh_token))).reason == "REFRESH_TOKEN_INVALID"


async def test_logging_out_ends_the_session_and_may_be_repeated(scene: Scene) -> None:
    person = await scene.register()
    request = api.LogOutRequest(refresh_token=person.tokens.refresh_token)
    await scene.accounts.LogOut(request)
    await scene.accounts.LogOut(request)
    await scene.accounts.LogOut(api.LogOutRequest(refresh_token="rmr_" + "x" * 43))  # of nobody
    assert (await refused(_refreshed(scene, person.tokens.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    mine = await refused(scene.accounts.GetAccount(api.GetAccountRequest(), metadata=person.shown))
    assert mine.reason == "CREDENTIAL_INVALID"


async def test_sessions_are_listed_by_page_and_ended_one_by_one(scene: Scene) -> None:
    person = await scene.register()
    other = await scene.log_in(person.email)
    first = await scene.accounts.ListSessions(api.ListSessionsRequest(page_size=1), metadata=person.shown)
    second = await scene.accounts.ListSessions(
        api.ListSessionsRequest(page_size=1, page_token=first.next_page_token), metadata=person.shown
    )
    assert [one.session_id for one in (*first.sessions, *second.sessions)] == [
        other.session_id,
        person.tokens.session_id,
    ]
    assert [one.current for one in (*first.sessions, *second.sessions)] == [False, True]
    assert first.sessions[0].network == "203.0.113.0/24"
    request = api.RevokeSessionRequest(session_id=other.session_id)
    await scene.accounts.RevokeSession(request, metadata=person.shown)
    left = await scene.accounts.ListSessions(api.ListSessionsRequest(), metadata=person.shown)
    assert [one.session_id for one in left.sessions] == [person.tokens.session_id]


async def test_nobody_ends_somebody_elses_session(scene: Scene) -> None:
    one, other = await scene.register(), await scene.register()
    request = api.RevokeSessionRequest(session_id=other.tokens.session_id)
    assert (await refused(scene.accounts.RevokeSession(request, metadata=one.shown))).reason == "SESSION_NOT_FOUND"


async def test_an_access_token_ends_after_fifteen_minutes(scene: Scene) -> None:
    person = await scene.register()
    scene.clock.advance(timedelta(minutes=15))
    mine = await refused(scene.accounts.GetAccount(api.GetAccountRequest(), metadata=person.shown))
    assert mine.reason == "CREDENTIAL_INVALID"
