"""Something for callers to ask about: a master, its asset and job, a package, a playback, a sale, a plan, a person; all known to whoever makes requests up."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message
from reelmesh.assets.v1 import assets_service_pb2 as assets
from reelmesh.compliance.v1 import notices_pb2, records_pb2
from reelmesh.compliance.v1 import notices_service_pb2 as notices
from reelmesh.compliance.v1 import performers_service_pb2 as performers
from reelmesh.compliance.v1 import productions_service_pb2 as productions
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.packaging.v1 import packaging_pb2
from reelmesh.payments.v1 import invoices_service_pb2 as invoices
from reelmesh.payments.v1 import payments_pb2, plans_pb2, plans_service_pb2, split_rules_service_pb2
from reelmesh.payments.v1 import payouts_service_pb2 as payouts
from reelmesh.payments.v1 import reconciliation_service_pb2 as reconciliation
from reelmesh.payments.v1 import sales_service_pb2 as sales
from reelmesh.policy.v1 import policy_service_pb2 as policy
from reelmesh.protection.v1 import leaks_service_pb2 as leaks
from reelmesh.protection.v1 import takedowns_service_pb2 as takedowns
from reelmesh.transcode.v1 import transcode_service_pb2 as transcode
from reelmesh.upload.v1 import upload_service_pb2 as upload

from services.kit.clock import SystemClock, timestamp
from services.kit.ids import new_id
from tests.support.bus import on_the_bus
from tests.support.generated import Memory
from tests.support.keys import organisation_of_operator
from tests.support.whole import PASSWORD, Whole

FILM = b"not really a film"
USUAL = {
    "copy": b"%PDF-1.7 not really a paper",
    "currency": "EUR",
    "date_of_birth": "1996-02-29",
    "display_name": "Ada",
    "email": "ada@example.com",
    "filename": "film.mp4",
    "language": "en-GB",
    "new_password": PASSWORD,
    "password": PASSWORD,
    "permissions": "assets.read",
    "legal_name": "Ada Lovelace",
    "phone": "+4915112345678",
    "production_date": "2026-11-01",
    "redirect_uri": "https://client.example/back",
    "role_ids": "viewer",
    "title": "A film",
    "viewer_id": "viewer-1",
}
"""What somebody would write who means well, by the name of the field."""


async def furnish(whole: Whole, memory: Memory) -> None:
    """Makes all that, by calls and events as others make it."""
    for name, value in USUAL.items():
        memory.keep(name, value)
    organisation_id = organisation_of_operator(whole.settings)
    asset_id = await _upload(whole, memory)
    async with asyncio.timeout(60), on_the_bus(whole.settings) as bus:
        await _until_there(whole, memory, assets.ListAssetsRequest(), "assets.v1.AssetsService/ListAssets")
        await _until_there(whole, memory, transcode.ListJobsRequest(), "transcode.v1.TranscodeService/ListJobs")
        tracks = [packaging_pb2.TrackKey(label="HD", key_id="d" * 32)]
        published = packaging.PackagePublished(
            package_id=new_id("pkg"),
            asset_id=asset_id,
            organisation_id=organisation_id,
            track_keys=tracks,
            dash_path="manifest.mpd",
            hls_path="master.m3u8",
            publish_time=timestamp(SystemClock().now()),
        )
        memory.learn(published)
        memory.keep("key_ids", "d" * 32)
        await bus.publish(published)
        play = policy.CreatePlaybackRequest(request_id=new_id("req"), asset_id=asset_id)
        while not await _played(whole, memory, play):
            await asyncio.sleep(0.05)
        await _report(whole, memory, asset_id)
    await _sell(whole, memory)
    await _account(whole, memory)
    await _record(whole, memory, asset_id)
    await _leak(whole, memory)
    memory.learn(await whole.registered())


async def _sell(whole: Whole, memory: Memory) -> None:
    """Rules by which prices are divided, and a sale."""
    rules = split_rules_service_pb2.CreateSplitRulesRequest(
        request_id=new_id("req"), rules=payments_pb2.SplitRules(platform_basis_points=2000)
    )
    made: Any = await _called(whole, memory, rules, "payments.v1.SplitRulesService/CreateSplitRules")
    activate = split_rules_service_pb2.ActivateSplitRulesRequest(version=made.rules.version)
    await _called(whole, memory, activate, "payments.v1.SplitRulesService/ActivateSplitRules")
    sale = sales.RecordSaleRequest(
        request_id=new_id("req"),
        processor="ccbill",
        reference="furnished",
        gross=payments_pb2.Money(minor_units=1999, currency="EUR"),
        creators=[sales.CreatorShare(creator_id="ada", weight=1)],
    )
    await _called(whole, memory, sale, "payments.v1.SalesService/RecordSale")
    terms = plans_pb2.PlanTerms(
        tier="basic",
        period_unit=plans_pb2.PERIOD_UNIT_MONTH,
        period_count=1,
        prices=[plans_pb2.PlanPrice(amount=payments_pb2.Money(minor_units=1999, currency="EUR"))],
    )
    plan = plans_service_pb2.CreatePlanRequest(request_id=new_id("req"), display_name="Basic", terms=terms)
    await _called(whole, memory, plan, "payments.v1.PlansService/CreatePlan")


async def _report(whole: Whole, memory: Memory, asset_id: str) -> None:
    """A notice, once the film is known."""
    notice = notices.SubmitNoticeRequest(
        request_id=new_id("req"),
        kind=notices_pb2.NOTICE_KIND_DEPICTED_PERSON,
        location=asset_id,
        explanation="I am in it.",
        notifier=notices_pb2.NoticeContact(name="Ada", email=str(USUAL["email"])),
        good_faith=True,
        depicted_or_authorised=True,
    )
    while True:
        try:
            await _called(whole, memory, notice, "compliance.v1.NoticesService/SubmitNotice")
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)
        else:
            return


async def _account(whole: Whole, memory: Memory) -> None:
    """A payee, who sells by invoice."""
    payee = payouts.Payee(creator_id="ada", tax_form=payouts.TAX_FORM_STATUS_VERIFIED)
    put = payouts.PutPayeeRequest(request_id=new_id("req"), payee=payee)
    await _called(whole, memory, put, "payments.v1.PayoutsService/PutPayee")
    account = payouts.BankAccount(holder_name="Ada", iban="DE89370400440532013000")
    destination = payouts.SetPayeeDestinationRequest(request_id=new_id("req"), creator_id="ada", account=account)
    await _called(whole, memory, destination, "payments.v1.PayoutsService/SetPayeeDestination")
    prepare = payouts.PreparePayoutBatchRequest(request_id=new_id("req"), currency="EUR")
    made: Any = await _called(whole, memory, prepare, "payments.v1.PayoutsService/PreparePayoutBatch")
    paid = payouts.ListPayoutsRequest(payout_batch_id=made.batch.payout_batch_id)
    await _called(whole, memory, paid, "payments.v1.PayoutsService/ListPayouts")
    issuer = invoices.SetInvoiceIssuerRequest(request_id=new_id("req"), seller=invoices.Party(name="Kinowerk"))
    await _called(whole, memory, issuer, "payments.v1.InvoicesService/SetInvoiceIssuer")
    report = reconciliation.ImportProcessorReportRequest(
        processor="ccbill",
        report_date=SystemClock().now().date().isoformat(),
        csv=b"kind,reference,minor_units,currency,fee_minor_units\nsale,unknown,100,EUR,\n",
    )
    await _called(whole, memory, report, "payments.v1.ReconciliationService/ImportProcessorReport")
    cases = reconciliation.ListReconciliationCasesRequest()
    await _called(whole, memory, cases, "payments.v1.ReconciliationService/ListReconciliationCases")


async def _record(whole: Whole, memory: Memory, asset_id: str) -> None:
    """Somebody who is seen in another production, with their papers: the film itself needs none."""
    add = performers.CreatePerformerRequest(
        request_id=new_id("req"), legal_name="Ada Lovelace", date_of_birth="1996-02-29"
    )
    made: Any = await _called(whole, memory, add, "compliance.v1.PerformersService/CreatePerformer")
    performer_id = made.performer.performer_id
    submit = performers.SubmitIdentityDocumentRequest(
        request_id=new_id("req"),
        performer_id=performer_id,
        kind=records_pb2.IDENTITY_DOCUMENT_KIND_PASSPORT,
        issuer="GB",
        copy=b"%PDF-1.7 not really a passport",
    )
    await _called(whole, memory, submit, "compliance.v1.PerformersService/SubmitIdentityDocument")
    content = productions.ProductionContent(title="A film", production_date="2026-11-01", performer_ids=[performer_id])
    create = productions.CreateProductionRequest(request_id=new_id("req"), production=content)
    made = await _called(whole, memory, create, "compliance.v1.ProductionsService/CreateProduction")
    release = productions.SubmitReleaseRequest(
        request_id=new_id("req"),
        production_id=made.production.production_id,
        performer_id=performer_id,
        sign_date="2026-11-01",
        copy=b"%PDF-1.7 not really a release",
    )
    await _called(whole, memory, release, "compliance.v1.ProductionsService/SubmitRelease")
    memory.keep("performer_ids", performer_id)
    memory.keep("asset_ids", asset_id)


async def _leak(whole: Whole, memory: Memory) -> None:
    """A leak with evidence and a notice."""
    report = leaks.ReportLeakRequest(request_id=new_id("req"), url="https://pirate.example/1")
    made: Any = await _called(whole, memory, report, "protection.v1.LeaksService/ReportLeak")
    case_id = made.case.case_id
    capture = leaks.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=case_id, capture=b"a page")
    await _called(whole, memory, capture, "protection.v1.LeaksService/AddLeakEvidence")
    crawler = leaks.CreateLeakCrawlerRequest(request_id=new_id("req"), display_name="Nightly", public_key=b"k" * 32)
    await _called(whole, memory, crawler, "protection.v1.LeaksService/CreateLeakCrawler")
    notifier = takedowns.TakedownNotifier(
        rights_holder="Kinowerk",
        signatory="Ada",
        capacity="owner",
        address="Road 1",
        phone="1",
        email="ada@kino.example",
    )
    kept = takedowns.SetTakedownNotifierRequest(notifier=notifier)
    await _called(whole, memory, kept, "protection.v1.TakedownsService/SetTakedownNotifier")
    draft = takedowns.PrepareTakedownRequest(
        request_id=new_id("req"), case_id=case_id, kind=takedowns.TAKEDOWN_KIND_DMCA, work="A film"
    )
    await _called(whole, memory, draft, "protection.v1.TakedownsService/PrepareTakedown")


async def _upload(whole: Whole, memory: Memory) -> str:
    """One upload that is complete, and one that is not."""
    asset_id = ""
    for parts in ([FILM], []):
        create = upload.CreateUploadRequest(request_id=new_id("req"), filename="film.mp4", size_bytes=len(FILM))
        created: Any = await _called(whole, memory, create, "upload.v1.UploadService/CreateUpload")
        upload_id = created.upload.upload_id
        for part in parts:
            chunk = upload.WriteUploadRequest(upload_id=upload_id, offset=0)
            chunk.chunk.data = part
            channel: Any = whole.channels["reelmesh.upload.v1.UploadService"]
            write = channel.stream_unary("/reelmesh.upload.v1.UploadService/WriteUpload")
            await write(iter([chunk.SerializeToString()]), metadata=(("authorization", whole.operator),))
            complete = upload.CompleteUploadRequest(upload_id=upload_id, sha256=hashlib.sha256(FILM).hexdigest())
            await _called(whole, memory, complete, "upload.v1.UploadService/CompleteUpload")
            asset_id = created.upload.asset_id
    return asset_id


async def _until_there(whole: Whole, memory: Memory, request: Message, method: str) -> None:
    while not (await _called(whole, memory, request, method)).ByteSize():
        await asyncio.sleep(0.05)


async def _played(whole: Whole, memory: Memory, request: policy.CreatePlaybackRequest) -> bool:
    """Opens a playback, once the package is known; its URLs hold a ticket."""
    try:
        answer: Any = await _called(whole, memory, request, "policy.v1.PolicyService/CreatePlayback")
    except grpc.aio.AioRpcError:
        return False
    memory.keep("ticket", answer.playback.dash_url.split("/p/")[1].split("/")[0])
    return True


async def _called(whole: Whole, memory: Memory, request: Message, method: str) -> Message:
    """A call by the operator, whose answer is remembered."""
    service, _, name = f"reelmesh.{method}".partition("/")
    channel: Any = whole.channels[service]
    kind: Any = request.DESCRIPTOR.file.pool.FindServiceByName(service).methods_by_name[name].output_type
    call = channel.unary_unary(
        f"/{service}/{name}", response_deserializer=message_factory.GetMessageClass(kind).FromString
    )
    answer: Message = await call(request.SerializeToString(), metadata=(("authorization", whole.operator),), timeout=10)
    memory.learn(answer)
    return answer
