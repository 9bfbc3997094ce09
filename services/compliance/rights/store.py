"""Tables of requests, receipts and limits. Who a request is about is sealed for its row."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from reelmesh.compliance.v1 import rights_pb2
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.compliance.rights.domain import ENDED, WAITING, DataRequest, Kind, Proof, State
from services.kit.database import Tx
from services.kit.pagination import Page
from services.kit.personal import DataSubject
from services.kit.sealing import Seal

_METADATA: Final = sa.MetaData()
requests: Final = sa.Table(
    "rights_requests",
    _METADATA,
    sa.Column("data_request_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("subject_digest", sa.LargeBinary),
    sa.Column("sealed_subject", sa.LargeBinary),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("state", sa.SmallInteger),
    sa.Column("limits", ARRAY(sa.SmallInteger)),
    sa.Column("lift", sa.Boolean),
    sa.Column("proof", sa.SmallInteger),
    sa.Column("actor", sa.Text),
    sa.Column("extend_reason", sa.Text),
    sa.Column("refuse_reason", sa.Text),
    sa.Column("round", sa.SmallInteger),
    sa.Column("receive_time", sa.DateTime(timezone=True)),
    sa.Column("due_time", sa.DateTime(timezone=True)),
    sa.Column("remind_time", sa.DateTime(timezone=True)),
    sa.Column("next_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("keep_until", sa.DateTime(timezone=True)),
    sa.Column("waits_for", ARRAY(sa.Text)),
    sa.Column("code_digest", sa.LargeBinary),
    sa.Column("code_tries", sa.SmallInteger),
)
receipts: Final = sa.Table(
    "rights_receipts",
    _METADATA,
    sa.Column("data_request_id", sa.Text, primary_key=True),
    sa.Column("round", sa.SmallInteger, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("receipt", sa.LargeBinary),
    sa.Column("done_time", sa.DateTime(timezone=True)),
)
_limits: Final = sa.Table(
    "rights_limits",
    _METADATA,
    sa.Column("subject_digest", sa.LargeBinary, primary_key=True),
    sa.Column("limits", ARRAY(sa.SmallInteger)),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)


_FETCHED_BY_THEMSELVES: Final = sa.and_(
    requests.c.kind == int(Kind.ACCESS), requests.c.proof == int(Proof.RECENT_SIGN_IN)
)
"""Requests that the person can see to at any time, and staff need not."""


class Subjects:
    """Who requests and holds are about: sealed, and as a keyed digest by which they are found."""

    def __init__(self, install: Seal) -> None:
        self._install = install

    def digest(self, subject: DataSubject) -> bytes:
        """By which a person is found."""
        return self._install.digest("rights subject", subject.scope, subject.name)

    def sealed(self, subject: DataSubject, row_id: str) -> bytes:
        """Seals a person for a row."""
        return self._install.seal(json.dumps([subject.scope, subject.name]).encode(), row_id)

    def opened(self, sealed: bytes | None, row_id: str) -> DataSubject | None:
        """Who it was; None where it was taken out."""
        return None if sealed is None else DataSubject(*json.loads(self._install.open(sealed, row_id)))


class Requests:
    """The requests."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects

    async def add(self, tx: Tx, request: DataRequest, code_digest: bytes | None = None) -> None:
        """Keeps a new request, with the digest of the code that proves who asks where one is sent."""
        await tx.execute(sa.insert(requests).values(code_digest=code_digest, **self._row(request)))

    async def put(self, tx: Tx, request: DataRequest) -> None:
        """Keeps the next state of a request."""
        await tx.execute(
            sa.update(requests)
            .where(requests.c.data_request_id == request.data_request_id)
            .values(**self._row(request))
        )

    async def find(self, tx: Tx, data_request_id: str, *, for_update: bool = False) -> DataRequest | None:
        """One request; None when there is none."""
        query = sa.select(requests).where(requests.c.data_request_id == data_request_id)
        row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
        return None if row is None else self._request(row)

    async def living(self, tx: Tx, subject_digest: bytes, kind: Kind) -> DataRequest | None:
        """The newest of a person's requests of one kind that has not ended; None when there is none."""
        query = (
            sa.select(requests)
            .where(
                requests.c.subject_digest == subject_digest,
                requests.c.kind == int(kind),
                requests.c.state.not_in([int(state) for state in ENDED]),
            )
            .order_by(requests.c.data_request_id.desc())
            .limit(1)
        )
        row = (await tx.execute(query)).one_or_none()
        return None if row is None else self._request(row)

    async def page_of_subject(self, tx: Tx, subject_digest: bytes, part: Page) -> Sequence[DataRequest]:
        """One page of a person's requests, newest first, and one more to tell whether there is another page."""
        return await self._page(tx, sa.select(requests).where(requests.c.subject_digest == subject_digest), part)

    async def page_of_staff(
        self, tx: Tx, organisation_ids: Sequence[str], part: Page, *, open_only: bool
    ) -> Sequence[DataRequest]:
        """One page of the requests that some staff sees to, likewise."""
        query = sa.select(requests).where(requests.c.organisation_id.in_(organisation_ids))
        if open_only:
            query = query.where(requests.c.state.not_in([int(state) for state in ENDED]))
        return await self._page(tx, query, part)

    async def next_due(self, tx: Tx, now: datetime) -> DataRequest | None:
        """The request that has waited longest for something to be done about it, locked; one that another process has is passed over."""
        ready = sa.or_(
            sa.and_(requests.c.state.in_([int(state) for state in WAITING]), requests.c.kind != int(Kind.ACCESS)),
            # What a law asked to be kept, and does no longer.
            sa.and_(
                requests.c.state == int(State.COMPLETED),
                requests.c.kind == int(Kind.ERASURE),
                requests.c.keep_until <= now,
                requests.c.sealed_subject.is_not(None),
            ),
        )
        query = sa.select(requests).where(ready, requests.c.next_time <= now).order_by(requests.c.next_time).limit(1)
        row = (await tx.execute(query.with_for_update(skip_locked=True))).one_or_none()
        return None if row is None else self._request(row)

    async def to_remind(self, tx: Tx, now: datetime, most: int = 50) -> Sequence[DataRequest]:
        """Requests that staff is to be reminded of, locked."""
        query = (
            sa.select(requests)
            .where(
                requests.c.state.not_in([int(state) for state in (*ENDED, State.AWAITING_PROOF)]),
                requests.c.remind_time <= now,
                sa.not_(_FETCHED_BY_THEMSELVES),
            )
            .limit(most)
        )
        return [self._request(row) for row in await tx.execute(query.with_for_update(skip_locked=True))]

    async def abandoned(self, tx: Tx, unproved: datetime, unfetched: datetime, most: int = 50) -> Sequence[DataRequest]:
        """Requests whose person nobody proved to be it, and copies that a person did not fetch, of before these moments; locked."""
        query = (
            sa.select(requests)
            .where(
                sa.or_(
                    sa.and_(requests.c.state == int(State.AWAITING_PROOF), requests.c.receive_time < unproved),
                    sa.and_(
                        requests.c.state == int(State.OPEN), _FETCHED_BY_THEMSELVES, requests.c.receive_time < unfetched
                    ),
                )
            )
            .limit(most)
        )
        return [self._request(row) for row in await tx.execute(query.with_for_update(skip_locked=True))]

    async def tried(self, tx: Tx, data_request_id: str) -> tuple[bytes | None, int]:
        """The digest of the code of a request, and how often a wrong one was tried."""
        query = sa.select(requests.c.code_digest, requests.c.code_tries)
        row = (await tx.execute(query.where(requests.c.data_request_id == data_request_id))).one()
        return row.code_digest, row.code_tries

    async def wrong_code(self, tx: Tx, data_request_id: str) -> None:
        """Counts a wrong code."""
        await tx.execute(
            sa.update(requests)
            .where(requests.c.data_request_id == data_request_id)
            .values(code_tries=requests.c.code_tries + 1)
        )

    async def _page(self, tx: Tx, query: sa.Select[Any], part: Page) -> Sequence[DataRequest]:
        if part.after:
            query = query.where(requests.c.data_request_id < part.after)
        rows = await tx.execute(query.order_by(requests.c.data_request_id.desc()).limit(part.size + 1))
        return [self._request(row) for row in rows]

    def _row(self, request: DataRequest) -> dict[str, Any]:
        subject = request.subject
        return {
            "data_request_id": request.data_request_id,
            "organisation_id": request.organisation_id,
            "subject_digest": request.subject_digest,
            "sealed_subject": None if subject is None else self._subjects.sealed(subject, request.data_request_id),
            "kind": int(request.kind),
            "state": int(request.state),
            "limits": list(request.limits),
            "lift": request.lift,
            "proof": int(request.proof),
            "actor": request.actor,
            "extend_reason": request.extend_reason,
            "refuse_reason": request.refuse_reason,
            "round": request.round,
            "receive_time": request.receive_time,
            "due_time": request.due_time,
            "remind_time": request.remind_time,
            "next_time": request.next_time,
            "end_time": request.end_time,
            "keep_until": request.keep_until,
            "waits_for": list(request.waits_for),
        }

    def _request(self, row: sa.Row[Any]) -> DataRequest:
        return DataRequest(
            data_request_id=row.data_request_id,
            organisation_id=row.organisation_id,
            subject_digest=row.subject_digest,
            subject=self._subjects.opened(row.sealed_subject, row.data_request_id),
            kind=Kind(row.kind),
            state=State(row.state),
            limits=tuple(row.limits),
            lift=row.lift,
            proof=Proof(row.proof),
            actor=row.actor,
            extend_reason=row.extend_reason,
            refuse_reason=row.refuse_reason,
            round=row.round,
            receive_time=row.receive_time,
            due_time=row.due_time,
            remind_time=row.remind_time,
            next_time=row.next_time,
            end_time=row.end_time,
            keep_until=row.keep_until,
            waits_for=tuple(row.waits_for),
        )


