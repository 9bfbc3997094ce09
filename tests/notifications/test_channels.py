"""What every channel must do, whoever carries the message; and what is particular to mail."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.notifications.domain import (
    AddressRefused,
    Letter,
    NotTaken,
    OutcomeUnknown,
    ProviderRefused,
)
from tests.notifications.carriers import (
    CARRIERS,
    RETRY_AFTER,
    SECRET,
    Provider,
    a_provider,
    channel_to,
    mail_server,
)

CODE = "73012984"
MAIL = Letter(
    "msg_1", "ada@example.com", "sign-in-code", f"{CODE} is your code", f"Code: {CODE}\n", f"<p>{CODE}</p>", CODE
)
SMS = replace(MAIL, to="+4915123456789", subject="", text=f"Code: {CODE}", html="")


def letter(kind: str) -> Letter:
    return MAIL if kind in {"smtp", "sendgrid"} else SMS


@pytest.fixture(params=CARRIERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def provider(kind: str, tmp_path: Path) -> AsyncIterator[Provider]:
    async with a_provider(kind, tmp_path) as provider:
        yield provider


async def test_a_message_arrives_whole_and_in_the_providers_own_form(provider: Provider, kind: str) -> None:
    await provider.ours.send(letter(kind))
    ((to, said),) = provider.taken
    assert to == letter(kind).to
    assert CODE in said
    assert provider.wrong == []


async def test_a_provider_that_is_busy_has_taken_nothing(provider: Provider, kind: str) -> None:
    provider.mood = "busy"
    with pytest.raises(NotTaken) as outcome:
        await provider.ours.send(letter(kind))
    assert provider.taken == []
    if kind in {"sendgrid", "twilio"}:
        assert outcome.value.retry_after == timedelta(seconds=RETRY_AFTER)


async def test_an_address_that_cannot_be_delivered_to_is_told_from_other_trouble(provider: Provider, kind: str) -> None:
    provider.mood = "refuses address"
    with pytest.raises(AddressRefused):
        await provider.ours.send(letter(kind))


async def test_a_provider_that_does_not_want_us_is_told_from_one_that_does_not_want_the_address(
    provider: Provider, kind: str
) -> None:
    provider.mood = "refuses us"
    with pytest.raises(ProviderRefused) as outcome:
        await provider.ours.send(letter(kind))
    assert SECRET not in repr(outcome.value)
    assert outcome.value.status


async def test_a_provider_that_says_nothing_may_have_taken_it(provider: Provider, kind: str) -> None:
    provider.mood = "says nothing"
    with pytest.raises(OutcomeUnknown):
        await provider.ours.send(letter(kind))
    assert provider.asked == 1


async def test_a_provider_that_is_not_there_has_taken_nothing(kind: str) -> None:
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        channel = channel_to(kind, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(NotTaken):
            await channel.send(letter(kind))
        await channel.close()


async def test_kavenegar_is_given_iranian_numbers_as_they_are_dialled_there(tmp_path: Path) -> None:
    async with a_provider("kavenegar", tmp_path) as provider:
        await provider.ours.send(replace(SMS, to="+989121234567"))
        assert provider.taken == [("+121234567", SMS.text)]  # the stand-in cuts two characters off
        assert provider.wrong == ["receptor: '09', not '00'"]


async def test_mail_goes_encrypted_from_the_first_byte_too(tmp_path: Path) -> None:
    with mail_server(Provider(), tmp_path, "tls") as provider:
        await provider.ours.send(MAIL)
        assert (len(provider.taken), provider.wrong) == (1, [])


async def test_mail_is_never_sent_in_the_clear_because_a_server_offers_no_better(tmp_path: Path) -> None:
    with mail_server(Provider(), tmp_path, offers=False) as provider:
        with pytest.raises(ProviderRefused, match="no encryption"):
            await provider.ours.send(MAIL)
        assert provider.asked == 0


async def test_a_wrong_password_is_our_fault_and_not_the_addresss(tmp_path: Path) -> None:
    with mail_server(Provider(), tmp_path, password="wrong") as provider, pytest.raises(ProviderRefused, match="535"):
        await provider.ours.send(MAIL)


async def test_a_mail_server_with_a_certificate_that_nobody_trusts_gets_nothing(tmp_path: Path) -> None:
    with mail_server(Provider(), tmp_path) as provider:
        (tmp_path / "other").mkdir()
        with mail_server(Provider(), tmp_path / "other") as other:
            stranger = other.ours
            stranger._server = replace(stranger._server, port=provider.ours._server.port)
            with pytest.raises(ProviderRefused, match="certificate"):
                await stranger.send(MAIL)
        assert provider.asked == 0


async def test_addresses_beyond_ascii_are_written_to_where_the_server_can(tmp_path: Path) -> None:
    with mail_server(Provider(), tmp_path) as provider:
        await provider.ours.send(replace(MAIL, to="адам@пример.рф"))
        assert [to for to, _ in provider.taken] == ["адам@пример.рф"]


@pytest.mark.parametrize("evil", ["a@example.com\r\nBcc: b@example.com", "a@example.com>\nRCPT TO:<b@example.com"])
async def test_nothing_that_looks_like_a_header_gets_into_one(tmp_path: Path, evil: str) -> None:
    """The contract's own check is before this; the channel relies on nobody."""
    with mail_server(Provider(), tmp_path) as provider:
        with pytest.raises(ValueError):  # noqa: PT011  # whichever part of the standard library sees it first
            await provider.ours.send(replace(MAIL, to=evil))
        with pytest.raises(ValueError):  # noqa: PT011
            await provider.ours.send(replace(MAIL, subject="Hello\r\nBcc: b@example.com"))
        assert provider.asked == 0
