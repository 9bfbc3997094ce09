"""Keys are stolen, or lost, on a whole mesh: by the command that people use, with processes killed in the middle."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from reelmesh.policy.v1.policy_pb2 import Playback

from tests.support.films import film
from tests.support.mesh import Mesh, running_mesh


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with running_mesh() as mesh:
        yield mesh


@pytest.fixture(scope="module")
async def asset_id(mesh: Mesh) -> str:
    """A title that goes through all of it."""
    async with mesh.client() as client:
        upload = await client.upload_file(film())
        return (await client.wait_for_asset(upload.asset_id)).asset_id


async def playback(mesh: Mesh, asset_id: str) -> Playback:
    async with mesh.client() as client:
        return (await client.create_playback(asset_id)).playback


async def licence(mesh: Mesh, playback: Playback) -> httpx.Response:
    """What a player does: the manifest, and a licence for its keys."""
    async with mesh.http() as http:
        manifest = (await http.get(playback.dash_url)).text
        kids = sorted(set(re.findall(r'default_KID="([0-9a-fA-F-]{36})"', manifest)))
        asked = [base64.urlsafe_b64encode(bytes.fromhex(kid.replace("-", ""))).decode().rstrip("=") for kid in kids]
        return await http.post(playback.licence_url, json={"kids": asked or ["A" * 22], "type": "temporary"})


async def command(mesh: Mesh, *words: str) -> dict[str, Any]:
    return await asyncio.to_thread(mesh.command, "keys", *words)


@pytest.mark.timeout(400)
async def test_an_emergency_ends_well_although_everybody_in_it_is_killed(mesh: Mesh, asset_id: str) -> None:
    before = await playback(mesh, asset_id)
    assert (await licence(mesh, before)).status_code == 200
    begun = (await command(mesh, "emergency", "--reason", "a laptop was stolen", "--no-wait"))["rotation"]
    for process in ("drm", "packaging", "packaging-worker"):
        pid = mesh.installation.pid(process)
        mesh.kill(process)
        await mesh.repaired(process, pid)
    ended = await command(mesh, "emergency", "--follow", begun["rotation_id"])
    assert ended["rotation"]["state"] == "ROTATION_STATE_COMPLETED"
    assert (ended["rotation"]["titles_done"], ended["failed"]) == ("1", [])
    async with asyncio.timeout(
        60
    ):  # who issues keys may have heard of the successor before those have who open playbacks
        while (after := await playback(mesh, asset_id)).package_id == before.package_id:
            await asyncio.sleep(0.1)
    assert (await licence(mesh, after)).status_code == 200
    async with mesh.http() as http, asyncio.timeout(60):
        while (await licence(mesh, before)).status_code == 200:
            await asyncio.sleep(0.1)
        while (await http.get(before.dash_url)).status_code not in {403, 404}:
            await asyncio.sleep(0.1)
    used = (await command(mesh, "audit", "--package", before.package_id))["uses"]
    assert [use["action"] for use in used][:1] == ["KEY_ACTION_DESTROYED"]


@pytest.mark.timeout(400)
async def test_an_install_without_its_root_key_is_brought_back_by_its_shares(
    mesh: Mesh, asset_id: str, tmp_path: Path
) -> None:
    made = await command(mesh, "escrow", "--shares", "4", "--needed", "2")
    files = []
    for number, share in enumerate(made["shares"]):
        files.append(tmp_path / f"share-{number}")
        files[-1].write_text(f"{share}\n", encoding="utf-8")
    told = [word for file in (files[3], files[1]) for word in ("--share-file", str(file))]
    root_key = mesh.data / "secrets/root_key"
    lost = root_key.read_bytes()
    root_key.unlink()
    assert (await asyncio.to_thread(mesh.installation.run, "down")).returncode == 0
    up = ("up", "--detach", "--port", str(mesh.installation.port))
    assert (await asyncio.to_thread(mesh.installation.run, *up)).returncode == 0
    assert root_key.read_bytes() != lost
    now = await playback(mesh, asset_id)
    refused = await licence(mesh, now)
    assert (refused.is_client_error, "KEYSTORE_LOCKED" in refused.text) == (True, True)
    rehearsed = await command(mesh, "recover", "--rehearse", *told)
    assert (rehearsed["restored"], rehearsed["locked"], rehearsed["opened"]) == (
        0,
        rehearsed["keks"],
        rehearsed["keks"],
    )
    assert (await licence(mesh, now)).is_client_error
    assert (await command(mesh, "recover", *told))["restored"] == rehearsed["keks"]
    assert (await licence(mesh, now)).status_code == 200
    listed = await command(mesh, "list")
    assert {key["root_id"] for key in listed["keys"] if "destroy_time" not in key} == {listed["root_id"]}


async def test_doctor_says_where_the_root_key_is(mesh: Mesh) -> None:
    found = await asyncio.to_thread(mesh.command, "doctor", check=False)
    (root,) = [one for one in found["findings"] if one["name"] == "root key"]
    assert root["ok"]
    assert "secrets/root_key without a passphrase" in root["found"]


async def test_too_few_shares_change_nothing(mesh: Mesh, tmp_path: Path) -> None:
    made = await command(mesh, "escrow")
    file = tmp_path / "share"
    file.write_text(made["shares"][0], encoding="utf-8")
    ran = await asyncio.to_thread(mesh.installation.run, "keys", "recover", "--share-file", str(file), "--json")
    assert ran.returncode == 1
    assert "3 different shares are needed, and 1 came together" in ran.stdout
