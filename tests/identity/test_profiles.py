"""Profiles: who is in front of the screen, and what a child cannot do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2, profiles_pb2, profiles_service_pb2_grpc
from reelmesh.identity.v1 import profiles_service_pb2 as api

from services.identity.profiles.domain import chosen_colour
from services.kit.ids import new_id
from tests.identity.scene import Person, Scene, claims, refused

if TYPE_CHECKING:
    Stub = profiles_service_pb2_grpc.ProfilesServiceAsyncStub

PIN = "4711"


@dataclass
class Home:
    """A person, and profiles."""

    scene: Scene
    stub: Stub
    person: Person

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        return self.person.shown

    async def make(self, display_name: str = "Somebody", **fields: Any) -> profiles_pb2.Profile:
        request = api.CreateProfileRequest(request_id=new_id("req"), display_name=display_name, **fields)
        return (await self.stub.CreateProfile(request, metadata=self.shown)).profile

    async def enter(self, profile: profiles_pb2.Profile, pin: str = "") -> None:
        request = api.SelectProfileRequest(profile_id=profile.profile_id, pin=pin)
        answer = await self.stub.SelectProfile(request, metadata=self.shown)
        self.person = replace(self.person, tokens=answer.tokens)

    async def change(self, profile: profiles_pb2.Profile, pin: str = "", **fields: Any) -> profiles_pb2.Profile:
        request = api.UpdateProfileRequest(
            request_id=new_id("req"),
            profile=profiles_pb2.Profile(profile_id=profile.profile_id, **fields),
            update_mask=FieldMask(paths=list(fields)),
            pin=pin,
        )
        return (await self.stub.UpdateProfile(request, metadata=self.shown)).profile

    async def set_pin(self, profile: profiles_pb2.Profile, new_pin: str, **fields: str) -> profiles_pb2.Profile:
        request = api.SetProfilePinRequest(
            request_id=new_id("req"), profile_id=profile.profile_id, new_pin=new_pin, **fields
        )
        return (await self.stub.SetProfilePin(request, metadata=self.shown)).profile

    async def delete(self, profile: profiles_pb2.Profile, pin: str = "") -> None:
        request = api.DeleteProfileRequest(profile_id=profile.profile_id, pin=pin)
        await self.stub.DeleteProfile(request, metadata=self.shown)

    async def all(self) -> list[profiles_pb2.Profile]:
        return list((await self.stub.ListProfiles(api.ListProfilesRequest(), metadata=self.shown)).profiles)


@pytest.fixture
async def home(scene: Scene) -> Home:
    stub = profiles_service_pb2_grpc.ProfilesServiceStub(scene.channel)
    return Home(scene, stub, await scene.register())


async def test_a_profile_is_made_listed_changed_and_removed(home: Home) -> None:
    made = await home.make("Ada", language="de")
    assert (made.display_name, made.kids, made.has_pin) == ("Ada", False, False)
    assert made.maturity_rating == profiles_pb2.MATURITY_RATING_EIGHTEEN
    assert made.avatar_colour == chosen_colour(made.profile_id)
    changed = await home.change(made, display_name="Ada L.", maturity_rating=profiles_pb2.MATURITY_RATING_SIXTEEN)
    assert (changed.display_name, changed.language) == ("Ada L.", "de")
    assert await home.all() == [changed]
    got = await home.stub.GetProfile(api.GetProfileRequest(profile_id=made.profile_id), metadata=home.shown)
    assert got.profile == changed
    for _ in range(2):
        await home.delete(made)
    assert await home.all() == []
    for kind in (events_pb2.ProfileCreated, events_pb2.ProfileChanged, events_pb2.ProfileDeleted):
        assert (await home.scene.bus.hears(kind)).profile_id == made.profile_id  # type: ignore[attr-defined]  # each has one


async def test_the_token_and_the_session_know_the_profile(home: Home) -> None:
    profile = await home.make()
    refresh_token = home.person.tokens.refresh_token
    await home.enter(profile)
    told = claims(home.person.tokens.access_token)
    assert told["profile"] == profile.profile_id
    assert told["profile_maturity"] == profiles_pb2.MATURITY_RATING_EIGHTEEN
    assert home.person.tokens.refresh_token == ""
    assert [one.current for one in await home.all()] == [True]
    listed = await home.scene.accounts.ListSessions(accounts_service_pb2.ListSessionsRequest(), metadata=home.shown)
    assert [one.profile_id for one in listed.sessions] == [profile.profile_id]
    request = accounts_service_pb2.RefreshSessionRequest(request_id=new_id("req"), refresh_token=refresh_token)
    refreshed = await home.scene.accounts.RefreshSession(request)
    assert claims(refreshed.tokens.access_token)["profile"] == profile.profile_id
    selected = await home.scene.bus.hears(events_pb2.ProfileSelected)
    assert selected.session_id == home.person.tokens.session_id
    await home.delete(profile)
    request = accounts_service_pb2.RefreshSessionRequest(
        request_id=new_id("req"), refresh_token=refreshed.tokens.refresh_token
    )
    assert "profile" not in claims((await home.scene.accounts.RefreshSession(request)).tokens.access_token)


async def test_an_account_has_five_profiles_at_most_even_at_the_same_moment(home: Home) -> None:
    answers = await asyncio.gather(*(home.make(f"P{n}") for n in range(8)), return_exceptions=True)
    assert sum(isinstance(answer, profiles_pb2.Profile) for answer in answers) == 5
    refusal = await refused(home.make())
    assert (refusal.reason, refusal.metadata["limit"]) == ("PROFILE_LIMIT_REACHED", "5")


async def test_a_profile_of_another_account_does_not_exist(home: Home, scene: Scene) -> None:
    stranger = Home(scene, home.stub, await scene.register())
    profile = await stranger.make()
    for call in (home.enter(profile), home.change(profile, display_name="x"), home.set_pin(profile, PIN)):
        assert (await refused(call)).reason == "PROFILE_NOT_FOUND"
    await home.delete(profile)
    assert len(await stranger.all()) == 1


async def test_a_profile_with_a_pin_is_entered_with_it_only(home: Home) -> None:
    profile = await home.make(new_pin=PIN)
    assert profile.has_pin
    assert (await refused(home.enter(profile))).reason == "PIN_REQUIRED"
    assert (await refused(home.enter(profile, "1111"))).reason == "PIN_INVALID"
    assert (await home.scene.bus.hears(events_pb2.PinRefused)).reason == "PIN_INVALID"
    await home.enter(profile, PIN)


async def test_five_wrong_pins_cost_time_and_more_cost_more(home: Home) -> None:
    profile = await home.make(new_pin=PIN)
    for _ in range(5):
        assert (await refused(home.enter(profile, "1111"))).reason == "PIN_INVALID"
    refusal = await refused(home.enter(profile, PIN))
    assert (refusal.reason, refusal.retry_after) == ("TOO_MANY_ATTEMPTS", timedelta(seconds=15))
    home.scene.clock.advance(timedelta(seconds=15))
    assert (await refused(home.enter(profile, "1111"))).reason == "PIN_INVALID"
    assert (await refused(home.enter(profile, PIN))).retry_after == timedelta(seconds=30)
    home.scene.clock.advance(timedelta(seconds=30))
    await home.enter(profile, PIN)
    for _ in range(4):
        await refused(home.set_pin(profile, "0000", pin="1111"))
    await home.set_pin(profile, "0000", pin=PIN)


async def test_a_profile_with_a_pin_is_changed_from_another_with_it_only(home: Home) -> None:
    guarded, free = await home.make(new_pin=PIN), await home.make()
    for call in (
        lambda: home.change(guarded, display_name="x"),
        lambda: home.delete(guarded),
        lambda: home.set_pin(guarded, ""),
    ):
        assert (await refused(call())).reason == "PIN_REQUIRED"
    await home.change(free, display_name="y")
    assert (await home.change(guarded, PIN, display_name="x")).display_name == "x"
    await home.enter(guarded, PIN)
    assert (await home.change(guarded, display_name="z")).display_name == "z"
    assert (await refused(home.set_pin(guarded, ""))).reason == "PIN_REQUIRED"
    assert not (await home.set_pin(guarded, "", pin=PIN)).has_pin


async def test_a_forgotten_pin_is_replaced_by_who_knows_the_password(home: Home) -> None:
    profile = await home.make(new_pin=PIN)
    wrong = await refused(home.set_pin(profile, "0000", password="not the password"))
    assert wrong.reason == "SIGN_IN_REFUSED"
    await home.set_pin(profile, "0000", password=home.person.password)
    await home.enter(profile, "0000")


async def test_a_child_gets_out_with_the_pin_of_a_grown_up_only(home: Home) -> None:
    child, sister = await home.make("Kim", kids=True), await home.make("Lou", kids=True)
    parent, guest = await home.make("Ada", new_pin=PIN), await home.make("Guest")
    assert child.maturity_rating == profiles_pb2.MATURITY_RATING_SEVEN
    await home.enter(child)
    await home.enter(sister)
    refusals = [
        await refused(call())
        for call in (
            lambda: home.enter(parent),
            lambda: home.enter(guest),
            lambda: home.change(sister, kids=False),
            lambda: home.change(child, maturity_rating=profiles_pb2.MATURITY_RATING_TWELVE),
            lambda: home.change(guest, display_name="x"),
            lambda: home.delete(sister),
            lambda: home.delete(parent),
            lambda: home.set_pin(guest, "0000"),
            lambda: home.make("Another"),
        )
    ]
    assert {refusal.reason for refusal in refusals} == {"PIN_REQUIRED"}
    assert (await refused(home.enter(guest, "1111"))).reason == "PIN_INVALID"
    await home.enter(guest, PIN)
    await home.change(child, display_name="Kimi")


async def test_a_childs_own_pin_opens_nothing_for_it(home: Home) -> None:
    child, _parent = await home.make("Kim", kids=True, new_pin="1234"), await home.make("Ada", new_pin=PIN)
    guest = await home.make("Guest")
    await home.enter(child, "1234")
    assert (await refused(home.enter(guest, "1234"))).reason == "PIN_INVALID"
    assert (await refused(home.set_pin(child, "", pin="1234"))).reason == "PIN_INVALID"
    await home.set_pin(child, "", pin=PIN)


async def test_a_token_of_before_is_of_no_use_to_a_child(home: Home) -> None:
    child, parent = await home.make("Kim", kids=True), await home.make("Ada")
    await home.enter(parent)
    before = home.shown
    home.scene.clock.advance(timedelta(seconds=1))
    await home.enter(child)
    request = api.ListProfilesRequest()
    assert (await refused(home.stub.ListProfiles(request, metadata=before))).reason == "CREDENTIAL_INVALID"
    assert len(await home.all()) == 2


async def test_where_nobody_set_a_pin_nothing_asks_for_one(home: Home) -> None:
    child, parent = await home.make("Kim", kids=True), await home.make("Ada")
    await home.enter(child)
    await home.enter(parent)


async def test_a_childs_profile_goes_up_to_twelve(home: Home) -> None:
    sixteen = profiles_pb2.MATURITY_RATING_SIXTEEN
    assert (await refused(home.make(kids=True, maturity_rating=sixteen))).reason == "RATING_TOO_HIGH"
    grown_up = await home.make()
    assert (await refused(home.change(grown_up, kids=True))).reason == "RATING_TOO_HIGH"
    changed = await home.change(grown_up, kids=True, maturity_rating=profiles_pb2.MATURITY_RATING_TWELVE)
    assert changed.kids


async def test_what_cannot_be_changed_is_refused(home: Home) -> None:
    profile = await home.make()
    assert (await refused(home.change(profile, has_pin=True))).reason == "FIELD_NOT_UPDATABLE"
    assert (await refused(home.change(profile, display_name=""))).reason == "REQUEST_INVALID"
    stale = api.UpdateProfileRequest(
        request_id=new_id("req"),
        profile=profiles_pb2.Profile(profile_id=profile.profile_id, display_name="x", etag="7"),
        update_mask=FieldMask(paths=["display_name"]),
    )
    assert (await refused(home.stub.UpdateProfile(stale, metadata=home.shown))).reason == "ETAG_MISMATCH"


async def test_a_repeat_gets_the_first_answer(home: Home) -> None:
    request = api.CreateProfileRequest(request_id=new_id("req"), display_name="Ada", new_pin=PIN)
    first = await home.stub.CreateProfile(request, metadata=home.shown)
    assert await home.stub.CreateProfile(request, metadata=home.shown) == first
    assert len(await home.all()) == 1


async def test_of_what_is_remembered_no_pin_can_be_found_by_trying(home: Home) -> None:
    """A request that differs in its PIN only is the same request to what is remembered: nothing of the PIN is in it."""
    request = api.CreateProfileRequest(request_id=new_id("req"), display_name="Ada", new_pin=PIN)
    first = await home.stub.CreateProfile(request, metadata=home.shown)
    request.new_pin = "9999"
    assert await home.stub.CreateProfile(request, metadata=home.shown) == first
    again = api.SetProfilePinRequest(
        request_id=new_id("req"), profile_id=first.profile.profile_id, new_pin="1234", pin=PIN
    )
    changed = await home.stub.SetProfilePin(again, metadata=home.shown)
    again.pin, again.new_pin = "1111", "9999"
    assert await home.stub.SetProfilePin(again, metadata=home.shown) == changed
    await home.enter(first.profile, "1234")