async def put_off(tx: Tx, data_request_id: str, until: datetime) -> None:
    """Leaves a request alone until a moment."""
    await tx.execute(sa.update(requests).where(requests.c.data_request_id == data_request_id).values(next_time=until))


async def answered(tx: Tx, data_request_id: str, round_: int) -> set[str]:
    """The services that have answered in a round."""
    query = sa.select(receipts.c.service).where(
        receipts.c.data_request_id == data_request_id, receipts.c.round == round_
    )
    return set((await tx.execute(query)).scalars())


async def add_receipt(tx: Tx, data_request_id: str, round_: int, receipt: rights_pb2.ServiceReceipt) -> None:
    """Keeps what a service did. One that is there stays."""
    await tx.execute(
        insert(receipts)
        .values(
            data_request_id=data_request_id,
            round=round_,
            service=receipt.service,
            receipt=receipt.SerializeToString(),
            done_time=receipt.done_time.ToDatetime(tzinfo=UTC),
        )
        .on_conflict_do_nothing()
    )


async def receipts_of(
    tx: Tx, data_request_ids: Collection[str]
) -> dict[str, list[tuple[int, rights_pb2.ServiceReceipt]]]:
    """What services did for requests, with the round, in the order in which they did."""
    found: dict[str, list[tuple[int, rights_pb2.ServiceReceipt]]] = {name: [] for name in data_request_ids}
    query = (
        sa.select(receipts)
        .where(receipts.c.data_request_id.in_(data_request_ids))
        .order_by(receipts.c.round, receipts.c.done_time)
    )
    for row in await tx.execute(query):
        found[row.data_request_id].append((row.round, rights_pb2.ServiceReceipt.FromString(row.receipt)))
    return found


