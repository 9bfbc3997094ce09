"""What a running install has written to people: its outgoing messages, opened with its own key."""

from __future__ import annotations

import asyncio

import asyncpg

from services.identity.messages import Messages, OutgoingMessage
from services.identity.sealing import IDENTITY_KEY_FILE, Seal
from tests.support.mesh import Mesh


async def messages_to(mesh: Mesh, address: str) -> list[OutgoingMessage]:
    """What is on its way to somebody, in the order of writing."""
    layout = mesh.installation.layout
    opener = Messages(Seal((layout.secrets / IDENTITY_KEY_FILE).read_bytes()))
    connection = await asyncpg.connect(host=str(layout.postgres_socket), user="identity", database="reelmesh")
    try:
        rows = await connection.fetch("SELECT message_id, sealed FROM identity.messages ORDER BY message_id")
    finally:
        await connection.close()
    opened = [opener.opened(row["message_id"], row["sealed"]) for row in rows]
    return [message for message in opened if message.to == address.lower()]


async def newest_code(mesh: Mesh, address: str, template: str, within: float = 10) -> str:
    """The code in the newest message of a kind to somebody; waits until there is one."""
    async with asyncio.timeout(within):
        while True:
            found = [message for message in await messages_to(mesh, address) if message.template == template]
            if found:
                return found[-1].parameters["code"]
            await asyncio.sleep(0.05)
