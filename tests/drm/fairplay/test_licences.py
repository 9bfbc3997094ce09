"""FairPlay licences of the running service: ticket, policy, SPC, CKC, and what is remembered of each."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from google.protobuf.duration_pb2 import Duration
from reelmesh.drm.v1 import events_pb2, licences_pb2
from reelmesh.drm.v1 import fairplay_service_pb2 as api

from services.drm.fairplay import replays
from services.drm.fairplay.tags import HdcpType, KeyType
from services.drm.upkeep import Upkeep
from services.kit.database import Database
from services.kit.ids import new_id
from tests.drm.fairplay.scene import FairPlay, Film, with_fairplay
from tests.policy.scene import Scene
from tests.support.fairplay_provider import new_provider

FORM = "application/x-www-form-urlencoded"
HOUR = 3600


@pytest.fixture
async def fairplay(scene: Scene, tmp_path: Path) -> AsyncIterator[FairPlay]:
    async with with_fairplay(scene, tmp_path) as fairplay:
        yield fairplay


def key_of(film: Film, label: str) -> Any:
    (key,) = (key for key in film.keys if key.label == label)
    return key


async def issued(fairplay: FairPlay) -> events_pb2.LicenceIssued:
    """The event of the only licence so far."""
    return await fairplay.keys.scene.bus.hears(events_pb2.LicenceIssued)


async def test_the_key_that_the_spc_names_arrives(fairplay: FairPlay) -> None:
    film = await fairplay.keys.film("AUDIO", "SD", "HD")
    for label in ("AUDIO", "SD", "HD"):
        asking = fairplay.ask(film, label)
        received = asking.receive(await fairplay.ckc(film, asking.spc))
        assert (received.key, received.iv) == (key_of(film, label).key, key_of(film, label).iv)


async def test_a_form_is_answered_in_base64(fairplay: FairPlay) -> None:
    film = await fairplay.keys.film()
    asking = fairplay.ask(film)
    answer = await fairplay.send(film, urlencode({"spc": base64.b64encode(asking.spc).decode()}).encode(), FORM)
    assert answer.content_type == "text/plain"
    assert asking.receive(base64.b64decode(answer.data)).key == key_of(film, "HD").key


async def test_a_lease_ends_with_the_playback_unless_the_policy_says_sooner(fairplay: FairPlay) -> None:
    film = await fairplay.keys.film()
    asking = fairplay.ask(film)
    duration = asking.receive(await fairplay.ckc(film, asking.spc)).duration
    assert duration is not None
    assert duration[0] > HOUR
    assert duration[1:] == (0, KeyType.LEASE)
    await fairplay.policy(licence_duration=Duration(seconds=HOUR))
    for fields, lease in (
        ({}, HOUR),
        ({"playback_duration": Duration(seconds=1800)}, 1800),
        ({"renew_after": Duration(seconds=300)}, 300),
    ):
        if fields:
            await fairplay.policy(**fields)
        asking = fairplay.ask(film)
        assert asking.receive(await fairplay.ckc(film, asking.spc)).duration == (lease, 0, KeyType.LEASE)


@pytest.mark.parametrize(
    ("hdcp", "said"),
    [
        ("HDCP_NONE", HdcpType.NOT_REQUIRED),
        ("HDCP_V1", HdcpType.TYPE_0),
        ("HDCP_V2_0", HdcpType.TYPE_1),
        ("HDCP_V2_2", HdcpType.TYPE_1),
    ],
)
async def test_the_rule_of_a_kind_of_track_is_the_ckcs(fairplay: FairPlay, hdcp: str, said: HdcpType) -> None:
    film = await fairplay.keys.film()
    rule = licences_pb2.TrackRule(kind="TRACK_KIND_HD", hdcp=hdcp)  # type: ignore[arg-type] # by name
    await fairplay.policy(tracks=[rule])
    asking = fairplay.ask(film)
    assert asking.receive(await fairplay.ckc(film, asking.spc)).hdcp == said


async def test_uhd_goes_to_devices_that_hold_their_outputs_to_hdcp(fairplay: FairPlay) -> None:
    """Decryption is in hardware on all of Apple's devices."""
    film = await fairplay.keys.film("HD", "UHD1")
    asking = fairplay.ask(film, "UHD1")
    assert asking.receive(await fairplay.ckc(film, asking.spc)).hdcp == HdcpType.TYPE_1
    old = fairplay.provider.device(capabilities=None)
    assert await fairplay.refused(film, fairplay.ask(film, "UHD1", device=old).spc) == (
        403,
        "OUTPUT_UNPROTECTED",
        {"labels": "UHD1", "hdcp": "V2_2"},
    )
    asking = fairplay.ask(film, "HD", device=old)
    assert asking.receive(await fairplay.ckc(film, asking.spc)).hdcp is None


