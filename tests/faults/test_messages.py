"""Messages to people, while those who carry them are killed."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from services.notifications.store import LEASE
from tests.identity.scene import PASSWORD
from tests.support.mesh import Mesh

PEOPLE = 12


def sent(mesh: Mesh) -> list[dict[str, str]]:
    """What `reelmesh messages` shows."""
    lines = mesh.installation.run("messages", "--json").stdout.splitlines()
    return [message for message in map(json.loads, lines) if message["to"].startswith("person")]


@pytest.mark.timeout(300)
async def test_everybody_gets_their_code_once_although_its_carriers_are_killed(fragile_mesh: Mesh) -> None:
    async with httpx.AsyncClient(base_url=fragile_mesh.url, timeout=30, trust_env=False) as http:
        for number in range(PEOPLE):
            if victim := {3: "notifications", 7: "identity"}.get(number):
                old_pid = fragile_mesh.installation.pid(victim)
                fragile_mesh.kill(victim)
                await fragile_mesh.repaired(victim, old_pid)
            body = {"email": f"person{number}@example.com", "password": PASSWORD}
            answer = await http.post("/v1/accounts:register", json=body)
            assert answer.status_code == 200, answer.text
    expected = {f"person{number}@example.com" for number in range(PEOPLE)}
    # A message whose carrier died with it in hand may have been sent: nobody else takes it before the claim on it ends, and the box asks ever
    # more seldom.
    async with asyncio.timeout(LEASE.total_seconds() * 2):
        while {message["to"] for message in sent(fragile_mesh)} != expected:
            await asyncio.sleep(0.5)
    messages = sent(fragile_mesh)
    assert len(messages) == PEOPLE
    logs = fragile_mesh.logs()
    assert not [message for message in messages if message["code"] in logs or message["to"] in logs]
