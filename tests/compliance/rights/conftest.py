"""Fixtures of the tests of requests of persons."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.settings import ProcessSettings
from tests.compliance.rights.scene import Scene, everybody
from tests.support.stores import Emptying


@pytest.fixture(scope="module")
async def scene(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[Scene]:
    """All services, once for a module: persons are new in each test."""
    async with everybody(session_stores) as scene:
        yield scene
    await emptied()
