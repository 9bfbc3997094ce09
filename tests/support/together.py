"""Which tests run in one process one after the other when several processes run them (pytest-xdist), and which begin first."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Final

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

ONE_MESH: Final[Mapping[str, str]] = {
    # One after the other: a browser that plays a film takes a processor for as long as it does, and two of them take longer.
    "tests/journeys/": "the mesh and the browser of the journeys",
    **dict.fromkeys(
        (
            "tests/faults/test_kill.py",
            "tests/faults/test_messages.py",
            "tests/faults/test_hostile_input.py",
            "tests/faults/test_stop.py",
        ),
        "the mesh that is hurt",
    ),
}
"""Tests that share a whole mesh, by the beginning of their paths. Others share what their file sets up, at most, and what is made once in a run."""
FIRST: Final = (
    "tests/journeys/",
    "tests/faults/test_kill.py",
    "tests/faults/test_messages.py",
    "tests/faults/test_hostile_input.py",
    "tests/faults/test_stop.py",
    # No third mesh while the first two have most to do.
    "tests/contracts/test_fuzz_rpcs.py",
    "tests/faults/",
    "tests/cli/test_supervisor.py",
    "tests/envoy/test_described_interface.py",
    "tests/drm/test_recording.py",
    "tests/payments/",
    "tests/protection/",
    "tests/transcode/",
    "tests/gateway/",
    "tests/envoy/",
    "tests/drm/",
    "tests/policy/",
)
"""What takes longest begins first: what begins last is short, and no process waits for another at the end."""


def turn(nodeid: str) -> int:
    """When a test has its turn; many have the same."""
    return next((number for number, start in enumerate(FIRST) if nodeid.startswith(start)), len(FIRST))


def group(nodeid: str) -> str:
    """Tests of one group run in one process, in their order."""
    return next((name for start, name in ONE_MESH.items() if nodeid.startswith(start)), nodeid.split("::", 1)[0])


def imported_in_turn(config: pytest.Config) -> None:
    """Imports all tests, where several processes are about to do so; the first of each differ."""
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    whole = [config.rootpath / path for path in config.getini("testpaths")]
    if count == 1 or [config.rootpath / path for path in config.args] != whole:
        return
    files = sorted(file for folder in whole for file in folder.rglob("test_*.py"))
    first = int(worker.removeprefix("gw")) * len(files) // count
    for file in files[first:] + files[:first]:
        importlib.import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


class Together(LoadFileScheduling):  # type: ignore[misc]  # untyped
    """Gives whole groups to processes that are free, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
