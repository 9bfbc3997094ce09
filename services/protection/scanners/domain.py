"""Rules of a master's way through the gate, and of a hold's life. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

from services.protection.gate import Finding, Ground
from services.protection.scanners.refusals import hold_decided, reviewer_not_a_person, second_reviewer_needed


class ScreeningState(IntEnum):
    """Where a master stands."""

    WAITING = 1
    """Checks are to be made, or made again."""
    HELD = 2
    """A check found something; reviewers decide."""
    CLEARED = 3
    """Told to whoever processes it. Final."""
    BLOCKED = 4
    """What was found was confirmed. Final."""


@dataclass(frozen=True, slots=True)
class Screening:
    """One master's way through the gate.

    Attributes:
        watermarking: number of the upload contract's `Watermarking`, to be passed on.
        purpose: number of the upload contract's `UploadPurpose`, to be passed on.
        passed: names of checks that need not be made any more: they found nothing, or what they found was released.
        delayed_by: the check that cannot be made now; empty when it goes on.
        delay_time: since when.
        ask_time: when it was last put into the work queue.
    """

    asset_id: str
    upload_id: str
    organisation_id: str
    object_key: str
    sha256: str
    size_bytes: int
    filename: str
    content_type: str
    watermarking: int
    create_time: datetime
    ask_time: datetime
    state: ScreeningState = ScreeningState.WAITING
    passed: tuple[str, ...] = ()
    delayed_by: str = ""
    delay_time: datetime | None = None
    purpose: int = 0

    def delayed(self, check: str, now: datetime) -> Screening:
        """The master once a check cannot be made. It waits since the first that could not."""
        return replace(self, delayed_by=check, delay_time=self.delay_time or now)

    def with_passed(self, check: str) -> Screening:
        """The master once a check need not be made any more."""
        return self if check in self.passed else replace(self, passed=(*self.passed, check))

    def at(self, state: ScreeningState) -> Screening:
        """The master in another state, which waits for nothing that is away."""
        return replace(self, state=state, delayed_by="", delay_time=None)


class HoldState(IntEnum):
    """Where a hold stands; the numbers are those of the contract."""

    OPEN = 1
    RELEASE_PROPOSED = 2
    RELEASED = 3
    CONFIRMED = 4


FINAL: Final = frozenset({HoldState.RELEASED, HoldState.CONFIRMED})


class Decision(IntEnum):
    """What a reviewer decides; the numbers are those of the contract."""

    RELEASE = 1
    CONFIRM = 2


@dataclass(frozen=True, slots=True)
class Review:
    """One reviewer's decision."""

    reviewer: str
    decision: Decision
    comment: str
    review_time: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """A master that a check found something against.

    Attributes:
        finding: what it found.
        preserve_time: since when the encrypted file lies in quarantine, and no other.
        report_time: when whoever has to hear of it was last told.
        destroy_time: since when the encrypted file is gone.
        ask_time: when its preservation was last put into the work queue.
    """

    hold_id: str
    asset_id: str
    organisation_id: str
    upload_id: str
    filename: str
    sha256: str
    size_bytes: int
    finding: Finding
    create_time: datetime
    ask_time: datetime
    state: HoldState = HoldState.OPEN
    reviews: tuple[Review, ...] = ()
    sealed_sha256: str = ""
    preserve_time: datetime | None = None
    decide_time: datetime | None = None
    report_time: datetime | None = None
    destroy_time: datetime | None = None

    @property
    def decided(self) -> bool:
        """Whether it was released or confirmed for good."""
        return self.state in FINAL

    @property
    def illegal(self) -> bool:
        """Whether it is on a list of illegal content, which two people release."""
        return self.finding.ground is Ground.ILLEGAL_CONTENT

    def reviewed(self, review: Review) -> Hold:
        """The hold after a decision.

        Raises:
            Refusal: HOLD_DECIDED, REVIEWER_NOT_A_PERSON or SECOND_REVIEWER_NEEDED.
        """
        if self.decided:
            raise hold_decided(self.state.name)
        if self.illegal and not review.reviewer.startswith("user/"):
            raise reviewer_not_a_person()
        reviews = (*self.reviews, review)
        if review.decision is Decision.CONFIRM:
            return replace(self, state=HoldState.CONFIRMED, reviews=reviews, decide_time=review.review_time)
        if not self.illegal:
            return replace(self, state=HoldState.RELEASED, reviews=reviews, decide_time=review.review_time)
        if self.state is HoldState.OPEN:
            return replace(self, state=HoldState.RELEASE_PROPOSED, reviews=reviews)
        if any(one.reviewer == review.reviewer for one in self.reviews):
            raise second_reviewer_needed()
        return replace(self, state=HoldState.RELEASED, reviews=reviews, decide_time=review.review_time)

    def preserved(self, sealed_sha256: str, now: datetime) -> Hold:
        """The hold once its evidence lies in quarantine."""
        return replace(self, sealed_sha256=sealed_sha256, preserve_time=now)

    def reported(self, now: datetime) -> Hold:
        """The hold once somebody was told of it."""
        return replace(self, report_time=now)


def quarantine_key(sha256: str) -> str:
    """Where an encrypted master lies in the object store. Holds of the same file share it."""
    return f"quarantine/{sha256}"
