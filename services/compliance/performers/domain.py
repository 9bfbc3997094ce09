"""What is kept of performers and productions, and what follows from it. No input, no output.

Dates are days without a time zone, as they stand on paper; a record is good until its last day has ended in UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import Final

from services.compliance.performers import refusals

ADULT: Final = 18
"""Years (18 U.S.C. 2256(1), 2257(h)(1))."""
KEPT_FOR_YEARS: Final = 7
"""Years for which a record is kept once it is not in force any more (28 CFR 75.4)."""
WARNED_BEFORE: Final = timedelta(days=30)
"""How long before its end a record is announced to be about to expire."""
MOST_NAMES: Final = 100
_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 2199


def day_of(text: str, field: str) -> date:
    """Reads a day such as `2026-11-01`.

    Raises:
        Refusal: REQUEST_INVALID when there is no such day, or it is in no year in which papers are written.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise refusals.request_invalid(
            field, f"must be a day that there is between {_FIRST_YEAR} and {_LAST_YEAR}, as 2026-11-01"
        )
    return day


def last_day_of(text: str, field: str) -> date | None:
    """The same for a day that may be left out.

    Raises:
        Refusal: as above.
    """
    return day_of(text, field) if text else None


class State(IntEnum):
    """How a record stands; the numbers are those of the contract (`RecordState`)."""

    SUBMITTED = 1
    APPROVED = 2
    REJECTED = 3
    WITHDRAWN = 4


class Consent(IntEnum):
    """How the consent of all who are seen in an asset stands; the numbers are those of the contract (`ConsentState`)."""

    COMPLETE = 1
    MISSING = 2
    WITHDRAWN = 3
    NOT_REQUIRED = 4


class GapKind(IntEnum):
    """What can be missing; the numbers are those of the contract (`RecordGapKind`)."""

    PRODUCTION_NOT_APPROVED = 1
    IDENTITY_MISSING = 2
    IDENTITY_EXPIRED = 3
    RELEASE_MISSING = 4
    RELEASE_EXPIRED = 5
    RELEASE_WITHDRAWN = 6
    UNDER_AGE = 7


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Something that is missing. `performer_id` is empty where it is the production's own."""

    kind: GapKind
    performer_id: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """What is personal of a performer; kept sealed."""

    legal_name: str
    date_of_birth: date
    other_names: tuple[str, ...] = ()

    def with_names(self, performer_id: str, names: Sequence[str]) -> Person:
        """The person with more names, each once.

        Raises:
            Refusal: TOO_MANY_NAMES.
        """
        every = tuple(dict.fromkeys((*self.other_names, *(name.strip() for name in names))))
        if len(every) > MOST_NAMES:
            raise refusals.too_many_names(performer_id)
        return replace(self, other_names=every)


@dataclass(frozen=True, slots=True)
class Performer:
    """Somebody who is seen in titles."""

    performer_id: str
    organisation_id: str
    person: Person
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a second person looks at.

    Attributes:
        submitter: who brought it in or changed it last.
        reviewer: empty while nobody looked at it.
    """

    state: State
    submitter: str
    submit_time: datetime
    reviewer: str = ""
    review_time: datetime | None = None
    comment: str = ""

    def decided(self, record_id: str, *, approved: bool, reviewer: str, now: datetime, comment: str) -> Reviewed:
        """As it is once somebody looked at it. The same person saying the same once more changes nothing.

        Raises:
            Refusal: REVIEWER_IS_SUBMITTER or RECORD_ALREADY_DECIDED.
        """
        if reviewer == self.submitter:
            raise refusals.reviewer_is_submitter(record_id)
        state = State.APPROVED if approved else State.REJECTED
        if self.state is not State.SUBMITTED:
            if (self.state, self.reviewer) == (state, reviewer):
                return self
            raise refusals.already_decided(record_id, self.state.name)
        return replace(self, state=state, reviewer=reviewer, review_time=now, comment=comment)


@dataclass(frozen=True, slots=True)
class IdentityDocument:
    """What is known of an identity document, without the document.

    Attributes:
        kind: an `IdentityDocumentKind` of the contract.
        expire_date: last day on which it is good; None for one that is good for ever.
    """

    identity_document_id: str
    performer_id: str
    organisation_id: str
    kind: int
    issuer: str
    expire_date: date | None
    reviewed: Reviewed


@dataclass(frozen=True, slots=True)
class Release:
    """A performer's written consent to a production. `withdraw_time` is None while it was not taken back."""

    release_id: str
    production_id: str
    performer_id: str
    organisation_id: str
    sign_date: date
    expire_date: date | None
    reviewed: Reviewed
    withdraw_time: datetime | None = None


