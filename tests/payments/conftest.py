"""Fixtures of the payments service."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.settings import ProcessSettings
from tests.payments.desk import Desk, Office, desk, office
from tests.payments.scene import Books, books


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Books]:
    """The service, with the usual split rules."""
    async with books(mesh) as running:
        await running.divide_by()
        yield running


@pytest.fixture(scope="module")
async def shared_office(session_stores: ProcessSettings) -> AsyncIterator[Office]:
    """The service, for all tests of a module."""
    async with office(session_stores) as running:
        yield running


@pytest.fixture
async def own_desk(shared_office: Office) -> AsyncIterator[Desk]:
    """A desk of an organisation of its own."""
    async with desk(shared_office) as made:
        yield made
