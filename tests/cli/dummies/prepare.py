"""A job: counts its runs in a real Postgres table, so that a test can see that a second start finds the first one's data."""

from __future__ import annotations

import asyncio
import os

import asyncpg


async def count_this_run() -> int:
    """Adds one to the count and returns it."""
    connection = await asyncpg.connect(host=os.environ["REELMESH_DATABASE_HOST"], user="postgres", database="postgres")
    try:
        await connection.execute("create table if not exists runs (at timestamptz default now())")
        await connection.execute("insert into runs default values")
        return int(await connection.fetchval("select count(*) from runs"))
    finally:
        await connection.close()


def main() -> None:
    """Prints the count."""
    print(f"runs: {asyncio.run(count_this_run())}")


if __name__ == "__main__":
    main()
