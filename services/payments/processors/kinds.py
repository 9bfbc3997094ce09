"""The processors that there are adapters for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from services.payments.processors import adyen, btcpay, ccbill, coinbase, epoch, paypal, segpay, stand_in, stripe
from services.payments.processors.contract import ProcessorKind

ADAPTERS: Final[tuple[ProcessorKind, ...]] = (
    adyen.KIND,
    ccbill.KIND,
    coinbase.KIND,
    epoch.KIND,
    paypal.KIND,
    segpay.KIND,
    stripe.KIND,
)
"""One line for each adapter that needs nothing of the operator."""


def kinds(stand_in_url: str = "", btcpay_servers: Sequence[str] = ()) -> Mapping[str, ProcessorKind]:
    """All kinds by name. The stand-in is among them where it runs, and BTCPay where the operator lets servers of it be asked."""
    found = [*ADAPTERS]
    if stand_in_url:
        found.append(stand_in.kind(stand_in_url))
    if btcpay_servers:
        found.append(btcpay.kind(btcpay_servers))
    return {kind.name: kind for kind in found}
