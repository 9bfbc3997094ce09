"""Death in the middle, twice; `make soak` has many more of them."""

from __future__ import annotations

import pytest

from services.kit.settings import ProcessSettings
from tests.compliance.killing import survived


@pytest.mark.timeout(300)
async def test_every_event_is_in_the_log_once_whenever_its_keeper_is_killed(mesh: ProcessSettings) -> None:
    await survived(mesh, events=1000, kills=2, seed=6962)