async def test_a_device_that_knows_no_leases_gets_nothing(fairplay: FairPlay) -> None:
    film = await fairplay.keys.film()
    ancient = fairplay.provider.device(state=None)
    answer = await fairplay.refused(film, fairplay.ask(film, device=ancient).spc)
    assert answer == (403, "FAIRPLAY_DEVICE_UNFIT", {"condition": "duration"})


class TestOffline:
    async def test_a_download_is_kept_for_as_long_as_the_policy_says(self, fairplay: FairPlay) -> None:
        await fairplay.policy(offline=True, rental_duration=Duration(seconds=7 * 24 * HOUR))
        film = await self.download(fairplay)
        asking = fairplay.ask(film)
        received = asking.receive(base64.b64decode((await fairplay.send(film, kept(asking.spc), FORM)).data))
        assert received.duration == (0, 7 * 24 * HOUR, KeyType.PERSIST_LIMITED)
        assert (await issued(fairplay)).offline
        await fairplay.policy(playback_duration=Duration(seconds=48 * HOUR))
        asking = fairplay.ask(film)
        received = asking.receive(base64.b64decode((await fairplay.send(film, kept(asking.spc), FORM)).data))
        assert received.duration == (0, 48 * HOUR, KeyType.PERSIST_LIMITED)

    async def test_nothing_is_kept_unless_the_policy_and_the_playback_allow_it(self, fairplay: FairPlay) -> None:
        film = await fairplay.keys.film()
        body = kept(fairplay.ask(film).spc)
        assert await fairplay.refused(film, body, FORM) == (403, "OFFLINE_NOT_ALLOWED", {"by": "licence_policy"})
        await fairplay.policy(offline=True)
        assert await fairplay.refused(film, body, FORM) == (403, "OFFLINE_NOT_ALLOWED", {"by": "playback"})

    @staticmethod
    async def download(fairplay: FairPlay) -> Film:
        """A film, and a playback of it that was opened as a download."""
        film = await fairplay.keys.film()
        await fairplay.keys.scene.terms(film.asset_id, download_allowed=True)
        answer = await fairplay.keys.scene.play(film.asset_id, download=True)
        ticket = answer.playback.licence_url.split("/")[4]
        return Film(film.package_id, film.asset_id, answer.session.session_id, ticket, film.keys)


def kept(spc: bytes) -> bytes:
    return urlencode({"spc": base64.b64encode(spc).decode(), "offline": "true"}).encode()


