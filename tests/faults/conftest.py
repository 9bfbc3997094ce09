"""A mesh of its own for the tests that hurt it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.mesh import Mesh, running_mesh


@pytest.fixture(scope="package")
def fragile_mesh() -> Iterator[Mesh]:
    """Counts uploaded bytes often, and encodes in short chunks, so that there is always a middle to be killed in. `test_stop` stops it at the end."""
    with running_mesh(REELMESH_UPLOAD_CHECKPOINT_BYTES=str(1024 * 1024), REELMESH_TRANSCODE_CHUNK_SECONDS="2") as mesh:
        yield mesh
