"""LeaksService: the contract, put in terms of the domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

import grpc
from reelmesh.protection.v1 import leaks_service_pb2 as api
from reelmesh.protection.v1 import leaks_service_pb2_grpc

from services.kit import idempotency, pagination
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.ids import new_id
from services.kit.server import current_call
from services.protection import store as marked
from services.protection.leaks import crawling, refusals, resources, store
from services.protection.leaks.crawling import Finding, Signed
from services.protection.leaks.domain import Case, CaseState, Decision, Evidence, EvidenceKind, Source, Verdict
from services.protection.leaks.handling import Handling, checked_past
from services.protection.leaks.platforms import Platforms
from services.protection.leaks.preserving import Preserved, Preserving
from services.protection.leaks.store import Crawler
from services.protection.refusals import copy_not_found

Context = grpc.aio.ServicerContext[Any, Any]


class LeaksRpc(leaks_service_pb2_grpc.LeaksServiceServicer):
    """Serves `reelmesh.protection.v1.LeaksService`."""

    def __init__(
        self, database: Database, clock: Clock, handling: Handling, preserving: Preserving, platforms: Platforms
    ) -> None:
        self._database = database
        self._clock = clock
        self._handling = handling
        self._preserving = preserving
        self._platforms = platforms

    async def ReportLeak(self, request: api.ReportLeakRequest, context: Context) -> api.ReportLeakResponse:
        """Makes a case."""
        whose, who = _caller()
        now = self._clock.now()
        found = checked_past("find_time", resources.moment(request, "find_time"), now)
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.ReportLeakResponse):
                return earlier
            case = Case(
                case_id=new_id("lkc"),
                organisation_id=whose,
                title_asset_id=request.title_asset_id,
                url=request.url,
                platform=self._platforms.label(request.url, request.platform),
                find_time=found,
                source=Source.PERSON if who.startswith("user/") else Source.PROGRAM,
                reporter=who,
                comment=request.comment,
                create_time=now,
            )
            await self._handling.report(tx, case)
            answer = api.ReportLeakResponse(case=resources.case(case))
            await idempotency.remember(tx, whose, request, answer)
        return answer

    async def GetLeakCase(self, request: api.GetLeakCaseRequest, context: Context) -> api.GetLeakCaseResponse:
        """One case with everything."""
        async with self._database.transaction() as tx:
            case = await store.case_of(tx, _caller()[0], request.case_id)
            return api.GetLeakCaseResponse(case=await self._whole(tx, case))

    async def ListLeakCases(self, request: api.ListLeakCasesRequest, context: Context) -> api.ListLeakCasesResponse:
        """Cases without what belongs to them."""
        part = pagination.page_of(request)
        state = CaseState(request.state) if request.state else None
        async with self._database.transaction() as tx:
            found = await store.page_of_cases(tx, _caller()[0], state, part)
        shown = found[: part.size]
        return api.ListLeakCasesResponse(
            cases=[resources.case(one) for one in shown],
            next_page_token=part.next_token(shown[-1].case_id) if len(found) > part.size else "",
        )

    async def CloseLeakCase(self, request: api.CloseLeakCaseRequest, context: Context) -> api.CloseLeakCaseResponse:
        """Closes a case."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            case = await self._handling.close(tx, whose, request.case_id, who, request.comment)
            return api.CloseLeakCaseResponse(case=await self._whole(tx, case))

    async def AddLeakEvidence(
        self, request: api.AddLeakEvidenceRequest, context: Context
    ) -> api.AddLeakEvidenceResponse:
        """Preserves a film or a capture."""
        if bool(request.asset_id) == bool(request.capture):
            raise refusals.invalid("asset_id", "set exactly one of asset_id and capture")
        whose, who = _caller()
        now = self._clock.now()
        captured = checked_past("capture_time", resources.moment(request, "capture_time"), now)
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.AddLeakEvidenceResponse):
                return earlier
            (await store.case_of(tx, whose, request.case_id)).open()
            master = await marked.master_of(tx, whose, request.asset_id) if request.asset_id else None
        # Bytes first, then the row that speaks of them. What a death in between leaves is kept under its digest and found again.
        if master is None:
            kind, kept = EvidenceKind.CAPTURE, await self._preserving.content(whose, request.capture)
        else:
            try:
                kind, kept = EvidenceKind.FILM, await self._preserving.film(whose, master.object_key)
            except FileNotFoundError:
                raise copy_not_found(request.asset_id) from None
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.AddLeakEvidenceResponse):
                return earlier
            case = (await store.case_of(tx, whose, request.case_id, for_update=True)).open()
            filename = request.filename or (master.filename if master else "capture")
            piece = _evidence(case, kind, kept, filename=filename, media_type=request.media_type, actor=who)
            piece = piece.taken(request.url or case.url, captured, now)
            piece = await self._handling.preserve(tx, case, piece, asset_id=request.asset_id)
            answer = api.AddLeakEvidenceResponse(evidence=resources.evidence_(piece))
            await idempotency.remember(tx, whose, request, answer)
        return answer

    async def GetLeakEvidence(
        self, request: api.GetLeakEvidenceRequest, context: Context
    ) -> AsyncIterator[api.GetLeakEvidenceResponse]:
        """Sends evidence, checked."""
        async with self._database.transaction() as tx:
            piece = await store.evidence_of(tx, _caller()[0], request.evidence_id)
        async for part in self._preserving.parts(piece):
            yield api.GetLeakEvidenceResponse(part=part)

    async def DecideLeakAction(
        self, request: api.DecideLeakActionRequest, context: Context
    ) -> api.DecideLeakActionResponse:
        """Approves, rejects or takes back."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.DecideLeakActionResponse):
                return earlier
            decision = Decision(Verdict(request.verdict), who, request.comment, self._clock.now())
            action = await self._handling.decide(tx, whose, request.action_id, decision)
            answer = api.DecideLeakActionResponse(action=resources.action(action))
            await idempotency.remember(tx, whose, request, answer)
        return answer

    async def ListOwnLeakActions(
        self, request: api.ListOwnLeakActionsRequest, context: Context
    ) -> api.ListOwnLeakActionsResponse:
        """What was done to the caller."""
        part = pagination.page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page_of_own_actions(tx, _account(), part)
        shown = found[: part.size]
        return api.ListOwnLeakActionsResponse(
            actions=[resources.own_action(one) for one in shown],
            next_page_token=part.next_token(shown[-1].action_id) if len(found) > part.size else "",
        )

    async def AppealLeakAction(
        self, request: api.AppealLeakActionRequest, context: Context
    ) -> api.AppealLeakActionResponse:
        """Appeals."""
        async with self._database.transaction() as tx:
            action = await self._handling.appeal(tx, _account(), request.action_id, request.text)
        return api.AppealLeakActionResponse(action=resources.own_action(action))

    async def DecideLeakAppeal(
        self, request: api.DecideLeakAppealRequest, context: Context
    ) -> api.DecideLeakAppealResponse:
        """Decides an appeal."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.DecideLeakAppealResponse):
                return earlier
            action = await self._handling.decide_appeal(
                tx, whose, request.action_id, who, request.comment, uphold=request.uphold
            )
            answer = api.DecideLeakAppealResponse(action=resources.action(action))
            await idempotency.remember(tx, whose, request, answer)
        return answer

    async def CreateLeakCrawler(
        self, request: api.CreateLeakCrawlerRequest, context: Context
    ) -> api.CreateLeakCrawlerResponse:
        """Lets a crawler in."""
        whose, _ = _caller()
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.CreateLeakCrawlerResponse):
                return earlier
            crawler = Crawler(new_id("lkw"), whose, request.display_name, request.public_key, self._clock.now())
            await store.add_crawler(tx, crawler)
            answer = api.CreateLeakCrawlerResponse(crawler=resources.crawler(crawler))
            await idempotency.remember(tx, whose, request, answer)
        return answer

    async def ListLeakCrawlers(
        self, request: api.ListLeakCrawlersRequest, context: Context
    ) -> api.ListLeakCrawlersResponse:
        """The organisation's crawlers."""
        part = pagination.page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page_of_crawlers(tx, _caller()[0], part)
        shown = found[: part.size]
        return api.ListLeakCrawlersResponse(
            crawlers=[resources.crawler(one) for one in shown],
            next_page_token=part.next_token(shown[-1].crawler_id) if len(found) > part.size else "",
        )

    async def DisableLeakCrawler(
        self, request: api.DisableLeakCrawlerRequest, context: Context
    ) -> api.DisableLeakCrawlerResponse:
        """Shuts a crawler out."""
        async with self._database.transaction() as tx:
            crawler = await store.crawler_of(tx, _caller()[0], request.crawler_id)
            crawler = await store.disable_crawler(tx, crawler, self._clock.now())
        return api.DisableLeakCrawlerResponse(crawler=resources.crawler(crawler))

    async def SubmitLeakFinding(
        self, request: api.SubmitLeakFindingRequest, context: Context
    ) -> api.SubmitLeakFindingResponse:
        """Takes a crawler's finding: a case, with what was signed as its first evidence."""
        now, signed_at = self._clock.now(), resources.moment(request, "sign_time")
        async with self._database.transaction() as tx:
            crawler = await store.crawler(tx, request.crawler_id)
        if crawler is None or crawler.disable_time is not None or signed_at is None:
            raise refusals.finding_unsigned()
        crawling.checked(
            Signed(crawler.crawler_id, request.finding, signed_at, request.signature), crawler.public_key, now
        )
        finding = crawling.read(request.finding)
        found_at = checked_past("find_time", finding.find_time, now)
        kept = await self._preserving.content(crawler.organisation_id, request.finding)
        async with self._database.transaction() as tx:
            if earlier := await store.earlier_finding(tx, crawler.crawler_id, finding.finding_id):
                return api.SubmitLeakFindingResponse(case_id=earlier)
            case = Case(
                case_id=new_id("lkc"),
                organisation_id=crawler.organisation_id,
                title_asset_id=finding.title_asset_id,
                url=finding.url,
                platform=self._platforms.label(finding.url, finding.platform),
                find_time=found_at.astimezone(UTC),
                source=Source.CRAWLER,
                reporter=crawler.crawler_id,
                comment=finding.comment,
                create_time=now,
            )
            await self._handling.report(tx, case)
            await self._handling.preserve(tx, case, _of_crawler(case, kept, finding, request, crawler))
            await store.add_finding(tx, crawler.crawler_id, finding.finding_id, case.case_id, now)
        return api.SubmitLeakFindingResponse(case_id=case.case_id)

    async def _whole(self, tx: Tx, case: Case) -> api.LeakCase:
        evidence = await store.evidence_of_case(tx, case.case_id)
        return resources.case(case, evidence, await store.actions_of_case(tx, case.case_id))