async def limits_of(tx: Tx, subject_digest: bytes) -> frozenset[int]:
    """What may not be done with a person's data."""
    query = sa.select(_limits.c.limits).where(_limits.c.subject_digest == subject_digest)
    found = (await tx.execute(query)).scalar_one_or_none()
    return frozenset(found or ())


async def put_limits(tx: Tx, subject_digest: bytes, limits: frozenset[int], now: datetime) -> None:
    """Keeps what may not be done with a person's data."""
    values = {"limits": sorted(limits), "change_time": now}
    await tx.execute(
        insert(_limits)
        .values(subject_digest=subject_digest, **values)
        .on_conflict_do_update(index_elements=["subject_digest"], set_=values)
    )


async def forget_limits(tx: Tx, subject_digest: bytes) -> None:
    """Removes them, of somebody who was erased."""
    await tx.execute(sa.delete(_limits).where(_limits.c.subject_digest == subject_digest))


async def forget_old(tx: Tx, before: datetime) -> None:
    """Removes requests that ended before a moment, with their receipts."""
    await tx.execute(
        sa.delete(requests).where(
            requests.c.end_time < before,
            sa.or_(requests.c.keep_until.is_(None), requests.c.keep_until < before),
        )
    )


async def wake_held(tx: Tx, now: datetime) -> None:
    """Has requests looked at now that wait for holds."""
    await tx.execute(sa.update(requests).where(requests.c.state == int(State.HELD)).values(next_time=now))


async def forget_subject(tx: Tx, subject_digest: bytes, now: datetime, *, but: str) -> None:
    """Takes somebody who was erased out of their other requests; those that have not ended come to nothing."""
    theirs = sa.and_(requests.c.subject_digest == subject_digest, requests.c.data_request_id != but)
    given_up = {"state": int(State.EXPIRED), "end_time": now}
    not_ended = requests.c.state.not_in([int(state) for state in ENDED])
    await tx.execute(sa.update(requests).where(theirs, not_ended).values(**given_up))
    await tx.execute(sa.update(requests).where(theirs).values(sealed_subject=None))
