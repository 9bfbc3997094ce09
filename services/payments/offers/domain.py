"""An offer, and what one viewer pays for it. No input, no output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from reelmesh.payments.v1 import events_pb2, payments_pb2

from services.kit.clock import duration, timestamp
from services.payments import refusals
from services.payments.ledger.currencies import currency


class OfferKind(IntEnum):
    """How something is sold; the numbers are those of the contract."""

    PURCHASE = 1
    RENTAL = 2
    FREE = 3


_GRANTED = {
    OfferKind.PURCHASE: events_pb2.ENTITLEMENT_KIND_PURCHASE,
    OfferKind.RENTAL: events_pb2.ENTITLEMENT_KIND_RENTAL,
    OfferKind.FREE: events_pb2.ENTITLEMENT_KIND_FREE,
}


@dataclass(frozen=True, slots=True)
class OfferPrice:
    """What an offer costs in some places.

    Attributes:
        territories: empty for wherever no other price holds.
        minor_units: of the currency; tax included.
        here_only: whether what is bought for it is good in its territories only.
    """

    territories: tuple[str, ...]
    minor_units: int
    currency: str
    here_only: bool = False


@dataclass(frozen=True, slots=True)
class Rental:
    """The windows of a rental.

    Attributes:
        begin_within: how long after buying the first play may begin.
        watch: how long it plays once it has begun.
    """

    begin_within: timedelta
    watch: timedelta


@dataclass(frozen=True, slots=True)
class Offer:
    """One version of an offer.

    Attributes:
        asset_id: empty for every asset of the organisation.
        rental: None unless it is one.
        max_plays: 0 for any number.
        territories: where it can be had and is good; empty for everywhere.
        start_time, end_time: when it can be had; None where that is not bounded.
        creators: each with a weight.
        update_time: when this version was made.
        retire_time: None while it is active.
    """

    offer_id: str
    organisation_id: str
    version: int
    kind: OfferKind
    asset_id: str
    title: str
    prices: tuple[OfferPrice, ...]
    rental: Rental | None
    max_plays: int
    territories: tuple[str, ...]
    start_time: datetime | None
    end_time: datetime | None
    creators: tuple[tuple[str, int], ...]
    create_time: datetime
    update_time: datetime
    retire_time: datetime | None = None

    def checked(self) -> Offer:
        """The offer, if it makes sense.

        Raises:
            Refusal: INVALID_ARGUMENT `OFFER_INVALID`, `AMOUNT_INVALID` or `CURRENCY_UNKNOWN`.
        """
        if (self.kind is OfferKind.RENTAL) != (self.rental is not None):
            raise refusals.offer_invalid("rental", "a rental has both windows, and nothing else has any")
        if (self.kind is OfferKind.FREE) == bool(self.prices):
            raise refusals.offer_invalid("prices", "what is free has no price, and everything else at least one")
        if self.start_time and self.end_time and self.end_time <= self.start_time:
            raise refusals.offer_invalid("end_time", "the offer must end after it begins")
        named: set[str] = set()
        for number, price in enumerate(self.prices):
            currency(price.currency)
            if price.minor_units < 1:
                raise refusals.amount_invalid(f"prices[{number}].price", "must be above zero")
            if price.here_only and not price.territories:
                raise refusals.offer_invalid(
                    f"prices[{number}].here_only", "a price that holds anywhere else cannot be good in one place only"
                )
            places = price.territories or ("",)
            if twice := named.intersection(places) or {place for place in places if places.count(place) > 1}:
                place = min(twice) or "anywhere else"
                raise refusals.offer_invalid(
                    f"prices[{number}].territories", f"there are two prices for {place}; a viewer pays one"
                )
            named.update(places)
        if len({creator_id for creator_id, _ in self.creators}) < len(self.creators):
            raise refusals.offer_invalid("creators", "a creator is named twice; put their shares into one")
        return self

    def price_in(self, territory: str) -> OfferPrice | None:
        """The one price in a territory; None where it is not sold. What names the place most closely holds."""
        for place in (territory, territory.split("-", 1)[0]):
            for price in self.prices:
                if place in price.territories:
                    return price
        return next((price for price in self.prices if not price.territories), None)

    def quoted(self, territory: str, now: datetime) -> Quote:
        """What a viewer in a territory gets and pays now.

        Raises:
            Refusal: FAILED_PRECONDITION `OFFER_RETIRED`, `OFFER_NOT_NOW` or `OFFER_NOT_SOLD_HERE`.
        """
        if self.retire_time is not None:
            raise refusals.offer_retired(self.offer_id)
        if self.start_time is not None and now < self.start_time:
            raise refusals.offer_not_yet(self.offer_id, self.start_time)
        if self.end_time is not None and now >= self.end_time:
            raise refusals.offer_over(self.offer_id, self.end_time)
        return self.kept(territory)

    def kept(self, territory: str) -> Quote:
        """As `quoted`, for whoever opened a checkout while the offer could be had: the version that they were quoted is good for them
        whatever became of the offer.

        Raises:
            Refusal: FAILED_PRECONDITION `OFFER_NOT_SOLD_HERE`.
        """
        price = self.price_in(territory)
        within = not self.territories or bool({territory, territory.split("-", 1)[0]} & set(self.territories))
        if not within or (price is None and self.kind is not OfferKind.FREE):
            raise refusals.offer_not_sold_here(self.offer_id, territory)
        good_in = price.territories if price is not None and price.here_only else self.territories
        if price is not None and price.here_only and self.territories:
            good_in = _both(price.territories, self.territories)
        return Quote(self, territory, price, good_in)


@dataclass(frozen=True, slots=True)
class Quote:
    """What one viewer gets by an offer, and pays.

    Attributes:
        offer: the version that was quoted.
        price: None when it is free.
        territories: where what is granted is good; empty for everywhere.
    """

    offer: Offer
    territory: str
    price: OfferPrice | None
    territories: tuple[str, ...]

    def grant(self, now: datetime, *, viewer_id: str = "") -> payments_pb2.Grant:
        """What the buyer may watch by it, bought now.

        Args:
            now: from which the windows of a rental count.
            viewer_id: who is to watch it when the buyer gives it away; empty for the buyer.
        """
        offer, rental = self.offer, self.offer.rental
        return payments_pb2.Grant(
            asset_id=offer.asset_id,
            kind=events_pb2.ENTITLEMENT_KIND_GIFT if viewer_id else _GRANTED[offer.kind],
            territories=self.territories,
            viewer_id=viewer_id,
            max_plays=offer.max_plays,
            begin_by_time=timestamp(now + rental.begin_within) if rental else None,
            watch_duration=duration(rental.watch.total_seconds()) if rental else None,
            offer_id=offer.offer_id,
        )


def _both(some: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """The places that are in some of both: of `US` and `US-TX` that is `US-TX`."""
    closer = [place for place in some if place in others or place.split("-", 1)[0] in others]
    return tuple(dict.fromkeys([*closer, *(place for place in others if place.split("-", 1)[0] in some)]))
