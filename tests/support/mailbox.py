"""What a running install has sent to people, as `reelmesh messages` shows it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.support.mesh import Mesh


def _sent_to(mesh: Mesh, address: str, template: str) -> list[dict[str, Any]]:
    """Letters of one kind to somebody, in the order of writing."""
    files = sorted((mesh.data / "messages").glob("*.json"))
    letters: list[dict[str, Any]] = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [letter for letter in letters if (letter["to"], letter["template"]) == (address.lower(), template)]


async def newest_letter(mesh: Mesh, address: str, template: str, within: float = 60) -> dict[str, Any]:
    """The newest letter of a kind to somebody; waits until there is one."""
    async with asyncio.timeout(within):
        while True:
            if found := await asyncio.to_thread(_sent_to, mesh, address, template):
                return found[-1]
            await asyncio.sleep(0.05)


async def newest_code(mesh: Mesh, address: str, template: str) -> str:
    """The code in it."""
    return str((await newest_letter(mesh, address, template))["code"])
