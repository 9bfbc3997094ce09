"""The texts."""

from __future__ import annotations

import re

import pytest

from services.kit.errors import Refusal
from services.notifications.domain import Letter, checked_address
from services.notifications.texts import Texts

TEXTS = Texts("Film & Ton", "https://film.example")
EVIL = '<script>alert("1")</script>'


def rendered(template: str, channel: str, language: str = "en", value: str = "12345678") -> Letter:
    parameters = dict.fromkeys(TEXTS.parameters(template, channel), value)
    return TEXTS.letter(
        "msg_1", channel=channel, to="a@example.com", template=template, language=language, parameters=parameters
    )


@pytest.mark.parametrize(("language", "template", "channel"), TEXTS.names)
def test_every_text_can_be_filled_in(language: str, template: str, channel: str) -> None:
    letter = rendered(template, channel, language)
    assert "Film & Ton" in letter.subject + letter.text
    assert "$" not in letter.subject + letter.text + letter.html
    if channel == "sms":
        assert len(letter.text) <= 160, "two SMS cost twice"
        assert (letter.subject, letter.html) == ("", "")
    else:
        assert "\n" not in letter.subject
        assert f'<html lang="{language}">' in letter.html
        assert "Film &amp; Ton" in letter.html


@pytest.mark.parametrize(("language", "template", "channel"), TEXTS.names)
def test_what_a_text_is_filled_with_is_text_and_never_html(language: str, template: str, channel: str) -> None:
    letter = rendered(template, channel, language, EVIL)
    assert "<script" not in letter.html
    if TEXTS.parameters(template, channel) and letter.html:
        assert "&lt;script&gt;" in letter.html


def test_every_text_exists_in_english() -> None:
    english = {(template, channel) for language, template, channel in TEXTS.names if language == "en"}
    assert english == {(template, channel) for _, template, channel in TEXTS.names}


def test_identity_finds_the_texts_that_it_asks_for() -> None:
    asked = {
        ("verify-email", "email"): {"code"},
        ("account-exists", "email"): set(),
        ("reset-password", "email"): {"code"},
        ("password-changed", "email"): set(),
        ("sign-in-code", "email"): {"code"},
        ("sign-in-code", "sms"): {"code"},
        ("verify-phone", "sms"): {"code"},
        ("phone-changed", "email"): set(),
        ("passkey-added", "email"): set(),
        ("passkey-removed", "email"): set(),
    }
    for (template, channel), parameters in asked.items():
        assert TEXTS.parameters(template, channel) == parameters


@pytest.mark.parametrize("language", ["fa-IR", "", "en-GB", "x-klingon"])
def test_a_language_without_texts_is_written_to_in_english(language: str) -> None:
    assert "is your code" in rendered("verify-email", "email", language).subject


@pytest.mark.parametrize(
    "parameters",
    [{}, {"code": "1", "more": "2"}, {"code": "1\r\nBcc: b@example.com"}, {"code": "1\u2028"}, {"code": "\x00"}],
)
def test_parameters_that_do_not_fit_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(Refusal, match="PARAMETER_INVALID") as refused:
        TEXTS.letter("m", channel="email", to="a", template="verify-email", language="", parameters=parameters)
    assert not re.search("Bcc", refused.value.message)


def test_a_text_that_does_not_exist_in_the_channel_is_refused() -> None:
    with pytest.raises(Refusal, match="TEMPLATE_UNKNOWN"):
        rendered("password-changed", "sms")
    with pytest.raises(Refusal, match="TEMPLATE_UNKNOWN"):
        TEXTS.letter("m", channel="email", to="a", template="../layout", language="../..", parameters={})


@pytest.mark.parametrize(
    ("channel", "to"),
    [
        ("email", "a@example.com\r\nBcc: b@example.com"),
        ("email", "a@example.com, b@example.com"),
        ("email", "Ada <a@example.com>"),
        ("email", "+4915123456789"),
        ("sms", "a@example.com"),
        ("sms", "015123456789"),
        ("sms", "+49 151 23456789"),
        ("sms", "+491512345\n"),
    ],
)
def test_an_address_of_another_kind_is_refused_without_repeating_it(channel: str, to: str) -> None:
    with pytest.raises(Refusal, match="ADDRESS_INVALID") as refused:
        checked_address(channel, to)
    assert to not in refused.value.message
