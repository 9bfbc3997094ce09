"""Widevine: what the licence service is told, and what becomes of its answers."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.drm.domain import ContentKey
from services.drm.licences.granting import Asked
from services.drm.licences.policy import Hdcp, SecurityLevel
from services.drm.upstream.acquiring import licence
from services.drm.upstream.client import Limits, Upstream
from services.drm.widevine.challenge import KEY_SYSTEM, read
from services.drm.widevine.licensing import CERTIFICATE_FRESH, Widevine
from services.drm.widevine.signing import Padding, Signer
from services.kit.breaker import FAILURES, PAUSE
from services.kit.clock import FixedClock
from services.kit.errors import Refusal
from services.kit.ids import new_id
from tests.drm.ledger import TICKET, Ledger
from tests.support.licence_servers import PROVIDER, Mood, Servers, licence_servers
from tests.support.widevine_device import CERTIFICATE_REQUEST, Device, signed

VECTORS = Path(__file__).resolve().parents[3] / "shared/vectors/widevine"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
L1, L3 = Device(level=1), Device(level=3)


def a_key(label: str) -> ContentKey:
    return ContentKey.new(label)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with licence_servers() as servers:
        yield servers
        assert servers.wrong == []


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def ledger(clock: FixedClock) -> Ledger:
    return Ledger(clock, [a_key("AUDIO"), a_key("HD"), a_key("UHD1")])


def service(servers: Servers, clock: FixedClock, padding: Padding = "pkcs7", key: bytes = b"") -> Widevine:
    upstream = Upstream(
        "widevine", servers.settings()["drm_widevine_url"] + "/" + PROVIDER, clock, limits=Limits(whole=4, connect=4)
    )
    servers.at_end.append(upstream.close)
    return Widevine(upstream, Signer(PROVIDER, key or servers.signing_key, servers.signing_iv, padding), clock)


async def play(
    widevine: Widevine, ledger: Ledger, challenge: bytes, *, ticket: str = TICKET, ends: bool = False
) -> bytes:
    found = read(challenge)
    asked = Asked(
        ticket, new_id("pkg"), found.key_ids, KEY_SYSTEM, SecurityLevel.HARDWARE, Hdcp.V2_2, offline=found.offline
    )
    return await licence(ledger, widevine.about(found), asked, ends=ends)


async def refused(widevine: Widevine, ledger: Ledger, challenge: bytes, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await play(widevine, ledger, challenge, **options)
    return caught.value


def ordered(order: dict[str, Any]) -> list[str]:
    return [spec["track_type"] for spec in order["content_key_specs"]]


class TestLicences:
    @pytest.fixture
    def widevine(self, servers: Servers, clock: FixedClock) -> Widevine:
        return service(servers, clock)

    async def test_a_player_in_hardware_gets_all_keys(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        made = await play(widevine, ledger, L1.challenge(*(key.key_id for key in ledger.keys)))
        assert L1.keys(made) == {key.key_id: key.key for key in ledger.keys}
        assert [bool(order.get("parse_only")) for order in servers.orders] == [True, False]
        order = servers.licensed[0]
        assert ordered(order) == ["AUDIO", "HD", "UHD1"]
        assert base64.b64decode(order["content_id"]).decode() == ledger.asks[0].package_id
        assert (order["provider"], order["allowed_track_types"]) == (PROVIDER, "SD_UHD1")
        (issue,) = ledger.issues
        assert issue.asked.security_level == SecurityLevel.HARDWARE
        assert not ledger.refusals

    @pytest.mark.parametrize("level", [2, 3])
    async def test_no_uhd_key_goes_anywhere_for_a_player_in_software(
        self, servers: Servers, widevine: Widevine, ledger: Ledger, level: int
    ) -> None:
        """Not to the player, and not to the licence service either."""
        device = Device(level=level)
        made = await play(widevine, ledger, device.challenge())
        assert device.keys(made) == {key.key_id: key.key for key in ledger.keys[:2]}
        assert ordered(servers.licensed[0]) == ["AUDIO", "HD"]
        assert servers.licensed[0]["allowed_track_types"] == "SD_HD"
        (issue,) = ledger.issues
        assert list(issue.dropped) == [ledger.keys[2].key_id]
        assert issue.asked.security_level == SecurityLevel.SOFTWARE
        sent = b"".join(base64.b64decode(json.loads(body)["request"]) for body in servers.bodies)
        assert base64.b64encode(ledger.keys[2].key) not in sent

    async def test_who_asks_for_uhd_only_and_is_software_is_refused(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        refusal = await refused(widevine, ledger, L3.challenge(ledger.keys[2].key_id))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SECURITY_LEVEL_TOO_LOW")
        assert not servers.licensed
        ((_, recorded),) = ledger.refusals
        assert recorded is refusal

    async def test_without_keys_for_hardware_one_request_is_enough(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        await play(widevine, ledger, L3.challenge(ledger.keys[0].key_id, ledger.keys[1].key_id))
        assert len(servers.orders) == len(servers.licensed) == 1

    async def test_only_keys_that_the_session_may_have_are_told(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        foreign = secrets.token_bytes(16)
        made = await play(widevine, ledger, L3.challenge(foreign, ledger.keys[1].key_id))
        assert L3.keys(made) == {ledger.keys[1].key_id: ledger.keys[1].key}
        (spec,) = servers.orders[0]["content_key_specs"]
        assert spec["key_id"] == base64.b64encode(ledger.keys[1].key_id).decode()

    async def test_a_bad_ticket_never_gets_to_the_licence_service(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        assert (await refused(widevine, ledger, L1.challenge(), ticket="x")).reason == "TICKET_INVALID"
        assert servers.asked == 0

    async def test_a_licence_to_keep(self, servers: Servers, widevine: Widevine, ledger: Ledger) -> None:
        assert (await refused(widevine, ledger, L3.challenge(offline=True))).reason == "OFFLINE_NOT_ALLOWED"
        ledger.policy, ledger.download = replace(ledger.policy, offline=True, rental_duration=timedelta(days=1)), True
        made = await play(widevine, ledger, L3.challenge(offline=True))
        policy = L3.opened(made)["policy"]
        assert (policy["can_persist"], policy["rental_duration_seconds"]) == (True, 86400)
        assert ledger.issues[0].offline

    async def test_a_renewal_is_judged_and_recorded_like_a_new_licence(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        ledger.policy = replace(ledger.policy, renew_after=timedelta(minutes=1))
        await play(widevine, ledger, L1.challenge(wish=2))
        assert servers.licensed[0]["policy_overrides"]["can_renew"]
        assert len(ledger.issues) == 1
        ledger.keys.clear()
        assert (await refused(widevine, ledger, L1.challenge(wish=2))).reason == "KEY_NOT_ENTITLED"

    async def test_a_licence_that_is_given_back_needs_no_keys_and_is_no_issue(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        made = await play(widevine, ledger, L1.challenge(wish=3), ends=True)
        assert L1.keys(made) == {}
        (order,) = servers.orders
        assert set(order) == {"payload", "provider", "content_id"}
        assert not ledger.issues

    async def test_a_licence_that_cannot_be_recorded_is_not_answered(self, widevine: Widevine, ledger: Ledger) -> None:
        ledger.broken = True
        assert (await refused(widevine, ledger, L1.challenge())).reason == "LICENCE_UNRECORDED"

    async def test_zeros_are_as_good(self, servers: Servers, clock: FixedClock, ledger: Ledger) -> None:
        assert L3.keys(await play(service(servers, clock, "zero"), ledger, L3.challenge()))


class TestWhenTheLicenceServiceRefuses:
    @pytest.fixture
    def widevine(self, servers: Servers, clock: FixedClock) -> Widevine:
        return service(servers, clock)

    async def test_a_wrong_signature_is_our_fault_and_says_so(
        self, servers: Servers, clock: FixedClock, ledger: Ledger
    ) -> None:
        refusal = await refused(service(servers, clock, key=bytes(32)), ledger, L1.challenge())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPSTREAM_REFUSED_US")
        assert refusal.metadata == {"upstream": "widevine", "status": "SIGNATURE_FAILED"}
        assert servers.signing_key.hex() not in str(refusal.as_json())
        assert len(ledger.refusals) == 1

    async def test_a_revoked_player_is_refused_with_the_services_own_word(
        self, widevine: Widevine, ledger: Ledger
    ) -> None:
        device = Device(level=1, state="DRM_DEVICE_CERTIFICATE_REVOKED")
        refusal = await refused(widevine, ledger, device.challenge())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "UPSTREAM_REFUSED_PLAYER")
        assert refusal.metadata == {"upstream": "widevine", "status": "DRM_DEVICE_CERTIFICATE_REVOKED"}
        assert "build farm" not in str(refusal.as_json()), "what it says beside stays here"

    async def test_a_word_that_is_no_word_goes_no_further(self, widevine: Widevine, ledger: Ledger) -> None:
        device = Device(state="<script>alert(1)</script>")
        refusal = await refused(widevine, ledger, device.challenge(ledger.keys[0].key_id))
        assert refusal.metadata["status"] == "UNKNOWN"
        assert "script" not in str(refusal.as_json())

    async def test_its_own_trouble_is_tried_again_and_told_as_such(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        device = Device(state="INTERNAL_ERROR")
        refusal = await refused(widevine, ledger, device.challenge(ledger.keys[0].key_id))
        assert (refusal.reason, refusal.metadata["why"]) == ("UPSTREAM_UNAVAILABLE", "failing")
        assert servers.asked == 2

    async def test_a_player_that_is_said_to_be_another_gets_nothing(
        self, servers: Servers, widevine: Widevine, ledger: Ledger
    ) -> None:
        """L1 when it is looked at, L3 in the licence: the licence, with a UHD key in it, is withheld."""
        servers.mood = "lies"
        refusal = await refused(widevine, ledger, L1.challenge())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_CONTRADICTED")
        assert len(servers.licensed) == 1
        assert not ledger.issues
        assert len(ledger.refusals) == 1

    @pytest.mark.parametrize(
        ("mood", "reason"),
        [
            ("empty", "UPSTREAM_CONTRADICTED"),
            ("babbles", "UPSTREAM_UNAVAILABLE"),
            ("fails", "UPSTREAM_UNAVAILABLE"),
            ("hangs", "UPSTREAM_UNAVAILABLE"),
            ("moved", "UPSTREAM_REFUSED_US"),
        ],
    )
    async def test_no_answer_is_no_licence(
        self, servers: Servers, widevine: Widevine, ledger: Ledger, mood: Mood, reason: str
    ) -> None:
        servers.mood = mood
        refusal = await refused(widevine, ledger, L3.challenge(ledger.keys[0].key_id))
        assert refusal.reason == reason
        assert "secret.cs" not in str(refusal.as_json())
        assert not ledger.issues
        assert len(ledger.refusals) == 1


class TestOnePlayerThatTheLicenceServiceCannotBear:
    BAD = Device(state="INTERNAL_ERROR")

    @pytest.fixture
    def widevine(self, servers: Servers, clock: FixedClock) -> Widevine:
        return service(servers, clock)

    async def failing(self, widevine: Widevine, ledger: Ledger, viewer_id: str) -> str:
        ledger.viewer_id = viewer_id
        refusal = await refused(widevine, ledger, self.BAD.challenge(ledger.keys[0].key_id))
        return refusal.metadata["why"]

    async def test_does_not_keep_the_others_from_it(self, widevine: Widevine, ledger: Ledger) -> None:
        for _ in range(3 * FAILURES):
            assert await self.failing(widevine, ledger, "mallory") == "failing"
        ledger.viewer_id = "alice"
        assert L3.keys(await play(widevine, ledger, L3.challenge(ledger.keys[0].key_id)))

    async def test_is_not_the_one_that_tries_whether_it_is_well_again(
        self, widevine: Widevine, ledger: Ledger, clock: FixedClock
    ) -> None:
        for index in range(FAILURES):
            assert await self.failing(widevine, ledger, f"viewer {index}") == "failing"
        assert await self.failing(widevine, ledger, "another") == "paused"
        clock.advance(PAUSE)
        assert await self.failing(widevine, ledger, "viewer 0") == "paused"
        ledger.viewer_id = "alice"
        assert L3.keys(await play(widevine, ledger, L3.challenge(ledger.keys[0].key_id)))
        assert await self.failing(widevine, ledger, "viewer 0") == "failing"


class TestTheServiceCertificate:
    async def test_it_is_asked_for_once_an_hour(self, servers: Servers, clock: FixedClock) -> None:
        widevine = service(servers, clock)
        for _ in range(3):
            found = await widevine.service_certificate(read(CERTIFICATE_REQUEST))
            assert found == signed(5, b"certificate of acme")
        assert servers.asked == 1
        clock.advance(CERTIFICATE_FRESH)
        await widevine.service_certificate(read(CERTIFICATE_REQUEST))
        assert servers.asked == 2

    async def test_one_that_could_not_be_had_is_asked_for_again(self, servers: Servers, clock: FixedClock) -> None:
        widevine = service(servers, clock)
        servers.moods = ["fails"]
        assert await widevine.service_certificate(read(CERTIFICATE_REQUEST))
        assert servers.asked == 2, "asking twice does no harm"
