"""How much is tried: little in the ordinary run, and as much as one has time for in `make fuzz` and `make soak`."""

from __future__ import annotations

from typing import Final

from hypothesis import HealthCheck, Phase, settings

ORDINARY: Final = "ordinary"
"""The profile of all other runs."""
LONG: Final = "long"
"""The profile (`--hypothesis-profile`) of the long runs."""


def is_long() -> bool:
    """Whether this is a long run."""
    return settings.get_current_profile_name() == LONG


def so_many(ordinary: int, long: int) -> int:
    """How often something is done. The long number is the one that was promised; the ordinary one shows that it would be kept."""
    return long if is_long() else ordinary


def fuzzed(ordinary: int, long: int = 0) -> settings:
    """How many examples are tried, and whether always the same: few of them, unless the run is a long one. `long=0`: as the profile says."""
    return settings(
        max_examples=so_many(ordinary, long or settings().max_examples),
        derandomize=not is_long(),
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
