"""Rules of requests of persons about their data. Pure: no I/O."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from reelmesh.rpc.v1 import personal_data_service_pb2 as personal

from services.compliance.rights import refusals
from services.kit.ids import time_of
from services.kit.personal import DataSubject

ANSWERED_WITHIN: Final = 1
"""Months in which a request must be answered (article 12(3))."""
EXTENDED_BY: Final = 2
"""Months more, with notice to the person."""
RECENT_SIGN_IN: Final = timedelta(minutes=15)
"""How long a sign-in proves that it is the person who asks for all their data, or to be erased."""
PROOF_WAITED_FOR: Final = timedelta(days=7)
"""How long a code that was sent is good."""
MOST_TRIES: Final = 5
"""Wrong codes after which none is right."""
FETCHED_WITHIN: Final = timedelta(days=30)
"""How long after a request for access came in its copy can be fetched, and as often as one likes."""
REMINDED_BEFORE: Final = (timedelta(days=7), timedelta(days=1), timedelta())
"""When staff is reminded of what is due; after that, every week."""
EVERY_WEEK: Final = timedelta(days=7)
LOG_KEPT: Final = 3
"""Years for which it is remembered that a request was made and what was done, without who it was where that was erased (article 5(2))."""
ROUNDS: Final = 2
"""Every erasure goes twice over all services: what was on its way when they were asked first is there by the second time."""


class Kind(IntEnum):
    """What is asked for; the numbers are those of the contract."""

    ACCESS = 1
    ERASURE = 2
    RESTRICTION = 3
    OBJECTION = 4


class State(IntEnum):
    """How far a request is; the numbers are those of the contract."""

    AWAITING_PROOF = 1
    OPEN = 2
    HELD = 3
    RUNNING = 4
    COMPLETED = 5
    REFUSED = 6
    EXPIRED = 7


class Proof(IntEnum):
    """How it was proved who asks; the numbers are those of the contract."""

    NONE = 0
    RECENT_SIGN_IN = 1
    MAILED_CODE = 2
    CHECKED_BY_STAFF = 3


ENDED: Final = frozenset({State.COMPLETED, State.REFUSED, State.EXPIRED})
WAITING: Final = (State.OPEN, State.HELD, State.RUNNING)
"""States in which there is something to do."""


@dataclass(frozen=True, slots=True)
class DataRequest:
    """One request.

    Attributes:
        data_request_id: `drq_…`.
        organisation_id: whose staff sees to it; empty for the operator's.
        subject_digest: keyed digest of who it is, which stays in the log of requests.
        subject: who; None once nothing of them is left.
        kind: what is asked for.
        state: how far it is.
        limits: what may not be done with their data, values of `ProcessingLimit`.
        lift: whether these are lifted and not set.
        proof: how it was proved who asks.
        actor: staff who took it in; empty when the person did.
        receive_time: when it came in.
        due_time: by when it must be answered.
        remind_time: when staff is reminded next.
        extend_reason: why it takes longer; empty when it does not.
        refuse_reason: why it was refused; empty when it was not.
        round: how often services were gone over, counted from 1 while it is done.
        next_time: when there is something to do again.
        end_time: when it was done, refused or given up.
        keep_until: until when something of theirs is kept because a law asks.
        waits_for: legal holds that it waits for.
    """

    data_request_id: str
    organisation_id: str
    subject_digest: bytes
    subject: DataSubject | None
    kind: Kind
    state: State
    receive_time: datetime
    due_time: datetime
    remind_time: datetime
    next_time: datetime
    limits: tuple[int, ...] = ()
    lift: bool = False
    proof: Proof = Proof.NONE
    actor: str = ""
    extend_reason: str = ""
    refuse_reason: str = ""
    round: int = 0
    end_time: datetime | None = None
    keep_until: datetime | None = None
    waits_for: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED

    def proved(self, proof: Proof, now: datetime) -> DataRequest:
        """With the person known to be who they say. Again changes nothing."""
        if self.state is not State.AWAITING_PROOF:
            return self
        return replace(self, state=State.OPEN, proof=proof, next_time=now)

    def expired(self, now: datetime) -> DataRequest:
        """Given up, because nobody proved who they are."""
        return replace(self, state=State.EXPIRED, end_time=now)

    def extended(self, reason: str, now: datetime) -> DataRequest:
        """Due two months later. For the same reason again changes nothing.

        Raises:
            Refusal: `DATA_REQUEST_WRONG_STATE`: it has ended, is due already, or was extended.
        """
        if self.extend_reason == reason:
            return self
        if self.ended or self.extend_reason or now >= self.due_time:
            raise refusals.wrong_state(
                self.data_request_id, self.state.name, "only an open request can be extended, once, before it is due"
            )
        due_time = months_after(self.due_time, EXTENDED_BY)
        return replace(self, extend_reason=reason, due_time=due_time, remind_time=first_reminder(due_time, now))

    def refused(self, reason: str, now: datetime) -> DataRequest:
        """Not to be done. For the same reason again changes nothing.

        Raises:
            Refusal: `DATA_REQUEST_WRONG_STATE`: it was begun or has ended.
        """
        if self.state is State.REFUSED and self.refuse_reason == reason:
            return self
        if self.round or self.state not in {State.AWAITING_PROOF, State.OPEN, State.HELD}:
            raise refusals.wrong_state(
                self.data_request_id, self.state.name, "only what was not begun can be refused any more"
            )
        return replace(self, state=State.REFUSED, refuse_reason=reason, end_time=now)

    def held(self, hold_ids: Sequence[str], again: datetime) -> DataRequest:
        """Waiting for legal holds, which are looked at again at a moment."""
        return replace(self, state=State.HELD, waits_for=tuple(hold_ids), next_time=again)

    def begun(self, now: datetime) -> DataRequest:
        """Being done; the round that it was in goes on."""
        return replace(self, state=State.RUNNING, round=max(self.round, 1), next_time=now, waits_for=())

    def round_done(self, now: datetime, settles: timedelta) -> DataRequest:
        """After all services have answered: done, or to be gone over again once what was on its way is there."""
        if self.kind is Kind.ERASURE and self.round < ROUNDS:
            return replace(self, round=self.round + 1, next_time=now + settles)
        return self.completed(now)

    def completed(self, now: datetime) -> DataRequest:
        """Done. When it was first stays."""
        return replace(self, state=State.COMPLETED, end_time=self.end_time or now, next_time=now)

    def reminded(self, now: datetime) -> DataRequest:
        """After staff was reminded."""
        return replace(self, remind_time=next_reminder(self.due_time, now))


def months_after(moment: datetime, months: int) -> datetime:
    """The same day some months later; the last of the month where it has no such day (Regulation 1182/71, article 3(2)(c))."""
    year, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + year, month + 1
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))


def first_reminder(due_time: datetime, now: datetime) -> datetime:
    """When staff is to be reminded first."""
    return next_reminder(due_time, now)


def next_reminder(due_time: datetime, now: datetime) -> datetime:
    """When staff is to be reminded next."""
    coming = [due_time - before for before in REMINDED_BEFORE if due_time - before > now]
    return min(coming) if coming else now + EVERY_WEEK


def days_left(due_time: datetime, now: datetime) -> int:
    """Whole days until a moment; negative after it."""
    return (due_time - now) // timedelta(days=1)


def checked_limits(kind: Kind, limits: tuple[int, ...]) -> tuple[int, ...]:
    """What a request limits: what an objection names, storage only for a restriction.

    Raises:
        Refusal: `LIMITS_MISPLACED`.
    """
    if (kind is Kind.OBJECTION) != bool(limits):
        raise refusals.limits_misplaced()
    if kind is Kind.RESTRICTION:
        return (int(personal.PROCESSING_LIMIT_STORAGE_ONLY),)
    return tuple(sorted(set(limits)))


def check_recent(session_id: str, now: datetime) -> None:
    """Refuses whoever signed in too long ago. A session's id tells when that was.

    Raises:
        Refusal: `SIGN_IN_TOO_OLD`.
    """
    signed_in = time_of(session_id)
    if signed_in is None or now - signed_in > RECENT_SIGN_IN:
        raise refusals.sign_in_too_old(int(RECENT_SIGN_IN.total_seconds() // 60))
