"""`reelmesh account`, `member`, `role`, `organisation` and `api-key`, run as a person would run them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.kit.settings import ProcessSettings
from services.kit.tls import Certificates, client_context, host_name
from tests.identity.scene import Scene, a_scene
from tests.support.stores import operator_key

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class Command:
    """The command, and what it speaks to: the identity service itself in place of the edge."""

    scene: Scene
    url: str

    async def run(self, *words: str, key: str = "") -> Ran:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tools.reelmesh_cli",
            *words,
            cwd=REPOSITORY,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen/python'}",
                "REELMESH_URL": self.url,
                "REELMESH_API_KEY": key or operator_key(self.scene.settings),
                "COLUMNS": "200",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Ran(process.returncode, out.decode(), err.decode())

    async def told(self, *words: str) -> dict[str, Any]:
        """What a program is told, when all is well."""
        ran = await self.run(*words, "--json")
        assert ran.status == 0, ran
        return ran.json


@pytest.fixture
async def command(mesh: ProcessSettings) -> AsyncIterator[Command]:
    async with a_scene(mesh) as scene, _edge(mesh) as port:
        yield Command(scene, f"http://127.0.0.1:{port}")


@contextlib.asynccontextmanager
async def _edge(settings: ProcessSettings) -> AsyncIterator[int]:
    """What the edge is to the command: a port on which it speaks to the identity service without a certificate of its own. Bytes go on
    as they come, over a connection with Envoy's certificate."""
    envoy = Certificates(settings.tls_folder("envoy")).current()
    context = client_context(envoy)
    context.set_alpn_protocols(["h2"])
    tasks: set[asyncio.Task[None]] = set()

    async def pumped(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        # The command is gone, or the service is: nobody waits for what is still on its way.
        sink.transport.abort()
        with contextlib.suppress(OSError):
            await sink.wait_closed()

    async def joined(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, on = await asyncio.open_unix_connection(
            settings.peer("identity").removeprefix("unix:"),
            ssl=context,
            server_hostname=host_name(envoy.trust_domain, "identity"),
        )
        tasks.update({asyncio.create_task(pumped(near, on)), asyncio.create_task(pumped(far, back))})

    server = await asyncio.start_server(joined, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_the_first_human_admin_comes_to_be(command: Command) -> None:
    person = await command.scene.register("ada@example.com", display_name="Ada")
    told = await command.told("member", "roles", "ada@example.com", "admin")
    assert told["member"]["role_ids"] == ["admin"]
    assert told["member"]["account_id"] == person.account.account_id
    members = (await command.told("member", "list", "--role", "admin"))["members"]
    assert [member["email"] for member in members] == ["ada@example.com"]
    shown = await command.run("member", "list")
    assert ("ada@example.com" in shown.out, "Ada" in shown.out, shown.status) == (True, True, 0)
    last = await command.run("member", "remove", "ada@example.com")
    assert (last.status, last.out) == (3, "")
    assert "LAST_ADMIN" in last.err
    assert "make somebody else an admin first" in last.err


async def test_members_come_and_go(command: Command) -> None:
    await command.scene.register("ada@example.com")
    assert (await command.told("member", "remove", "ada@example.com"))["removed"] is True
    unknown = await command.run("member", "roles", "ada@example.com", "creator")
    assert unknown.status == 1
    assert "reelmesh member add" in unknown.err
    told = await command.told("member", "add", "ada@example.com", "creator", "reviewer")
    assert told["member"]["role_ids"] == ["creator", "reviewer"]
    nobody = (await command.run("member", "add", "nobody@example.com", "viewer", "--json")).json["error"]
    assert (nobody["reason"], nobody["metadata"]) == ("EMAIL_UNKNOWN", {"email": "nobody@example.com"})
    roles = (await command.told("role", "list"))["roles"]
    assert {"role_id": "viewer", "display_name": "Viewer", "permissions": ["playback.create"]} in roles
    assert "compliance-officer" in (await command.run("role", "list")).out


async def test_accounts_are_locked_unlocked_and_put_in_a_tier(command: Command) -> None:
    person = await command.scene.register("ada@example.com")
    locked = await command.run("account", "lock", "ada@example.com")
    assert "signed out everywhere" in locked.out
    assert "locked" in (await command.run("account", "list")).out
    assert "lock_time" in (await command.told("account", "list"))["accounts"][0]
    unlocked = await command.told("account", "unlock", person.account.account_id)
    assert "lock_time" not in unlocked["account"]
    assert (await command.told("account", "tier", "ada@example.com", "premium"))["account"]["tier"] == "premium"
    assert (await command.told("account", "list", "--email", "x@example.com"))["accounts"] == []


async def test_api_keys_are_made_listed_and_revoked(command: Command) -> None:
    made = await command.told("api-key", "create", "ingest", "organisations.read", "uploads.write", "--days", "30")
    assert made["secret"].startswith(made["api_key"]["prefix"])
    shown = await command.run("organisation", "show", key=made["secret"])
    assert (shown.status, "Home" in shown.out) == (0, True)
    denied = await command.run("api-key", "list", key=made["secret"])
    assert (denied.status, "PERMISSION_MISSING" in denied.err) == (3, True)
    listed = await command.run("api-key", "list")
    assert made["api_key"]["prefix"] in listed.out
    assert made["secret"] not in listed.out
    revoked = await command.told("api-key", "revoke", made["api_key"]["key_id"])
    assert "revoke_time" in revoked["api_key"]
    refused = await command.run("organisation", "show", key=made["secret"])
    assert (refused.status, "CREDENTIAL_INVALID" in refused.err) == (3, True)
    assert "revoked" in (await command.run("api-key", "list")).out


async def test_an_organisation_is_made_for_somebody(command: Command) -> None:
    await command.scene.register("ada@example.com")
    made = await command.told("organisation", "create", "Lanterns", "--admin", "ada@example.com")
    assert made["organisation"]["display_name"] == "Lanterns"
    assert (await command.run("organisation", "create", "Herons")).status == 2
