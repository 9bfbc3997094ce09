"""Puts anchoring together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import httpx

from services.compliance.anchoring.anchor import Anchor
from services.compliance.anchoring.calendars import OpenTimestampsAnchor
from services.compliance.anchoring.evm import GWEI, EvmAnchor, Rules
from services.compliance.anchoring.evm_chain import Chain, key_of
from services.compliance.anchoring.running import Anchoring
from services.compliance.anchoring.settings import AnchoringSettings
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.process import Process

AtEnd = Callable[[Callable[[], Awaitable[None]]], None]


def anchors_of(settings: AnchoringSettings, database: Database, clock: Clock, at_end: AtEnd) -> dict[Anchor, float]:
    """The ways of anchoring that are set, each with the seconds between two rounds of it.

    Raises:
        NotInstalled: one is set whose library is not there.
        UnsafeKeyFile: the key cannot be used, or others could use it.
    """
    found: dict[Anchor, float] = {}
    if url := settings.compliance_anchoring_evm_url.get_secret_value():
        assert settings.compliance_anchoring_evm_key_file is not None
        key = key_of(settings.compliance_anchoring_evm_key_file)
        chain = Chain(url, settings.compliance_anchoring_evm_chain_id)
        at_end(chain.close)
        rules = Rules(
            settings.compliance_anchoring_evm_confirmations,
            settings.compliance_anchoring_evm_fee_cap_gwei * GWEI,
            settings.compliance_anchoring_evm_patience,
        )
        found[EvmAnchor(database, clock, chain, key, rules)] = settings.compliance_anchoring_evm_poll_seconds
    if settings.compliance_anchoring_calendars:
        http = httpx.AsyncClient(trust_env=False, follow_redirects=False)
        at_end(http.aclose)
        calendars = OpenTimestampsAnchor(
            database,
            http,
            settings.compliance_anchoring_calendars,
            settings.compliance_anchoring_calendars_needed,
            settings.compliance_anchoring_calendars_trusted,
        )
        found[calendars] = settings.compliance_anchoring_calendars_poll_seconds
    return found


def start_anchoring(process: Process, settings: AnchoringSettings, database: Database) -> tuple[str, ...]:
    """Starts what is set. Returns the names of these ways of anchoring."""
    every: Final = timedelta(seconds=settings.compliance_anchoring_every_seconds)
    anchors = anchors_of(settings, database, process.clock, process.at_end)
    for anchor, poll in anchors.items():
        process.in_background(Anchoring(database, process.clock, anchor, every).run(poll), f"anchoring {anchor.name}")
    return tuple(anchor.name for anchor in anchors)
