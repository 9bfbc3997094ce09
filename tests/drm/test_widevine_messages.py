"""Widevine: what a challenge says, how a request is signed, and what the policy becomes."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.drm.domain import ContentKey
from services.drm.licences.granting import Asked, Grant
from services.drm.licences.policy import FIRST_RULES, Hdcp, LicencePolicy, SecurityLevel, TrackKind, TrackRule
from services.drm.widevine import message
from services.drm.widevine.challenge import KEY_SYSTEM, MOST_BYTES, Kind, Wish, read
from services.drm.widevine.signing import Signer
from services.kit.errors import Refusal
from tests.support.widevine_device import CERTIFICATE_REQUEST, Device, blob, number, signed, varint

VECTORS = Path(__file__).resolve().parents[3] / "shared/vectors/widevine"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
L1, L3 = Device(level=1), Device(level=3)


class TestTheSignature:
    @pytest.mark.parametrize("kind", ["static", "rotation"])
    def test_it_is_the_one_that_shaka_packager_makes(self, kind: str) -> None:
        file = VECTORS / f"packager-v3.8.0-request-{kind}.json"
        if not file.exists():
            pytest.skip("the shared vectors are not here")
        request = json.loads(file.read_text())
        signer = Signer(request["signer"], bytes([0x11]) * 32, bytes([0x22]) * 16)
        message_ = base64.b64decode(request["request"])
        assert base64.b64encode(signer.signature(message_)).decode() == request["signature"]
        assert json.loads(signer.signed(message_)) == request

    def test_filling_up_with_zeros_makes_another(self) -> None:
        key, iv = secrets.token_bytes(32), secrets.token_bytes(16)
        pkcs7, zero = (Signer("x", key, iv, padding).signature(b"m") for padding in ("pkcs7", "zero"))
        assert pkcs7 != zero
        assert pkcs7[:16] == zero[:16]
        assert len(zero) == 32

    @pytest.mark.parametrize(("key", "iv"), [(16, 16), (32, 32), (0, 16)])
    def test_a_key_of_another_length_is_refused_at_start(self, key: int, iv: int) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            Signer("x", bytes(key), bytes(iv))


class TestWhatAChallengeSays:
    def test_the_keys_that_the_media_name_each_once(self) -> None:
        one, other = secrets.token_bytes(16), secrets.token_bytes(16)
        challenge = read(L3.challenge(one, other, one))
        assert (challenge.kind, challenge.wish) == (Kind.LICENCE_REQUEST, Wish.NEW)
        assert challenge.key_ids == (one, other)
        assert not challenge.offline

    def test_published_media_name_the_published_keys(self) -> None:
        """Of web-platform-tests: a PSSH with WidevinePsshData."""
        file = VECTORS.parent / "pssh/wpt-content-metadata-excerpt.json"
        if not file.exists():
            pytest.skip("the shared vectors are not here")
        system, found = bytes.fromhex("edef8ba979d64acea3c827dcd51d21ed"), 0
        for content in json.loads(file.read_text()):
            data = base64.b64decode(content["initData"])
            if (place := data.find(system)) < 0:
                continue
            size = int.from_bytes(data[place + 16 : place + 20], "big")
            named = blob(1, blob(1, data[place + 20 : place + 20 + size]) + number(2, 1))
            key_ids = read(L3.asking(named)).key_ids
            assert key_ids is not None
            assert key_ids[0].hex() == content["kid"]
            found += 1
        assert found

    def test_media_that_name_no_keys_ask_for_all(self) -> None:
        assert read(L3.challenge()).key_ids is None
        assert read(L3.asking(blob(2, blob(1, b"webm") + number(2, 1)))).key_ids is None

    def test_a_licence_to_keep_is_seen_however_the_content_is_named(self) -> None:
        assert read(L3.challenge(bytes(16), offline=True)).offline
        assert read(L3.challenge(offline=True, wish=2)).offline
        assert read(L3.asking(blob(4, number(1, 1) + blob(2, b"pssh") + number(3, 2)))).offline
        assert not read(L3.challenge(wish=2)).offline

    @pytest.mark.parametrize(("wish", "found"), [(2, Wish.RENEWAL), (3, Wish.RELEASE)])
    def test_renewals_and_releases_are_told_apart(self, wish: int, found: Wish) -> None:
        assert read(L3.challenge(wish=wish)).wish == found

    def test_two_bytes_ask_for_the_service_certificate(self) -> None:
        assert read(CERTIFICATE_REQUEST).kind == Kind.SERVICE_CERTIFICATE_REQUEST

    HOSTILE = (
        b"",
        b"\x08",
        b"\x08\x02",
        b"\x08\x05",
        b"\x08\x01",
        b"\x08\x01\x12\x00",
        b"\x08\x01\x12\xff\xff\xff\xff\x0f",
        b"\x08\x01\x10\x01",
        b"\x0b\x0c",
        b"\x00\x01",
        b"\x08" + b"\xff" * 10,
        b"\x08" + b"\x80" * 40,
        b"<html></html>",
        b"{}",
        b"\0" * 100,
        b"\x08\x01" * 600,
        signed(1, blob(1, b"x") + number(3, 1)),
        signed(1, blob(2, blob(1, b"\x0a\x05\x12\x03abc"))),
        signed(1, blob(2, blob(1, blob(1, blob(2, b"short"))))),
        signed(1, blob(2, blob(1, blob(1, number(2, 7))))),
        signed(1, blob(2, b"") + number(3, 9)),
        signed(1, blob(2, b"") + blob(2, b"")),
        signed(1, blob(2, b"")) + blob(2, blob(2, b"")),
        signed(1, blob(2, blob(1, b"".join(blob(1, blob(2, bytes([n]) * 16)) for n in range(65))))),
        varint(1 << 3 | 2) + varint(2**63),
        CERTIFICATE_REQUEST[:1],
        b"\x08\x01\x12" + varint(MOST_BYTES) + bytes(MOST_BYTES),
    )

    @pytest.mark.parametrize("payload", HOSTILE, ids=lambda payload: payload[:12].hex() or "empty")
    def test_anything_else_is_refused(self, payload: bytes) -> None:
        with pytest.raises(Refusal) as caught:
            read(payload)
        assert (caught.value.code, caught.value.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "LICENCE_REQUEST_MALFORMED",
        )
        assert caught.value.metadata == {"key_system": KEY_SYSTEM}

    @given(st.binary(max_size=200), st.integers(min_value=0, max_value=300))
    def test_made_up_bytes_are_read_or_refused(self, noise: bytes, place: int) -> None:
        whole = L3.challenge(bytes(16))
        for payload in (noise, whole[:place], whole[:place] + noise, whole[:place] + noise + whole[place:]):
            with contextlib.suppress(Refusal):
                read(payload)


def a_key(label: str) -> ContentKey:
    return ContentKey.new(label)


def a_grant(policy: LicencePolicy, *keys: ContentKey, offline: bool = False, lasts: timedelta | None = None) -> Grant:
    asked = Asked("t", "pkg_x", None, KEY_SYSTEM, SecurityLevel.HARDWARE, Hdcp.V2_2, offline)
    ends = NOW + timedelta(hours=4)
    until = policy.expire_time(NOW, ends, offline=offline) if lasts is None else NOW + lasts
    return Grant(
        "lic_x", "pbs_x", "org_x", "v", "", "pkg_x", keys, {}, policy, ends, NOW, until, offline=offline, asked=asked
    )


class TestThePolicyInWidevinesWords:
    def test_a_licence_ends_with_its_playback(self) -> None:
        assert message.policy_overrides(a_grant(LicencePolicy(), a_key("HD"))) == {
            "can_play": True,
            "can_persist": False,
            "can_renew": False,
            "license_duration_seconds": 4 * 3600,
        }

    def test_renewal(self) -> None:
        policy = LicencePolicy(licence_duration=timedelta(minutes=10), renew_after=timedelta(minutes=4))
        assert message.policy_overrides(a_grant(policy, a_key("HD"))) == {
            "can_play": True,
            "can_persist": False,
            "can_renew": True,
            "license_duration_seconds": 600,
            "renewal_delay_seconds": 240,
            "renewal_retry_interval_seconds": 10,
            "renewal_recovery_duration_seconds": 360,
            "renew_with_usage": False,
        }

    def test_a_rental_that_is_kept(self) -> None:
        policy = LicencePolicy(
            offline=True, rental_duration=timedelta(days=2), playback_duration=timedelta(hours=48, seconds=0.5)
        )
        assert message.policy_overrides(a_grant(policy, a_key("HD"), offline=True)) == {
            "can_play": True,
            "can_persist": True,
            "can_renew": False,
            "license_duration_seconds": 2 * 86400,
            "rental_duration_seconds": 2 * 86400,
            "playback_duration_seconds": 2 * 86400,
        }

    def test_nothing_is_ever_zero_which_would_mean_for_ever(self) -> None:
        policy = LicencePolicy(
            offline=True, renew_after=timedelta(seconds=30), playback_duration=timedelta(milliseconds=1)
        )
        overrides = message.policy_overrides(a_grant(policy, a_key("HD"), offline=True, lasts=timedelta()))
        assert all(value >= 1 for name, value in overrides.items() if name.endswith("_seconds"))

    def test_each_key_says_what_it_needs(self) -> None:
        policy, keys = LicencePolicy(), [a_key(label) for label in ("AUDIO", "HD1", "UHD1")]
        assert [message.key_spec(key, policy) for key in keys] == [
            {
                "track_type": kind,
                "key_id": base64.b64encode(key.key_id).decode(),
                "key": base64.b64encode(key.key).decode(),
                "security_level": level,
                "required_output_protection": outputs,
            }
            for key, kind, level, outputs in (
                (keys[0], "AUDIO", 1, {"hdcp": "HDCP_NONE", "cgms_flags": "CGMS_NONE"}),
                (keys[1], "HD", 1, {"hdcp": "HDCP_NONE", "cgms_flags": "CGMS_NONE"}),
                (
                    keys[2],
                    "UHD1",
                    5,
                    {"hdcp": "HDCP_V2_2", "cgms_flags": "COPY_NEVER", "disable_analog_output": True},
                ),
            )
        ]

    @pytest.mark.parametrize(
        ("hdcp", "name"),
        [(Hdcp.NONE, "HDCP_NONE"), (Hdcp.V1, "HDCP_V1"), (Hdcp.V2_0, "HDCP_V2"), (Hdcp.V2_2, "HDCP_V2_2")],
    )
    def test_every_hdcp_has_a_name(self, hdcp: Hdcp, name: str) -> None:
        policy = LicencePolicy(tracks={**FIRST_RULES, TrackKind.SD: TrackRule(hdcp=hdcp)})
        assert message.key_spec(a_key("SD"), policy)["required_output_protection"]["hdcp"] == name

    def test_sound_is_not_asked_to_be_decoded_in_hardware(self) -> None:
        rule = TrackRule(SecurityLevel.HARDWARE)
        policy = LicencePolicy(tracks={**FIRST_RULES, TrackKind.AUDIO: rule, TrackKind.SD: rule})
        assert message.key_spec(a_key("AUDIO"), policy)["security_level"] == 3
        assert message.key_spec(a_key("SD"), policy)["security_level"] == 5

    @pytest.mark.parametrize(
        ("labels", "allowed"),
        [
            (["AUDIO"], "SD_ONLY"),
            (["AUDIO", "SD"], "SD_ONLY"),
            (["SD", "HD2"], "SD_HD"),
            (["UHD1", "HD"], "SD_UHD1"),
            (["UHD2"], "SD_UHD2"),
            (["SOMETHING"], "SD_UHD2"),
        ],
    )
    def test_track_types(self, labels: list[str], allowed: str) -> None:
        assert message.allowed_track_types(labels) == allowed
