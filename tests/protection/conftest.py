"""Fixtures of the protection service's tests."""

from __future__ import annotations

import pytest

from services.kit.codewords import KEY_FILE
from services.kit.settings import ProcessSettings
from tests.protection.leaks import ROOT, MarkedFilm, shared_title


@pytest.fixture(scope="session")
def title(session_stores: ProcessSettings) -> MarkedFilm:
    """A watermarked title, and services that know its secret."""
    (session_stores.secrets_dir / KEY_FILE).write_bytes(ROOT)
    return shared_title()
