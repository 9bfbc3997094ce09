"""What the contracts of records share: where records are kept, who calls, and how a second person looks at a paper."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeVar

from reelmesh.compliance.v1 import events_pb2

from services.compliance.performers import copies, refusals, store
from services.compliance.performers.announcements import changed, opened
from services.compliance.performers.consents import Consents
from services.compliance.performers.copies import Copies, Copy
from services.compliance.performers.domain import IdentityDocument, Paper, Performer, Release, is_expired
from services.compliance.performers.persons import Persons
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.sealing import Seal
from services.kit.server import current_call

AnyPaper = TypeVar("AnyPaper", IdentityDocument, Release)


@dataclass(frozen=True, slots=True)
class Office:
    """Where records are kept.

    Attributes:
        install: the service's own seal.
        public_url: where people reach the pages.
    """

    database: Database
    clock: Clock
    install: Seal
    public_url: str
    persons: Persons
    copies: Copies
    consents: Consents

    async def performer(self, tx: Tx, organisation_id: str, performer_id: str) -> Performer:
        """One performer.

        Raises:
            Refusal: PERFORMER_NOT_FOUND.
        """
        found = await self.persons.find(tx, organisation_id, performer_id)
        if found is None:
            raise refusals.performer_not_found(performer_id)
        return found

    async def opened(self, tx: Tx, paper: Paper, purpose: str) -> bytes:
        """The copy of a paper; that it was read, by whom and why, is noted and announced."""
        record_id, now, who = store.record_id_of(paper), self.clock.now(), caller()[1]
        content = await self.copies.open(tx, record_id)
        await store.note_opening(tx, record_id, who, now)
        await announce(tx, opened(paper, who, one_line(purpose, "purpose"), now))
        return content

    async def reviewed(self, tx: Tx, paper: AnyPaper, *, approved: bool, comment: str) -> AnyPaper:
        """A paper once somebody said whether it is good.

        Raises:
            Refusal: REVIEWER_IS_SUBMITTER, RECORD_ALREADY_DECIDED, RECORD_NOT_OPENED or RECORD_EXPIRED.
        """
        record_id, now, who = store.record_id_of(paper), self.clock.now(), caller()[1]
        decided = paper.reviewed.decided(record_id, approved=approved, reviewer=who, now=now, comment=comment)
        if decided is paper.reviewed:
            return paper
        if not await store.has_opened(tx, record_id, who):
            raise refusals.not_opened(record_id)
        if approved and paper.expire_date is not None and is_expired(paper.expire_date, now):
            raise refusals.record_expired(record_id, paper.expire_date.isoformat())
        after = replace(paper, reviewed=decided)
        await store.keep_review(tx, after)
        said = events_pb2.RECORD_CHANGE_APPROVED if approved else events_pb2.RECORD_CHANGE_REJECTED
        await announce(tx, changed(after, said, who, now))
        return after


def caller() -> tuple[str, str]:
    """Organisation of who calls, and who they are."""
    call = current_call()
    return call.organisation_id, call.principal.name if call.principal else ""


def one_line(text: str, field: str) -> str:
    """A text without control characters, and without space around it.

    Raises:
        Refusal: REQUEST_INVALID when nothing is left, or it holds such characters.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise refusals.request_invalid(field, "must be text in one line, without control characters")
    return text


async def copies_of(tx: Tx, papers: Collection[Paper]) -> dict[str, Copy]:
    """What is known of the copies of papers."""
    return await copies.of_records(tx, [store.record_id_of(paper) for paper in papers])
