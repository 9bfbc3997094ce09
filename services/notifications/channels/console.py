"""For an install without a provider: each message becomes a file, which `reelmesh messages` shows. Never a log line: it may hold a code."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from services.kit.clock import Clock
from services.notifications.domain import Letter

KEPT_FOR: Final = 24 * 3600.0
"""Seconds for which a message can be read."""


class Console:
    """Writes messages into a folder (0700), a file (0600) each, named by its id: later ones sort later."""

    def __init__(self, folder: Path, channel: str, clock: Clock) -> None:
        self._folder = folder
        self._channel = channel
        self._clock = clock

    @property
    def provider(self) -> str:
        """The name."""
        return "console"

    async def send(self, letter: Letter) -> None:
        """Writes the file, whole or not at all."""
        content = {"channel": self._channel, **asdict(letter), "send_time": self._clock.now().isoformat()}
        await asyncio.to_thread(self._write, letter.message_id, json.dumps(content, ensure_ascii=False))

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _write(self, message_id: str, content: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._folder / f".{message_id}.new"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        partial.replace(self._folder / f"{message_id}.json")


def forget_old(folder: Path) -> None:
    """Removes files of messages that are a day old, and those of a process that died in mid-writing."""
    for file in [*folder.glob("*.json"), *folder.glob(".*.new")]:
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < time.time() - KEPT_FOR:
                file.unlink()
