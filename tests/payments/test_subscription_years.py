"""Sixty subscribers through fourteen months of failures: everybody is charged once, and has what they paid for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.kit.settings import ProcessSettings
from tests.payments.simulation.world import Script, played, usual_rates


@pytest.mark.timeout(300)
async def test_fourteen_months_of_sixty_subscribers_are_charged_once_and_served(mesh: ProcessSettings) -> None:
    script = Script(
        people=60,
        days=425,
        seed=2026,
        tick=timedelta(days=1),
        looks=(timedelta(0), timedelta(hours=1)),
        rates=usual_rates(monthly=70, quarterly=20, yearly=10),
    )
    world = await played(mesh, script, lambda now, world: None)
    assert world.oracle.complaints == []
    tally = world.oracle.tally
    assert tally["payments"] > 400
    assert min(tally[what] for what in ("refunds", "changes at once", "periods judged")) > 0
    assert world.restarts > 0
    assert world.bank.lost > 0
