"""The tables of offers: one row for each, and one for each of its versions, which never change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.offers.domain import Offer, OfferKind, OfferPrice, Rental

_METADATA: Final = sa.MetaData()

offers: Final = sa.Table(
    "offers",
    _METADATA,
    sa.Column("offer_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("asset_id", sa.Text),
    sa.Column("version", sa.BigInteger),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("retire_time", sa.DateTime(timezone=True)),
)
versions: Final = sa.Table(
    "offer_versions",
    _METADATA,
    sa.Column("offer_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("prices", JSONB),
    sa.Column("begin_within", sa.Interval),
    sa.Column("watch", sa.Interval),
    sa.Column("max_plays", sa.Integer),
    sa.Column("territories", ARRAY(sa.Text, as_tuple=True)),
    sa.Column("start_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("creators", JSONB),
    sa.Column("update_time", sa.DateTime(timezone=True)),
)
_JOINED: Final = sa.select(
    offers.c.organisation_id,
    offers.c.kind,
    offers.c.asset_id,
    offers.c.create_time,
    offers.c.retire_time,
    versions,
)


async def add(tx: Tx, offer: Offer) -> None:
    """Keeps a new offer, in its first version."""
    await tx.execute(
        sa.insert(offers).values(
            offer_id=offer.offer_id,
            organisation_id=offer.organisation_id,
            kind=offer.kind.value,
            asset_id=offer.asset_id,
            version=offer.version,
            create_time=offer.create_time,
            retire_time=offer.retire_time,
        )
    )
    await _add_version(tx, offer)


async def add_version(tx: Tx, offer: Offer) -> None:
    """Keeps the next version of an offer, which is locked."""
    await tx.execute(sa.update(offers).where(offers.c.offer_id == offer.offer_id).values(version=offer.version))
    await _add_version(tx, offer)


async def retire(tx: Tx, offer_id: str, now: datetime) -> None:
    """Keeps that an offer cannot be had any more; when it was retired before, that stays."""
    await tx.execute(
        sa.update(offers).where(offers.c.offer_id == offer_id, offers.c.retire_time.is_(None)).values(retire_time=now)
    )


async def find(
    tx: Tx, organisation_id: str, offer_id: str, version: int = 0, *, for_update: bool = False
) -> Offer | None:
    """An offer as it was in a version, or with 0 as it is now; None when there is none."""
    wanted = sa.literal(version) if version else offers.c.version
    query = _JOINED.where(
        offers.c.organisation_id == organisation_id,
        offers.c.offer_id == offer_id,
        versions.c.offer_id == offers.c.offer_id,
        versions.c.version == wanted,
    )
    row = (await tx.execute(query.with_for_update(of=offers) if for_update else query)).one_or_none()
    return None if row is None else _offer(row)


async def page(
    tx: Tx, organisation_id: str, part: Page, *, assets: Sequence[str] = (), retired: bool = False
) -> Sequence[Offer]:
    """One page of an organisation's offers, newest first, and one more to tell whether there is another page. With `assets`, only
    offers of these, where an empty id stands for the whole catalogue; those that are retired only when `retired` says so."""
    query = _JOINED.where(
        offers.c.organisation_id == organisation_id,
        versions.c.offer_id == offers.c.offer_id,
        versions.c.version == offers.c.version,
    )
    if assets:
        query = query.where(offers.c.asset_id.in_(assets))
    if not retired:
        query = query.where(offers.c.retire_time.is_(None))
    if part.after:
        query = query.where(offers.c.offer_id < part.after)
    return [_offer(row) for row in await tx.execute(query.order_by(offers.c.offer_id.desc()).limit(part.size + 1))]


async def _add_version(tx: Tx, offer: Offer) -> None:
    await tx.execute(
        sa.insert(versions).values(
            offer_id=offer.offer_id,
            version=offer.version,
            title=offer.title,
            prices=[
                [list(price.territories), price.minor_units, price.currency, price.here_only] for price in offer.prices
            ],
            begin_within=offer.rental.begin_within if offer.rental else None,
            watch=offer.rental.watch if offer.rental else None,
            max_plays=offer.max_plays,
            territories=offer.territories,
            start_time=offer.start_time,
            end_time=offer.end_time,
            creators=[list(share) for share in offer.creators],
            update_time=offer.update_time,
        )
    )


def _offer(row: sa.Row[Any]) -> Offer:
    return Offer(
        offer_id=row.offer_id,
        organisation_id=row.organisation_id,
        version=row.version,
        kind=OfferKind(row.kind),
        asset_id=row.asset_id,
        title=row.title,
        prices=tuple(OfferPrice(tuple(places), units, code, here) for places, units, code, here in row.prices),
        rental=Rental(row.begin_within, row.watch) if row.watch is not None else None,
        max_plays=row.max_plays,
        territories=row.territories,
        start_time=row.start_time,
        end_time=row.end_time,
        creators=tuple((creator_id, weight) for creator_id, weight in row.creators),
        create_time=row.create_time,
        update_time=row.update_time,
        retire_time=row.retire_time,
    )
