"""Fixtures of adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.payments.processors.counterparts import House


@pytest.fixture(scope="session")
async def house() -> AsyncIterator[House]:
    """Where all counterparts are."""
    async with House.open() as served:
        yield served
