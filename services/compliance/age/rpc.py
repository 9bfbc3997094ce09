"""AgeService: the contract, put in terms of checks and proofs."""

from __future__ import annotations

from typing import Any, Final

import grpc
from reelmesh.compliance.v1 import age_service_pb2 as api
from reelmesh.compliance.v1 import age_service_pb2_grpc, events_pb2

from services.compliance.age import refusals, store
from services.compliance.age.checking import Checking, Wish
from services.compliance.age.contract import TITLES, Delivery
from services.compliance.jurisdictions.rules import accepted
from services.compliance.jurisdictions.store import find_table
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]
_ADULT: Final = 18


class AgeRpc(age_service_pb2_grpc.AgeServiceServicer):
    """Serves `reelmesh.compliance.v1.AgeService`."""

    def __init__(self, database: Database, clock: Clock, checking: Checking) -> None:
        self._database = database
        self._clock = clock
        self._checking = checking

    async def GetAgeOptions(self, request: api.GetAgeOptionsRequest, context: Context) -> api.GetAgeOptionsResponse:
        """The ways that there are."""
        methods = frozenset(TITLES)
        if request.territory:
            async with self._database.transaction() as tx:
                table = await find_table(tx, current_call().organisation_id)
            methods = accepted(table.rules if table else (), request.territory, self._clock.now())
        options = [
            api.AgeOption(provider=name, method=method, title=title)
            for method, title in TITLES.items()
            for name, provider in sorted(self._checking.found.items())
            if method in methods and method in provider.methods
        ]
        return api.GetAgeOptionsResponse(options=options)

    async def StartAgeCheck(self, request: api.StartAgeCheckRequest, context: Context) -> api.StartAgeCheckResponse:
        """Begins a check."""
        request = _named(request)
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.StartAgeCheckResponse):
                return earlier
        check, url = await self._checking.begun(
            Wish(
                organisation_id=organisation_id,
                viewer_id=request.viewer_id,
                device_id=request.device_id,
                provider=request.provider,
                method=request.method,
                threshold=request.threshold or _ADULT,
                return_path=request.return_path,
            )
        )
        async with self._database.transaction() as tx:
            # While the provider was asked the same request may have been answered.
            if earlier := await first_answer(tx, organisation_id, request, api.StartAgeCheckResponse):
                return earlier
            await store.add_check(tx, check)
            answer = api.StartAgeCheckResponse(check=_check(check))
            await remember(tx, organisation_id, request, answer)
        answer.check.url = url
        return answer

    async def GetAgeCheck(self, request: api.GetAgeCheckRequest, context: Context) -> api.GetAgeCheckResponse:
        """How a check stands."""
        call = current_call()
        person = call.principal.account_id if call.principal else ""
        async with self._database.transaction() as tx:
            check = await store.find_check(tx, request.age_check_id)
        if check is None or check.organisation_id != call.organisation_id or person not in {"", check.viewer_id}:
            raise refusals.age_check_not_found(request.age_check_id)
        return api.GetAgeCheckResponse(check=_check(check.at(self._clock.now())))

    async def ListAgeProofs(self, request: api.ListAgeProofsRequest, context: Context) -> api.ListAgeProofsResponse:
        """What viewers proved."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.proofs_page(tx, current_call().organisation_id, request.viewer_id, part)
        shown = found[: part.size]
        return api.ListAgeProofsResponse(
            proofs=[_proof(one) for one in shown],
            next_page_token=part.next_token(shown[-1].proof_id) if len(found) > part.size else "",
        )

    async def RevokeAgeProof(self, request: api.RevokeAgeProofRequest, context: Context) -> api.RevokeAgeProofResponse:
        """Takes back what a viewer proved."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            revoked = await store.revoke(tx, organisation_id, request.viewer_id, request.method, now)
            if revoked:
                event = events_pb2.AgeProofRevoked(
                    viewer_id=request.viewer_id,
                    organisation_id=organisation_id,
                    change_time=timestamp(now),
                    method=request.method,
                )
                await announce(tx, event)
        return api.RevokeAgeProofResponse(revoked=revoked)

    async def ReceiveAgeDelivery(
        self, request: api.ReceiveAgeDeliveryRequest, context: Context
    ) -> api.ReceiveAgeDeliveryResponse:
        """Takes what came about a check."""
        delivery = Delivery(
            path=request.path,
            http_method=request.http_method,
            headers=request.headers,
            query=request.query,
            body=request.body,
            receive_time=self._clock.now(),
        )
        answer = await self._checking.take(request.provider, delivery)
        return api.ReceiveAgeDeliveryResponse(
            status=answer.status, content_type=answer.content_type, body=answer.body, location=answer.location
        )


def _named(request: api.StartAgeCheckRequest) -> api.StartAgeCheckRequest:
    """The request with a person as its viewer, on their own device, before it is looked up by its `request_id`."""
    caller = current_call().principal
    account_id = caller.account_id if caller else ""
    if caller is None or not account_id:
        if not request.viewer_id:
            raise refusals.age_viewer_missing()
        return request
    if request.viewer_id not in {"", account_id} or request.device_id not in {"", caller.device_id}:
        raise refusals.age_viewer_not_self(account_id)
    named = api.StartAgeCheckRequest()
    named.CopyFrom(request)
    named.viewer_id, named.device_id = account_id, caller.device_id
    return named


def _check(check: store.Check) -> api.AgeCheck:
    return api.AgeCheck(
        age_check_id=check.check_id,
        viewer_id=check.viewer_id,
        provider=check.provider,
        method=check.method,
        threshold=check.threshold,
        state=api.AgeCheckState.ValueType(check.state),
        failure=check.failure,
        return_path=check.return_path,
        expire_time=timestamp(check.expire_time),
        create_time=timestamp(check.create_time),
    )


def _proof(proof: store.Proof) -> api.AgeProof:
    return api.AgeProof(
        viewer_id=proof.viewer_id,
        method=proof.method,
        provider=proof.provider,
        threshold=proof.threshold,
        device_id=proof.device_id,
        prove_time=timestamp(proof.prove_time),
        expire_time=timestamp(proof.expire_time),
        revoke_time=timestamp(proof.revoke_time),
        nonce_hash=proof.nonce_hash,
    )
