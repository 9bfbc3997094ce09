"""An entitlement, and where it stands. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

_INSTANT: Final = timedelta(microseconds=1)


class State(IntEnum):
    """Where an entitlement stands; the numbers are those of the contract."""

    PENDING = 1
    ACTIVE = 2
    USED_UP = 3
    ENDED = 4
    REVOKED = 5


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Somebody may watch something.

    Attributes:
        buyer_id: who paid, when it was not the viewer; empty otherwise.
        asset_id: empty for every asset of the organisation.
        kind: as the contract's `EntitlementKind`.
        start_time, end_time: None where it is not bounded.
        territories: empty for everywhere.
        max_plays: 0 for any number.
        begin_by_time: until when the first play must begin; None for whenever.
        watch: how long it plays once the first play has begun; None for as long as it lasts.
        sale_id, offer_id, promotion_id: by which it came; empty where there was none.
        paid: whether the money stands for which it was sold; also of what was given.
        revoke_time: when somebody took it back for good, whatever becomes of the money.
        plays, begin_time: what `policy` told of its use.
        subscription_id: by which it is had; empty for none.
        change_time: when it was announced last. Each time is later than the one before, as who hears of both goes by it.
    """

    entitlement_id: str
    organisation_id: str
    viewer_id: str
    asset_id: str
    kind: int
    create_time: datetime
    change_time: datetime
    buyer_id: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    territories: tuple[str, ...] = ()
    max_plays: int = 0
    begin_by_time: datetime | None = None
    watch: timedelta | None = None
    sale_id: str = ""
    offer_id: str = ""
    promotion_id: str = ""
    comment: str = ""
    paid: bool = True
    revoke_time: datetime | None = None
    revoke_comment: str = ""
    plays: int = 0
    begin_time: datetime | None = None
    subscription_id: str = ""

    @property
    def stands(self) -> bool:
        """Whether nobody took it back."""
        return self.paid and self.revoke_time is None

    @property
    def window_end(self) -> datetime | None:
        """Until when it lets watch as things stand; None for good."""
        ends = [self.end_time]
        if self.begin_time is None:
            ends.append(self.begin_by_time)
        elif self.watch is not None:
            ends.append(self.begin_time + self.watch)
        return min((end for end in ends if end is not None), default=None)

    def state(self, now: datetime) -> State:
        """Where it stands at a moment."""
        if not self.stands:
            return State.REVOKED
        end = self.window_end
        if end is not None and now >= end:
            return State.ENDED
        if self.start_time is not None and now < self.start_time:
            return State.PENDING
        return State.USED_UP if self.max_plays and self.plays >= self.max_plays else State.ACTIVE

    def with_money(self, now: datetime, *, stands: bool) -> Entitlement:
        """The entitlement after its money came or went."""
        return self._changed(replace(self, paid=stands), now)

    def revoked(self, now: datetime, comment: str) -> Entitlement:
        """The entitlement once somebody took it back; one that was stays as it was."""
        if self.revoke_time is not None:
            return self
        return self._changed(replace(self, revoke_time=now, revoke_comment=comment), now)

    def used(self, plays: int, begin_time: datetime) -> Entitlement:
        """The entitlement after so many plays, told in any order and any number of times."""
        earliest = begin_time if self.begin_time is None else min(self.begin_time, begin_time)
        return replace(self, plays=max(self.plays, plays), begin_time=earliest)

    def _changed(self, after: Entitlement, now: datetime) -> Entitlement:
        if after.stands == self.stands:
            return after
        return replace(after, change_time=max(now, self.change_time + _INSTANT))
