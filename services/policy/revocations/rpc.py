"""RevocationsService: the contract, put in terms of the store."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

import grpc
from reelmesh.policy.v1 import revocations_service_pb2 as api
from reelmesh.policy.v1 import revocations_service_pb2_grpc

from services.kit import events
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, after_commit
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.idempotency import first_answer, remember
from services.kit.ids import SUFFIX_PATTERN, new_id
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.policy import refusals
from services.policy.announcements import revocation as session_revocation
from services.policy.announcements import revocation_lifted, target_revoked
from services.policy.follower import Follower
from services.policy.judge import Known
from services.policy.revocations import store
from services.policy.revocations.store import Revocation, Target

Context = grpc.aio.ServicerContext[Any, Any]

_FORMS: Final = {
    Target.VIEWER: re.compile(r"[^\0]{1,128}"),
    Target.DEVICE: re.compile(rf"dev_{SUFFIX_PATTERN}"),
    Target.ASSET: re.compile(rf"ast_{SUFFIX_PATTERN}"),
    Target.KEY: re.compile(r"[0-9a-f]{32}"),
}


class RevocationsServicer(revocations_service_pb2_grpc.RevocationsServiceServicer):
    """Serves `reelmesh.policy.v1.RevocationsService`."""

    def __init__(self, database: Database, clock: Clock, known: Known, follower: Follower) -> None:
        self._database = database
        self._clock = clock
        self._known = known
        self._follower = follower

    async def CreateRevocation(
        self, request: api.CreateRevocationRequest, context: Context
    ) -> api.CreateRevocationResponse:
        """Revokes."""
        target = Target(request.target)
        if not _FORMS[target].fullmatch(request.target_id):
            raise _bad(f"this is not the id of a {target.word}")
        if "\0" in request.comment:
            raise _bad("send text without NUL characters")
        call = current_call()
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, call.organisation_id, request, api.CreateRevocationResponse)
            if earlier:
                return earlier
            revocation = Revocation(
                revocation_id=new_id("rvk"),
                organisation_id=call.organisation_id,
                target=int(target),
                target_id=request.target_id,
                comment=request.comment,
                actor=call.principal.name if call.principal else "",
                create_time=self._clock.now(),
            )
            await store.add(tx, revocation)
            ended = await store.end_sessions(tx, revocation)
            for session in ended:
                await events.announce(tx, session_revocation(session))
                after_commit(tx, partial(self._known.revoke, session.session_id, session.expire_time.timestamp()))
            await events.announce(tx, target_revoked(revocation))
            answer = api.CreateRevocationResponse(revocation=_message(revocation), ended_sessions=len(ended))
            await remember(tx, call.organisation_id, request, answer)
        # Packages are held from the look on; other replicas hear the event and look too.
        await self._follower.catch_up()
        return answer

    async def ListRevocations(
        self, request: api.ListRevocationsRequest, context: Context
    ) -> api.ListRevocationsResponse:
        """The organisation's revocations, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part, standing_only=request.standing_only)
        shown = found[: part.size]
        return api.ListRevocationsResponse(
            revocations=[_message(revocation) for revocation in shown],
            next_page_token=part.next_token(shown[-1].revocation_id) if len(found) > part.size else "",
        )

    async def LiftRevocation(self, request: api.LiftRevocationRequest, context: Context) -> api.LiftRevocationResponse:
        """Lifts a revocation."""
        call = current_call()
        async with self._database.transaction() as tx:
            before = await store.find(tx, call.organisation_id, request.revocation_id)
            if before is None:
                raise refusals.revocation_not_found(request.revocation_id)
            after = before.lifted(self._clock.now())
            if after is not before:
                await store.lift(tx, after)
                await events.announce(tx, revocation_lifted(after, call.principal.name if call.principal else ""))
        await self._follower.catch_up()
        return api.LiftRevocationResponse(revocation=_message(after))


def _message(revocation: Revocation) -> api.Revocation:
    return api.Revocation(
        revocation_id=revocation.revocation_id,
        organisation_id=revocation.organisation_id,
        target=api.RevocationTarget.ValueType(revocation.target),
        target_id=revocation.target_id,
        comment=revocation.comment,
        actor=revocation.actor,
        create_time=timestamp(revocation.create_time),
        lift_time=timestamp(revocation.lift_time),
    )


def _bad(why: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", why, domain=RPC_DOMAIN, fields=[("target_id", why)]
    )
