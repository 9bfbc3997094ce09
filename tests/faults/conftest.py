"""A mesh of its own for the tests that hurt it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mesh import Mesh, running_mesh
from tests.support.patience import give_time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Meshes start within a test's time."""
    give_time(items, Path(__file__).parent, 300)


@pytest.fixture(scope="package")
def fragile_mesh() -> Iterator[Mesh]:
    """Counts uploaded bytes often, and encodes in short chunks, so that there is always a middle to be killed in. Whoever plays what is ready waits
    until the policy service has heard of it, too, whoever was killed on the way. `test_stop` stops it at the end."""
    with running_mesh(
        REELMESH_UPLOAD_CHECKPOINT_BYTES=str(1024 * 1024),
        REELMESH_TRANSCODE_CHUNK_SECONDS="2",
        REELMESH_POLICY_EVENT_GRACE_SECONDS="20",
    ) as mesh:
        yield mesh
