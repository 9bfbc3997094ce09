"""Time for tests that wait for whole meshes and browsers to start."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest


def give_time(items: Iterable[pytest.Item], folder: Path, seconds: float) -> None:
    """Lets each test below a folder that says nothing of its own take so long: what is set up for it is part of that time."""
    for item in items:
        if item.path.is_relative_to(folder) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(seconds))
