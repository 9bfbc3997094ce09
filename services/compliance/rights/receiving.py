"""Takes requests in: from persons themselves, and from staff for those who wrote to them."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reelmesh.compliance.v1 import events_pb2, rights_pb2

from services.compliance.rights import letters, refusals
from services.compliance.rights.domain import (
    ANSWERED_WITHIN,
    MOST_TRIES,
    DataRequest,
    Kind,
    Proof,
    State,
    check_recent,
    checked_limits,
    first_reminder,
    months_after,
)
from services.compliance.rights.letters import Letter, Letters
from services.compliance.rights.store import Requests, Subjects
from services.kit.access import Principal
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx, after_commit
from services.kit.events import announce
from services.kit.ids import is_id, new_id
from services.kit.personal import DataSubject
from services.kit.sealing import Seal

_DIGITS: Final = 8
_ASKED_TO: Final = {
    Kind.ACCESS: "send a copy of your data",
    Kind.ERASURE: "delete your data",
    Kind.RESTRICTION: "store your data and do nothing else with it",
    Kind.OBJECTION: "stop some uses of your data",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for.

    Attributes:
        kind: of the request.
        limits: what is not to be done with their data, for objections.
        lift: whether a restriction or an objection is taken back.
    """

    kind: Kind
    limits: tuple[int, ...] = ()
    lift: bool = False


class Receiving:
    """Whoever takes requests in.

    Args:
        database: the service's own.
        clock: the present moment.
        requests: the requests.
        subjects: names persons in tables.
        install: digests codes.
        box: for letters.
        news: called once there is something to do.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        requests: Requests,
        subjects: Subjects,
        install: Seal,
        box: Letters,
        news: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._requests = requests
        self._subjects = subjects
        self._install = install
        self._box = box
        self._news = news

    async def from_person(self, tx: Tx, person: Principal, asked: Asked) -> DataRequest:
        """Takes in what a signed-in person asks about themselves.

        Raises:
            Refusal: `SIGN_IN_TOO_OLD` or `LIMITS_MISPLACED`.
        """
        if asked.kind in {Kind.ACCESS, Kind.ERASURE}:
            check_recent(person.session_id, self._clock.now())
        return await self._taken(tx, DataSubject("", person.account_id), asked, "", Proof.RECENT_SIGN_IN)

    async def from_staff(
        self, tx: Tx, staff: Principal, subject: DataSubject, asked: Asked, *, checked: bool
    ) -> DataRequest:
        """Takes in what reached staff. Whose identity staff did not see to is sent a code.

        Raises:
            Refusal: `IDENTITY_UNPROVEN` or `LIMITS_MISPLACED`.
        """
        if not checked and not is_id("usr", subject.name):
            raise refusals.identity_unproven()
        proof = Proof.CHECKED_BY_STAFF if checked else Proof.NONE
        return await self._taken(tx, subject, asked, staff.name, proof)

    async def confirmed(self, data_request_id: str, code: str) -> None:
        """Takes a code as proof. Confirmed again, it stays so.

        Raises:
            Refusal: `PROOF_CODE_INVALID`.
        """
        right = False
        async with self._database.transaction() as tx:  # a wrong code counts, so this is committed before it is refused
            request = await self._requests.find(tx, data_request_id, for_update=True)
            if request is not None:
                digest, tries = await self._requests.tried(tx, data_request_id)
                right = digest is not None and hmac.compare_digest(digest, self._digest(data_request_id, code))
                right = right and tries < MOST_TRIES and request.state is not State.EXPIRED
                if right:
                    await self._requests.put(tx, request.proved(Proof.MAILED_CODE, self._clock.now()))
                    after_commit(tx, self._news)
                else:
                    await self._requests.wrong_code(tx, data_request_id)
        if not right:
            raise refusals.proof_code_invalid()

    async def tell(self, tx: Tx, request: DataRequest, template: str, reason: str) -> None:
        """Writes to the person what becomes of their request, where they have an account."""
        if request.subject is None or not is_id("usr", request.subject.name):
            return
        told = {"request": _ASKED_TO[request.kind], "reason": reason}
        if template == letters.EXTENDED:
            told["due"] = request.due_time.date().isoformat()
        await self._box.put(tx, Letter(request.subject.name, template, told))
        after_commit(tx, self._news)

    async def _taken(self, tx: Tx, subject: DataSubject, asked: Asked, actor: str, proof: Proof) -> DataRequest:
        limits, now, digest = (
            checked_limits(asked.kind, asked.limits),
            self._clock.now(),
            self._subjects.digest(subject),
        )
        under_way = await self._requests.living(tx, digest, asked.kind)
        if under_way is not None and (under_way.limits, under_way.lift) == (limits, asked.lift):
            proved = under_way if proof is Proof.NONE else under_way.proved(proof, now)
            if proved is not under_way:
                await self._requests.put(tx, proved)
                after_commit(tx, self._news)
            return proved
        due_time = months_after(now, ANSWERED_WITHIN)
        request = DataRequest(
            data_request_id=new_id("drq"),
            organisation_id=subject.scope,
            subject_digest=digest,
            subject=subject,
            kind=asked.kind,
            state=State.AWAITING_PROOF if proof is Proof.NONE else State.OPEN,
            receive_time=now,
            due_time=due_time,
            remind_time=first_reminder(due_time, now),
            next_time=now,
            limits=limits,
            lift=asked.lift,
            proof=proof,
            actor=actor,
        )
        code = "".join(secrets.choice("0123456789") for _ in range(_DIGITS)) if proof is Proof.NONE else ""
        await self._requests.add(tx, request, self._digest(request.data_request_id, code) if code else None)
        if code:
            told = {"request": _ASKED_TO[asked.kind], "code": code}
            await self._box.put(tx, Letter(subject.name, letters.CODE, told))
        await announce(tx, _received(request, now))
        after_commit(tx, self._news)
        return request

    def _digest(self, data_request_id: str, code: str) -> bytes:
        return self._install.digest("rights code", data_request_id, code)


def _received(request: DataRequest, now: datetime) -> events_pb2.DataRequestReceived:
    return events_pb2.DataRequestReceived(
        data_request_id=request.data_request_id,
        organisation_id=request.organisation_id,
        kind=rights_pb2.DataRequestKind.ValueType(int(request.kind)),
        due_time=timestamp(request.due_time),
        receive_time=timestamp(now),
    )
