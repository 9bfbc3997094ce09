"""Fixtures of the identity service's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.settings import ProcessSettings
from tests.identity.scene import Scene, a_scene


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[Scene]:
    """The running service."""
    async with a_scene(mesh) as scene:
        yield scene
