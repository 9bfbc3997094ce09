"""The key server, running."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.settings import ProcessSettings
from tests.drm.key_server.scene import KeyServer, a_key_server


@pytest.fixture
async def server(mesh: ProcessSettings) -> AsyncIterator[KeyServer]:
    """The DRM service and the gateway."""
    async with a_key_server(mesh) as server:
        yield server
