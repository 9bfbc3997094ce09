"""Widevine and PlayReady as players have them: through the real Envoy, from the real services, made by licence servers of our own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import etree
from reelmesh.drm.v1 import events_pb2, licences_pb2, upstream_licences_service_pb2_grpc
from reelmesh.drm.v1 import upstream_licences_service_pb2 as api

from services.drm.__main__ import DrmSettings
from services.drm.upstream.settings import UnusableSecret
from services.kit.clock import SystemClock
from services.kit.settings import ProcessSettings
from tests.drm.scene import Film, Keys, with_keys
from tests.envoy.edge import running_edge
from tests.policy.scene import Scene
from tests.support import playready_device, widevine_device
from tests.support.licence_servers import Mood, Servers, licence_servers

L1, L3 = widevine_device.Device(level=1), widevine_device.Device(level=3)
SL3000, SL2000 = playready_device.Device(level=3000), playready_device.Device(level=2000)
SOAP = {
    "content-type": "text/xml; charset=utf-8",
    "soapaction": '"http://schemas.microsoft.com/DRM/2007/03/protocols/AcquireLicense"',
}


@dataclass(frozen=True)
class House:
    """Everything, and a player at the edge."""

    keys: Keys
    servers: Servers
    http: httpx.AsyncClient

    async def widevine(self, film: Film, challenge: bytes, *, ticket: str = "") -> httpx.Response:
        headers = {"content-type": "application/octet-stream"}
        return await self.http.post(self.path(film, "widevine", ticket), content=challenge, headers=headers)

    async def playready(self, film: Film, challenge: bytes, *, ticket: str = "") -> httpx.Response:
        return await self.http.post(self.path(film, "playready", ticket), content=challenge, headers=SOAP)

    def path(self, film: Film, system: str, ticket: str = "") -> str:
        return f"/p/{ticket or film.ticket}/{film.package_id}/licence/{system}"


@contextlib.asynccontextmanager
async def a_house(scene: Scene, servers: Servers, **changed: Any) -> AsyncIterator[House]:
    servers.secrets_into(scene.settings.secrets_dir)
    async with (
        with_keys(scene, **{**servers.settings(), "drm_upstream_seconds": 5, **changed}) as keys,
        running_edge(
            scene.settings.secrets_dir, drm=scene.settings.peer("drm"), policy=scene.settings.peer("policy")
        ) as edge,
    ):
        yield House(keys, servers, edge.http)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with licence_servers() as servers:
        yield servers
        assert servers.wrong == []


@pytest.fixture
async def house(scene: Scene, servers: Servers) -> AsyncIterator[House]:
    async with a_house(scene, servers) as house:
        yield house


def told(fault: bytes) -> tuple[str, str]:
    """Status code and custom data of a fault."""
    (found,) = etree.fromstring(fault).iter("{http://schemas.xmlsoap.org/soap/envelope/}Fault")
    return found.findtext("detail/Exception/StatusCode") or "", found.findtext("detail/Exception/CustomData") or ""


def all_of(film: Film) -> list[bytes]:
    return [key.key_id for key in film.keys]


class TestWidevine:
    async def test_a_player_gets_the_keys_that_are_for_it_and_the_licence_is_told_of(self, house: House) -> None:
        film = await house.keys.film("AUDIO", "HD", "UHD1")
        answer = await house.widevine(film, L1.challenge(*all_of(film)))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert L1.keys(answer.content) == {key.key_id: key.key for key in film.keys}
        issued = await house.keys.scene.bus.hears(events_pb2.LicenceIssued)
        assert (issued.session_id, issued.key_system) == (film.session_id, "com.widevine.alpha")
        assert issued.security_level == licences_pb2.SECURITY_LEVEL_HARDWARE
        assert list(issued.key_ids) == [key.key_id.hex() for key in film.keys]
        assert not any(key.key in issued.SerializeToString() for key in film.keys)

        answer = await house.widevine(film, L3.challenge())
        assert L3.keys(answer.content) == {key.key_id: key.key for key in film.keys[:2]}
        issued = (await house.keys.scene.bus.hears(events_pb2.LicenceIssued, count=2),)[-1]
        assert list(issued.dropped_key_ids) == [film.keys[2].key_id.hex()]
        assert issued.security_level == licences_pb2.SECURITY_LEVEL_SOFTWARE

    async def test_the_service_certificate(self, house: House) -> None:
        film = await house.keys.film("HD")
        answer = await house.widevine(film, widevine_device.CERTIFICATE_REQUEST)
        assert answer.content == widevine_device.signed(5, b"certificate of acme")

    async def test_keys_of_another_film_are_not_had(self, house: House) -> None:
        film, other = await house.keys.film("HD"), await house.keys.film("HD")
        answer = await house.widevine(film, L1.challenge(*all_of(other)))
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (403, "KEY_NOT_ENTITLED")
        assert house.servers.asked == 0

    async def test_refusals_are_problem_details(self, house: House) -> None:
        film = await house.keys.film("UHD1")
        revoked = widevine_device.Device(level=1, state="DRM_DEVICE_CERTIFICATE_REVOKED")
        for challenge, ticket, status, reason in (
            (L1.challenge(), "a.b.c", 403, "TICKET_INVALID"),
            (b"<html>", "", 400, "LICENCE_REQUEST_MALFORMED"),
            (L3.challenge(), "", 403, "SECURITY_LEVEL_TOO_LOW"),
            (L1.challenge(offline=True), "", 403, "OFFLINE_NOT_ALLOWED"),
            (revoked.challenge(), "", 403, "UPSTREAM_REFUSED_PLAYER"),
        ):
            answer = await house.widevine(film, challenge, ticket=ticket)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            problem = answer.json()
            assert (problem["status"], problem["details"][0]["reason"]) == (status, reason)
        async with asyncio.timeout(60):
            while self.told_of(house, film) != {
                "SECURITY_LEVEL_TOO_LOW",
                "OFFLINE_NOT_ALLOWED",
                "UPSTREAM_REFUSED_PLAYER",
            }:
                await asyncio.sleep(0.02)
        assert not [
            one for one in house.keys.scene.bus.heard(events_pb2.LicenceIssued) if one.session_id == film.session_id
        ]

    def told_of(self, house: House, film: Film) -> set[str]:
        """Reasons of refusals that events tell of."""
        heard = house.keys.scene.bus.heard(events_pb2.LicenceRefused)
        return {one.reason for one in heard if one.session_id == film.session_id}

    async def test_a_challenge_without_end_is_cut_off(self, house: House) -> None:
        film = await house.keys.film("HD")
        assert (await house.widevine(film, bytes(100_000))).status_code == 400
        assert (await house.widevine(film, bytes(5_000_000))).status_code == 413

    @pytest.mark.parametrize("mood", ["fails", "hangs", "babbles", "floods"])
    async def test_while_the_licence_service_is_away_players_are_told_when_to_come_back(
        self, house: House, mood: Mood
    ) -> None:
        film = await house.keys.film("HD")
        house.servers.mood = mood
        answer = await house.widevine(film, L3.challenge())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["details"][0]["reason"] == "UPSTREAM_UNAVAILABLE"
        house.servers.mood = "serves"
        assert (await house.widevine(film, L3.challenge())).status_code == 200


class TestPlayReady:
    async def test_a_player_gets_the_keys_that_are_for_it_and_the_licence_is_told_of(self, house: House) -> None:
        film = await house.keys.film("AUDIO", "HD", "UHD1")
        challenge = SL3000.challenge(*all_of(film))
        answer = await house.playready(film, challenge)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
        assert SL3000.keys(answer.content) == {key.key_id: key.key for key in film.keys}
        assert set(house.servers.bodies) == {challenge}, "byte for byte, through the edge as well"
        issued = await house.keys.scene.bus.hears(events_pb2.LicenceIssued)
        assert (issued.session_id, issued.key_system) == (film.session_id, "com.microsoft.playready")
        answer = await house.playready(film, SL2000.challenge(*all_of(film)))
        assert SL2000.keys(answer.content) == {key.key_id: key.key for key in film.keys[:2]}

    async def test_refusals_are_soap_faults(self, house: House) -> None:
        film = await house.keys.film("UHD1")
        revoked = playready_device.Device(level=3000, state="0x8004C065")
        for challenge, ticket, code, reason in (
            (SL3000.challenge(*all_of(film)), "a.b.c", "0x8004C604", "policy.reelmesh/TICKET_INVALID"),
            (b"<html>", "", "0x8004C601", "drm.reelmesh/LICENCE_REQUEST_MALFORMED"),
            (SL2000.challenge(*all_of(film)), "", "0x8004C604", "drm.reelmesh/SECURITY_LEVEL_TOO_LOW"),
            (revoked.challenge(*all_of(film)), "", "0x8004C065", "drm.reelmesh/UPSTREAM_REFUSED_PLAYER"),
        ):
            answer = await house.playready(film, challenge, ticket=ticket)
            assert (answer.status_code, answer.headers["content-type"]) == (500, "text/xml; charset=utf-8")
            found, custom = told(answer.content)
            assert (found, custom.split(" ")[0]) == (code, reason)
            assert answer.headers["x-correlation-id"] == custom.split(" ")[1]

    async def test_while_the_licence_server_is_away_it_is_an_internal_error(self, house: House) -> None:
        film = await house.keys.film("HD")
        house.servers.mood = "fails"
        answer = await house.playready(film, SL2000.challenge(*all_of(film)))
        assert (answer.status_code, told(answer.content)[0]) == (500, "0x8004C600")
        assert answer.headers["retry-after"] == "2"

    async def test_a_browser_of_another_site_may_send_its_soap(self, house: House) -> None:
        film = await house.keys.film("HD")
        asked = {
            "origin": "https://elsewhere.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,soapaction",
        }
        answer = await house.http.options(house.path(film, "playready"), headers=asked)
        assert answer.status_code == 200
        assert "soapaction" in answer.headers["access-control-allow-headers"]


async def test_what_the_operator_has_no_server_for_is_not_offered(scene: Scene, servers: Servers) -> None:
    async with a_house(scene, servers, drm_widevine_url="", drm_playready_url="") as house:
        film = await house.keys.film("HD")
        answer = await house.widevine(film, L3.challenge())
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (409, "KEY_SYSTEM_NOT_OFFERED")
        answer = await house.playready(film, SL2000.challenge(*all_of(film)))
        assert told(answer.content)[1].startswith("drm.reelmesh/KEY_SYSTEM_NOT_OFFERED")
        assert servers.asked == 0


async def test_by_grpc_the_answers_are_the_same(scene: Scene, servers: Servers) -> None:
    servers.secrets_into(scene.settings.secrets_dir)
    async with with_keys(scene, **servers.settings()) as keys:
        film = await keys.film("HD")
        stub: upstream_licences_service_pb2_grpc.UpstreamLicencesServiceAsyncStub = (
            upstream_licences_service_pb2_grpc.UpstreamLicencesServiceStub(keys.channel)
        )
        request = api.AcquireWidevineLicenceRequest(ticket=film.ticket, package_id=film.package_id)
        request.challenge.data = L3.challenge()
        made = (await stub.AcquireWidevineLicence(request)).licence
        assert L3.keys(made.data) == {film.keys[0].key_id: film.keys[0].key}
        request.ticket = "x"
        made = (await stub.AcquireWidevineLicence(request)).licence
        assert made.content_type.startswith("application/problem+json; status=403")


class TestSettings:
    """What is wrong is refused at start, and no secret is told."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        Servers().secrets_into(tmp_path)
        return tmp_path

    def settings(self, mesh: ProcessSettings, folder: Path, **changed: str) -> DrmSettings:
        named = {**Servers(url="http://127.0.0.1:1").settings(), **changed}
        return DrmSettings(**{**mesh.model_dump(), "secrets_dir": folder, **named})

    @pytest.mark.parametrize(
        "url",
        [
            "http://licences.example/x",
            "https://user:pass@licences.example/",
            "ftp://licences.example",
            "licences.example",
            "https://",
            "https://licences.example/#x",
        ],
    )
    def test_keys_go_nowhere_in_the_clear(self, mesh: ProcessSettings, folder: Path, url: str) -> None:
        for name in ("drm_widevine_url", "drm_playready_url"):
            with pytest.raises(ValueError, match=r"must be|must begin"):
                self.settings(mesh, folder, **{name: url})

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("widevine_signing_key", b"secret word"),
            ("widevine_signing_iv", b"ab" * 15),
            ("playready_secret", b"x" * 31),
            ("playready_signing_key.pem", b"-----BEGIN secret word-----"),
        ],
    )
    def test_a_secret_that_is_none(self, mesh: ProcessSettings, folder: Path, name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)
        settings, clock = self.settings(mesh, folder), SystemClock()
        with pytest.raises(UnusableSecret, match=name) as caught:
            settings.widevine(clock) if name.startswith("widevine") else settings.playready(clock)
        assert "secret word" not in str(caught.value)

    def test_a_secret_that_is_missing(self, mesh: ProcessSettings, folder: Path) -> None:
        (folder / "widevine_signing_iv").unlink()
        with pytest.raises(FileNotFoundError, match="widevine_signing_iv"):
            self.settings(mesh, folder).widevine(SystemClock())

    def test_a_service_without_an_account(self, mesh: ProcessSettings, folder: Path) -> None:
        with pytest.raises(ValueError, match="drm_widevine_provider"):
            self.settings(mesh, folder, drm_widevine_provider="").widevine(SystemClock())
