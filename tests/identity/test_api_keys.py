"""API keys: made, shown once, used, expired, revoked."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.identity.v1 import api_keys_service_pb2 as api
from reelmesh.identity.v1 import events_pb2, identity_pb2, organisations_service_pb2

from services.identity.upkeep import Upkeep
from services.kit.clock import timestamp
from services.kit.database import Database
from services.kit.ids import new_id
from tests.identity.organisation import Home, bearing
from tests.identity.scene import Scene, refused

WHO = organisations_service_pb2.GetOrganisationRequest()


@pytest.fixture
def home(scene: Scene) -> Home:
    return Home(scene)


async def listed(home: Home) -> list[identity_pb2.ApiKey]:
    return list((await home.keys.ListApiKeys(api.ListApiKeysRequest(), metadata=home.scene.operator)).api_keys)


async def revoked(home: Home, key_id: str) -> identity_pb2.ApiKey:
    request = api.RevokeApiKeyRequest(key_id=key_id)
    return (await home.keys.RevokeApiKey(request, metadata=home.scene.operator)).api_key


async def test_a_key_is_shown_once_and_does_what_it_may(home: Home) -> None:
    request = api.CreateApiKeyRequest(
        request_id=new_id("req"), display_name="Ingest", permissions=["uploads.write", "organisations.read"]
    )
    made = await home.keys.CreateApiKey(request, metadata=home.scene.operator)
    assert made.secret.startswith("rmk_")
    assert len(made.secret) == 47
    assert made.api_key.prefix == made.secret[:12]
    again = await home.keys.CreateApiKey(request, metadata=home.scene.operator)
    assert (again.secret, again.api_key) == ("", made.api_key)
    mine = await home.calls.GetOrganisation(WHO, metadata=bearing(made.secret))
    assert mine.organisation.organisation_id == home.scene.home
    refusal = await refused(home.keys.ListApiKeys(api.ListApiKeysRequest(), metadata=bearing(made.secret)))
    assert (refusal.code, refusal.metadata["permission"]) == (grpc.StatusCode.PERMISSION_DENIED, "api_keys.read")
    told = await home.scene.bus.hears(events_pb2.ApiKeyCreated)
    assert (told.key_id, told.actor) == (made.api_key.key_id, "operator")


async def test_only_a_digest_of_a_key_is_kept_or_said(home: Home) -> None:
    made = await home.key("organisations.read")
    await home.calls.GetOrganisation(WHO, metadata=bearing(made.secret))
    await revoked(home, made.api_key.key_id)
    await home.scene.bus.hears(events_pb2.ApiKeyRevoked)
    hidden = made.secret[12:].encode()
    assert not [said for said in home.scene.bus.said() if hidden in said]
    settings = home.scene.settings
    connection = await asyncpg.connect(
        host=settings.database_host, user=settings.database_admin, database=settings.database_name
    )
    try:
        for table in ("api_keys", "replies", "outbox"):
            rows = await connection.fetch(f"SELECT t::text AS text FROM identity.{table} t")
            assert not [row for row in rows if hidden.decode() in row["text"] or hidden.hex() in row["text"]]
    finally:
        await connection.close()


async def test_the_last_use_is_known_to_the_minute(home: Home) -> None:
    made = await home.key("organisations.read")
    assert not (await listed(home))[0].HasField("use_time")
    first = home.scene.clock.now()
    await home.calls.GetOrganisation(WHO, metadata=bearing(made.secret))
    home.scene.clock.advance(timedelta(seconds=30))
    await home.calls.GetOrganisation(WHO, metadata=bearing(made.secret))
    assert (await listed(home))[0].use_time == timestamp(first)
    home.scene.clock.advance(timedelta(seconds=30))
    await home.calls.GetOrganisation(WHO, metadata=bearing(made.secret))
    assert (await listed(home))[0].use_time == timestamp(home.scene.clock.now())
    await home.scene.bus.hears(events_pb2.ApiKeyUsed, count=2)


async def test_a_key_stops_when_it_expires(home: Home) -> None:
    soon = timestamp(home.scene.clock.now() + timedelta(hours=1))
    made = await home.key("organisations.read", expire_time=soon)
    assert made.api_key.expire_time == soon
    home.scene.clock.advance(timedelta(minutes=59, seconds=59))
    await home.calls.GetOrganisation(WHO, metadata=bearing(made.secret))
    home.scene.clock.advance(timedelta(seconds=1))
    late = await refused(home.calls.GetOrganisation(WHO, metadata=bearing(made.secret)))
    assert late.reason == "CREDENTIAL_INVALID"


@pytest.mark.parametrize("seconds", [0, -62_135_596_801, 253_402_300_800])
async def test_an_expiry_that_is_past_or_no_moment_is_refused(home: Home, seconds: int) -> None:
    refusal = await refused(home.key("organisations.read", expire_time=Timestamp(seconds=seconds)))
    assert (refusal.reason, refusal.fields[0][0]) == ("REQUEST_INVALID", "expire_time")


async def test_a_revoked_key_is_refused_at_once_and_leaves_the_list_after_a_month(home: Home) -> None:
    made = await home.key("organisations.read")
    await home.calls.GetOrganisation(WHO, metadata=bearing(made.secret))
    ended = await revoked(home, made.api_key.key_id)
    assert ended.HasField("revoke_time")
    home.scene.clock.advance(timedelta(seconds=5))
    assert await revoked(home, made.api_key.key_id) == ended
    refusal = await refused(home.calls.GetOrganisation(WHO, metadata=bearing(made.secret)))
    assert refusal.reason == "CREDENTIAL_INVALID"
    told = await home.scene.bus.hears(events_pb2.ApiKeyRevoked)
    assert (told.key_id, told.actor) == (made.api_key.key_id, "operator")
    home.scene.clock.advance(timedelta(days=29))
    assert [key.key_id for key in await listed(home)] == [ended.key_id]
    home.scene.clock.advance(timedelta(days=1))
    assert await listed(home) == []
    database = Database.of("identity", home.scene.settings)
    try:
        await Upkeep(database, home.scene.clock).once()
    finally:
        await database.close()
    assert (await refused(revoked(home, ended.key_id))).reason == "API_KEY_NOT_FOUND"


async def test_nobody_gives_a_key_what_they_do_not_hold(home: Home) -> None:
    role = await home.role("api_keys.manage", "api_keys.read", "assets.read")
    person = await home.somebody(role.role_id)
    refusal = await refused(home.key("assets.read", "assets.write", by=person.shown))
    assert (refusal.reason, refusal.metadata["permission"]) == ("PERMISSION_NOT_HELD", "assets.write")
    assert (await refused(home.key("no.such", by=person.shown))).reason == "PERMISSION_UNKNOWN"
    made = await home.key("api_keys.manage", "assets.read", by=person.shown)
    refusal = await refused(home.key("playback.read", by=bearing(made.secret)))
    assert refusal.reason == "PERMISSION_NOT_HELD"
    child = await home.key("assets.read", by=bearing(made.secret))
    assert list(child.api_key.permissions) == ["assets.read"]
    keys = await home.keys.ListApiKeys(api.ListApiKeysRequest(page_size=1), metadata=person.shown)
    assert [key.key_id for key in keys.api_keys] == [child.api_key.key_id]
    rest = api.ListApiKeysRequest(page_size=1, page_token=keys.next_page_token)
    older = await home.keys.ListApiKeys(rest, metadata=person.shown)
    assert [key.key_id for key in older.api_keys] == [made.api_key.key_id]


async def test_a_key_of_another_organisation_is_not_known(home: Home) -> None:
    assert (await refused(revoked(home, new_id("key")))).reason == "API_KEY_NOT_FOUND"
