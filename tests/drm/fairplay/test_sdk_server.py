"""Apple's own server as the second module: what it is told, and what becomes of its answers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from services.drm.domain import ContentKey
from services.drm.fairplay.conditions import Conditions
from services.drm.fairplay.sdk_server import request_of
from services.drm.fairplay.tags import HdcpType
from tests.drm.fairplay.scene import FairPlay, Film, with_fairplay
from tests.policy.scene import Scene
from tests.support.fairplay_sdk_server import SdkServer, sdk_server

FORM = "application/x-www-form-urlencoded"
KEY = ContentKey("HD", bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))
DAY = timedelta(days=1)


@pytest.fixture
async def apple() -> AsyncIterator[SdkServer]:
    async with sdk_server() as server:
        yield server


@pytest.fixture
async def fairplay(scene: Scene, apple: SdkServer, tmp_path: Path) -> AsyncIterator[FairPlay]:
    async with beside(scene, apple, tmp_path) as fairplay:
        yield fairplay


@asynccontextmanager
async def beside(scene: Scene, apple: SdkServer, folder: Path, **changed: str) -> AsyncIterator[FairPlay]:
    """Both modules, unless `changed`."""
    async with with_fairplay(scene, folder, drm_fairplay_server_url=apple.url, **changed) as fairplay:
        yield fairplay
    assert apple.wrong == []


def spc_of(version: int, mark: str) -> bytes:
    """An SPC that only Apple's server reads."""
    return version.to_bytes(4, "big") + bytes(4) + mark.encode()


def form(spc: bytes, film: Film, label: str = "HD", **fields: str) -> bytes:
    (key,) = (key for key in film.keys if key.label == label)
    return urlencode({"spc": base64.b64encode(spc).decode(), "key_id": key.key_id.hex(), **fields}).encode()


@pytest.mark.parametrize("version", [2, 3])
async def test_newer_spcs_go_to_apples_server_and_its_answer_comes_back(
    fairplay: FairPlay, apple: SdkServer, version: int
) -> None:
    film, spc = await fairplay.keys.film("AUDIO", "HD"), spc_of(version, "first")
    answer = await fairplay.send(film, form(spc, film), FORM)
    assert base64.b64decode(answer.data) == b"CKC of " + spc
    (asked,) = apple.asked
    (key,) = (key for key in film.keys if key.label == "HD")
    (asset,) = asked["asset-info"]
    assert (asset["content-key"], asset["content-iv"]) == (key.key.hex(), key.iv.hex())
    assert asset["lease-duration"] > 0
    assert base64.b64decode(asked["spc"]) == spc


async def test_spcs_of_version_1_stay_here_where_there_is_a_d_function(fairplay: FairPlay, apple: SdkServer) -> None:
    film = await fairplay.keys.film()
    asking = fairplay.ask(film)
    asking.receive(await fairplay.ckc(film, asking.spc))
    assert apple.asked == []


async def test_without_a_d_function_all_go_to_apples_server(scene: Scene, apple: SdkServer, tmp_path: Path) -> None:
    async with beside(scene, apple, tmp_path, drm_fairplay_d_function="") as fairplay:
        film = await fairplay.keys.film("HD")
        spc = fairplay.ask(film).spc
        # With one key there is nothing to choose from, and raw bytes will do.
        assert await fairplay.ckc(film, spc) == b"CKC of " + spc


async def test_which_key_it_is_must_be_said_beside_what_cannot_be_read(fairplay: FairPlay, apple: SdkServer) -> None:
    film = await fairplay.keys.film("AUDIO", "HD")
    answer = await fairplay.refused(film, spc_of(2, "raw"))
    assert answer == (400, "FAIRPLAY_SPC_REFUSED", {"status": "-42584", "kind": "UnknownAsset"})
    assert apple.asked == []


async def test_a_key_beside_an_spc_that_can_be_read_must_be_the_same(fairplay: FairPlay) -> None:
    film = await fairplay.keys.film("AUDIO", "HD")
    answer = await fairplay.refused(film, form(fairplay.ask(film, "HD").spc, film, "AUDIO"), FORM)
    assert answer == (400, "FAIRPLAY_SPC_REFUSED", {"status": "-42584", "kind": "UnknownAsset"})


async def test_the_same_bytes_are_not_forwarded_twice(fairplay: FairPlay, apple: SdkServer) -> None:
    film = await fairplay.keys.film()
    body = form(spc_of(2, f"once for {film.package_id}"), film)
    assert (await fairplay.send(film, body, FORM)).content_type == "text/plain"
    assert (await fairplay.refused(film, body, FORM))[1] == "FAIRPLAY_SPC_REPLAYED"
    assert len(apple.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(-42591, "DuplicateTag"), (-42589, "BrokenIntegrity"), (-42605, "RefusedByServer")]
)
async def test_its_refusals_are_passed_on(fairplay: FairPlay, apple: SdkServer, status: int, kind: str) -> None:
    film, apple.status = await fairplay.keys.film(), status
    answer = await fairplay.refused(film, form(spc_of(2, film.package_id), film), FORM)
    assert answer == (400, "FAIRPLAY_SPC_REFUSED", {"status": str(status), "kind": kind})


@pytest.mark.parametrize(("mood", "why"), [("fails", "failing"), ("babbles", "unusable"), ("lies", "unusable")])
async def test_a_server_in_trouble_is_no_fault_of_the_player(
    fairplay: FairPlay, apple: SdkServer, mood: str, why: str
) -> None:
    film, apple.mood = await fairplay.keys.film(), mood
    answer = await fairplay.refused(film, form(spc_of(2, film.package_id), film), FORM)
    assert answer == (503, "UPSTREAM_UNAVAILABLE", {"upstream": "fairplay", "why": why})


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (Conditions(), {"hdcp-type": -1}),
        (Conditions(hdcp=HdcpType.TYPE_0), {"hdcp-type": 0}),
        (Conditions(licence=DAY, hdcp=HdcpType.TYPE_1), {"hdcp-type": 1, "lease-duration": 86400}),
        (Conditions(offline=True), {"hdcp-type": -1, "offline-hls": {}}),
        (Conditions(offline=True, rental=2 * DAY), {"hdcp-type": -1, "offline-hls": {"rental-duration": 172800}}),
        (
            Conditions(offline=True, rental=2 * DAY, playback=DAY),
            {"hdcp-type": -1, "offline-hls": {"rental-duration": 172800, "playback-duration": 86400}},
        ),
    ],
)
def test_every_policy_in_the_words_of_the_sdk(conditions: Conditions, said: dict[str, object]) -> None:
    asked = request_of(b"spc", KEY, conditions)["fairplay-streaming-request"]
    (asset,) = asked["create-ckc"][0]["asset-info"]
    assert (asked["version"], asked["create-ckc"][0]["id"], asset.pop("encryption-scheme")) == (1, 1, "cbcs")
    assert (asset.pop("content-key"), asset.pop("content-iv")) == (KEY.key.hex(), KEY.iv.hex())
    if "offline-hls" in asset:
        assert asset["offline-hls"].pop("stream-id") == KEY.key_id.hex()
    assert asset == said
