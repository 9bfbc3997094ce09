"""NoticesService: the contract, put in terms of the domain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.compliance.v1 import notices_pb2, notices_service_pb2_grpc
from reelmesh.compliance.v1 import notices_service_pb2 as api

from services.compliance import refusals
from services.compliance.notices import desks, infringements, messages, rules, store
from services.compliance.notices.domain import Action, Case, Party
from services.compliance.notices.elements import check_reasons, form_of
from services.compliance.notices.handling import Handling, Reasons
from services.compliance.notices.intake import Intake
from services.compliance.notices.links import Links
from services.compliance.notices.parties import Parties
from services.compliance.notices.reporting import drawing, numbers
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import number_of, page_of
from services.kit.sealing import Seal
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]
Decided = TypeVar("Decided", api.DecideNoticeResponse, api.DecideNoticeAppealResponse)
DECIDE: Final = "notices.decide"
_LONGEST: Final = timedelta(days=400)
_ANYBODY: Final = "public notices"
"""Whose `request_id`s those of notices are: nobody is known who gives one."""


class NoticesRpc(notices_service_pb2_grpc.NoticesServiceServicer):
    """Serves `reelmesh.compliance.v1.NoticesService`."""

    def __init__(self, database: Database, clock: Clock, seal: Seal, links: Links, handling: Handling) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._links = links
        self._handling = handling
        self._intake = Intake(database, clock, seal, handling)
        self._parties = Parties(clock, seal, handling)

    async def GetNoticeForm(self, request: api.GetNoticeFormRequest, context: Context) -> api.GetNoticeFormResponse:
        """What notices have to say."""
        held = rules.at(self._clock.now())
        return api.GetNoticeFormResponse(
            forms=[form_of(kind) for kind in held.kinds.values()], rules_date=held.since.isoformat()
        )

    async def SubmitNotice(self, request: api.SubmitNoticeRequest, context: Context) -> api.SubmitNoticeResponse:
        """Takes a notice."""
        await self._intake.counted(request, current_call().client.network)
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, _ANYBODY, request, api.SubmitNoticeResponse):
                return earlier
            asked = api.SubmitNoticeRequest()
            asked.CopyFrom(request)
            case = await self._intake.taken(tx, asked)
            answer = api.SubmitNoticeResponse(notice_id=case.notice_id, due_time=timestamp(case.due_time))
            await remember(tx, _ANYBODY, request, answer)
        answer.link_code = self._links.code(case.notice_id, Party.NOTIFIER)
        return answer

    async def OpenNoticeCase(self, request: api.OpenNoticeCaseRequest, context: Context) -> api.OpenNoticeCaseResponse:
        """A case, for a party."""
        notice_id, party = self._links.read(request.link_code)
        async with self._database.transaction() as tx:
            return await self._parties.shown(tx, notice_id, party)

    async def AnswerNotice(self, request: api.AnswerNoticeRequest, context: Context) -> api.AnswerNoticeResponse:
        """Takes a party's answer."""
        notice_id, party = self._links.read(request.link_code)
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, notice_id, request, api.AnswerNoticeResponse):
                return earlier
            after = await self._parties.answered(tx, notice_id, party, request)
            answer = api.AnswerNoticeResponse(state=notices_pb2.NoticeState.ValueType(after.state))
            await remember(tx, notice_id, request, answer)
        return answer

    async def ListNotices(self, request: api.ListNoticesRequest, context: Context) -> api.ListNoticesResponse:
        """The organisation's notices, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(
                tx,
                current_call().organisation_id,
                part,
                state=request.state,
                overdue_only=request.overdue_only,
                asset_id=request.asset_id,
            )
        shown = found[: part.size]
        return api.ListNoticesResponse(
            notices=[messages.notice_of(case) for case in shown],
            next_page_token=part.next_token(shown[-1].notice_id) if len(found) > part.size else "",
        )

    async def GetNotice(self, request: api.GetNoticeRequest, context: Context) -> api.GetNoticeResponse:
        """One notice with all that happened."""
        call = current_call()
        async with self._database.transaction() as tx:
            case = await self._own(tx, request.notice_id)
            notice = messages.notice_of(case)
            if call.principal is not None and call.principal.may(DECIDE):
                parts = [
                    await store.written(tx, self._seal, case.notice_id, part)
                    for part in (store.NOTICE, store.COUNTER_NOTICE, store.APPEAL)
                ]
                notice = messages.with_writings(notice, *parts)
            steps = await store.steps_of(tx, case.notice_id)
            statements = await store.statements_of(tx, case.notice_id)
        return api.GetNoticeResponse(
            notice=notice, steps=[messages.step_of(step) for step in steps], statements=statements
        )

    async def DecideNotice(self, request: api.DecideNoticeRequest, context: Context) -> api.DecideNoticeResponse:
        """Decides."""

        async def decide(tx: Tx, before: Case, actor: str, now: datetime) -> Case:
            action = Action(request.action)
            check_reasons(before.rules, action, request.reasons, request.territories)
            calendar = await self._handling.calendar(tx, before)
            after = before.decided(
                action,
                actor,
                now,
                calendar,
                explanation=request.reasons.facts,
                territories=request.territories,
            )
            deed, reasons = action.name.lower(), _reasons(request.reasons)
            await self._handling.moved(tx, before, after, deed, actor=actor, reasons=reasons)
            return after

        return await self._decided(request, api.DecideNoticeResponse, decide)

    async def DecideNoticeAppeal(
        self, request: api.DecideNoticeAppealRequest, context: Context
    ) -> api.DecideNoticeAppealResponse:
        """Decides about an appeal."""

        async def decide(tx: Tx, before: Case, actor: str, now: datetime) -> Case:
            action = before.granted(Action(request.action) if request.action else None) if request.granted else None
            check_reasons(before.rules, action or Action.REJECT, request.reasons, request.territories)
            calendar = await self._handling.calendar(tx, before)
            after = before.appeal_decided(
                action,
                actor,
                now,
                calendar,
                explanation=request.reasons.facts,
                territories=request.territories,
            )
            deed = "deny_appeal" if action is None else action.name.lower()
            await self._handling.moved(tx, before, after, deed, actor=actor, reasons=_reasons(request.reasons))
            return after

        return await self._decided(request, api.DecideNoticeAppealResponse, decide)

    async def GetNoticeReport(
        self, request: api.GetNoticeReportRequest, context: Context
    ) -> api.GetNoticeReportResponse:
        """The organisation's notices in numbers."""
        try:
            start, end = (stamp.ToDatetime(tzinfo=UTC) for stamp in (request.start_time, request.end_time))
        except (ValueError, OverflowError) as error:
            raise refusals.notice_report_period_invalid("name moments between the years 1 and 9999") from error
        if not timedelta() < end - start <= _LONGEST:
            raise refusals.notice_report_period_invalid("end a report after it begins, at most 400 days later")
        async with self._database.transaction() as tx:
            cases = await store.received_between(tx, current_call().organisation_id, start, end)
        report = numbers.report_of(numbers.ReportKind(request.kind), cases, start, end)
        if request.format == api.NOTICE_REPORT_FORMAT_PDF:
            file = HttpBody(content_type="application/pdf", data=drawing.drawn(report))
        else:
            file = HttpBody(content_type="text/csv; charset=utf-8", data=numbers.as_csv(report))
        return api.GetNoticeReportResponse(file=file)

    async def ListInfringers(self, request: api.ListInfringersRequest, context: Context) -> api.ListInfringersResponse:
        """Uploaders with upheld notices."""
        part, now = page_of(request), self._clock.now()
        held = rules.at(now)
        since = now - held.infringements_within.fixed
        async with self._database.transaction() as tx:
            found = await infringements.counts(
                tx, current_call().organisation_id, since, uploader=request.uploader, part=part
            )
        shown = found[: part.size]
        so_far = (number_of(part.after) if part.after else 0) + len(shown)
        return api.ListInfringersResponse(
            infringers=[
                notices_pb2.Infringer(
                    uploader=one.uploader,
                    count=one.count,
                    threshold=held.infringements,
                    repeat=one.count >= held.infringements,
                    last_time=timestamp(one.last_time),
                )
                for one in shown
            ],
            next_page_token=part.next_token(str(so_far)) if len(found) > part.size else "",
        )

    async def GetNoticeDesk(self, request: api.GetNoticeDeskRequest, context: Context) -> api.GetNoticeDeskResponse:
        """How the organisation handles notices."""
        async with self._database.transaction() as tx:
            desk = await desks.find(tx, self._seal, current_call().organisation_id)
        return api.GetNoticeDeskResponse(desk=desk.message(rules.at(self._clock.now())))

    async def SetNoticeDesk(self, request: api.SetNoticeDeskRequest, context: Context) -> api.SetNoticeDeskResponse:
        """Sets it."""
        held = rules.at(self._clock.now())
        desk = desks.Desk.of(request.desk, held)
        async with self._database.transaction() as tx:
            await desks.put(tx, self._seal, current_call().organisation_id, desk)
        return api.SetNoticeDeskResponse(desk=desk.message(held))

    async def _decided(
        self,
        request: api.DecideNoticeRequest | api.DecideNoticeAppealRequest,
        answer_type: type[Decided],
        decide: Callable[[Tx, Case, str, datetime], Awaitable[Case]],
    ) -> Decided:
        """Decides about a case of the caller's, once."""
        call = current_call()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, call.organisation_id, request, answer_type):
                return earlier
            before = await self._own(tx, request.notice_id, for_update=True)
            actor = call.principal.name if call.principal else ""
            after = await decide(tx, before, actor, self._clock.now())
            answer = answer_type(notice=messages.notice_of(after))
            await remember(tx, call.organisation_id, request, answer)
        return answer

    async def _own(self, tx: Tx, notice_id: str, *, for_update: bool = False) -> Case:
        case = await store.find(tx, notice_id, current_call().organisation_id, for_update=for_update)
        if case is None:
            raise refusals.notice_not_found(notice_id)
        return case


def _reasons(told: api.NoticeReasons) -> Reasons:
    return Reasons(
        told.facts.strip(),
        told.legal_ground.strip(),
        told.contractual_ground.strip(),
        told.ground_explanation.strip(),
    )