Paper = IdentityDocument | Release


@dataclass(frozen=True, slots=True)
class Production:
    """Who is seen in which assets. `version` grows with each change of what it says."""

    production_id: str
    organisation_id: str
    version: int
    title: str
    production_date: date
    asset_ids: tuple[str, ...]
    performer_ids: tuple[str, ...]
    urls: tuple[str, ...]
    reviewed: Reviewed

    @property
    def etag(self) -> str:
        """Opaque version for optimistic concurrency."""
        return f"v{self.version:x}"

    @property
    def says(self) -> tuple[object, ...]:
        """All that a reviewer looks at."""
        return self.title, self.production_date, self.asset_ids, self.performer_ids, self.urls


def is_expired(expire_date: date | None, now: datetime) -> bool:
    """Whether the last day of a record has ended."""
    return expire_date is not None and now >= end_of(expire_date)


def end_of(day: date) -> datetime:
    """The moment at which a day ends in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def is_adult(date_of_birth: date, on: date) -> bool:
    """Whether somebody has reached 18 on a day. Who was born on 29 February reaches it on 1 March where there is no such day."""
    return (on.year - date_of_birth.year, on.month, on.day) >= (ADULT, date_of_birth.month, date_of_birth.day)


def in_force(paper: Paper, now: datetime) -> bool:
    """Whether a paper was found good, and still is."""
    return paper.reviewed.state is State.APPROVED and not is_expired(paper.expire_date, now)


def gaps_of(
    production: Production,
    births: Mapping[str, date],
    documents: Collection[IdentityDocument],
    releases: Collection[Release],
    now: datetime,
) -> tuple[Gap, ...]:
    """What keeps a production's assets from being played, in order; empty when nothing does.

    Args:
        production: what is asked about.
        births: days of birth of its performers.
        documents: of any performers.
        releases: for any productions.
        now: when.
    """
    found: list[Gap] = []
    if production.reviewed.state is not State.APPROVED:
        found.append(Gap(GapKind.PRODUCTION_NOT_APPROVED))
    for performer_id in production.performer_ids:
        born = births.get(performer_id)
        if born is None or not is_adult(born, production.production_date):
            found.append(Gap(GapKind.UNDER_AGE, performer_id))
        theirs = [one for one in documents if one.performer_id == performer_id]
        if not any(in_force(one, now) for one in theirs):
            once = any(one.reviewed.state is State.APPROVED for one in theirs)
            found.append(Gap(GapKind.IDENTITY_EXPIRED if once else GapKind.IDENTITY_MISSING, performer_id))
        given = [
            one for one in releases if (one.performer_id, one.production_id) == (performer_id, production.production_id)
        ]
        if (kind := _release_gap(given, now)) is not None:
            found.append(Gap(kind, performer_id))
    return tuple(sorted(found))


def _release_gap(given: Collection[Release], now: datetime) -> GapKind | None:
    if any(in_force(one, now) for one in given):
        return None
    # Taken back says more than that an older one has also expired. A new release lifts it once it is approved.
    if any(one.reviewed.state is State.WITHDRAWN for one in given):
        return GapKind.RELEASE_WITHDRAWN
    if any(one.reviewed.state is State.APPROVED for one in given):
        return GapKind.RELEASE_EXPIRED
    return GapKind.RELEASE_MISSING


def consent_of(gaps: Collection[Gap]) -> Consent:
    """How the consent stands that a production's records amount to."""
    if any(gap.kind is GapKind.RELEASE_WITHDRAWN for gap in gaps):
        return Consent.WITHDRAWN
    return Consent.MISSING if gaps else Consent.COMPLETE


def consent_of_all(consents: Collection[Consent]) -> Consent:
    """How the consent stands of an asset that shows several productions: as it does of the worst. One that no production names any more has nobody's."""
    return max(consents, default=Consent.MISSING)


def consent_of_unnamed(before: Consent | None, *, named: bool, required: bool) -> Consent | None:
    """How the consent stands of an asset that no production names.

    Args:
        before: as it was announced last; None when nothing ever was.
        named: whether a production named it once. What was recorded once needs records for good.
        required: whether the organisation requires records of all of its assets.
    """
    if named or required:
        return Consent.MISSING
    return None if before is None else Consent.NOT_REQUIRED
