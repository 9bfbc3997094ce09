"""One mesh and one browser for all journeys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.support.chromium import running_chromium
from tests.support.counted_films import film
from tests.support.mesh import Mesh, running_mesh
from tests.support.patience import give_time
from tests.support.ports import free_port


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mesh and browser start within the first test's time."""
    give_time(items, Path(__file__).parent, 300)


@pytest.fixture(scope="package")
def whole_mesh() -> Iterator[Mesh]:
    """The mesh as `reelmesh up` starts it, with the stand-ins for a payment processor and a provider of proofs of age beside it."""
    stand_ins = ("REELMESH_PAYMENTS_STAND_IN_URL", "REELMESH_COMPLIANCE_AGE_STAND_IN_URL")
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in stand_ins}
    with running_mesh(
        **urls, REELMESH_COMPLIANCE_RIGHTS_SETTLE="PT1S", REELMESH_POLICY_EVENT_GRACE_SECONDS="6"
    ) as mesh:
        yield mesh


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    """Chromium."""
    async with running_chromium() as running:
        yield running


@pytest.fixture(scope="package")
async def asset_id(whole_mesh: Mesh) -> str:
    """A film that is ready to be played, brought in by the client library over gRPC."""
    async with whole_mesh.client() as client:
        upload = await client.upload_file(film(), title="The Counter")
        await client.wait_for_asset(upload.asset_id)
    return upload.asset_id


@pytest.fixture(scope="package")
async def long_asset_id(whole_mesh: Mesh) -> str:
    """A film that is longer than a player buffers ahead, so that it has to ask for more."""
    async with whole_mesh.client() as client:
        upload = await client.upload_file(film(seconds=60, height=144), title="Long")
        await client.wait_for_asset(upload.asset_id)
    return upload.asset_id