class TestWhatIsRefused:
    async def test_without_a_good_ticket_nothing_is_even_read(self, fairplay: FairPlay) -> None:
        film = await fairplay.keys.film()
        for ticket in ("no.ticket.atall", film.ticket[:-8] + "AAAAAAAA"):
            status, reason, _ = await fairplay.refused(film, b"no SPC", ticket=ticket)
            assert (status, reason) == (403, "TICKET_INVALID")

    async def test_bytes_that_are_no_spc_have_the_numbers_of_key_security_modules(self, fairplay: FairPlay) -> None:
        film = await fairplay.keys.film()
        spc = fairplay.ask(film).spc
        strange = new_provider().device().ask(b"skd://" + key_of(film, "HD").key_id.hex().encode())
        for body, number, kind in (
            (b"", "-42581", "Malformed"),
            (spc[:-1], "-42581", "Malformed"),
            (b"\0\0\0\2" + spc[4:], "-42580", "UnknownSpcVersion"),
            (strange.spc, "-42585", "UnusableParameter"),
            (fairplay.ask(film, changed={0xB349D4809E910687: bytes(16)}).spc, "-42589", "BrokenIntegrity"),
            (fairplay.ask(film, without={0x71B5595AC1521133}).spc, "-42583", "MissingTag"),
            (fairplay.ask(film, beside=[(0x71B5595AC1521133, bytes(21))]).spc, "-42591", "DuplicateTag"),
        ):
            answer = await fairplay.refused(film, body)
            assert answer == (400, "FAIRPLAY_SPC_REFUSED", {"status": number, "kind": kind}), number

    async def test_keys_of_other_films_and_of_none_are_unknown_assets(self, fairplay: FairPlay) -> None:
        film, other = await fairplay.keys.film("AUDIO", "HD", "UHD1", hidden=["UHD1"]), await fairplay.keys.film()
        device = fairplay.provider.device()
        for asking in (
            fairplay.ask(other),
            fairplay.ask(film, "UHD1"),
            device.ask(b"skd://twelve", made=fairplay.keys.scene.clock.now().timestamp()),
        ):
            answer = await fairplay.refused(film, asking.spc)
            assert answer == (400, "FAIRPLAY_SPC_REFUSED", {"status": "-42584", "kind": "UnknownAsset"})

    async def test_each_is_an_event(self, fairplay: FairPlay) -> None:
        film = await fairplay.keys.film()
        await fairplay.refused(film, fairplay.ask(film, without={0x71B5595AC1521133}).spc)
        event = await fairplay.keys.scene.bus.hears(events_pb2.LicenceRefused)
        assert (event.reason, event.key_system) == ("FAIRPLAY_SPC_REFUSED", "com.apple.fps")
        assert event.session_id == film.session_id


async def test_a_licence_is_an_event_with_all_but_the_key(fairplay: FairPlay) -> None:
    film = await fairplay.keys.film()
    asking = fairplay.ask(film)
    await fairplay.ckc(film, asking.spc)
    event = await issued(fairplay)
    assert list(event.key_ids) == [key_of(film, "HD").key_id.hex()]
    assert (event.key_system, event.session_id, event.offline) == ("com.apple.fps", film.session_id, False)
    assert event.security_level == licences_pb2.SECURITY_LEVEL_HARDWARE
    for secret in (key_of(film, "HD").key, asking.session_key, asking.r1):
        assert secret not in event.SerializeToString()


class TestReplays:
    async def test_an_spc_is_answered_once(self, fairplay: FairPlay) -> None:
        film = await fairplay.keys.film()
        asking = fairplay.ask(film)
        await fairplay.ckc(film, asking.spc)
        replayed = (403, "FAIRPLAY_SPC_REPLAYED", {"status": "-42585", "why": "replayed"})
        assert await fairplay.refused(film, asking.spc) == replayed
        # Other bytes around the same secrets are the same SPC.
        again = fairplay.provider.device().container(asking.payload)
        assert await fairplay.refused(film, again) == replayed
        await fairplay.ckc(film, fairplay.ask(film).spc)

    async def test_of_many_at_the_same_time_one_is_answered(self, fairplay: FairPlay) -> None:
        film = await fairplay.keys.film()
        spc = fairplay.ask(film).spc
        answers = await asyncio.gather(*(fairplay.send(film, spc) for _ in range(20)))
        assert [answer.content_type for answer in answers].count("application/octet-stream") == 1

    async def test_whoever_was_answered_may_ask_again_at_once(self, fairplay: FairPlay) -> None:
        database = Database.of("drm", fairplay.keys.settings)
        memory = fairplay.keys.settings.replays(database, fairplay.keys.scene.clock)
        try:
            async with asyncio.timeout(20):
                for _ in range(20):
                    spc = new_id("spc").encode()
                    assert [await memory.claim(spc, None) for _ in range(3)] == [True, False, False]
        finally:
            await database.close()

    async def test_by_another_replica_and_after_a_restart(self, fairplay: FairPlay, tmp_path: Path) -> None:
        film = await fairplay.keys.film()
        asking = fairplay.ask(film)
        await fairplay.ckc(film, asking.spc)
        settings = fairplay.keys.settings
        database = Database.of("drm", settings)
        try:
            fingerprint = (
                await fairplay.sql("SELECT fingerprint FROM fairplay_spcs ORDER BY expire_time DESC LIMIT 1")
            )[0][0]
            other = settings.replays(database, fairplay.keys.scene.clock)
            assert not await other.claim(fingerprint, None)
        finally:
            await database.close()

    async def test_one_that_is_too_old_to_be_remembered_is_not_answered(self, fairplay: FairPlay) -> None:
        film, now = await fairplay.keys.film(), fairplay.keys.scene.clock.now()
        for off in (timedelta(hours=25), -timedelta(hours=25), timedelta(days=4000)):
            answer = await fairplay.refused(film, fairplay.ask(film, made=(now - off).timestamp()).spc)
            assert answer == (403, "FAIRPLAY_SPC_REPLAYED", {"status": "-42585", "why": "stale"})
        await fairplay.ckc(film, fairplay.ask(film, made=(now - timedelta(hours=23)).timestamp()).spc)

    async def test_what_is_too_old_is_forgotten_and_nothing_else(self, fairplay: FairPlay) -> None:
        clock = fairplay.keys.scene.clock
        database = Database.of("drm", fairplay.keys.settings)
        memory = fairplay.keys.settings.replays(database, clock)
        old, new = (new_id("spc").encode() for _ in range(2))
        try:
            assert await memory.claim(old, None)
            clock.advance(timedelta(hours=49))
            assert await memory.claim(new, None)
            await Upkeep(database, clock, kept_for=timedelta(days=90)).once()
            rows = await fairplay.sql("SELECT fingerprint FROM fairplay_spcs WHERE fingerprint = ANY($1)", [old, new])
            assert [row["fingerprint"] for row in rows] == [new]
            async with database.transaction() as tx:
                assert not await replays.forget(tx, clock.now())
        finally:
            await database.close()


