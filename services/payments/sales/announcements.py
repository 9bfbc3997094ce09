"""Events of sales."""

from __future__ import annotations

from datetime import datetime

from reelmesh.payments.v1 import events_pb2

from services.kit.clock import timestamp
from services.payments.sales.domain import Sale, Takeback, Taken


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
