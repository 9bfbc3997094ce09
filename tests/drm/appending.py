"""Appends to a journal for ever, and says of each record that it is on the disk once it is. It is there to be killed."""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from services.drm.licences.journal import Journal


async def _append(folder: Path) -> None:
    journal = Journal(folder, segment_bytes=4096)
    numbers = count()

    async def one_after_another() -> None:
        while True:
            content = f"record {next(numbers)}"
            await journal.append(content.encode())
            sys.stdout.write(content + "\n")
            sys.stdout.flush()

    await asyncio.gather(*(one_after_another() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(_append(Path(sys.argv[1])))
