"""Many sales by a few statements, for whoever has hundreds at once, as the renewals of a day are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.kit.database import Tx
from services.kit.events import Told, announce_all
from services.kit.ids import new_id
from services.kit.telemetry import correlation_id
from services.payments import refusals
from services.payments.ledger.currencies import currency
from services.payments.ledger.domain import Draft, EntryKind
from services.payments.ledger.many import post_many
from services.payments.sales import store
from services.payments.sales.announcements import sold
from services.payments.sales.domain import Sale, postings_of_sale
from services.payments.sales.recording import Order, sale_of
from services.payments.splits import store as splits


async def sell_many(tx: Tx, orders: Sequence[Order], kind: int, now: datetime) -> list[Sale]:
    """Records sales of one organisation that grant nothing by themselves and whose references are all different; as `Recording.sell` does, in
    the caller's transaction. When anything is wrong with one, none is recorded. `kind` is as what they are sold, an `EntitlementKind`.

    Raises:
        Refusal: `CURRENCY_UNKNOWN`, `SPLIT_RULES_MISSING`, `SPLIT_IMPOSSIBLE` or `REFERENCE_REUSED`.
        DBAPIError: as `post_many`.
    """
    rules = await splits.find(tx, orders[0].organisation_id, 0)
    if rules is None:
        raise refusals.split_rules_missing()
    for order in orders:
        currency(order.currency)
        if order.granted is not None:
            raise ValueError("sales that grant something are recorded one by one")
    sales = [sale_of(order, rules, now) for order in orders]
    drafts = [
        Draft(
            order.organisation_id,
            EntryKind.SALE,
            f"sale/{order.price.processor}/{order.reference}",
            order.content,
            postings_of_sale(sale),
            sale.sell_time,
        )
        for order, sale in zip(orders, sales, strict=True)
    ]
    posted = await post_many(tx, drafts, now)
    sales = [replace(sale, entry_id=one.entry_id) for sale, one in zip(sales, posted, strict=True)]
    fresh = [sale for sale, one in zip(sales, posted, strict=True) if one.fresh]
    await store.add_all(tx, fresh, kind)
    await announce_all(tx, [Told(new_id("evt"), correlation_id(), sold(sale)) for sale in fresh])
    return [sale if one.fresh else await _made(tx, one.entry_id) for sale, one in zip(sales, posted, strict=True)]


async def _made(tx: Tx, entry_id: str) -> Sale:
    sale = await store.of_entry(tx, entry_id)
    if sale is None:
        raise LookupError(f"no sale was made by {entry_id}")
    return sale
