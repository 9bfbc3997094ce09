"""Issues invoices and credit notes, by what the service itself announced of sales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from nats.aio.client import Client as NatsClient
from reelmesh.payments.v1 import events_pb2

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import Consumer, announce
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.invoices import store
from services.payments.invoices.domain import (
    CREDIT_NOTES,
    INVOICES,
    Content,
    Invoice,
    Party,
    number_of,
    tax_lines,
)
from services.payments.ledger import store as ledger
from services.payments.ledger.domain import Entry, EntryKind
from services.payments.sales import store as sales
from services.payments.sales.domain import Sale, Takeback
from services.payments.taxes import store as taxes

_ENTRIES: Final = sa.text("""
    SELECT entry_id FROM entries WHERE organisation_id = :organisation_id AND (entry_id = :sale_entry_id
      OR reverses_entry_id = :sale_entry_id OR reverses_entry_id IN (
        SELECT entry_id FROM entries WHERE reverses_entry_id = :sale_entry_id AND kind = 2
      ))
    ORDER BY entry_id
""")


@dataclass(frozen=True, slots=True)
class _Told:
    """What an entry comes to in writing: how much of each part of its sale, which way."""

    sale: Sale
    amounts: tuple[int, ...]
    credit_note: bool


class Issuing:
    """Writes invoices. Every entry has one at most: a sale its invoice, a refund its credit note, and what reverses either the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def of_sale(self, tx: Tx, organisation_id: str, sale_id: str) -> Invoice:
        """Issues everything about a sale that was not issued before. Returns its invoice.

        Raises:
            Refusal: `SALE_NOT_FOUND` or `INVOICE_ISSUER_MISSING`.
        """
        sale = await sales.find(tx, organisation_id, sale_id)
        if sale is None:
            raise refusals.sale_not_found(sale_id)
        if await store.issuer(tx, organisation_id) is None:
            raise refusals.invoice_issuer_missing()
        await store.lock(tx, organisation_id)
        values = {"organisation_id": organisation_id, "sale_entry_id": sale.entry_id}
        for row in (await tx.execute(_ENTRIES, values)).all():
            await self.of_entry(tx, organisation_id, row.entry_id)
        made = await store.of_entry(tx, sale.entry_id)
        assert made is not None
        return made

    async def of_entry(self, tx: Tx, organisation_id: str, entry_id: str) -> Invoice | None:
        """Issues what an entry comes to in writing, or what was issued before. None where nobody sells by invoice, or where the entry is a dispute
        with a bank, which no invoice tells of."""
        seller = await store.issuer(tx, organisation_id)
        entry = await ledger.find_entry(tx, organisation_id, entry_id)
        if seller is None or entry is None:
            return None
        told = await self._told(tx, entry)
        if told is None:
            return None
        await store.lock(tx, organisation_id)
        if made := await store.of_entry(tx, entry_id):
            return made
        first = None
        if entry_id != told.sale.entry_id:  # an event may come before the one about the sale
            first = await self.of_entry(tx, organisation_id, told.sale.entry_id)
        return await self._issued(tx, entry, told, seller, first if told.credit_note else None)

    async def _told(self, tx: Tx, entry: Entry) -> _Told | None:
        match entry.kind:
            case EntryKind.SALE:
                sale = await sales.of_entry(tx, entry.entry_id)
                return _whole(sale, credit_note=False) if sale else None
            case EntryKind.REFUND:
                return await self._taken(tx, entry.entry_id, credit_note=True)
            case EntryKind.REVERSAL:
                sale = await sales.of_entry(tx, entry.reverses_entry_id)
                if sale:
                    return _whole(sale, credit_note=True)
                return await self._taken(tx, entry.reverses_entry_id, credit_note=False)
        return None

    async def _taken(self, tx: Tx, entry_id: str, *, credit_note: bool) -> _Told | None:
        taken = await sales.find_takeback(tx, entry_id)
        if taken is None or taken.kind is not Takeback.REFUND:
            return None
        sale = await self._sale_of(tx, taken.sale_id)
        return _Told(sale, taken.amounts, credit_note) if sale else None

    async def _sale_of(self, tx: Tx, sale_id: str) -> Sale | None:
        entry_id = (
            await tx.execute(sa.select(sales.sales.c.entry_id).where(sales.sales.c.sale_id == sale_id))
        ).scalar_one_or_none()
        return await sales.of_entry(tx, entry_id) if entry_id else None

    async def _issued(
        self, tx: Tx, entry: Entry, told: _Told, seller: tuple[Party, str], corrects: Invoice | None
    ) -> Invoice:
        now, sale = self._clock.now(), told.sale
        series = CREDIT_NOTES if told.credit_note else INVOICES
        serial = await store.next_serial(tx, sale.organisation_id, series, now.year)
        asset_id, kind = await sales.subject(tx, sale.sale_id)
        places = sorted({part.owner_id for part in sale.parts if part.owner_id})
        rates = await taxes.in_force(tx, sale.organisation_id, places, sale.sell_time)
        content = Content(
            number=number_of(series, now.year, serial),
            credit_note=told.credit_note,
            corrects=corrects.content.number if corrects else "",
            seller=seller[0],
            footer=seller[1],
            buyer=await store.buyer(tx, sale.organisation_id, sale.viewer_id)
            or Party(sale.viewer_id or "Cash customer"),
            issue_date=now.date(),
            supply_date=entry.occur_time.date(),
            currency=sale.currency,
            gross=sum(told.amounts),
            taxes=tax_lines(sale, told.amounts, rates),
            kind=kind,
            asset_id=asset_id,
            paid_by=f"{sale.processor} {sale.reference}",
        )
        invoice = Invoice(
            new_id("inv"),
            sale.organisation_id,
            series,
            now.year,
            serial,
            entry.entry_id,
            sale.sale_id,
            sale.viewer_id,
            corrects.invoice_id if corrects else "",
            content,
            now,
        )
        await store.add(tx, invoice)
        event = events_pb2.InvoiceIssued(
            invoice_id=invoice.invoice_id,
            organisation_id=invoice.organisation_id,
            number=content.number,
            sale_id=invoice.sale_id,
            viewer_id=invoice.viewer_id,
            issue_time=timestamp(now),
        )
        await announce(tx, event)
        return invoice

    async def on_sale(self, tx: Tx, data: bytes) -> None:
        """Something was sold."""
        event = events_pb2.SaleRecorded.FromString(data)
        await self.of_entry(tx, event.organisation_id, event.entry_id)

    async def on_refund(self, tx: Tx, data: bytes) -> None:
        """Something went back."""
        event = events_pb2.RefundRecorded.FromString(data)
        await self.of_entry(tx, event.organisation_id, event.entry_id)

    async def on_reversal(self, tx: Tx, data: bytes) -> None:
        """Something was a mistake."""
        event = events_pb2.EntryReversed.FromString(data)
        await self.of_entry(tx, event.organisation_id, event.entry_id)

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Hears of sales."""
        return Consumer(
            "payments-invoices",
            database,
            bus,
            {
                events_pb2.SaleRecorded: self.on_sale,
                events_pb2.RefundRecorded: self.on_refund,
                events_pb2.EntryReversed: self.on_reversal,
            },
        )


def _whole(sale: Sale, *, credit_note: bool) -> _Told:
    return _Told(sale, tuple(part.minor_units for part in sale.parts), credit_note)
