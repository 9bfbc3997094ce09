"""Viewers, devices, assets and keys that are revoked until somebody lifts it; and ticket keys that follow one another."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import jwt
import pytest
import sqlalchemy as sa
from reelmesh.policy.v1 import decisions_pb2, policy_service_pb2, ticket_keys_service_pb2
from reelmesh.policy.v1 import revocations_service_pb2 as api

from services.kit.database import Database
from services.kit.ids import new_id
from tests.policy.scene import AUDIO, HD, Scene, eventually, refused

VIEWER, DEVICE, ASSET, KEY = (
    api.REVOCATION_TARGET_VIEWER,
    api.REVOCATION_TARGET_DEVICE,
    api.REVOCATION_TARGET_ASSET,
    api.REVOCATION_TARGET_KEY,
)


async def revoke(scene: Scene, target: api.RevocationTarget.ValueType, target_id: str) -> api.CreateRevocationResponse:
    request = api.CreateRevocationRequest(
        request_id=new_id("req"), target=target, target_id=target_id, comment="it leaked"
    )
    return await scene.revocations.CreateRevocation(request)


async def lift(scene: Scene, made: api.CreateRevocationResponse) -> api.Revocation:
    request = api.LiftRevocationRequest(revocation_id=made.revocation.revocation_id)
    return (await scene.revocations.LiftRevocation(request)).revocation


def ticket_of(playback: policy_service_pb2.CreatePlaybackResponse) -> str:
    return playback.playback.dash_url.split("/p/", 1)[1].split("/", 1)[0]


async def licensed(scene: Scene, playback: policy_service_pb2.CreatePlaybackResponse) -> Any:
    request = policy_service_pb2.AuthorizeKeysRequest(
        ticket=ticket_of(playback), package_id=playback.session.package_id, key_ids=[AUDIO, HD]
    )
    return await scene.as_drm.AuthorizeKeys(request)


@pytest.mark.parametrize(("target", "name"), [(VIEWER, "viewer_id"), (DEVICE, "device_id")])
async def test_a_revoked_viewer_or_device_is_stopped_everywhere_and_opens_nothing(
    scene: Scene, target: api.RevocationTarget.ValueType, name: str
) -> None:
    who: dict[str, Any] = {name: new_id("dev")}
    somebody_else: dict[str, Any] = {name: new_id("dev")}
    films = [await scene.publish() for _ in range(2)]
    playbacks = [await scene.play(film.asset_id, **who) for film in films]
    other = await scene.play(films[0].asset_id, **somebody_else)
    made = await revoke(scene, target, who[name])
    assert made.ended_sessions == 2
    for playback in playbacks:
        assert (await scene.edge.check(playback.playback.dash_url)).reason == "SESSION_REVOKED"
        assert (await refused(licensed(scene, playback))).reason == "SESSION_REVOKED"
    refusal = await refused(scene.play(films[0].asset_id, **who))
    assert (refusal.reason, refusal.metadata["target"]) == ("PLAYBACK_REVOKED", name.removesuffix("_id"))
    assert (await scene.edge.check(other.playback.dash_url)).reason == ""
    await lift(scene, made)
    await scene.play(films[0].asset_id, **who)


@pytest.mark.parametrize(("target", "name"), [(VIEWER, "viewer_id"), (DEVICE, "device_id")])
async def test_a_revocation_that_comes_while_a_playback_is_opened_ends_it(
    scene: Scene, target: api.RevocationTarget.ValueType, name: str
) -> None:
    who: dict[str, Any] = {"viewer_id": new_id("acc"), "device_id": new_id("dev")}
    await scene.rules(decisions_pb2.Rule(kind=decisions_pb2.RULE_KIND_CONCURRENCY, streams_by_tier={"*": 2}))
    film = await scene.publish()
    database = Database.of("policy", scene.settings)
    try:
        async with database.transaction() as tx:  # opening waits for it, after it has looked at what is revoked
            lock = "SELECT pg_advisory_xact_lock(hashtextextended('streams:' || :organisation || ':' || :viewer, 0))"
            await tx.execute(sa.text(lock), {"organisation": scene.organisation_id, "viewer": who["viewer_id"]})
            opening = asyncio.create_task(scene.play(film.asset_id, **who))
            await waiting(database, 1)
            revoking = asyncio.create_task(revoke(scene, target, who[name]))
            await waiting(database, 2)
        playback, made = await asyncio.gather(opening, revoking)
    finally:
        await database.close()
    assert made.ended_sessions == 1
    assert (await scene.edge.check(playback.playback.dash_url)).reason == "SESSION_REVOKED"
    assert (await refused(scene.play(film.asset_id, **who))).reason == "PLAYBACK_REVOKED"


async def waiting(database: Database, count: int) -> None:
    """Until so many wait for a lock of this kind."""
    query = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with asyncio.timeout(30):
        while True:
            async with database.transaction() as tx:
                if (await tx.execute(query)).scalar_one() == count:
                    return
            await asyncio.sleep(0.02)


async def test_a_revoked_asset_is_held_for_everybody_and_goes_on_when_it_is_lifted(scene: Scene) -> None:
    film, other = await scene.publish(), await scene.publish()
    playback, beside = await scene.play(film.asset_id), await scene.play(other.asset_id)
    segment = playback.playback.dash_url.replace("manifest.mpd", "video/1.m4s")
    made = await revoke(scene, ASSET, film.asset_id)
    assert (await scene.edge.check(segment)).reason == "PLAYBACK_REVOKED"
    assert (await refused(licensed(scene, playback))).reason == "PLAYBACK_REVOKED"
    assert (await refused(scene.play(film.asset_id))).reason == "PLAYBACK_REVOKED"
    assert (await scene.edge.check(beside.playback.dash_url)).reason == ""
    await lift(scene, made)
    assert (await lift(scene, made)).HasField("lift_time")
    await eventually(scene.edge, segment, "")


async def test_a_revoked_key_holds_every_package_that_it_opens(scene: Scene) -> None:
    leaked = "e" * 32
    film = await scene.publish(key_ids=[AUDIO, leaked])
    playback, beside = await scene.play(film.asset_id), await scene.play()
    await revoke(scene, KEY, leaked)
    refusal = await scene.edge.check(playback.playback.dash_url)
    assert (refusal.reason, refusal.metadata["target"]) == ("PLAYBACK_REVOKED", "key")
    assert (await refused(scene.play(film.asset_id))).reason == "PLAYBACK_REVOKED"
    assert (await scene.edge.check(beside.playback.dash_url)).reason == ""


async def test_revocations_are_listed_and_nobody_elses_are_seen(scene: Scene, other_organisation_key: str) -> None:
    film = await scene.publish()
    made = [await revoke(scene, VIEWER, f"viewer-{number}") for number in range(3)]
    await lift(scene, made[1])
    first = await scene.revocations.ListRevocations(api.ListRevocationsRequest(page_size=2))
    rest = await scene.revocations.ListRevocations(
        api.ListRevocationsRequest(page_size=2, page_token=first.next_page_token)
    )
    found = [one.target_id for one in (*first.revocations, *rest.revocations)]
    assert found == ["viewer-2", "viewer-1", "viewer-0"]
    standing = await scene.revocations.ListRevocations(api.ListRevocationsRequest(standing_only=True))
    assert [one.target_id for one in standing.revocations] == ["viewer-2", "viewer-0"]
    shown = (("authorization", f"Bearer {other_organisation_key}"),)
    assert not (await scene.revocations.ListRevocations(api.ListRevocationsRequest(), metadata=shown)).revocations
    one = api.LiftRevocationRequest(revocation_id=made[0].revocation.revocation_id)
    refusal = await refused(scene.revocations.LiftRevocation(one, metadata=shown))
    assert refusal.reason == "REVOCATION_NOT_FOUND"
    # What another organisation revokes is its own.
    theirs = api.CreateRevocationRequest(request_id=new_id("req"), target=ASSET, target_id=film.asset_id)
    await scene.revocations.CreateRevocation(theirs, metadata=shown)
    await scene.play(film.asset_id)


@pytest.mark.parametrize(("target", "target_id"), [(DEVICE, "phone"), (ASSET, "film"), (KEY, "E" * 32)])
async def test_what_is_no_such_id_is_not_revoked(
    scene: Scene, target: api.RevocationTarget.ValueType, target_id: str
) -> None:
    assert (await refused(revoke(scene, target, target_id))).reason == "REQUEST_INVALID"


async def test_ticket_keys_follow_one_another_and_no_viewer_is_refused(scene: Scene) -> None:
    film = await scene.publish()
    before = await scene.play(film.asset_id, lifetime=timedelta(hours=24))
    made = await scene.ticket_keys.RotateTicketKey(ticket_keys_service_pb2.RotateTicketKeyRequest())
    again = await scene.ticket_keys.RotateTicketKey(ticket_keys_service_pb2.RotateTicketKeyRequest())
    assert again == made
    meanwhile = await scene.play(film.asset_id, lifetime=timedelta(hours=24))
    scene.clock.advance(timedelta(minutes=1))
    after = await scene.play(film.asset_id, lifetime=timedelta(hours=24))
    keys = [jwt.get_unverified_header(ticket_of(playback))["kid"] for playback in (before, meanwhile, after)]
    assert keys[0] == keys[1] != keys[2] == made.key_id
    scene.clock.advance(timedelta(minutes=50))
    for playback in (before, meanwhile, after):
        assert (await scene.edge.check(playback.playback.dash_url)).reason == ""
