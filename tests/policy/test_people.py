"""Devices and profiles: what counts is what identity says of them, not what a caller says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from reelmesh.identity.v1 import events_pb2 as identity
from reelmesh.identity.v1 import profiles_pb2, profiles_service_pb2_grpc
from reelmesh.identity.v1 import profiles_service_pb2 as profiles_api
from reelmesh.policy.v1 import decisions_pb2 as told
from reelmesh.policy.v1 import policy_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.decision import people
from services.policy.decision.territories import Territories
from services.policy.upkeep import DEVICES_KEPT, Upkeep
from tests.identity.organisation import Home, Shown
from tests.identity.scene import Person
from tests.identity.scene import a_scene as with_identity
from tests.identity.television import Television, a_television
from tests.policy.scene import Scene, eventually, refused

CREATE_PLAYBACK = "/reelmesh.policy.v1.PolicyService/CreatePlayback"
REGISTERED_ONLY = told.Rule(kind=told.RULE_KIND_DEVICE, registered_only=True)
SEVEN, SIXTEEN = profiles_pb2.MATURITY_RATING_SEVEN, profiles_pb2.MATURITY_RATING_SIXTEEN


@pytest.fixture
async def home(mesh: ProcessSettings) -> AsyncIterator[Home]:
    """People of the operator's organisation."""
    async with with_identity(mesh) as scene:
        yield Home(scene)


async def play(scene: Scene, asset_id: str, shown: Shown, **fields: Any) -> api.CreatePlaybackResponse:
    request = api.CreatePlaybackRequest(request_id=new_id("req"), asset_id=asset_id, **fields)
    return await scene.stub.CreatePlayback(request, metadata=shown)


async def watch(scene: Scene, asset_id: str, television: Television, **fields: Any) -> api.CreatePlaybackResponse:
    """Opens a playback with the token of a device."""
    return await play(scene, asset_id, television.shown(CREATE_PLAYBACK), **fields)


async def a_registered_television(home: Home, person: Person) -> tuple[Television, str]:
    television = await a_television(home.scene, person)
    return television, (await television.register()).device.device_id


async def film(scene: Scene, **terms: Any) -> str:
    asset_id = (await scene.publish()).asset_id
    if terms:
        await scene.terms(asset_id, **terms)
    return asset_id


