"""Devices, and sessions that are of no use without their key."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2
from reelmesh.identity.v1 import devices_service_pb2 as api

from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.identity.scene import Scene, a_scene, claims, refused
from tests.identity.television import ACCOUNTS, DEVICES, Television, a_television


async def test_a_registered_device_goes_on_with_tokens_that_need_its_key(scene: Scene) -> None:
    person = await scene.register()
    television = await a_television(scene, person)
    answer = await television.register()
    assert answer.device.key_thumbprint == television.holder.thumbprint
    told_by = claims(answer.tokens.access_token)
    assert told_by["cnf"] == {"jkt": television.holder.thumbprint}
    assert told_by["device"] == answer.device.device_id
    assert (await television.account()).account_id == person.account.account_id
    told = await scene.bus.hears(events_pb2.DeviceRegistered)
    assert (told.device_id, told.session_id) == (answer.device.device_id, television.tokens.session_id)
    sessions = await scene.accounts.ListSessions(accounts_service_pb2.ListSessionsRequest(), metadata=person.shown)
    assert {one.device_id for one in sessions.sessions} == {answer.device.device_id, ""}


async def problem(call: Any) -> str:
    refusal: Refusal = await refused(call)
    return refusal.metadata.get("problem", refusal.reason)


async def test_without_the_key_its_tokens_are_of_no_use(scene: Scene) -> None:
    television = await a_television(scene, await scene.register())
    await television.register()
    thief = Television(scene, television.tokens, bound=True)
    assert await problem(thief.account()) == "other_key"
    assert await problem(television.account(scheme="Bearer")) == "missing"
    get = accounts_service_pb2.GetAccountRequest()
    bare = (("authorization", f"DPoP {television.tokens.access_token}"),)
    assert await problem(scene.accounts.GetAccount(get, metadata=bare)) == "missing"
    shown = television.shown(ACCOUNTS + "GetAccount")
    await scene.accounts.GetAccount(get, metadata=shown)
    assert await problem(scene.accounts.GetAccount(get, metadata=shown)) == "replayed"
    elsewhere = television.shown(ACCOUNTS + "ListSessions")
    assert await problem(scene.accounts.GetAccount(get, metadata=elsewhere)) == "other_request"
    assert await problem(television.account(ath="x")) == "other_token"
    assert await problem(television.account(iat=0)) == "stale"


async def test_a_refresh_token_without_the_key_is_of_no_use_and_stays_good(scene: Scene) -> None:
    television = await a_television(scene, await scene.register())
    device = (await television.register()).device
    thief = Television(scene, television.tokens)
    assert await problem(thief.refresh()) == "other_key"
    assert await problem(thief.refresh(proof="")) == "missing"
    scene.clock.advance(timedelta(minutes=5))
    tokens = await television.refresh()
    assert claims(tokens.access_token)["cnf"] == {"jkt": television.holder.thumbprint}
    listed = await television.stub.ListDevices(
        api.ListDevicesRequest(), metadata=television.shown(DEVICES + "ListDevices")
    )
    assert [(one.device_id, one.current) for one in listed.devices] == [(device.device_id, True)]
    assert listed.devices[0].use_time.ToDatetime() - listed.devices[0].create_time.ToDatetime() == timedelta(minutes=5)


async def test_the_bearer_token_of_before_is_refused_once_the_session_is_bound(scene: Scene) -> None:
    television = await a_television(scene, await scene.register())
    before = (("authorization", f"Bearer {television.tokens.access_token}"),)
    scene.clock.advance(timedelta(seconds=1))
    await television.register()
    call = scene.accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=before)
    assert (await refused(call)).reason == "CREDENTIAL_INVALID"
    await television.account()


async def test_sessions_that_are_bound_to_no_device_go_on_as_before(scene: Scene) -> None:
    person = await scene.register()
    await scene.accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=person.shown)
    dressed_up = Television(scene, person.tokens, bound=True)
    assert await problem(dressed_up.account()) == "CREDENTIAL_INVALID"


async def test_registering_needs_a_proof(scene: Scene) -> None:
    television = await a_television(scene, await scene.register())
    request = api.RegisterDeviceRequest(request_id=new_id("req"), display_name="x", platform="web")
    bare = (("authorization", f"Bearer {television.tokens.access_token}"),)
    assert await problem(television.stub.RegisterDevice(request, metadata=bare)) == "missing"
    wrong = television.shown(DEVICES + "RegisterDevice", ath="x")
    assert await problem(television.stub.RegisterDevice(request, metadata=wrong)) == "other_token"


async def test_a_device_that_comes_back_with_its_key_is_the_same(scene: Scene) -> None:
    person = await scene.register()
    first = await a_television(scene, person)
    device = (await first.register("Old name")).device
    second = await a_television(scene, person, first.holder)
    again = (await second.register("New name")).device
    assert (again.device_id, again.display_name) == (device.device_id, "New name")
    await second.register("Once more")
    third = await a_television(scene, person)
    await third.register()
    other = Television(scene, first.tokens, third.holder, bound=True)
    assert await problem(other.register()) == "other_key"


@pytest.mark.parametrize(("tier", "limit"), [("", 2), ("basic", 3), ("never-heard-of", 2)])
async def test_a_tier_has_so_many_devices(scene: Scene, tier: str, limit: int) -> None:
    person = await scene.register()
    if tier:
        request = accounts_service_pb2.SetAccountTierRequest(account_id=person.account.account_id, tier=tier)
        await scene.accounts.SetAccountTier(request, metadata=scene.operator)
        scene.clock.advance(timedelta(seconds=1))
    televisions = [await a_television(scene, person) for _ in range(limit + 1)]
    for television in televisions[:-1]:
        await television.register()
    refusal = await refused(televisions[-1].register())
    assert (refusal.reason, refusal.metadata["limit"]) == ("DEVICE_LIMIT_REACHED", str(limit))
    assert str(limit) in refusal.message
    devices = await televisions[0].stub.ListDevices(
        api.ListDevicesRequest(), metadata=televisions[0].shown(DEVICES + "ListDevices")
    )
    revoke = api.RevokeDeviceRequest(device_id=devices.devices[0].device_id)
    await televisions[0].stub.RevokeDevice(revoke, metadata=televisions[0].shown(DEVICES + "RevokeDevice"))
    await televisions[-1].register()


async def test_limits_are_a_setting_and_hold_at_the_same_moment(mesh: ProcessSettings) -> None:
    async with a_scene(mesh, identity_device_limits={"free": 1}) as scene:
        person = await scene.register()
        televisions = [await a_television(scene, person) for _ in range(4)]
        answers = await asyncio.gather(*(one.register() for one in televisions), return_exceptions=True)
        assert sum(isinstance(answer, api.RegisterDeviceResponse) for answer in answers) == 1


async def test_revoking_a_device_ends_its_sessions_and_says_so(scene: Scene) -> None:
    person = await scene.register()
    television = await a_television(scene, person)
    device = (await television.register()).device
    for _ in range(2):
        revoke = api.RevokeDeviceRequest(device_id=device.device_id)
        await television.stub.RevokeDevice(revoke, metadata=person.shown)
    assert await problem(television.account()) == "CREDENTIAL_INVALID"
    assert (await refused(television.refresh())).reason == "REFRESH_TOKEN_INVALID"
    ended = await scene.bus.hears(events_pb2.SessionEnded)
    assert (ended.session_id, ended.cause) == (television.tokens.session_id, events_pb2.SESSION_END_DEVICE_REVOKED)
    told = await scene.bus.hears(events_pb2.DeviceRevoked)
    assert (told.device_id, told.key_thumbprint) == (device.device_id, television.holder.thumbprint)
    await scene.accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=person.shown)
    back = await a_television(scene, person, television.holder)
    assert (await back.register()).device.device_id != device.device_id


async def test_a_device_of_another_account_does_not_exist(scene: Scene) -> None:
    television = await a_television(scene, await scene.register())
    device = (await television.register()).device
    stranger = await scene.register()
    rename = api.RenameDeviceRequest(device_id=device.device_id, display_name="mine")
    revoke = api.RevokeDeviceRequest(device_id=device.device_id)
    assert await problem(television.stub.RenameDevice(rename, metadata=stranger.shown)) == "DEVICE_NOT_FOUND"
    assert await problem(television.stub.RevokeDevice(revoke, metadata=stranger.shown)) == "DEVICE_NOT_FOUND"
    shown = television.shown(DEVICES + "RenameDevice")
    rename = api.RenameDeviceRequest(device_id=device.device_id, display_name="Kitchen")
    assert (await television.stub.RenameDevice(rename, metadata=shown)).device.display_name == "Kitchen"


async def test_a_repeat_of_a_registration_gets_the_device_without_tokens(scene: Scene) -> None:
    television = await a_television(scene, await scene.register())
    request = api.RegisterDeviceRequest(request_id=new_id("req"), display_name="TV", platform="android-tv")
    first = await television.stub.RegisterDevice(request, metadata=television.shown(DEVICES + "RegisterDevice"))
    television.bound, television.tokens.access_token = True, first.tokens.access_token
    again = await television.stub.RegisterDevice(request, metadata=television.shown(DEVICES + "RegisterDevice"))
    assert (again.device, again.HasField("tokens")) == (first.device, False)
