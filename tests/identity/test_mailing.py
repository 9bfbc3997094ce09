"""Nobody has mail sent to others without end, and nobody learns from it who has an account."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest
from reelmesh.identity.v1 import accounts_service_pb2 as api

from services.identity.attempts import TO_ANYBODY
from services.kit.ids import new_id
from tests.identity.scene import PASSWORD, Scene, refused

VICTIM = "ada@example.com"
NEW_PASSWORD = "nine quiet herons by the mill"


async def registers(scene: Scene, email: str = VICTIM, address: str = "") -> str:
    request = api.RegisterRequest(email=email, password=PASSWORD)
    begun = await scene.accounts.Register(request, metadata=[("x-forwarded-for", address)] if address else [])
    return str(begun.registration_id)


async def asks_for_a_reset(scene: Scene, email: str = VICTIM) -> str:
    begun = await scene.accounts.RequestPasswordReset(api.RequestPasswordResetRequest(email=email))
    return str(begun.reset_id)


async def mails(scene: Scene, to: str = VICTIM) -> list[str]:
    return [message.template for message in await scene.messages(to)]


@pytest.mark.parametrize("known", [True, False])
async def test_registering_an_address_over_and_over_sends_four_mails_and_always_answers_the_same(
    scene: Scene, *, known: bool
) -> None:
    if known:
        await scene.register(VICTIM)
    before = await mails(scene)
    answers = [await registers(scene, address=f"198.51.{number}.1") for number in range(12)]
    assert all(answer.startswith("reg_") for answer in answers)
    assert len(set(answers)) == len(answers)
    assert (await mails(scene))[len(before) :] == ["account-exists" if known else "verify-email"] * 4


async def test_asking_for_resets_over_and_over_sends_four_mails_and_always_answers_the_same(scene: Scene) -> None:
    await scene.register(VICTIM)
    for email in (VICTIM, "nobody@example.com"):
        answers = {await asks_for_a_reset(scene, email) for _ in range(12)}
        assert len(answers) == 12
        assert all(answer.startswith("rst_") for answer in answers)
    assert (await mails(scene)).count("reset-password") == 4
    assert await mails(scene, "nobody@example.com") == []


async def test_both_count_together_and_each_further_mail_takes_longer(scene: Scene) -> None:
    await scene.register(VICTIM)
    began = len(await mails(scene))
    for _ in range(3):
        await asks_for_a_reset(scene)
        await registers(scene)
    assert len(await mails(scene)) == began + 4
    for minutes, sent in ((1, 5), (1, 5), (1, 6), (3, 6), (1, 7)):
        scene.clock.advance(timedelta(minutes=minutes))
        await registers(scene)
        assert len(await mails(scene)) == began + sent


async def test_a_code_that_was_not_sent_cannot_be_guessed(scene: Scene) -> None:
    for _ in range(4):
        await registers(scene)
    sent = (await scene.messages(VICTIM))[-1].parameters["code"]
    request = api.VerifyEmailRequest(request_id=new_id("req"), registration_id=await registers(scene), code=sent)
    assert (await refused(scene.accounts.VerifyEmail(request))).reason == "CODE_INVALID"


async def test_who_uses_the_code_may_ask_again_at_once(scene: Scene) -> None:
    await scene.register(VICTIM)
    for _ in range(6):
        reset_id = await asks_for_a_reset(scene)
        sent = (await scene.messages(VICTIM))[-1]
        assert sent.template == "reset-password"
        request = api.ResetPasswordRequest(
            request_id=new_id("req"), reset_id=reset_id, code=sent.parameters["code"], new_password=NEW_PASSWORD
        )
        await scene.accounts.ResetPassword(request)


async def test_one_network_asks_for_so_many_mails_and_is_told_when_to_come_back(scene: Scene) -> None:
    for number in range(TO_ANYBODY.free + 1):
        request = api.RequestPasswordResetRequest(email=f"person-{number}@example.com")
        await scene.accounts.RequestPasswordReset(request, metadata=scene.outside)
    refusal = await refused(scene.accounts.RequestPasswordReset(request, metadata=scene.outside))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SENT_TOO_OFTEN")
    assert refusal.retry_after == timedelta(seconds=15)
    assert (await refused(scene.begin_registration("new@example.com"))).reason == "SENT_TOO_OFTEN"
    assert await mails(scene, "new@example.com") == []
    await registers(scene, "new@example.com", address="198.51.100.1")
    assert await mails(scene, "new@example.com") == ["verify-email"]


async def test_a_person_is_told_by_mail_that_their_password_was_changed(scene: Scene) -> None:
    person = await scene.register(VICTIM)
    change = api.ChangePasswordRequest(old_password=person.password, new_password=NEW_PASSWORD)
    await scene.accounts.ChangePassword(change, metadata=person.shown)
    assert (await mails(scene))[-1] == "password-changed"
    wrong = api.ChangePasswordRequest(old_password=person.password, new_password="eleven brass owls at dusk")
    await refused(scene.accounts.ChangePassword(wrong, metadata=person.shown))
    assert (await mails(scene)).count("password-changed") == 1