class TestTheDeployment:
    async def test_the_certificate_is_public(self, fairplay: FairPlay) -> None:
        film = await fairplay.keys.film()
        request = api.GetFairPlayCertificateRequest(ticket="any", package_id=film.package_id)
        answer = (await fairplay.stub.GetFairPlayCertificate(request)).certificate
        assert (answer.data, answer.content_type) == (fairplay.provider.certificate, "application/pkix-cert")

    async def test_an_organisation_may_have_one_of_its_own(self, fairplay: FairPlay) -> None:
        film, own = await fairplay.keys.film(), new_provider()
        own.put(fairplay.folder / fairplay.keys.scene.organisation_id, passphrase=b"between us")
        request = api.GetFairPlayCertificateRequest(ticket="any", package_id=film.package_id)
        assert (await fairplay.stub.GetFairPlayCertificate(request)).certificate.data == own.certificate
        asking = fairplay.ask(film, device=own.device())
        assert asking.receive(await fairplay.ckc(film, asking.spc)).key == key_of(film, "HD").key
        status, _, metadata = await fairplay.refused(film, fairplay.ask(film).spc)
        assert (status, metadata["status"]) == (400, "-42585")

    async def test_files_that_are_exchanged_count_at_once(self, fairplay: FairPlay) -> None:
        film, next_one = await fairplay.keys.film(), new_provider()
        await fairplay.ckc(film, fairplay.ask(film).spc)
        next_one.put(fairplay.folder)
        asking = fairplay.ask(film, device=next_one.device())
        assert asking.receive(await fairplay.ckc(film, asking.spc)).key == key_of(film, "HD").key

    @pytest.mark.parametrize("file", ["certificate.der", "private_key.pem", "ask"])
    async def test_what_is_missing_or_broken_is_named_and_not_shown(self, fairplay: FairPlay, file: str) -> None:
        film = await fairplay.keys.film()
        path = fairplay.folder / file
        for spoil in (lambda: path.write_bytes(b"not what it should be"), path.unlink):
            spoil()
            status, reason, metadata = await fairplay.refused(film, fairplay.ask(film).spc)
            assert (status, reason, metadata) == (409, "FAIRPLAY_NOT_CONFIGURED", {"missing": f"fairplay/{file}"})

    async def test_without_a_d_function_and_a_server_there_is_no_fairplay(self, scene: Scene, tmp_path: Path) -> None:
        async with with_fairplay(scene, tmp_path, drm_fairplay_d_function="") as fairplay:
            film = await fairplay.keys.film()
            status, reason, metadata = await fairplay.refused(film, fairplay.ask(film).spc)
            assert (status, reason) == (409, "FAIRPLAY_NOT_CONFIGURED")
            assert metadata == {"missing": "REELMESH_DRM_FAIRPLAY_D_FUNCTION"}
