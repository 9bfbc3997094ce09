"""One running service for the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.settings import ProcessSettings
from tests.compliance.performers.filing import Files, filing
from tests.support.stores import Emptying


@pytest.fixture(scope="module")
async def files(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[Files]:
    """The service, with an organisation of the module's own."""
    async with filing(session_stores) as running:
        yield running
    await emptied()
