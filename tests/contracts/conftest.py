"""The contracts, read once."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools import gen
from tools.openapi.contracts import Contracts, read


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """All contracts as buf builds them, comments included."""
    return gen.described(Path(tmp_path_factory.mktemp("contracts")) / "contracts.binpb")


@pytest.fixture(scope="session")
def contracts(described: FileDescriptorSet) -> Contracts:
    """The same as plain objects."""
    return read(described)
