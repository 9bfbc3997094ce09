"""Fixtures that every test may use: the real stores, emptied after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.kit.settings import ProcessSettings
from tests.support import stores


@pytest.fixture(scope="session")
def session_stores() -> Iterator[ProcessSettings]:
    """One Postgres and one NATS for the whole session."""
    stores.without_environment()
    with stores.running_stores() as settings:
        yield settings


@pytest.fixture
async def mesh(session_stores: ProcessSettings) -> AsyncIterator[ProcessSettings]:
    """Settings that lead to empty stores."""
    yield session_stores
    await stores.emptied(session_stores)
