"""Events of sales."""

from __future__ import annotations

from datetime import datetime

from reelmesh.payments.v1 import events_pb2, payments_pb2

from services.kit.clock import timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.payments.sales.domain import Sale, Takeback, Taken


async def entitlement_told(tx: Tx, sale: Sale) -> None:
    """Says what the viewer of a sale may watch."""
    if sale.granted is None:
        return
    grant = payments_pb2.Grant.FromString(sale.granted)
    if not sale.entitled:
        await announce(
            tx,
            events_pb2.EntitlementRevoked(
                entitlement_id=sale.entitlement_id,
                organisation_id=sale.organisation_id,
                viewer_id=sale.viewer_id,
                change_time=timestamp(sale.entitle_time),
            ),
        )
        return
    await announce(
        tx,
        events_pb2.EntitlementGranted(
            entitlement_id=sale.entitlement_id,
            organisation_id=sale.organisation_id,
            viewer_id=sale.viewer_id,
            asset_id=grant.asset_id,
            kind=grant.kind,
            start_time=grant.start_time if grant.HasField("start_time") else None,
            end_time=grant.end_time if grant.HasField("end_time") else None,
            territories=grant.territories,
            change_time=timestamp(sale.entitle_time),
        ),
    )


def sold(sale: Sale) -> events_pb2.SaleRecorded:
    """The event that tells of a sale."""
    return events_pb2.SaleRecorded(
        sale_id=sale.sale_id,
        organisation_id=sale.organisation_id,
        entry_id=sale.entry_id,
        processor=sale.processor,
        viewer_id=sale.viewer_id,
        gross_minor_units=sale.gross,
        currency=sale.currency,
        sell_time=timestamp(sale.sell_time),
    )


def given_back(
    sale: Sale, taken: Taken, fee: int, now: datetime
) -> events_pb2.RefundRecorded | events_pb2.ChargebackRecorded:
    """The event that tells of a refund or a chargeback, after which the sale is as given."""
    if taken.kind is Takeback.REFUND:
        return events_pb2.RefundRecorded(
            sale_id=sale.sale_id,
            organisation_id=sale.organisation_id,
            entry_id=taken.entry_id,
            minor_units=taken.minor_units,
            remaining_minor_units=sale.remaining,
            currency=sale.currency,
            record_time=timestamp(now),
        )
    return events_pb2.ChargebackRecorded(
        sale_id=sale.sale_id,
        organisation_id=sale.organisation_id,
        entry_id=taken.entry_id,
        viewer_id=sale.viewer_id,
        minor_units=taken.minor_units,
        remaining_minor_units=sale.remaining,
        fee_minor_units=fee,
        currency=sale.currency,
        record_time=timestamp(now),
    )
