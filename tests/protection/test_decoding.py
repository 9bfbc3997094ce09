"""Decoding suspicious files."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import psutil
import pytest

from services.protection.detection import decoding
from services.protection.detection.decoding import DecoderKilled
from tests.protection.leaks import MarkedFilm


async def test_a_decoder_that_was_killed_is_no_short_film(title: MarkedFilm) -> None:
    copy = title.master
    reading = asyncio.create_task(decoding.sampled(copy, (320, 180), 60))
    async with asyncio.timeout(60):
        while not _killed(copy):
            assert not reading.done(), "it must be killed in its midst"
            await asyncio.sleep(0.005)
    with pytest.raises(DecoderKilled):
        await reading


def _killed(copy: Path) -> bool:
    """Kills the ffmpeg that reads a film, once there is one."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ffmpeg" in child.name() and any(str(copy) in word for word in child.cmdline()):
                child.kill()
                return True
    return False
