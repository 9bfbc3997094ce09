"""Keeps what happens to sales: the entry in the ledger, the sale's next state, what it grants, and the events; all in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from reelmesh.payments.v1 import events_pb2, payments_pb2

from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.entitlements import granting
from services.payments.ledger import store as ledger
from services.payments.ledger.currencies import currency
from services.payments.ledger.domain import Draft, Entry, EntryKind
from services.payments.sales import store
from services.payments.sales.announcements import given_back, sold
from services.payments.sales.domain import (
    Sale,
    Takeback,
    Taken,
    postings_of_sale,
    postings_of_takeback,
    postings_of_win,
)
from services.payments.splits import store as splits
from services.payments.splits.domain import KeptRules, Price, Rules, divided
from services.payments.taxes.domain import TaxableOrder, TaxProvider
from services.payments.taxes.store import TableTaxes


@dataclass(frozen=True, slots=True)
class Order:
    """What was sold.

    Attributes:
        reference: the processor's own.
        content: SHA-256 of what was asked for; the same order again has the same.
        granted: what the viewer may watch by it; None for nothing.
        sell_time: None for now.
        tax_territory: where the buyer is, by which taxes are worked out that the price does not name; empty when it was not said.
    """

    organisation_id: str
    reference: str
    content: bytes
    price: Price
    currency: str
    viewer_id: str
    granted: payments_pb2.Grant | None
    sell_time: datetime | None
    tax_territory: str = ""


@dataclass(frozen=True, slots=True)
class Return:
    """What goes back of a sale.

    Attributes:
        reference: the processor's own.
        content: as in Order.
        minor_units: how much; None for all that is left.
        currency: its currency, and the fee's; empty where neither is named.
        revoke: whether what the sale granted ends although something is left.
        fee: what the processor charges for it.
    """

    organisation_id: str
    sale_id: str
    kind: Takeback
    reference: str
    content: bytes
    minor_units: int | None
    currencies: tuple[str, ...]
    revoke: bool
    fee: int = 0


def sale_of(order: Order, rules: KeptRules, now: datetime) -> Sale:
    """What an order makes, divided by the rules, before it is in the ledger."""
    return Sale(
        sale_id=new_id("sal"),
        organisation_id=order.organisation_id,
        entry_id="",
        processor=order.price.processor,
        reference=order.reference,
        viewer_id=order.viewer_id,
        gross=order.price.gross,
        currency=order.currency,
        split_rules_version=rules.version,
        parts=divided(rules.rules, order.price),
        refunded=0,
        charged_back=0,
        reversed=False,
        entitlement_id="",
        entitled=False,
        sell_time=order.sell_time or now,
        create_time=now,
    )


class Recording:
    """Everything that is written about sales goes through here. Each method is one transaction's work, and posts last but for a few rows."""

    def __init__(self, clock: Clock, taxes: TaxProvider | None = None) -> None:
        self._clock = clock
        self._taxes: TaxProvider = taxes or TableTaxes()

    async def sell(self, tx: Tx, order: Order) -> Sale:
        """Records a sale; the one that is known by this reference, if it is the same.

        Raises:
            Refusal: `CURRENCY_UNKNOWN`, `SPLIT_RULES_MISSING`, `SPLIT_IMPOSSIBLE`, `REFERENCE_REUSED` or `BALANCE_OUT_OF_RANGE`.
        """
        now, organisation_id = self._clock.now(), order.organisation_id
        reference = f"sale/{order.price.processor}/{order.reference}"
        currency(order.currency)
        if made := await ledger.by_reference(tx, organisation_id, reference, order.content):
            return await _made(tx, made)
        rules = await splits.find(tx, organisation_id, 0)
        if rules is None:
            raise refusals.split_rules_missing()
        sale = sale_of(replace(order, price=await self._taxed(tx, order)), rules, now)
        draft = Draft(organisation_id, EntryKind.SALE, reference, order.content, postings_of_sale(sale), sale.sell_time)
        posted = await ledger.post(tx, draft, now)
        if not posted.fresh:  # another call recorded it while this one was on its way
            return await _made(tx, posted.entry_id)
        sale = await _granted(tx, replace(sale, entry_id=posted.entry_id), order.granted, now)
        await store.add(tx, sale, order.granted)
        await announce(tx, sold(sale))
        return sale

    async def _taxed(self, tx: Tx, order: Order) -> Price:
        """The price with its taxes, where they are known."""
        if order.price.taxes or not order.tax_territory:
            return order.price
        sell_time = order.sell_time or self._clock.now()
        asked = TaxableOrder(
            order.organisation_id, order.tax_territory, order.price.gross, order.currency, sell_time, paid=True
        )
        lines = await self._taxes.lines(tx, asked)
        return replace(order.price, taxes=tuple((line.jurisdiction, line.minor_units) for line in lines))

    async def give_back(self, tx: Tx, wanted: Return) -> tuple[Sale, str]:
        """Records a refund or a chargeback. Returns the sale as it is now, and the entry.

        Raises:
            Refusal: `SALE_NOT_FOUND`, `REFERENCE_REUSED`, `CURRENCY_MIXED`, `AMOUNT_EXCEEDS_REMAINING` or `BALANCE_OUT_OF_RANGE`.
        """
        now, organisation_id = self._clock.now(), wanted.organisation_id
        sale = await self._locked(tx, organisation_id, wanted.sale_id)
        reference = f"{wanted.kind.name.lower()}/{sale.processor}/{wanted.reference}"
        if made := await ledger.by_reference(tx, organisation_id, reference, wanted.content):
            return sale, made
        for code in wanted.currencies:
            if code != sale.currency:
                raise refusals.currency_mixed(sale.currency, code)
        total = sale.remaining if wanted.minor_units is None else wanted.minor_units
        if total == 0:
            raise refusals.amount_exceeds_remaining(0)
        less, amounts = sale.taken(wanted.kind, total)
        postings = postings_of_takeback(sale, await _rules(tx, sale), amounts, wanted.fee)
        kind = EntryKind(wanted.kind.value)
        draft = Draft(organisation_id, kind, reference, wanted.content, postings, now, reverses_entry_id=sale.entry_id)
        entry_id = await self._posted(tx, draft, now)
        taken = Taken(entry_id, sale.sale_id, wanted.kind, amounts, wanted.revoke, reversed=False)
        await store.add_takeback(tx, taken)
        sale = await self._kept(tx, sale, less, now)
        await announce(tx, given_back(sale, taken, wanted.fee, now))
        return sale, entry_id

    async def win(
        self, tx: Tx, organisation_id: str, sale_id: str, *, chargeback_entry_id: str, reference: str, content: bytes
    ) -> tuple[Sale, str]:
        """Records that a chargeback was won. Returns the sale as it is now, and the entry.

        Raises:
            Refusal: `SALE_NOT_FOUND`, `NOT_A_CHARGEBACK`, `ALREADY_REVERSED` or `REFERENCE_REUSED`.
        """
        now = self._clock.now()
        sale = await self._locked(tx, organisation_id, sale_id)
        reference = f"chargeback-reversal/{sale.processor}/{reference}"
        if made := await ledger.by_reference(tx, organisation_id, reference, content):
            return sale, made
        taken = await store.find_takeback(tx, chargeback_entry_id)
        if taken is None or taken.sale_id != sale_id or taken.kind is not Takeback.CHARGEBACK:
            raise refusals.not_a_chargeback(chargeback_entry_id)
        if taken.reversed:
            raise refusals.already_reversed(chargeback_entry_id)
        postings = postings_of_win(sale, await _rules(tx, sale), taken.amounts)
        draft = Draft(
            organisation_id,
            EntryKind.CHARGEBACK_REVERSAL,
            reference,
            content,
            postings,
            now,
            reverses_entry_id=chargeback_entry_id,
        )
        entry_id = await self._posted(tx, draft, now)
        await store.mark_reversed(tx, chargeback_entry_id)
        sale = await self._kept(tx, sale, sale.given_again(taken), now)
        await announce(
            tx,
            events_pb2.ChargebackReversed(
                sale_id=sale_id,
                organisation_id=organisation_id,
                entry_id=entry_id,
                reverses_entry_id=chargeback_entry_id,
                minor_units=taken.minor_units,
                currency=sale.currency,
                record_time=timestamp(now),
            ),
        )
        return sale, entry_id

    async def reverse(self, tx: Tx, organisation_id: str, entry_id: str, description: str, content: bytes) -> Entry:
        """Records that an entry was a mistake. Returns the entry that reverses it.

        Raises:
            Refusal: `ENTRY_NOT_FOUND`, `ALREADY_REVERSED` or `NOT_REVERSIBLE`.
        """
        now = self._clock.now()
        wrong = await ledger.find_entry(tx, organisation_id, entry_id)
        if wrong is None:
            raise refusals.entry_not_found(entry_id)
        if wrong.kind not in (EntryKind.SALE, EntryKind.REFUND, EntryKind.CHARGEBACK):
            raise refusals.not_reversible(
                entry_id,
                "this entry is a reversal itself, or of a payout; record what it undid anew, or void the payout",
            )
        sold_by = wrong.entry_id if wrong.kind is EntryKind.SALE else wrong.reverses_entry_id
        sale = await store.of_entry(tx, sold_by, for_update=True)
        if sale is None:
            raise LookupError(f"no sale was made by {sold_by}")
        before, after = await self._without(tx, sale, wrong)
        reference = f"reversal/{entry_id}"
        draft = Draft(
            organisation_id, EntryKind.REVERSAL, reference, content, wrong.opposite, now, entry_id, description
        )
        posted = await self._posted(tx, draft, now)
        await self._kept(tx, before, after, now)
        event = events_pb2.EntryReversed(
            sale_id=sale.sale_id,
            organisation_id=organisation_id,
            entry_id=posted,
            reverses_entry_id=entry_id,
            record_time=timestamp(now),
        )
        await announce(tx, event)
        made = await ledger.find_entry(tx, organisation_id, posted)
        assert made is not None
        return made

    async def _without(self, tx: Tx, sale: Sale, wrong: Entry) -> tuple[Sale, Sale]:
        """A sale before and after an entry about it is undone."""
        if wrong.kind is EntryKind.SALE:
            if sale.reversed:
                raise refusals.already_reversed(wrong.entry_id)
            if sale.remaining != sale.gross:
                raise refusals.not_reversible(
                    wrong.entry_id, "something of this sale was given back; reverse that first"
                )
            return sale, sale.undone()
        taken = await store.find_takeback(tx, wrong.entry_id)
        if taken is None:
            raise LookupError(f"nothing was given back by {wrong.entry_id}")
        if taken.reversed:
            raise refusals.already_reversed(wrong.entry_id)
        await store.mark_reversed(tx, wrong.entry_id)
        return sale, sale.given_again(taken)

    async def _locked(self, tx: Tx, organisation_id: str, sale_id: str) -> Sale:
        sale = await store.find(tx, organisation_id, sale_id, for_update=True)
        if sale is None:
            raise refusals.sale_not_found(sale_id)
        return sale

    async def _posted(self, tx: Tx, draft: Draft, now: datetime) -> str:
        """Posts an entry about a sale that is locked, and was looked for before."""
        posted = await ledger.post(tx, draft, now)
        if not posted.fresh:
            # Whoever made it held the same sale, and this call has held it since before it looked.
            raise LookupError(f"{draft.reference} came to be while its sale was locked")
        return posted.entry_id

    async def _kept(self, tx: Tx, before: Sale, after: Sale, now: datetime) -> Sale:
        """Keeps the next state of a sale, and says what its viewer may watch when that changes."""
        standing = await store.takebacks_of(tx, before.sale_id) if before.entitlement_id else []
        kept = after.entitling(standing)
        await store.put(tx, kept)
        if kept.entitled != before.entitled:
            await granting.money(tx, kept.organisation_id, kept.entitlement_id, now, stands=kept.entitled)
        return kept


async def _granted(tx: Tx, sale: Sale, grant: payments_pb2.Grant | None, now: datetime) -> Sale:
    """The sale with what is granted by it."""
    if grant is None:
        return sale
    source = granting.Source(sale.organisation_id, sale.viewer_id, buyer_id=sale.viewer_id, sale_id=sale.sale_id)
    entitlement = await granting.grant(tx, grant, source, now)
    return replace(sale, entitlement_id=entitlement.entitlement_id, entitled=True)


async def _made(tx: Tx, entry_id: str) -> Sale:
    sale = await store.of_entry(tx, entry_id)
    if sale is None:
        raise LookupError(f"no sale was made by {entry_id}")
    return sale


async def _rules(tx: Tx, sale: Sale) -> Rules:
    """The rules by which the sale was divided; they are kept for ever."""
    kept = await splits.find(tx, sale.organisation_id, sale.split_rules_version)
    if kept is None:
        raise LookupError(f"split rules {sale.split_rules_version} are gone")
    return kept.rules