async def test_a_person_watches_on_the_device_that_their_token_is_bound_to(home: Home, scene: Scene) -> None:
    asset_id, person = await film(scene), await home.scene.register()
    await scene.rules(REGISTERED_ONLY)
    television, device_id = await a_registered_television(home, person)
    assert (await watch(scene, asset_id, television)).session.device_id == device_id
    assert (await watch(scene, asset_id, television, device_id=device_id)).session.device_id == device_id
    refusal = await refused(watch(scene, asset_id, television, device_id=new_id("dev")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "DEVICE_NOT_SELF")
    assert refusal.metadata["device_id"] == device_id


async def test_a_person_whose_token_is_bound_to_no_device_has_none(home: Home, scene: Scene) -> None:
    asset_id, person = await film(scene), await home.scene.register()
    assert (await play(scene, asset_id, person.shown)).session.device_id == ""
    _, device_id = await a_registered_television(home, person)
    refusal = await refused(play(scene, asset_id, person.shown, device_id=device_id))
    assert (refusal.reason, refusal.metadata["device_id"]) == ("DEVICE_NOT_SELF", "")
    await scene.rules(REGISTERED_ONLY)
    assert (await refused(play(scene, asset_id, person.shown))).reason == "DEVICE_REFUSED"


async def becomes(scene: Scene, reason: str, asset_id: str, **fields: Any) -> None:
    """Waits until a server's playback is refused so; empty: until it is opened."""
    async with asyncio.timeout(30):
        while await outcome(scene, asset_id, **fields) != reason:
            await asyncio.sleep(0.02)


async def outcome(scene: Scene, asset_id: str, **fields: Any) -> str:
    try:
        await scene.play(asset_id, **fields)
    except grpc.aio.AioRpcError as error:
        return Refusal.from_rpc_error(error).reason
    return ""


async def test_a_server_names_devices_of_the_viewer_only(home: Home, scene: Scene) -> None:
    asset_id, owner, other = await film(scene), await home.scene.register(), await home.scene.register()
    _, device_id = await a_registered_television(home, owner)
    await scene.rules(REGISTERED_ONLY)
    await becomes(scene, "", asset_id, viewer_id=owner.account.account_id, device_id=device_id)
    for viewer_id, named in ((other.account.account_id, device_id), (owner.account.account_id, new_id("dev"))):
        refusal = await refused(scene.play(asset_id, viewer_id=viewer_id, device_id=named))
        assert refusal.reason == "DEVICE_REFUSED"


async def test_what_plays_on_a_device_ends_when_its_owner_revokes_it(home: Home, scene: Scene) -> None:
    asset_id, person = await film(scene), await home.scene.register()
    lost, lost_id = await a_registered_television(home, person)
    mine, _ = await a_registered_television(home, person)
    on_lost, on_mine = await watch(scene, asset_id, lost), await watch(scene, asset_id, mine)
    await mine.revoke(lost_id)
    await eventually(scene.edge, on_lost.playback.dash_url, "SESSION_REVOKED")
    assert (await scene.edge.check(on_mine.playback.dash_url)).reason == ""
    session = api.GetPlaybackSessionRequest(session_id=on_lost.session.session_id)
    assert (await scene.stub.GetPlaybackSession(session)).session.revoke_comment == "the device was revoked"
    await becomes(scene, "DEVICE_REFUSED", asset_id, viewer_id=person.account.account_id, device_id=lost_id)


async def test_a_device_is_revoked_for_good_in_whatever_order_that_is_heard(scene: Scene) -> None:
    asset_id, account_id, device_id = await film(scene), new_id("usr"), new_id("dev")
    now = scene.clock.now()
    await scene.bus.publish(
        identity.DeviceRevoked(account_id=account_id, device_id=device_id, revoke_time=timestamp(now))
    )
    await becomes(scene, "DEVICE_REFUSED", asset_id, viewer_id=account_id, device_id=device_id)
    await scene.bus.publish(
        identity.DeviceRegistered(account_id=account_id, device_id=device_id, register_time=timestamp(now))
    )
    another = new_id("dev")
    await scene.bus.publish(
        identity.DeviceRegistered(account_id=account_id, device_id=another, register_time=timestamp(now))
    )
    await scene.rules(REGISTERED_ONLY)
    await becomes(scene, "", asset_id, viewer_id=account_id, device_id=another)  # heard after the one before
    assert await outcome(scene, asset_id, viewer_id=account_id, device_id=device_id) == "DEVICE_REFUSED"


class Household:
    """A person with profiles."""

    def __init__(self, home: Home, person: Person) -> None:
        self.person = person
        self._stub = profiles_service_pb2_grpc.ProfilesServiceStub(home.scene.channel)

    async def enters(self, rating: profiles_pb2.MaturityRating.ValueType) -> tuple[str, Shown]:
        """Makes a profile and goes into it; returns its id and what shows it."""
        made = await self._stub.CreateProfile(
            profiles_api.CreateProfileRequest(
                request_id=new_id("req"), display_name="Somebody", maturity_rating=rating
            ),
            metadata=self.person.shown,
        )
        selected = await self._stub.SelectProfile(
            profiles_api.SelectProfileRequest(profile_id=made.profile.profile_id), metadata=self.person.shown
        )
        return made.profile.profile_id, (("authorization", f"Bearer {selected.tokens.access_token}"),)

    async def limits(self, profile_id: str, rating: profiles_pb2.MaturityRating.ValueType) -> None:
        """Changes what a profile may watch."""
        request = profiles_api.UpdateProfileRequest(
            request_id=new_id("req"),
            profile=profiles_pb2.Profile(profile_id=profile_id, maturity_rating=rating),
            update_mask=FieldMask(paths=["maturity_rating"]),
        )
        await self._stub.UpdateProfile(request, metadata=self.person.shown)

    async def removes(self, profile_id: str) -> None:
        request = profiles_api.DeleteProfileRequest(profile_id=profile_id)
        await self._stub.DeleteProfile(request, metadata=self.person.shown)


@pytest.fixture
async def household(home: Home) -> Household:
    return Household(home, await home.scene.register())


async def test_a_profile_watches_what_it_may(household: Household, scene: Scene) -> None:
    for_all, for_teens = await film(scene), await film(scene, maturity=16)
    await play(scene, for_teens, household.person.shown)  # no profile, no limit
    _, child = await household.enters(SEVEN)
    await play(scene, for_all, child)
    refusal = await refused(play(scene, for_teens, child))
    assert (refusal.reason, refusal.metadata["maturity"]) == ("MATURITY_EXCEEDED", "16")
    _, teen = await household.enters(SIXTEEN)
    await play(scene, for_teens, teen)
    _, adult = await household.enters(profiles_pb2.MATURITY_RATING_EIGHTEEN)
    await play(scene, await film(scene, maturity=21), adult)


async def test_a_profile_that_gets_stricter_loses_what_it_watches(household: Household, scene: Scene) -> None:
    for_all, for_teens = await film(scene), await film(scene, maturity=16)
    profile_id, teen = await household.enters(SIXTEEN)
    stays, ends = await play(scene, for_all, teen), await play(scene, for_teens, teen)
    _, other = await household.enters(SIXTEEN)
    beside = await play(scene, for_teens, other)
    await household.limits(profile_id, SEVEN)
    await eventually(scene.edge, ends.playback.dash_url, "SESSION_REVOKED")
    for playback in (stays, beside):
        assert (await scene.edge.check(playback.playback.dash_url)).reason == ""
    # The token still tells the old limit.
    assert (await refused(play(scene, for_teens, teen))).reason == "MATURITY_EXCEEDED"


async def test_of_a_removed_profile_only_what_is_for_everybody_is_left(household: Household, scene: Scene) -> None:
    for_all, for_teens = await film(scene), await film(scene, maturity=16)
    profile_id, teen = await household.enters(SIXTEEN)
    stays, ends = await play(scene, for_all, teen), await play(scene, for_teens, teen)
    await household.removes(profile_id)
    await eventually(scene.edge, ends.playback.dash_url, "SESSION_REVOKED")
    assert (await scene.edge.check(stays.playback.dash_url)).reason == ""
    assert (await refused(play(scene, for_teens, teen))).reason == "MATURITY_EXCEEDED"


@pytest.fixture
async def database(scene: Scene) -> AsyncIterator[Database]:
    """The service's own."""
    database = Database.of("policy", scene.settings)
    yield database
    await database.close()


async def test_a_profile_is_known_as_its_own_accounts_alone(scene: Scene, database: Database) -> None:
    async with database.transaction() as tx:
        await people.keep_profile(tx, "prf_1", "usr_1", 16, scene.clock.now())
        assert await people.limits_of(tx, ["prf_1", "prf_2"], kept=True) == {("prf_1", "usr_1"): 16}
        await people.keep_profile(tx, "prf_1", "usr_1", 18, scene.clock.now() - timedelta(seconds=1))
        assert await people.limits_of(tx, ["prf_1"], kept=True) == {("prf_1", "usr_1"): 16}


async def test_a_revoked_device_is_forgotten_in_the_end(scene: Scene, database: Database) -> None:
    now = scene.clock.now()
    async with database.transaction() as tx:
        await people.keep_device(tx, "dev_1", "usr_1", now - 2 * DEVICES_KEPT, revoked=False)
        await people.keep_device(tx, "dev_2", "usr_1", now - 2 * DEVICES_KEPT, revoked=True)
        await people.keep_device(tx, "dev_3", "usr_1", now, revoked=True)
    await Upkeep(database, scene.clock, Territories(None)).once()
    async with database.transaction() as tx:
        kept = await people.devices_of(tx, ["dev_1", "dev_2", "dev_3"], kept=False)
    assert set(kept) == {"dev_1", "dev_3"}
