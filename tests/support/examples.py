"""How long made-up requests are tried."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings


def fuzzed(ordinary: int) -> settings:
    """How many examples are tried, and whether always the same: few of them unless pytest is run with `--hypothesis-profile long`."""
    long = settings.get_current_profile_name() == "long"
    return settings(
        max_examples=settings().max_examples if long else ordinary,
        derandomize=not long,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
