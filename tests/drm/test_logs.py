"""Both services as processes of their own, talking as much as they can: nothing that they say gives a secret away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
from reelmesh.drm.v1 import events_pb2
from reelmesh.policy.v1 import decisions_service_pb2_grpc, policy_service_pb2_grpc
from reelmesh.policy.v1 import policy_service_pb2 as policy_api

from services.drm.__main__ import CONTRACT, DrmSettings
from services.drm.domain import kid_of
from services.kit.clock import FixedClock, SystemClock
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.__main__ import CONTRACT as POLICY_CONTRACT
from services.policy.__main__ import PolicySettings
from tests.drm.scene import Film, Keys, keys_over
from tests.policy.scene import Scene, an_edge, refused
from tests.support.bus import on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.running import connected

ROOT = Path(__file__).resolve().parents[2]


def environment(settings: ProcessSettings) -> dict[str, str]:
    """The settings as a process reads them."""
    values = settings.model_dump(mode="json", exclude_none=True, exclude={"peers"})
    named = {f"REELMESH_{name.upper()}": str(value) for name, value in values.items() if value != ""}
    return {**os.environ, **named, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen/python'}", "GRPC_VERBOSITY": "INFO"}


@contextlib.asynccontextmanager
async def processes(settings: ProcessSettings, log: Path) -> AsyncIterator[None]:
    """Runs `python -m services.policy` and `… drm` for the length of the block, all that they print going to one file."""
    started: list[asyncio.subprocess.Process] = []
    with log.open("wb") as out:
        try:
            for service in ("policy", "drm"):
                program = (sys.executable, "-m", f"services.{service}")
                started.append(
                    await asyncio.create_subprocess_exec(
                        *program, env=environment(settings), cwd=ROOT, stdout=out, stderr=out
                    )
                )
            for service in ("policy", "drm"):
                async with asyncio.timeout(60), connected(settings, service, CONTRACT) as channel:
                    await channel.channel_ready()
            yield
        finally:
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            codes = await asyncio.gather(*(process.wait() for process in started))
    assert codes == [0, 0], log.read_text()


async def make_it_fail(settings: ProcessSettings, keys: Keys) -> None:
    """A statement that the database refuses: the server logs it as its own defect, with all it knows."""
    admin = await asyncpg.connect(host=settings.database_host, user="drm", database=settings.database_name)
    try:
        await admin.execute("ALTER TABLE content_keys ADD CONSTRAINT never CHECK (version > 1) NOT VALID")
        assert (await refused(keys.make(new_id("pkg"), "HD"))).reason == "INTERNAL"
    finally:
        await admin.execute("ALTER TABLE content_keys DROP CONSTRAINT never")
        await admin.close()


async def use(keys: Keys) -> tuple[Film, set[str]]:
    """Everything that can be done with keys, well and badly. Returns a film and every code and ticket seen."""
    scene = keys.scene
    film = await keys.film("AUDIO", "HD", "UHD1", hidden=["UHD1"])
    answer = await scene.play(film.asset_id)
    await scene.stub.RedeemPlaybackCode(policy_api.RedeemPlaybackCodeRequest(code=answer.code))
    await refused(scene.stub.RedeemPlaybackCode(policy_api.RedeemPlaybackCodeRequest(code=answer.code)))
    await keys.licence(film)
    await keys.hls_key(film, film.keys[0].key_id.hex())
    for call in (
        keys.licence(film, ticket=film.ticket[:-6] + "AAAAAA"),
        keys.licence(film, kid_of(film.keys[2].key_id)),
        keys.licence(film, film.ticket[:60]),
        keys.hls_key(film, uuid.uuid4().hex),
        keys.hls_key(film, film.ticket),
    ):
        await refused(call)
    assert (await scene.edge.check(answer.playback.dash_url)).allowed
    assert not (await scene.edge.check(answer.playback.dash_url + "/../x")).allowed
    await make_it_fail(keys.settings, keys)
    await scene.revoke(film.session_id)
    await refused(keys.licence(film))
    await scene.bus.hears(events_pb2.LicenceIssued, count=2)
    return film, {answer.code, answer.playback.dash_url.split("/")[4], film.ticket}


def written(secret: bytes) -> set[str]:
    """How 16 bytes may turn up in a text."""
    return {
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        repr(secret)[2:-1],
        "".join(f"\\{byte:03o}" for byte in secret),
        str(uuid.UUID(bytes=secret)),
        json.dumps(secret.decode("latin-1"))[1:-1],
    }


async def test_no_log_line_holds_a_key_a_ticket_or_a_code(mesh: ProcessSettings, tmp_path: Path) -> None:
    folder = mesh.run_dir / "two"
    folder.mkdir(exist_ok=True)
    shared: dict[str, Any] = {**mesh.model_dump(), "run_dir": folder, "log_level": "DEBUG"}
    settings, log = DrmSettings(**shared), tmp_path / "log"
    async with (
        processes(settings, log),
        on_the_bus(settings) as bus,
        connected(settings, "policy", POLICY_CONTRACT) as to_policy,
        connected(settings, "drm", CONTRACT, key="", caller="packaging") as packager,
        connected(settings, "drm", CONTRACT, key="") as player,
        an_edge(settings) as edge,
    ):
        clock = FixedClock(SystemClock().now())
        stub = policy_service_pb2_grpc.PolicyServiceStub(to_policy)
        decisions = decisions_service_pb2_grpc.DecisionsServiceStub(to_policy)
        scene = Scene(
            PolicySettings(**shared),
            stub,
            decisions,
            edge,
            bus,
            clock,
            organisation_of_operator(settings),
            to_policy,
            to_policy,
        )
        film, credentials = await use(keys_over(scene, settings, packager, player, player))

    text = log.read_text(encoding="utf-8", errors="replace")
    for method in (
        "CreatePlayback",
        "RedeemPlaybackCode",
        "BatchAuthorizeKeys",
        "CreateContentKeys",
        "IssueClearKeyLicence",
        "GetHlsKey",
    ):
        assert f"/{method}" in text, "the log is the right one"
    assert '"defect"' in text
    secrets = {form for key in film.keys for value in (key.key, key.iv) for form in written(value)}
    secrets |= {
        form for credential in credentials for form in (credential, credential.rpartition(".")[2], credential[-24:])
    }
    secrets |= written((settings.secrets_dir / "root_key").read_bytes()[:16])
    found = [line for line in text.splitlines() for secret in secrets if secret in line]
    assert not found, found[0]
    assert '"status": "INTERNAL"' in text
