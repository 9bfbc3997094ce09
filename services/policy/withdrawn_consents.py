"""Packages of films whose consent somebody took back: they are held at every edge, whatever the organisation's rules say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from services.kit.database import Tx
from services.policy.decision.facts import Consent
from services.policy.decision.store import consents
from services.policy.judge import CONSENT
from services.policy.store import packages

_HELD: Final = sa.select(packages.c.package_id).where(
    packages.c.asset_id == consents.c.asset_id,
    packages.c.organisation_id == consents.c.organisation_id,
    consents.c.state == int(Consent.WITHDRAWN),
)


async def packages_without_consent(tx: Tx) -> Mapping[str, str]:
    """All of them, each with `consent`."""
    return {row.package_id: CONSENT for row in await tx.execute(_HELD)}
