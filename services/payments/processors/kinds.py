"""The processors that there are adapters for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.payments.processors import stand_in
from services.payments.processors.contract import ProcessorKind

KINDS: Final[Mapping[str, ProcessorKind]] = {kind.name: kind for kind in (stand_in.KIND,)}
"""By name. One line for each adapter."""
