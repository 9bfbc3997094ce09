"""Every key of an install in the clear, by its root key in a file, and all that its database holds: to look for the ones in the other."""

from __future__ import annotations

import io
from typing import Any

from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from services.drm.keystores.keystore import AesGcmKey


async def opened_keys(connection: Any, root_key: bytes) -> dict[str, bytes]:
    """Key-encryption keys and content keys by a name that may be shown."""
    found: dict[str, bytes] = {}
    for row in await connection.fetch("SELECT kek_id, wrapped FROM drm.key_encryption_keys WHERE destroy_time IS NULL"):
        found[f"KEK {row['kek_id']}"] = aes_key_unwrap(root_key, row["wrapped"])
    rows = await connection.fetch(
        "SELECT key_id, organisation_id, kek_id, version, sealed FROM drm.content_keys WHERE revoke_time IS NULL"
    )
    for row in rows:
        bound_to = f"{row['organisation_id']}|{row['key_id'].hex()}|{row['version']}".encode()
        secret = AesGcmKey(found[f"KEK {row['kek_id']}"]).unseal(row["sealed"], bound_to)
        found[f"content key {row['key_id'].hex()}"] = secret[:16]
    return found


async def dump(connection: Any) -> dict[str, bytes]:
    """Every table of every service, as text, by its name."""
    tables = await connection.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
    )
    texts = {}
    for row in tables:
        out = io.BytesIO()
        await connection.copy_from_table(row["tablename"], schema_name=row["schemaname"], output=out)
        texts[f"database {row['schemaname']}.{row['tablename']}"] = out.getvalue()
    return texts
