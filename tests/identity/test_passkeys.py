"""Passkeys: added, used, refused, removed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2, identity_pb2, passkeys_service_pb2_grpc
from reelmesh.identity.v1 import passkeys_service_pb2 as api

from services.identity.passkeys.registration import MOST_PASSKEYS
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.identity.scene import Person, Scene, a_scene, claims, refused
from tests.support.authenticator import Authenticator

if TYPE_CHECKING:
    Passkeys = passkeys_service_pb2_grpc.PasskeysServiceAsyncStub

ORIGIN = "https://video.example"


class Ring:
    """A person, their authenticator, and the calls that pages make for them."""

    def __init__(self, scene: Scene, person: Person) -> None:
        self.scene = scene
        self.person = person
        self.device = Authenticator(ORIGIN)
        self.stub: Passkeys = passkeys_service_pb2_grpc.PasskeysServiceStub(scene.channel)

    async def created(self) -> str:
        """What the device made of what it was asked; where it holds a passkey already, another device of the same manner."""
        device = self.device
        if device.keys:
            device = Authenticator(ORIGIN)
            device.manner = self.device.manner
        begun = await self.stub.BeginPasskeyRegistration(
            api.BeginPasskeyRegistrationRequest(), metadata=self.person.shown
        )
        return device.create(begun.options)

    async def added(self, name: str = "") -> str:
        """Adds a passkey and returns its id."""
        answer = await self.finished(await self.created(), name)
        return answer.passkey.passkey_id

    async def finished(
        self, credential: str, name: str = "", request_id: str = ""
    ) -> api.FinishPasskeyRegistrationResponse:
        request = api.FinishPasskeyRegistrationRequest(
            request_id=request_id or new_id("req"), credential=credential, display_name=name
        )
        answer: api.FinishPasskeyRegistrationResponse = await self.stub.FinishPasskeyRegistration(
            request, metadata=self.person.shown
        )
        return answer

    async def asked(self) -> str:
        """The options of a sign-in."""
        begun = await self.stub.BeginPasskeySignIn(api.BeginPasskeySignInRequest(), metadata=self.scene.outside)
        options: str = begun.options
        return options

    async def sign_in(self, credential: str = "", request_id: str = "", **fields: str) -> identity_pb2.Tokens:
        request = api.FinishPasskeySignInRequest(
            request_id=request_id or new_id("req"),
            credential=credential or self.device.get(await self.asked()),
            **fields,
        )
        answer = await self.stub.FinishPasskeySignIn(request, metadata=self.scene.outside)
        tokens: identity_pb2.Tokens = answer.tokens
        return tokens

    async def listed(self, **fields: Any) -> api.ListPasskeysResponse:
        answer: api.ListPasskeysResponse = await self.stub.ListPasskeys(
            api.ListPasskeysRequest(**fields), metadata=self.person.shown
        )
        return answer


@pytest.fixture
async def ring(mesh: ProcessSettings) -> AsyncIterator[Ring]:
    """Somebody at a site with a name."""
    async with a_site(mesh) as scene:
        yield Ring(scene, await scene.register("a@example.com", display_name="Ada"))


@asynccontextmanager
async def a_site(mesh: ProcessSettings, public_url: str = ORIGIN, **changed: Any) -> AsyncIterator[Scene]:
    async with a_scene(mesh, public_url=public_url, **changed) as scene:
        yield scene


async def test_a_person_adds_a_passkey_and_signs_in_with_it_without_an_address(ring: Ring) -> None:
    passkey_id = await ring.added("  Ada's phone ")
    added = await ring.scene.bus.hears(events_pb2.PasskeyAdded)
    assert (added.account_id, added.passkey_id) == (ring.person.account.account_id, passkey_id)
    tokens = await ring.sign_in()
    assert tokens.account_id == ring.person.account.account_id
    assert claims(tokens.access_token)["org"] == ring.scene.home
    opened = await ring.scene.bus.hears(events_pb2.SessionOpened, count=2)
    assert opened.method == identity_pb2.SIGN_IN_METHOD_PASSKEY
    (listed,) = (await ring.listed()).passkeys
    assert (listed.passkey_id, listed.display_name, listed.backed_up) == (passkey_id, "Ada's phone", False)
    assert listed.authenticator_model == "5ee1a5b0-c0de-4f0b-8d09-00000000cafe"
    assert listed.use_time.ToDatetime() == ring.scene.clock.now().replace(tzinfo=None)


async def test_a_device_is_asked_for_a_discoverable_passkey_that_checks_who_holds_it(ring: Ring) -> None:
    await ring.added()
    begun = await ring.stub.BeginPasskeyRegistration(api.BeginPasskeyRegistrationRequest(), metadata=ring.person.shown)
    asked = json.loads(begun.options)
    assert asked["rp"] == {"id": "video.example", "name": "Reelmesh"}
    assert (asked["user"]["name"], asked["user"]["displayName"]) == ("a@example.com", "Ada")
    assert asked["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert len(asked["excludeCredentials"]) == 1
    # The handle tells nothing about the account to who reads it off a device, and stays the same.
    assert ring.person.account.account_id not in begun.options
    other = json.loads(
        (
            await ring.stub.BeginPasskeyRegistration(api.BeginPasskeyRegistrationRequest(), metadata=ring.person.shown)
        ).options
    )
    assert asked["user"]["id"] == other["user"]["id"]
    assert asked["challenge"] != other["challenge"]
    to_sign_in = json.loads(await ring.asked())
    assert to_sign_in["userVerification"] == "required"
    assert not to_sign_in.get("allowCredentials")


async def test_an_answer_is_taken_once_and_for_five_minutes(ring: Ring) -> None:
    await ring.added()
    used = ring.device.get(await ring.asked())
    await ring.sign_in(used)
    assert (await refused(ring.sign_in(used))).reason == "PASSKEY_CHALLENGE_INVALID"
    late = ring.device.get(await ring.asked())
    made_late = await ring.created()
    ring.scene.clock.advance(timedelta(minutes=5))
    assert (await refused(ring.sign_in(late))).reason == "PASSKEY_CHALLENGE_INVALID"
    refusal = await refused(ring.finished(made_late))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PASSKEY_CHALLENGE_INVALID")


async def test_a_wrong_answer_uses_the_question_up(ring: Ring) -> None:
    await ring.added()
    options = await ring.asked()
    ring.device.behave(verified=False)
    assert (await refused(ring.sign_in(ring.device.get(options)))).reason == "PASSKEY_REFUSED"
    ring.device.behave(verified=True)
    assert (await refused(ring.sign_in(ring.device.get(options)))).reason == "PASSKEY_CHALLENGE_INVALID"


async def test_a_question_to_add_a_passkey_is_not_one_to_sign_in_and_is_asked_of_one_person(ring: Ring) -> None:
    await ring.added()
    begun = await ring.stub.BeginPasskeyRegistration(api.BeginPasskeyRegistrationRequest(), metadata=ring.person.shown)
    as_request = json.dumps({"challenge": json.loads(begun.options)["challenge"], "rpId": "video.example"})
    assert (await refused(ring.sign_in(ring.device.get(as_request)))).reason == "PASSKEY_CHALLENGE_INVALID"
    other = Ring(ring.scene, await ring.scene.register())
    assert (await refused(other.finished(await ring.created()))).reason == "PASSKEY_CHALLENGE_INVALID"


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "https://video.example.evil"},
        {"origin": "http://video.example"},
        {"cross_origin": True},
        {"present": False},
        {"verified": False},
        {"client_data": lambda said: {**said, "type": "webauthn.create"}},
        {"client_data": lambda said: {**said, "origin": 7}},
    ],
)
async def test_an_answer_from_elsewhere_or_without_a_person_is_refused(ring: Ring, changed: dict[str, Any]) -> None:
    await ring.added()
    ring.device.behave(**changed)
    refusal = await refused(ring.sign_in())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "PASSKEY_REFUSED")
    told = await ring.scene.bus.hears(events_pb2.SignInRefused)
    assert (told.method, told.reason) == (identity_pb2.SIGN_IN_METHOD_PASSKEY, "PASSKEY_REFUSED")
    if "client_data" not in changed:  # which is right for one that is made
        made = await refused(_finished_anyway(ring))
        assert (made.code, made.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PASSKEY_INVALID")


async def _finished_anyway(ring: Ring) -> object:
    return await ring.finished(await ring.created())


async def test_somebody_elses_passkey_or_signature_is_refused(ring: Ring) -> None:
    await ring.added()
    unknown = Ring(ring.scene, ring.person)
    await unknown.created()  # made, and never handed in
    assert (await refused(unknown.sign_in())).reason == "PASSKEY_REFUSED"

    other = Ring(ring.scene, await ring.scene.register())
    await other.added()
    mixed = json.loads(ring.device.get(await ring.asked()))
    theirs = json.loads(other.device.get(await ring.asked()))
    mixed["id"] = mixed["rawId"] = theirs["id"]
    assert (await refused(ring.sign_in(json.dumps(mixed)))).reason == "PASSKEY_REFUSED"
    mixed["response"]["userHandle"] = theirs["response"]["userHandle"]
    mixed["response"]["clientDataJSON"] = theirs["response"]["clientDataJSON"]
    assert (await refused(ring.sign_in(json.dumps(mixed)))).reason == "PASSKEY_REFUSED"
    ring.device.keys[0].user_handle = other.device.keys[0].user_handle
    assert (await refused(ring.sign_in())).reason == "PASSKEY_REFUSED"


@pytest.mark.parametrize(
    "garbage",
    [
        "{}",
        "[]",
        "null",
        '"x"',
        "{{",
        '{"response": 1}',
        '{"rawId": "AA", "response": {"clientDataJSON": "AA"}}',
        "[" * 9000,
    ],
)
async def test_what_is_no_credential_is_refused_and_nothing_breaks(ring: Ring, garbage: str) -> None:
    assert (await refused(ring.sign_in(garbage))).reason == "PASSKEY_REFUSED"
    assert (await refused(ring.finished(garbage))).reason == "PASSKEY_INVALID"


async def test_a_counter_that_went_back_is_refused_and_told(ring: Ring) -> None:
    passkey_id = await ring.added()
    ring.device.behave(step=5)
    await ring.sign_in()
    ring.device.behave(step=-3)
    refusal = await refused(ring.sign_in())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "PASSKEY_COPIED")
    suspected = await ring.scene.bus.hears(events_pb2.PasskeyCopySuspected)
    assert (suspected.account_id, suspected.passkey_id) == (ring.person.account.account_id, passkey_id)
    assert (await ring.scene.bus.hears(events_pb2.SignInRefused)).reason == "PASSKEY_COPIED"
    # What is said about a counter without a right signature says nothing.
    ring.device.behave(step=-1, verified=False)
    assert (await refused(ring.sign_in())).reason == "PASSKEY_REFUSED"
    assert len(ring.scene.bus.heard(events_pb2.PasskeyCopySuspected)) == 1


async def test_a_device_that_does_not_count_is_fine(ring: Ring) -> None:
    ring.device.behave(step=0, backed_up=True)
    await ring.added()
    await ring.sign_in()
    await ring.sign_in()
    assert [one.backed_up for one in (await ring.listed()).passkeys] == [True]


async def test_a_locked_account_is_not_let_in(ring: Ring) -> None:
    await ring.added()
    account_id = ring.person.account.account_id
    lock = accounts_service_pb2.SetAccountLockRequest(account_id=account_id, locked=True)
    await ring.scene.accounts.SetAccountLock(lock, metadata=ring.scene.operator)
    refusal = await refused(ring.sign_in())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_LOCKED")
    told = await ring.scene.bus.hears(events_pb2.SignInRefused)
    assert (told.account_id, told.reason) == (account_id, "ACCOUNT_LOCKED")


async def test_an_organisation_can_be_chosen(ring: Ring) -> None:
    await ring.added()
    assert (await ring.sign_in(organisation_id=ring.scene.home)).organisation_id == ring.scene.home
    refusal = await refused(ring.sign_in(organisation_id=new_id("org")))
    assert refusal.reason == "ORGANISATION_NOT_FOUND"


async def test_calls_that_change_something_can_be_repeated(ring: Ring) -> None:
    credential = await ring.created()
    first = await ring.finished(credential, "Phone", "request-1")
    assert await ring.finished(credential, "Phone", "request-1") == first
    answer = ring.device.get(await ring.asked())
    assert (await ring.sign_in(answer, "request-2")).refresh_token
    assert not (await ring.sign_in(answer, "request-2")).refresh_token
    assert len((await ring.listed()).passkeys) == 1


async def test_a_passkey_is_added_once(ring: Ring) -> None:
    await ring.added()
    other = Ring(ring.scene, await ring.scene.register())
    other.device.behave(credential_id=ring.device.keys[0].credential_id)
    refusal = await refused(_finished_anyway(other))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "PASSKEY_EXISTS")
    assert (await ring.sign_in()).account_id == ring.person.account.account_id


async def test_a_passkey_is_renamed_and_removed_by_its_owner_only(ring: Ring) -> None:
    passkey_id = await ring.added("Phone")
    other = Ring(ring.scene, await ring.scene.register())
    rename = api.RenamePasskeyRequest(passkey_id=passkey_id, display_name="Old phone")
    remove = api.DeletePasskeyRequest(passkey_id=passkey_id)
    for call in (
        ring.stub.RenamePasskey(rename, metadata=other.person.shown),
        ring.stub.DeletePasskey(remove, metadata=other.person.shown),
    ):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata["passkey_id"]) == ("PASSKEY_NOT_FOUND", passkey_id)
    renamed = await ring.stub.RenamePasskey(rename, metadata=ring.person.shown)
    assert renamed.passkey.display_name == "Old phone"
    await ring.stub.DeletePasskey(remove, metadata=ring.person.shown)
    assert (await ring.scene.bus.hears(events_pb2.PasskeyRemoved)).passkey_id == passkey_id
    assert (await refused(ring.sign_in())).reason == "PASSKEY_REFUSED"
    assert list((await ring.listed()).passkeys) == []


async def test_passkeys_are_listed_in_pages_newest_first_and_there_are_twenty_at_most(ring: Ring) -> None:
    ids = [await ring.added(str(number)) for number in range(MOST_PASSKEYS - 1)]
    early = await ring.created()  # asked for while there was room
    ids.append(await ring.added("last"))
    first = await ring.listed(page_size=15)
    second = await ring.listed(page_size=15, page_token=first.next_page_token)
    assert [one.passkey_id for one in [*first.passkeys, *second.passkeys]] == ids[::-1]
    for call in (ring.finished(early), ring.created()):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata["limit"]) == ("TOO_MANY_PASSKEYS", "20")


async def test_where_the_install_has_no_name_there_are_no_passkeys(mesh: ProcessSettings) -> None:
    async with a_site(mesh, "https://203.0.113.7") as scene:
        ring = Ring(scene, await scene.register())
        for call in (ring.created(), ring.asked()):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PASSKEYS_UNAVAILABLE")


async def test_an_api_key_has_no_passkeys(ring: Ring) -> None:
    refusal = await refused(ring.stub.ListPasskeys(api.ListPasskeysRequest(), metadata=ring.scene.operator))
    assert refusal.reason == "PERMISSION_MISSING"


async def test_a_person_is_told_by_mail_of_each_passkey_that_comes_or_goes(ring: Ring) -> None:
    async def told() -> list[str]:
        return [
            one.template for one in await ring.scene.messages("a@example.com") if one.template.startswith("passkey")
        ]

    credential, request_id = await ring.created(), new_id("req")
    passkey_id = (await ring.finished(credential, request_id=request_id)).passkey.passkey_id
    await ring.finished(credential, request_id=request_id)
    assert await told() == ["passkey-added"]
    await refused(ring.finished(credential))
    assert await told() == ["passkey-added"]
    remove = api.DeletePasskeyRequest(passkey_id=passkey_id)
    await ring.stub.DeletePasskey(remove, metadata=ring.person.shown)
    assert await told() == ["passkey-added", "passkey-removed"]
