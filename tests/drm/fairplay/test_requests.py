"""Bodies that players send, and how they name a key in them."""

from __future__ import annotations

import base64
import contextlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.drm.fairplay import challenge as challenges
from services.drm.fairplay.asset import key_id_of_asset
from services.drm.fairplay.status import UnknownAsset
from services.kit.errors import Refusal

KEY_ID = bytes(range(16, 32))
UUID = "10111213-1415-1617-1819-1a1b1c1d1e1f"
SPC = b"\0\0\0\1" + bytes(range(250, 256)) * 30
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "asset_id",
    [
        f"skd://{KEY_ID.hex()}",
        f"skd://{KEY_ID.hex().upper()}",
        KEY_ID.hex(),
        UUID,
        f"skd://{UUID}",
        f"skd://{KEY_ID.hex()}/",
        f"skd://{KEY_ID.hex()}?x=1",
        f"{KEY_ID.hex()};com.apple",
    ],
)
def test_a_key_is_named_by_its_uri(asset_id: str) -> None:
    assert key_id_of_asset(asset_id.encode()) == KEY_ID
    for encoding in ("utf-16-le", "utf-16-be"):  # what browsers hand to a device is UTF-16 in places
        assert key_id_of_asset(asset_id.encode(encoding)) == KEY_ID


@pytest.mark.parametrize(
    "asset_id",
    [b"", b"skd://", b"skd://twelve", KEY_ID.hex().encode() + b"0", KEY_ID, b"https://" + KEY_ID.hex().encode()],
)
def test_other_assets_are_not_ours(asset_id: bytes) -> None:
    with pytest.raises(UnknownAsset) as caught:
        key_id_of_asset(asset_id)
    assert caught.value.status == -42584


@given(st.binary(max_size=300))
def test_any_asset_id_names_a_key_or_none(asset_id: bytes) -> None:
    with contextlib.suppress(UnknownAsset):
        assert len(key_id_of_asset(asset_id)) == 16


def test_raw_bytes_are_taken_as_they_are_and_answered_so() -> None:
    for content_type in (
        "application/octet-stream",
        "",
        "application/json",
        FORM,
    ):  # libraries put many a type on raw bytes
        challenge = challenges.read(SPC, content_type)
        assert (challenge.spc, challenge.in_form, challenge.key_id, challenge.offline) == (SPC, False, None, False)
    answer = challenge.answer(b"ckc")
    assert (answer.data, answer.content_type) == (b"ckc", "application/octet-stream")


def test_a_form_is_answered_in_base64() -> None:
    body = urlencode({"spc": base64.b64encode(SPC).decode(), "assetId": "x"}).encode()
    challenge = challenges.read(body, f"{FORM}; charset=utf-8")
    assert (challenge.spc, challenge.in_form) == (SPC, True)
    answer = challenge.answer(b"ckc")
    assert (base64.b64decode(answer.data), answer.content_type) == (b"ckc", "text/plain")


@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_that_nobody_escaped(alphabet: object) -> None:
    """Many players put it behind `spc=` as it is: each `+` is then a space to whoever reads forms."""
    assert callable(alphabet)
    for tail in range(3):
        text = alphabet(SPC + bytes(tail))
        for form in (text, text.rstrip(b"=")):
            assert challenges.read(b"spc=" + form, "text/plain").spc == SPC + bytes(tail)
    assert b"+" in base64.b64encode(SPC)


def test_what_a_form_says_beside_the_spc() -> None:
    licence = "lic_01jq5y6zv6f0n8zj1w4q3x2c1b"
    fields = {"key_id": KEY_ID.hex(), "offline": "true", "renewal_of": licence, "spc": base64.b64encode(SPC).decode()}
    challenge = challenges.read(urlencode(fields).encode(), FORM)
    assert (challenge.spc, challenge.key_id, challenge.offline, challenge.renewal_of) == (SPC, KEY_ID, True, licence)


@pytest.mark.parametrize(
    "body",
    [
        b"spc=",
        b"spc=%00",
        b"spc=====",
        b"spc=A",
        b"assetId=x",
        b"spc=AAAA&key_id=12",
        b"spc=AAAA&offline=perhaps",
        b"spc=AAAA&renewal_of=lic_1",
        b"spc=AAAA" + b"&a=b" * 9,
        b"spc=\xff",
        b"spc=" + b"A" * 140_000,
    ],
)
def test_a_form_that_is_none(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        challenges.read(body, FORM)
    assert caught.value.reason == "LICENCE_REQUEST_MALFORMED"


@given(st.binary(max_size=300), st.sampled_from([FORM, "", "application/octet-stream"]))
def test_any_body_is_taken_or_refused(body: bytes, content_type: str) -> None:
    for sent in (body, b"spc=" + body):
        with contextlib.suppress(Refusal):
            challenges.read(sent, content_type)
