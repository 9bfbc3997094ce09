"""Fixtures of the protection service's tests."""

from __future__ import annotations

import pytest

from services.kit.codewords import KEY_FILE
from services.kit.settings import ProcessSettings
from tests.protection.leaks import MarkedFilm, film, marked

SECONDS = 60


@pytest.fixture(scope="session")
async def title(session_stores: ProcessSettings, tmp_path_factory: pytest.TempPathFactory) -> MarkedFilm:
    """A watermarked title, made once."""
    folder = tmp_path_factory.mktemp("title")
    return await marked(folder, film(folder / "master.mp4", SECONDS), root=session_stores.secret(KEY_FILE))
