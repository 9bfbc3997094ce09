"""Fixtures of the payments service."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.settings import ProcessSettings
from tests.payments.scene import Books, books


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Books]:
    """The service, with the usual split rules."""
    async with books(mesh) as running:
        await running.divide_by()
        yield running
