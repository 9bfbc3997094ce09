"""The DRM service beside the policy service that it asks, with a published film whose keys it made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kit.settings import ProcessSettings
from tests.drm.scene import Keys, with_keys
from tests.policy.scene import Scene, a_scene
from tests.support import softhsm


@pytest.fixture(scope="session")
def softhsm_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SoftHSM's configuration, with a folder of its own for the tokens of this run."""
    return softhsm.prepare(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[Scene]:
    """The running policy service."""
    async with a_scene(mesh) as scene:
        yield scene


@pytest.fixture
async def keys(scene: Scene) -> AsyncIterator[Keys]:
    """Both services, running."""
    async with with_keys(scene) as keys:
        yield keys
