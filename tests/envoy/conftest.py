"""One edge for all tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.envoy import parts
from tests.envoy.edge import Edge, running_edge

INDEX = "<!doctype html><title>Reelmesh</title>"
SEGMENT = bytes(range(256)) * 4


@pytest.fixture(scope="session")
async def edge() -> AsyncIterator[Edge]:
    """An edge with a published package, a master that nobody may have, and a web app."""
    async with running_edge() as running:
        folder = running.parts.folder
        files = {
            f"objects/published/{parts.PACKAGE}/manifest.mpd": b"<MPD/>",
            f"objects/published/{parts.PACKAGE}/video/1.m4s": SEGMENT,
            "objects/masters/secret.mp4": b"master",
            "web/index.html": INDEX.encode(),
            "web/assets/app-1a2b3c.js": b"export {};",
            "web/favicon.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "secret.txt": b"secret",
        }
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield running
