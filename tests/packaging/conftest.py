"""Sources, made once per run, and finished sets, made once per session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from services.packaging.tracks import Scheme
from tests.packaging.sets import PackagedSet, packaged
from tests.packaging.sources import Sources, make_sources, sources_in
from tests.support.shared import made_once

Finished = Callable[[Scheme], Awaitable[PackagedSet]]


@pytest.fixture(scope="session")
def sources() -> Sources:
    """Renditions of one small film."""
    return sources_in(made_once("packaging-sources", make_sources))


@pytest.fixture(scope="session")
def finished(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The whole film in a scheme, packaged when first asked for. Nobody may change it."""
    made: dict[Scheme, PackagedSet] = {}

    async def of(scheme: Scheme) -> PackagedSet:
        if scheme not in made:
            made[scheme] = await packaged(sources, Path(tmp_path_factory.mktemp(scheme.value)), scheme=scheme)
        return made[scheme]

    return of
