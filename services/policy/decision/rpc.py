"""DecisionsService: the contract, put in terms of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any, Final

import grpc
from reelmesh.policy.v1 import decisions_pb2, decisions_service_pb2_grpc
from reelmesh.policy.v1 import decisions_service_pb2 as api

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.policy import refusals
from services.policy.decision import messages, store
from services.policy.decision.engine import decide
from services.policy.decision.facts import Terms
from services.policy.decision.found import Subject
from services.policy.decision.record import Record
from services.policy.decision.review import ASSET, Review, Target
from services.policy.decision.rules import RuleSet
from services.policy.domain import Wanted
from services.policy.grace import Grace
from services.policy.opening import Opening
from services.policy.store import owned

Context = grpc.aio.ServicerContext[Any, Any]

_REPLAYED_AT_A_TIME: Final = 500
_MOST_DIFFERENCES: Final = 1_000


class DecisionsServicer(decisions_service_pb2_grpc.DecisionsServiceServicer):
    """Serves `reelmesh.policy.v1.DecisionsService`."""

    def __init__(self, database: Database, clock: Clock, opening: Opening, review: Review, grace: Grace) -> None:
        self._database = database
        self._clock = clock
        self._opening = opening
        self._review = review
        self._grace = grace

    async def SetAssetTerms(self, request: api.SetAssetTermsRequest, context: Context) -> api.SetAssetTermsResponse:
        """Sets the conditions on which an asset may be watched."""
        wanted = messages.terms(request.terms)
        if wanted.start_time and wanted.end_time and wanted.start_time >= wanted.end_time:
            raise _bad("terms.end_time", "the window must end after it begins")
        return await self._grace(lambda: self._set_terms(request.terms.asset_id, wanted, request.terms.etag))

    async def _set_terms(self, asset_id: str, wanted: Terms, etag: str) -> api.SetAssetTermsResponse:
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            await owned(tx, organisation_id, asset_id)
            before, version = await store.terms_of(tx, asset_id, for_update=True)
            _current(etag, version)
            if before != wanted or version == 0:
                version += 1
                await store.put_terms(tx, asset_id, organisation_id, wanted, version)
                await self._review.due(tx, Target(ASSET, asset_id, organisation_id), wanted.end_time)
        return api.SetAssetTermsResponse(terms=messages.terms_message(asset_id, wanted, version))

    async def GetAssetTerms(self, request: api.GetAssetTermsRequest, context: Context) -> api.GetAssetTermsResponse:
        """The conditions on which an asset may be watched."""
        async with self._database.transaction() as tx:
            await owned(tx, current_call().organisation_id, request.asset_id)
            found, version = await store.terms_of(tx, request.asset_id)
        return api.GetAssetTermsResponse(terms=messages.terms_message(request.asset_id, found, version))

    async def GetAccess(self, request: api.GetAccessRequest, context: Context) -> api.GetAccessResponse:
        """Decides, and opens nothing."""
        call, now = current_call(), self._clock.now()
        person = call.principal.account_id if call.principal else ""
        wanted = Wanted(
            viewer_id=person or request.viewer_id,
            address=call.client.address if person else request.client_address,
            download=request.download,
        )
        subject = Subject(call.organisation_id, request.asset_id, wanted)
        async with self._database.transaction() as tx:
            await owned(tx, call.organisation_id, request.asset_id)
            _, facts, decision = await self._opening.decided(tx, subject, now)
        record = Record.of(
            decision, facts, decision_id="", organisation_id=call.organisation_id, session_id="", correlation_id=""
        )
        return api.GetAccessResponse(decision=messages.decision_message(record))

    async def GetAvailability(
        self, request: api.GetAvailabilityRequest, context: Context
    ) -> api.GetAvailabilityResponse:
        """Decides about a title in a territory on a day."""
        organisation_id = current_call().organisation_id
        moment = request.as_of_time.ToDatetime(tzinfo=UTC) if request.HasField("as_of_time") else self._clock.now()
        subject = Subject(organisation_id, request.asset_id, Wanted())
        limit = request.maturity_limit or None
        async with self._database.transaction() as tx:
            await owned(tx, organisation_id, request.asset_id)
            facts, decision = await self._opening.availability(tx, subject, request.territory, moment, limit)
        record = Record.of(
            decision, facts, decision_id="", organisation_id=organisation_id, session_id="", correlation_id=""
        )
        return api.GetAvailabilityResponse(decision=messages.decision_message(record))

    async def GetDecision(self, request: api.GetDecisionRequest, context: Context) -> api.GetDecisionResponse:
        """One decision."""
        async with self._database.transaction() as tx:
            record = await store.find_decision(tx, current_call().organisation_id, request.decision_id)
        if record is None:
            raise refusals.decision_not_found(request.decision_id)
        return api.GetDecisionResponse(decision=messages.decision_message(record))

    async def ListDecisions(self, request: api.ListDecisionsRequest, context: Context) -> api.ListDecisionsResponse:
        """The organisation's decisions, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.decisions_page(
                tx,
                current_call().organisation_id,
                part,
                session_id=request.session_id,
                correlation_id=request.correlation_id,
                viewer_id=request.viewer_id,
                refused_only=request.refused_only,
            )
        shown = found[: part.size]
        return api.ListDecisionsResponse(
            decisions=[messages.decision_message(record) for record in shown],
            next_page_token=part.next_token(shown[-1].decision_id) if len(found) > part.size else "",
        )

    async def CreateRuleSet(self, request: api.CreateRuleSetRequest, context: Context) -> api.CreateRuleSetResponse:
        """Makes a draft."""
        organisation_id = current_call().organisation_id
        rules = messages.rules(list(request.rules))
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreateRuleSetResponse):
                return earlier
            version = await store.add_rules(
                tx, organisation_id, messages.packed(rules), request.comment, self._clock.now()
            )
            answer = api.CreateRuleSetResponse(rule_set=await self._rule_set(tx, organisation_id, version))
            await remember(tx, organisation_id, request, answer)
        return answer

    async def GetRuleSet(self, request: api.GetRuleSetRequest, context: Context) -> api.GetRuleSetResponse:
        """One set of rules."""
        async with self._database.transaction() as tx:
            found = await self._rule_set(tx, current_call().organisation_id, request.version)
        return api.GetRuleSetResponse(rule_set=found)

    async def ListRuleSets(self, request: api.ListRuleSetsRequest, context: Context) -> api.ListRuleSetsResponse:
        """The organisation's sets of rules, newest first."""
        organisation_id, part = current_call().organisation_id, page_of(request)
        async with self._database.transaction() as tx:
            found = await store.rules_page(tx, organisation_id, part)
            active = await store.active_version(tx, organisation_id)
        shown = [messages.rule_set_message(kept) for kept in found[: part.size]]
        if len(found) > part.size:
            return api.ListRuleSetsResponse(rule_sets=shown, next_page_token=part.next_token(str(shown[-1].version)))
        return api.ListRuleSetsResponse(rule_sets=[*shown, messages.first_rules_message(active=active == 0)])

    async def ActivateRuleSet(
        self, request: api.ActivateRuleSetRequest, context: Context
    ) -> api.ActivateRuleSetResponse:
        """Lets a set of rules decide."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            await self._rule_set(tx, organisation_id, request.version)
            if await store.active_version(tx, organisation_id) != request.version:
                await store.activate_rules(tx, organisation_id, request.version, self._clock.now())
            found = await self._rule_set(tx, organisation_id, request.version)
        return api.ActivateRuleSetResponse(rule_set=found)

    async def WatchReplay(
        self, request: api.WatchReplayRequest, context: Context
    ) -> AsyncIterator[api.WatchReplayResponse]:
        """Decides a period anew."""
        organisation_id = current_call().organisation_id
        start = request.start_time.ToDatetime(tzinfo=UTC)
        end = request.end_time.ToDatetime(tzinfo=UTC) if request.HasField("end_time") else self._clock.now()
        async with self._database.transaction() as tx:
            await self._rule_set(tx, organisation_id, request.version)
            rules = messages.unpacked(await store.rules_of(tx, organisation_id, request.version))
        replay = _Replay(rules)
        after = ""
        while True:
            async with self._database.transaction() as tx:
                records = await store.decisions_between(tx, organisation_id, (start, end), after, _REPLAYED_AT_A_TIME)
            for record in records:
                replay.tries(record)
            yield replay.told(finished=len(records) < _REPLAYED_AT_A_TIME)
            if len(records) < _REPLAYED_AT_A_TIME:
                return
            after = records[-1].decision_id

    async def _rule_set(self, tx: Tx, organisation_id: str, version: int) -> decisions_pb2.RuleSet:
        if version == 0:
            return messages.first_rules_message(active=await store.active_version(tx, organisation_id) == 0)
        kept = await store.rules_of(tx, organisation_id, version)
        if kept is None:
            raise refusals.rule_set_not_found(version)
        return messages.rule_set_message(kept)


class _Replay:
    """How a replay goes."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._tried = self._newly_refused = self._newly_allowed = self._other_reason = self._shown = 0
        self._differences: list[api.ReplayedDecision] = []

    def tries(self, record: Record) -> None:
        """Decides one anew, with the facts of then."""
        kind, facts = record.seen()
        decision = decide(self._rules, kind, facts)
        self._tried += 1
        if decision.allowed == record.allowed and decision.reason == record.reason:
            return
        self._newly_refused += record.allowed and not decision.allowed
        self._newly_allowed += decision.allowed and not record.allowed
        self._other_reason += not decision.allowed and not record.allowed
        if self._shown < _MOST_DIFFERENCES:
            self._shown += 1
            after = Record.of(
                decision,
                facts,
                decision_id=record.decision_id,
                organisation_id=record.organisation_id,
                session_id=record.session_id,
                correlation_id=record.correlation_id,
            )
            self._differences.append(
                api.ReplayedDecision(before=messages.decision_message(record), after=messages.decision_message(after))
            )

    def told(self, *, finished: bool) -> api.WatchReplayResponse:
        """How far it is, with the differences that were not told yet."""
        differences, self._differences = self._differences, []
        return api.WatchReplayResponse(
            tried=self._tried,
            newly_refused=self._newly_refused,
            newly_allowed=self._newly_allowed,
            other_reason=self._other_reason,
            differences=differences,
            finished=finished,
        )


def _current(etag: str, version: int) -> None:
    if etag and etag != str(version):
        raise Refusal(
            grpc.StatusCode.ABORTED,
            "ETAG_MISMATCH",
            "the terms changed since you read them; read them again",
            domain=RPC_DOMAIN,
            metadata={"etag": str(version)},
        )


def _bad(field: str, why: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", why, domain=RPC_DOMAIN, fields=[(field, why)])
