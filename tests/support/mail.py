"""What people were sent: what waits in identity's box, and what the console wrote down of it since."""

from __future__ import annotations

import json

import asyncpg

from services.identity.messages import Messages, OutgoingMessage
from services.identity.trust.signing import IDENTITY_KEY_FILE
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings


async def sent_to(settings: ProcessSettings, to: str) -> list[OutgoingMessage]:
    """Messages to an address, oldest first. The box is looked into first: what has left it is written down already."""
    found: dict[str, OutgoingMessage] = {}
    box = Messages(Seal(settings.secret(IDENTITY_KEY_FILE), "identity"))
    connection = await asyncpg.connect(
        host=settings.database_host, user=settings.database_admin, database=settings.database_name
    )
    try:
        for row in await connection.fetch("SELECT message_id, sealed FROM identity.messages"):
            found[row["message_id"]] = box.opened(row["message_id"], row["sealed"])
    finally:
        await connection.close()
    for file in (settings.data_dir / "messages").glob("*.json"):
        letter = json.loads(file.read_text(encoding="utf-8"))
        parameters = {"code": letter["code"]} if letter["code"] else {}
        found.setdefault(
            file.stem, OutgoingMessage(letter["channel"], letter["to"], letter["template"], "", parameters)
        )
    return [found[message_id] for message_id in sorted(found) if found[message_id].to == to.lower()]
