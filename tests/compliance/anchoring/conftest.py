"""A chain that the tests of a module share, and the log that they anchor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.compliance.anchoring.evm import GWEI, EvmAnchor, Rules
from services.compliance.anchoring.evm_chain import Chain, key_of
from services.compliance.anchoring.running import Anchoring
from tests.compliance.anchoring.chain import LocalChain, noded
from tests.compliance.scene import Log

EVERY = timedelta(hours=1)
RULES: dict[str, Any] = {"confirmations": 3, "cap": 1_000_000 * GWEI, "patience": timedelta(minutes=5)}


@pytest.fixture(scope="module")
async def one_chain() -> AsyncIterator[tuple[LocalChain, str]]:
    chain = LocalChain()
    async with noded(chain) as url:
        yield chain, url


@pytest.fixture
def chain(one_chain: tuple[LocalChain, str]) -> LocalChain:
    """The chain, as kind as it was made. What earlier tests sent is in its blocks."""
    one_chain[0].kind()
    return one_chain[0]


@pytest.fixture
async def anchoring(
    here: Log, chain: LocalChain, one_chain: tuple[LocalChain, str], tmp_path: Path
) -> AsyncIterator[Anchoring]:
    """Anchors the log to the chain, a round at a time."""
    node = Chain(one_chain[1], chain.chain_id)
    anchor = EvmAnchor(here.database, here.clock, node, key_of(chain.key_file(tmp_path)), Rules(**RULES))
    yield Anchoring(here.database, here.clock, anchor, EVERY)
    await node.close()
