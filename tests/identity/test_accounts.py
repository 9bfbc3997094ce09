"""How people come in, and what is told to those who do not."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from reelmesh.identity.v1 import accounts_service_pb2 as api
from reelmesh.identity.v1 import identity_pb2

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.identity.scene import PASSWORD, Scene, a_scene, claims, refused


async def test_who_registers_and_types_the_code_is_signed_in_as_a_viewer_of_the_home_organisation(scene: Scene) -> None:
    person = await scene.register("Ada.Lovelace@Example.com", display_name="Ada")
    assert person.account.email == "ada.lovelace@example.com"
    assert [(one.organisation_id, list(one.role_ids)) for one in person.account.memberships] == [
        (scene.home, ["viewer"])
    ]
    said = claims(person.tokens.access_token)
    assert said["sub"] == person.account.account_id
    assert (said["org"], said["scope"], said["tier"]) == (scene.home, "playback.create subscriptions.use", "free")
    assert said["exp"] - said["iat"] == timedelta(minutes=15).total_seconds()
    mine = await scene.accounts.GetAccount(api.GetAccountRequest(), metadata=person.shown)
    assert mine.account == person.account


async def test_nothing_exists_before_the_address_is_proved(scene: Scene) -> None:
    await scene.accounts.Register(api.RegisterRequest(email="a@example.com", password=PASSWORD))
    refusal = await refused(scene.log_in("a@example.com"))
    assert refusal.reason == "SIGN_IN_REFUSED"


async def test_registering_an_address_that_has_an_account_looks_the_same_and_tells_its_owner(scene: Scene) -> None:
    person = await scene.register("a@example.com")
    again = await scene.accounts.Register(api.RegisterRequest(email="A@example.com", password=PASSWORD))
    assert again.registration_id.startswith("reg_")
    sent = (await scene.messages("a@example.com"))[-1]
    assert (sent.template, sent.parameters) == ("account-exists", {})
    verify = api.VerifyEmailRequest(request_id=new_id("req"), registration_id=again.registration_id, code="12345678")
    assert (await refused(scene.accounts.VerifyEmail(verify))).reason == "CODE_INVALID"
    assert (await scene.log_in(person.email)).account_id == person.account.account_id


async def test_a_code_is_good_for_five_tries_and_fifteen_minutes_and_once(scene: Scene) -> None:
    async def begun() -> tuple[str, str]:
        answer = await scene.accounts.Register(api.RegisterRequest(email="a@example.com", password=PASSWORD))
        return answer.registration_id, (await scene.messages("a@example.com"))[-1].parameters["code"]

    async def tried(registration_id: str, code: str) -> str:
        request = api.VerifyEmailRequest(request_id=new_id("req"), registration_id=registration_id, code=code)
        return (await refused(scene.accounts.VerifyEmail(request))).reason

    registration, code = await begun()
    wrong = f"{(int(code) + 1) % 10**8:08d}"
    assert [await tried(registration, wrong) for _ in range(5)] == ["CODE_INVALID"] * 5
    assert await tried(registration, code) == "CODE_INVALID"
    registration, code = await begun()
    scene.clock.advance(timedelta(minutes=15))
    assert await tried(registration, code) == "CODE_INVALID"
    registration, code = await begun()
    request = api.VerifyEmailRequest(request_id=new_id("req"), registration_id=registration, code=code)
    first = await scene.accounts.VerifyEmail(request)
    repeat = await scene.accounts.VerifyEmail(request)
    assert (repeat.account, repeat.HasField("tokens")) == (first.account, False)
    assert await tried(registration, code) == "CODE_INVALID"


@pytest.mark.parametrize("password", ["password1234", "qwertyuiop1", "adalovelace1815"])
async def test_a_password_that_is_easy_to_guess_is_refused_with_advice(scene: Scene, password: str) -> None:
    request = api.RegisterRequest(email="adalovelace@example.com", password=password, display_name="Ada Lovelace")
    refusal = await refused(scene.accounts.Register(request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PASSWORD_WEAK")
    assert refusal.fields[0][0] == "password"
    assert password not in refusal.message


async def test_a_wrong_password_and_an_unknown_address_are_answered_alike(scene: Scene) -> None:
    await scene.register("a@example.com")
    wrong = await refused(scene.log_in("a@example.com", "not the password"))
    unknown = await refused(scene.log_in("b@example.com"))
    assert (wrong.code, wrong.reason, wrong.message) == (unknown.code, unknown.reason, unknown.message)
    assert wrong.metadata.keys() == unknown.metadata.keys() == {"correlation_id"}
    assert wrong.code == grpc.StatusCode.UNAUTHENTICATED


async def test_an_attempt_that_read_the_clock_before_another_one_was_counted_is_not_made_to_wait(scene: Scene) -> None:
    await scene.register("a@example.com")
    scene.clock.advance(timedelta(milliseconds=1))
    assert (await refused(scene.log_in("a@example.com", "wrong"))).reason == "SIGN_IN_REFUSED"
    scene.clock.advance(-timedelta(milliseconds=1))
    assert (await scene.log_in("a@example.com")).access_token


async def test_guessing_is_slowed_down_for_known_and_unknown_addresses_alike(scene: Scene) -> None:
    await scene.register("a@example.com")
    for address in ("a@example.com", "b@example.com"):
        for _ in range(6):
            assert (await refused(scene.log_in(address, "wrong"))).reason == "SIGN_IN_REFUSED"
        late = await refused(scene.log_in(address, PASSWORD))
        assert (late.reason, late.retry_after) == ("TOO_MANY_ATTEMPTS", timedelta(seconds=15))
    scene.clock.advance(timedelta(seconds=15))
    assert (await scene.log_in("a@example.com")).account_id
    assert (await scene.log_in("a@example.com")).account_id


async def test_somebody_elses_guesses_do_not_lock_a_person_out(scene: Scene) -> None:
    person = await scene.register()
    elsewhere = (("x-forwarded-for", "198.51.100.9"),)
    for _ in range(7):
        request = api.LogInRequest(email=person.email, password="wrong")  # it is
        await refused(scene.accounts.LogIn(request, metadata=elsewhere))
    assert (await scene.log_in(person.email)).account_id


async def test_a_forgotten_password_is_reset_by_a_code_which_ends_all_sessions(scene: Scene) -> None:
    person = await scene.register("a@example.com")
    begun = await scene.accounts.RequestPasswordReset(api.RequestPasswordResetRequest(email="a@example.com"))
    code = (await scene.messages("a@example.com"))[-1].parameters["code"]
    request = api.ResetPasswordRequest(
        request_id=new_id("req"), reset_id=begun.reset_id, code=code, new_password="nine quiet herons by the mill"
    )
    await scene.accounts.ResetPassword(request)
    await scene.accounts.ResetPassword(request)
    mine = await refused(scene.accounts.GetAccount(api.GetAccountRequest(), metadata=person.shown))
    assert mine.reason == "CREDENTIAL_INVALID"
    assert (await refused(scene.log_in("a@example.com"))).reason == "SIGN_IN_REFUSED"
    assert (await scene.log_in("a@example.com", "nine quiet herons by the mill")).account_id


async def test_a_reset_for_an_unknown_address_looks_the_same_and_sends_nothing(scene: Scene) -> None:
    begun = await scene.accounts.RequestPasswordReset(api.RequestPasswordResetRequest(email="b@example.com"))
    assert begun.reset_id.startswith("rst_")
    assert await scene.messages("b@example.com") == []


async def test_changing_the_password_ends_all_other_sessions(scene: Scene) -> None:
    person = await scene.register()
    other = await scene.log_in(person.email)
    change = api.ChangePasswordRequest(old_password=person.password, new_password="nine quiet herons by the mill")
    await scene.accounts.ChangePassword(change, metadata=person.shown)
    await scene.accounts.GetAccount(api.GetAccountRequest(), metadata=person.shown)
    shown = (("authorization", f"Bearer {other.access_token}"),)
    refusal = await refused(scene.accounts.GetAccount(api.GetAccountRequest(), metadata=shown))
    assert refusal.reason == "CREDENTIAL_INVALID"
    wrong = await refused(scene.accounts.ChangePassword(change, metadata=person.shown))
    assert wrong.reason == "SIGN_IN_REFUSED"


async def test_a_person_changes_name_and_language_and_nothing_else(scene: Scene) -> None:
    person = await scene.register()

    async def updated(account: identity_pb2.Account, *paths: str) -> identity_pb2.Account:
        request = api.UpdateAccountRequest(
            request_id=new_id("req"), account=account, update_mask=FieldMask(paths=paths)
        )
        return (await scene.accounts.UpdateAccount(request, metadata=person.shown)).account

    wanted = identity_pb2.Account(display_name="Ada", language="fr", etag=person.account.etag)
    changed = await updated(wanted, "display_name", "language")
    assert (changed.display_name, changed.language) == ("Ada", "fr")
    assert (await refused(updated(wanted, "display_name"))).reason == "ETAG_MISMATCH"
    assert (await refused(updated(identity_pb2.Account(tier="premium"), "tier"))).reason == "FIELD_NOT_UPDATABLE"


async def test_staff_locks_an_account_which_ends_its_sessions_and_unlocks_it(scene: Scene) -> None:
    person = await scene.register()
    lock = api.SetAccountLockRequest(account_id=person.account.account_id, locked=True)
    locked = await scene.accounts.SetAccountLock(lock, metadata=scene.operator)
    assert locked.account.HasField("lock_time")
    assert (await refused(scene.log_in(person.email))).reason == "ACCOUNT_LOCKED"
    assert (await refused(scene.log_in(person.email, "wrong"))).reason == "SIGN_IN_REFUSED"
    refusal = await refused(scene.accounts.GetAccount(api.GetAccountRequest(), metadata=person.shown))
    assert refusal.reason == "CREDENTIAL_INVALID"
    unlock = api.SetAccountLockRequest(account_id=person.account.account_id, locked=False)
    await scene.accounts.SetAccountLock(unlock, metadata=scene.operator)
    assert (await scene.log_in(person.email)).account_id


async def test_another_organisations_staff_sees_and_locks_nobody(scene: Scene, other_organisation_key: str) -> None:
    person = await scene.register()
    shown = (("authorization", f"Bearer {other_organisation_key}"),)
    lock = api.SetAccountLockRequest(account_id=person.account.account_id, locked=True)
    assert (await refused(scene.accounts.SetAccountLock(lock, metadata=shown))).reason == "ACCOUNT_NOT_FOUND"
    assert not (await scene.accounts.ListAccounts(api.ListAccountsRequest(), metadata=shown)).accounts
    listed = await scene.accounts.ListAccounts(api.ListAccountsRequest(email=person.email), metadata=scene.operator)
    assert [one.account_id for one in listed.accounts] == [person.account.account_id]


async def test_an_api_key_has_no_account_of_its_own(scene: Scene) -> None:
    refusal = await refused(scene.accounts.GetAccount(api.GetAccountRequest(), metadata=scene.operator))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING")
    assert (await refused(scene.accounts.GetAccount(api.GetAccountRequest()))).reason == "CREDENTIAL_INVALID"


async def test_where_registration_is_closed_nobody_registers(mesh: ProcessSettings) -> None:
    async with a_scene(mesh, identity_registration_open=False) as scene:
        request = api.RegisterRequest(email="a@example.com", password=PASSWORD)
        assert (await refused(scene.accounts.Register(request))).reason == "REGISTRATION_CLOSED"
