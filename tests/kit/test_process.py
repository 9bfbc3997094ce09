"""The kit on the real stores."""

from __future__ import annotations

import asyncpg
import pytest

from services.kit.settings import ProcessSettings


async def test_a_service_sees_its_own_schema_and_no_other(mesh: ProcessSettings) -> None:
    connection = await asyncpg.connect(host=mesh.database_host, user="upload", database=mesh.database_name)
    try:
        assert await connection.fetchval("SELECT count(*) FROM uploads") == 0
        assert await connection.fetchval("SELECT current_schema()") == "upload"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE public.mine (x int)")
    finally:
        await connection.close()
