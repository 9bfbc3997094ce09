"""Signing in by a code, and phone numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from reelmesh.identity.v1 import accounts_service_pb2, codes_service_pb2_grpc, events_pb2, identity_pb2
from reelmesh.identity.v1 import codes_service_pb2 as api

from services.kit.ids import new_id
from tests.identity.scene import Person, Scene, claims, refused

if TYPE_CHECKING:
    Codes = codes_service_pb2_grpc.CodesServiceAsyncStub

PHONE = "+4915123456789"
LANDLINE = "+493012345678"


@pytest.fixture
def codes(scene: Scene) -> Codes:
    return codes_service_pb2_grpc.CodesServiceStub(scene.channel)


async def sent_to(scene: Scene, to: str) -> str:
    """The code in the last message to somebody."""
    return (await scene.messages(to))[-1].parameters["code"]


def sign_in(sign_in_id: str, code: str) -> api.SignInWithCodeRequest:
    return api.SignInWithCodeRequest(request_id=new_id("req"), sign_in_id=sign_in_id, code=code)


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


async def with_phone(scene: Scene, codes: Codes, person: Person, phone: str = PHONE) -> None:
    begun = await codes.SendPhoneCode(api.SendPhoneCodeRequest(phone=phone), metadata=person.shown)
    request = api.VerifyPhoneRequest(
        request_id=new_id("req"),
        phone_verification_id=begun.phone_verification_id,
        code=await sent_to(scene, phone),
    )
    assert (await codes.VerifyPhone(request, metadata=person.shown)).phone == phone


async def test_who_has_the_code_from_the_mail_is_signed_in(scene: Scene, codes: Codes) -> None:
    person = await scene.register("ada@example.com")
    begun = await codes.SendSignInCode(api.SendSignInCodeRequest(email="ADA@example.com"), metadata=scene.outside)
    request = sign_in(begun.sign_in_id, await sent_to(scene, "ada@example.com"))
    answer = await codes.SignInWithCode(request, metadata=scene.outside)
    assert answer.tokens.account_id == person.account.account_id
    assert answer.session_id == answer.tokens.session_id != person.tokens.session_id
    opened = await scene.bus.hears(events_pb2.SessionOpened, count=2)
    assert opened.method == identity_pb2.SIGN_IN_METHOD_CODE
    repeat = await codes.SignInWithCode(request, metadata=scene.outside)
    assert (repeat.session_id, repeat.HasField("tokens")) == (answer.session_id, False)
    again = sign_in(begun.sign_in_id, request.code)
    assert (await refused(codes.SignInWithCode(again, metadata=scene.outside))).reason == "CODE_INVALID"


async def test_a_code_by_sms_lets_the_owner_of_the_number_in(scene: Scene, codes: Codes) -> None:
    person = await scene.register()
    await with_phone(scene, codes, person)
    begun = await codes.SendSignInCode(api.SendSignInCodeRequest(phone="+49 151 234 567 89"), metadata=scene.outside)
    message = (await scene.messages(PHONE))[-1]
    assert (message.channel, message.template) == ("sms", "sign-in-code")
    answer = await codes.SignInWithCode(sign_in(begun.sign_in_id, message.parameters["code"]), metadata=scene.outside)
    assert answer.tokens.account_id == person.account.account_id


@pytest.mark.parametrize("to", [{"email": "nobody@example.com"}, {"phone": PHONE}])
async def test_who_has_no_account_gets_the_same_answer_and_no_message(
    scene: Scene, codes: Codes, to: dict[str, str]
) -> None:
    begun = await codes.SendSignInCode(api.SendSignInCodeRequest(**to), metadata=scene.outside)
    assert begun.sign_in_id.startswith("sgn_")
    assert await scene.messages(next(iter(to.values()))) == []
    request = sign_in(begun.sign_in_id, "12345678")
    assert (await refused(codes.SignInWithCode(request, metadata=scene.outside))).reason == "CODE_INVALID"


async def test_a_code_is_good_for_five_tries_and_for_fifteen_minutes(scene: Scene, codes: Codes) -> None:
    await scene.register("ada@example.com")

    async def begun() -> tuple[str, str]:
        answer = await codes.SendSignInCode(api.SendSignInCodeRequest(email="ada@example.com"), metadata=scene.outside)
        return answer.sign_in_id, await sent_to(scene, "ada@example.com")

    async def tried(sign_in_id: str, code: str) -> str:
        return (await refused(codes.SignInWithCode(sign_in(sign_in_id, code), metadata=scene.outside))).reason

    sign_in_id, code = await begun()
    assert [await tried(sign_in_id, other(code)) for _ in range(5)] == ["CODE_INVALID"] * 5
    assert await tried(sign_in_id, code) == "CODE_INVALID"
    refusal = await scene.bus.hears(events_pb2.SignInRefused, count=6)
    assert (refusal.method, refusal.reason) == (identity_pb2.SIGN_IN_METHOD_CODE, "CODE_INVALID")
    sign_in_id, code = await begun()
    scene.clock.advance(timedelta(minutes=15))
    assert await tried(sign_in_id, code) == "CODE_INVALID"


@pytest.mark.parametrize("known", [True, False])
async def test_codes_are_sent_to_one_address_only_so_often_whether_it_has_an_account_or_not(
    scene: Scene, codes: Codes, *, known: bool
) -> None:
    if known:
        await scene.register("ada@example.com")
    request = api.SendSignInCodeRequest(email="ada@example.com")
    for _ in range(4):
        await codes.SendSignInCode(request, metadata=scene.outside)
    refusal = await refused(codes.SendSignInCode(request, metadata=scene.outside))
    assert (refusal.reason, refusal.retry_after) == ("SENT_TOO_OFTEN", timedelta(minutes=1))
    scene.clock.advance(timedelta(minutes=1))
    await codes.SendSignInCode(request, metadata=scene.outside)
    assert (await refused(codes.SendSignInCode(request, metadata=scene.outside))).retry_after == timedelta(minutes=2)
    await codes.SendSignInCode(api.SendSignInCodeRequest(email="bob@example.com"), metadata=scene.outside)


async def test_codes_that_are_used_count_against_nobody(scene: Scene, codes: Codes) -> None:
    await scene.register("ada@example.com")
    for _ in range(6):
        begun = await codes.SendSignInCode(api.SendSignInCodeRequest(email="ada@example.com"), metadata=scene.outside)
        request = sign_in(begun.sign_in_id, await sent_to(scene, "ada@example.com"))
        await codes.SignInWithCode(request, metadata=scene.outside)


async def test_a_person_cannot_have_codes_sent_to_one_number_after_another(scene: Scene, codes: Codes) -> None:
    person = await scene.register()
    for last in range(6):
        await codes.SendPhoneCode(api.SendPhoneCodeRequest(phone=PHONE[:-1] + str(last)), metadata=person.shown)
    refusal = await refused(codes.SendPhoneCode(api.SendPhoneCodeRequest(phone=PHONE), metadata=person.shown))
    assert refusal.reason == "SENT_TOO_OFTEN"


async def test_a_locked_account_is_told_so_to_who_has_the_code_only(scene: Scene, codes: Codes) -> None:
    person = await scene.register("ada@example.com")
    begun = await codes.SendSignInCode(api.SendSignInCodeRequest(email="ada@example.com"), metadata=scene.outside)
    lock = accounts_service_pb2.SetAccountLockRequest(account_id=person.account.account_id, locked=True)
    await scene.accounts.SetAccountLock(lock, metadata=scene.operator)
    code = await sent_to(scene, "ada@example.com")
    wrong = sign_in(begun.sign_in_id, other(code))
    assert (await refused(codes.SignInWithCode(wrong, metadata=scene.outside))).reason == "CODE_INVALID"
    right = sign_in(begun.sign_in_id, code)
    assert (await refused(codes.SignInWithCode(right, metadata=scene.outside))).reason == "ACCOUNT_LOCKED"


async def test_a_number_is_on_the_account_once_it_is_proved_and_its_owner_hears_of_it(
    scene: Scene, codes: Codes
) -> None:
    person = await scene.register("ada@example.com")
    await with_phone(scene, codes, person)
    mine = await scene.accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=person.shown)
    assert mine.account.phone == PHONE
    assert (await scene.messages("ada@example.com"))[-1].template == "phone-changed"
    assert (await scene.bus.hears(events_pb2.PhoneChanged)).present
    for _ in range(2):
        await codes.RemovePhone(api.RemovePhoneRequest(), metadata=person.shown)
    mine = await scene.accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=person.shown)
    assert mine.account.phone == ""
    assert not (await scene.bus.hears(events_pb2.PhoneChanged, count=2)).present


async def test_a_number_is_one_accounts_only(scene: Scene, codes: Codes) -> None:
    ada, bob = await scene.register(), await scene.register()
    await with_phone(scene, codes, ada)
    begun = await codes.SendPhoneCode(api.SendPhoneCodeRequest(phone=PHONE), metadata=bob.shown)
    request = api.VerifyPhoneRequest(
        request_id=new_id("req"),
        phone_verification_id=begun.phone_verification_id,
        code=await sent_to(scene, PHONE),
    )
    assert (await refused(codes.VerifyPhone(request, metadata=bob.shown))).reason == "PHONE_TAKEN"
    await codes.RemovePhone(api.RemovePhoneRequest(), metadata=ada.shown)
    assert (await codes.VerifyPhone(request, metadata=bob.shown)).phone == PHONE


async def test_a_code_for_a_number_is_good_for_who_asked_for_it(scene: Scene, codes: Codes) -> None:
    ada, bob = await scene.register(), await scene.register()
    begun = await codes.SendPhoneCode(api.SendPhoneCodeRequest(phone=PHONE), metadata=ada.shown)
    request = api.VerifyPhoneRequest(
        request_id=new_id("req"),
        phone_verification_id=begun.phone_verification_id,
        code=await sent_to(scene, PHONE),
    )
    assert (await refused(codes.VerifyPhone(request, metadata=bob.shown))).reason == "CODE_INVALID"


async def test_a_code_to_a_number_that_left_the_account_lets_nobody_in(scene: Scene, codes: Codes) -> None:
    person = await scene.register()
    await with_phone(scene, codes, person)
    begun = await codes.SendSignInCode(api.SendSignInCodeRequest(phone=PHONE), metadata=scene.outside)
    code = await sent_to(scene, PHONE)
    await codes.RemovePhone(api.RemovePhoneRequest(), metadata=person.shown)
    request = sign_in(begun.sign_in_id, code)
    assert (await refused(codes.SignInWithCode(request, metadata=scene.outside))).reason == "CODE_INVALID"


@pytest.mark.parametrize("phone", ["015123456789", "+49", "+99912345678", LANDLINE, "+499001234567", "hello world"])
async def test_what_no_sms_reaches_is_refused(scene: Scene, codes: Codes, phone: str) -> None:
    request = api.SendSignInCodeRequest(phone=phone)
    refusal = await refused(codes.SendSignInCode(request, metadata=scene.outside))
    assert refusal.reason in {"PHONE_INVALID", "REQUEST_INVALID"}


async def test_an_organisation_that_is_not_the_persons_does_not_use_the_code_up(scene: Scene, codes: Codes) -> None:
    await scene.register("ada@example.com")
    begun = await codes.SendSignInCode(api.SendSignInCodeRequest(email="ada@example.com"), metadata=scene.outside)
    request = sign_in(begun.sign_in_id, await sent_to(scene, "ada@example.com"))
    elsewhere = api.SignInWithCodeRequest()
    elsewhere.CopyFrom(request)
    elsewhere.organisation_id = new_id("org")
    refusal = await refused(codes.SignInWithCode(elsewhere, metadata=scene.outside))
    assert refusal.reason == "ORGANISATION_NOT_FOUND"
    answer = await codes.SignInWithCode(request, metadata=scene.outside)
    assert claims(answer.tokens.access_token)["org"] == scene.home
