"""The processors that there are adapters for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.payments.processors import adyen, btcpay, ccbill, coinbase, epoch, paypal, segpay, stand_in, stripe
from services.payments.processors.contract import ProcessorKind

KINDS: Final[Mapping[str, ProcessorKind]] = {
    kind.name: kind
    for kind in (
        adyen.KIND,
        btcpay.KIND,
        ccbill.KIND,
        coinbase.KIND,
        epoch.KIND,
        paypal.KIND,
        segpay.KIND,
        stand_in.KIND,
        stripe.KIND,
    )
}
"""By name. One line for each adapter."""
