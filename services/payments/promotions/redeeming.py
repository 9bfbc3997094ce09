"""Redeems codes."""

from __future__ import annotations

from datetime import datetime

from services.kit.database import Tx
from services.payments.entitlements import granting
from services.payments.entitlements.domain import Entitlement
from services.payments.promotions import refusals, store


async def redeem(tx: Tx, organisation_id: str, viewer_id: str, code: str, now: datetime) -> Entitlement:
    """Redeems a code, in capitals, for a viewer. All who redeem one promotion are put in a row, so that none is redeemed oftener than it may be.

    Raises:
        Refusal: `PROMOTION_CODE_UNKNOWN`, `PROMOTION_NOT_YET`, `PROMOTION_REDEEMED` or `PROMOTION_USED_UP`.
    """
    promotion = await store.by_code(tx, organisation_id, code)
    if promotion is None:
        raise refusals.promotion_code_unknown()
    promotion.redeemable(now, await store.redeemed(tx, promotion.promotion_id, viewer_id))
    source = granting.Source(organisation_id, viewer_id, promotion_id=promotion.promotion_id)
    entitlement = await granting.grant(tx, promotion.grant(now), source, now)
    await store.redeem(tx, promotion.promotion_id, viewer_id, entitlement.entitlement_id, now)
    return entitlement
