"""Fixtures of the compliance service."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.settings import ProcessSettings
from tests.compliance.scene import Log, logging_all


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Log]:
    """The service with an empty log."""
    async with logging_all(mesh) as running:
        yield running