def _evidence(  # all that there is to say of it
    case: Case, kind: EvidenceKind, kept: Preserved, *, filename: str, media_type: str, actor: str
) -> Evidence:
    return Evidence(
        evidence_id=new_id("lke"),
        case_id=case.case_id,
        organisation_id=case.organisation_id,
        kind=kind,
        filename=filename,
        media_type=media_type,
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        url=case.url,
        capture_time=case.find_time,
        actor=actor,
        preserve_time=case.create_time,
    )


def _of_crawler(
    case: Case, kept: Preserved, finding: Finding, request: api.SubmitLeakFindingRequest, crawler: Crawler
) -> Evidence:
    """What was signed, kept with its signature: whoever has the public key can prove whose it is."""
    name = f"{finding.finding_id.replace('/', '-')}.{request.signature.hex()}.{request.sign_time.seconds}.json"
    return _evidence(
        case,
        EvidenceKind.FINDING,
        kept,
        filename=name,
        media_type="application/json",
        actor=crawler.crawler_id,
    )


def _caller() -> tuple[str, str]:
    """Organisation and name of the caller."""
    call = current_call()
    return call.organisation_id, call.principal.name if call.principal else ""


def _account() -> str:
    """Account of the calling person."""
    principal = current_call().principal
    return principal.account_id if principal else ""
