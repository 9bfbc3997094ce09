"""A promotion, and what its code gives. No input, no output."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from reelmesh.payments.v1 import events_pb2, payments_pb2

from services.kit.attempts import Alone, Limit
from services.kit.clock import duration, timestamp
from services.payments.promotions import refusals

_CODE_BYTES: Final = 10
BY_ONE_PERSON: Final = Limit(5, timedelta(seconds=15), timedelta(hours=1))
"""Wrong codes of one person: five cost nothing, the next ones time. How many come from one address, `limits` counts (`limits.yaml`)."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A code, and what it gives.

    Attributes:
        code: in capitals.
        asset_id: empty for every asset of the organisation.
        lasts: how long it lets watch, from redeeming on; None for good.
        max_plays: 0 for any number.
        watch: how long it plays once the first play has begun; None for as long as it lasts.
        start_time, end_time: when the code can be redeemed; None where that is not bounded.
        max_uses: 0 for any number of times.
        uses: how often it was redeemed.
        stop_time: when somebody ended it; None when nobody did.
    """

    promotion_id: str
    organisation_id: str
    code: str
    asset_id: str
    lasts: timedelta | None
    max_plays: int
    watch: timedelta | None
    territories: tuple[str, ...]
    start_time: datetime | None
    end_time: datetime | None
    max_uses: int
    uses_per_viewer: int
    comment: str
    create_time: datetime
    uses: int = 0
    stop_time: datetime | None = None

    def checked(self) -> Promotion:
        """The promotion, if it makes sense.

        Raises:
            Refusal: INVALID_ARGUMENT `PROMOTION_INVALID`.
        """
        if self.start_time and self.end_time and self.end_time <= self.start_time:
            raise refusals.promotion_invalid("end_time", "the promotion must end after it begins")
        if self.max_uses and self.uses_per_viewer > self.max_uses:
            raise refusals.promotion_invalid(
                "uses_per_viewer", "one viewer cannot have more uses than there are in all"
            )
        return self

    def redeemable(self, now: datetime, by_viewer: int) -> None:
        """Goes on when a viewer who redeemed it so often may do so once more.

        Raises:
            Refusal: `PROMOTION_CODE_UNKNOWN`, `PROMOTION_NOT_YET`, `PROMOTION_REDEEMED` or `PROMOTION_USED_UP`.
        """
        if self.stop_time is not None or (self.end_time is not None and now >= self.end_time):
            raise refusals.promotion_code_unknown()
        if self.start_time is not None and now < self.start_time:
            raise refusals.promotion_not_yet(self.start_time)
        if by_viewer >= self.uses_per_viewer:
            raise refusals.promotion_redeemed(self.uses_per_viewer)
        if self.max_uses and self.uses >= self.max_uses:
            raise refusals.promotion_used_up()

    def grant(self, now: datetime) -> payments_pb2.Grant:
        """What whoever redeems it now may watch."""
        return payments_pb2.Grant(
            asset_id=self.asset_id,
            kind=events_pb2.ENTITLEMENT_KIND_PROMOTION,
            end_time=timestamp(now + self.lasts) if self.lasts else None,
            territories=self.territories,
            max_plays=self.max_plays,
            watch_duration=duration(self.watch.total_seconds()) if self.watch else None,
        )


def new_code() -> str:
    """A code of 80 random bits, in groups of four that one can read out: letters and digits of RFC 4648, base 32."""
    text = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode()
    return "-".join(text[place : place + 4] for place in range(0, len(text), 4))


def guess_of(account_id: str) -> Alone:
    """What a code that a person tries counts against."""
    return Alone([(hashlib.sha256(b"promotion by\0" + account_id.encode()).digest(), BY_ONE_PERSON)])
