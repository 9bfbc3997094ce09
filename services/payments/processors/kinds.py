"""The processors that there are adapters for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.payments.processors import stand_in
from services.payments.processors.contract import ProcessorKind

ADAPTERS: Final[tuple[ProcessorKind, ...]] = ()
"""One line for each adapter."""


def kinds(stand_in_url: str = "") -> Mapping[str, ProcessorKind]:
    """All kinds by name. The stand-in is among them where it runs."""
    found = (*ADAPTERS, stand_in.kind(stand_in_url)) if stand_in_url else ADAPTERS
    return {kind.name: kind for kind in found}
