"""Many entries by a few statements, for whoever has hundreds at once. The rules are those of `store.post`, and the same triggers hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import Tx
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.bulk import Bulk
from services.payments.ledger import store
from services.payments.ledger.domain import Account, Draft
from services.payments.ledger.store import Posted

# `position`, `number` and `balance` are worked out by the trigger.
_POSTED: Final = sa.Table(
    "postings",
    sa.MetaData(),
    *(
        sa.Column(column.name, column.type)
        for column in store.postings.columns
        if column.name not in {"position", "number", "balance"}
    ),
)
_POSTINGS: Final = Bulk(_POSTED, "entry_id")
_ENTRIES: Final = Bulk(store.entries, "entry_id")


async def post_many(tx: Tx, drafts: Sequence[Draft], now: datetime) -> list[Posted]:
    """Makes entries whose references are all different, in one transaction with whatever else they belong to, last of all.

    Entries that are known by their reference already, with the same content, stay as they are. When anything is wrong with one, none is made:
    whoever is refused here posts each by itself, to learn which it was.

    Raises:
        Refusal: `REFERENCE_REUSED`, or what is wrong with a draft.
        DBAPIError: what `store.post` would refuse by the database's word, or somebody else makes one of the entries at this moment.
    """
    drafts = [draft.checked() for draft in drafts]
    made = await _made_before(tx, drafts)
    fresh = {draft.reference: new_id("jnl") for draft in drafts if draft.reference not in made}
    new = [draft for draft in drafts if draft.reference in fresh]
    await _ENTRIES.add(tx, [_entry(fresh[draft.reference], draft, now) for draft in new])
    wanted = {posting.account for draft in new for posting in draft.postings}
    ids = await store.opened(tx, drafts[0].organisation_id, wanted, now) if new else {}
    rows = [row for draft in new for row in _postings(fresh[draft.reference], draft, ids, now)]
    # Accounts are locked in the order of their ids, as everywhere.
    await _POSTINGS.add(tx, sorted(rows, key=lambda row: str(row["account_id"])))
    return [
        Posted(fresh.get(draft.reference) or made[draft.reference], fresh=draft.reference in fresh) for draft in drafts
    ]


async def _made_before(tx: Tx, drafts: Sequence[Draft]) -> dict[str, str]:
    if len({draft.organisation_id for draft in drafts}) > 1:
        raise ValueError("these entries are of several organisations")
    query = sa.select(store.entries.c.entry_id, store.entries.c.reference, store.entries.c.content_sha256).where(
        store.entries.c.organisation_id == drafts[0].organisation_id,
        store.entries.c.reference == sa.any_(sa.cast([draft.reference for draft in drafts], ARRAY(sa.Text))),
    )
    contents = {draft.reference: draft.content for draft in drafts}
    made = {}
    for row in await tx.execute(query):
        if row.content_sha256 != contents[row.reference]:
            raise refusals.reference_reused(row.reference)
        made[row.reference] = row.entry_id
    return made


def _entry(entry_id: str, draft: Draft, now: datetime) -> dict[str, Any]:
    return {
        "entry_id": entry_id,
        "organisation_id": draft.organisation_id,
        "kind": draft.kind,
        "reference": draft.reference,
        "content_sha256": draft.content,
        "posting_count": len(draft.postings),
        "reverses_entry_id": draft.reverses_entry_id,
        "description": draft.description,
        "occur_time": draft.occur_time,
        "create_time": now,
    }


def _postings(entry_id: str, draft: Draft, ids: Mapping[Account, str], now: datetime) -> Iterator[dict[str, Any]]:
    for posting in draft.postings:
        yield {
            "entry_id": entry_id,
            "account_id": ids[posting.account],
            "currency": posting.account.currency,
            "direction": posting.direction,
            "minor_units": posting.minor_units,
            "guarded": posting.guarded,
            "book_time": now,
        }
