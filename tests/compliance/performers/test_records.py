"""Who may do what with records, and what they amount to."""

from __future__ import annotations

import pytest
from reelmesh.assets.v1.events_pb2 import AssetCreated
from reelmesh.compliance.v1 import (
    events_pb2,
    performers_service_pb2,
    productions_service_pb2,
    records_pb2,
    records_service_pb2,
)
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE

from services.compliance.performers.copies import key_of
from services.kit.ids import new_id
from services.kit.storage import ObjectStore
from tests.compliance.performers.filing import BORN, PASSPORT, RELEASE, Files, refused, until

COMPLETE, MISSING, WITHDRAWN, NOT_REQUIRED = (
    events_pb2.CONSENT_STATE_COMPLETE,
    events_pb2.CONSENT_STATE_MISSING,
    events_pb2.CONSENT_STATE_WITHDRAWN,
    events_pb2.CONSENT_STATE_NOT_REQUIRED,
)


async def test_an_asset_may_be_played_once_a_second_person_found_everything_good(files: Files) -> None:
    filed = await files.submitted()
    production_id = filed.production.production_id
    await files.consent(filed.asset_id, MISSING)
    assert await files.gaps(production_id) == ["PRODUCTION_NOT_APPROVED", "IDENTITY_MISSING", "RELEASE_MISSING"]
    await files.reviewer.reviews_production(filed.production)
    assert await files.gaps(production_id) == ["IDENTITY_MISSING", "RELEASE_MISSING"]
    await files.custodian.opens(filed.document.identity_document_id)
    await files.custodian.reviews(filed.document.identity_document_id)
    assert await files.gaps(production_id) == ["RELEASE_MISSING"]
    await files.reviewer.opens_release(filed.release.release_id)
    await files.reviewer.reviews_release(filed.release.release_id)
    assert await files.gaps(production_id) == []
    await files.consent(filed.asset_id, MISSING, COMPLETE)


async def test_evidence_that_nobody_is_to_see_needs_no_records(files: Files) -> None:
    evidence = new_id("ast")
    created = AssetCreated(
        asset_id=evidence, organisation_id=files.organisation_id, title="A copy", purpose=UPLOAD_PURPOSE_EVIDENCE
    )
    await files.bus.publish(created)
    title = await files.asset()  # heard of behind it
    assert await files.known(evidence, title) == {title}


async def test_nobody_reviews_what_they_submitted_themselves(files: Files) -> None:
    await files.custodian_named()
    custodian = files.custodian
    performer = await files.performer()
    request = performers_service_pb2.SubmitIdentityDocumentRequest(
        request_id=new_id("req"),
        performer_id=performer.performer_id,
        kind=records_pb2.IDENTITY_DOCUMENT_KIND_PASSPORT,
        issuer="GB",
        copy=PASSPORT,
    )
    document = (await custodian.performers.SubmitIdentityDocument(request)).identity_document
    await custodian.opens(document.identity_document_id)
    with refused("REVIEWER_IS_SUBMITTER"):
        await custodian.reviews(document.identity_document_id)
    content = productions_service_pb2.ProductionContent(title="A", production_date="2026-11-01")
    create = productions_service_pb2.CreateProductionRequest(request_id=new_id("req"), production=content)
    production = (await custodian.productions.CreateProduction(create)).production
    with refused("REVIEWER_IS_SUBMITTER"):
        await custodian.reviews_production(production)
    await files.other_custodian.opens(document.identity_document_id)
    reviewed = (await files.other_custodian.reviews(document.identity_document_id)).identity_document
    assert (reviewed.state, reviewed.reviewer) == (records_pb2.RECORD_STATE_APPROVED, "other_custodian")


async def test_the_custodian_alone_opens_identity_documents(files: Files) -> None:
    filed = await files.submitted()
    document_id = filed.document.identity_document_id
    assert await files.custodian.opens(document_id, "inspection of 2026-11-28") == PASSPORT
    for name in ("creator", "reviewer", "officer", "viewer"):
        with refused("PERMISSION_MISSING"):
            await getattr(files, name).opens(document_id)
    with refused("CUSTODIAN_ONLY"):
        await files.admin.opens(document_id)
    with refused("RECORD_NOT_FOUND"):
        request = productions_service_pb2.OpenReleaseRequest(release_id=filed.release.release_id, purpose="curious")
        await files.stranger.productions.OpenRelease(request)
    with refused("CREDENTIAL_INVALID"):
        await files.nobody.opens(document_id)
    assert await files.reviewer.opens_release(filed.release.release_id) == RELEASE
    with refused("PERMISSION_MISSING"):
        await files.creator.opens_release(filed.release.release_id)


async def test_each_reading_is_told_with_who_and_why(files: Files) -> None:
    filed = await files.submitted()
    document_id = filed.document.identity_document_id
    for purpose in ("the first time", "once more"):
        await files.custodian.opens(document_id, purpose)

    async def told() -> bool:
        read = [one for one in files.bus.heard(events_pb2.RecordOpened) if one.record_id == document_id]
        return [(one.actor, one.purpose) for one in read] == [
            ("custodian", "the first time"),
            ("custodian", "once more"),
        ]

    await until(told)
    with refused("REQUEST_INVALID"):
        await files.custodian.opens(document_id, " ")


async def test_who_did_not_look_cannot_say(files: Files) -> None:
    filed = await files.submitted()
    with refused("RECORD_NOT_OPENED"):
        await files.custodian.reviews(filed.document.identity_document_id)
    with refused("RECORD_NOT_OPENED"):
        await files.reviewer.reviews(filed.document.identity_document_id)
    with refused("RECORD_NOT_OPENED"):
        await files.reviewer.reviews_release(filed.release.release_id)


async def test_the_reviewer_reads_the_day_of_birth_from_the_document(files: Files) -> None:
    filed = await files.submitted()
    document_id = filed.document.identity_document_id
    await files.custodian.opens(document_id)
    for born, reason in (
        ("1996-02-28", "BIRTH_DATE_DIFFERS"),
        ("", "REQUEST_INVALID"),
        ("1996-02-30", "REQUEST_INVALID"),
    ):
        with refused(reason):
            await files.custodian.reviews(document_id, born=born)
    assert (await files.custodian.reviews(document_id)).identity_document.state == records_pb2.RECORD_STATE_APPROVED
    again = (await files.custodian.reviews(document_id)).identity_document
    assert again.state == records_pb2.RECORD_STATE_APPROVED
    with refused("RECORD_ALREADY_DECIDED"):
        await files.custodian.reviews(document_id, approved=False)


@pytest.mark.parametrize(
    ("born", "filmed", "of_age"),
    [
        ("2008-11-01", "2026-11-01", True),
        ("2008-11-02", "2026-11-01", False),
        ("2008-02-29", "2026-02-28", False),
        ("2008-02-29", "2026-03-01", True),
        ("2010-01-01", "2026-11-01", False),
    ],
)
async def test_everybody_was_18_when_it_was_filmed(files: Files, born: str, filmed: str, *, of_age: bool) -> None:
    performer = await files.performer("Young Person", date_of_birth=born)
    if of_age:
        await files.production([performer.performer_id], [], production_date=filmed)
        return
    with refused("PERFORMER_UNDER_AGE") as caught:
        await files.production([performer.performer_id], [], production_date=filmed)
    assert caught[0].metadata == {"performer_id": performer.performer_id, "production_date": filmed} | {
        "correlation_id": caught[0].metadata["correlation_id"]
    }


async def test_copies_are_kept_encrypted_each_under_its_own_key(files: Files) -> None:
    filed = await files.submitted()
    store = ObjectStore.at(files.settings.storage_location())
    sealed = [
        store.path_of(key_of(files.organisation_id, record_id)).read_bytes()
        for record_id in (filed.document.identity_document_id, filed.release.release_id)
    ]
    assert all(PASSPORT[9:] not in one and RELEASE[4:] not in one for one in sealed)
    # Another's copy, and one that was changed, are not opened.
    store.path_of(key_of(files.organisation_id, filed.document.identity_document_id)).write_bytes(sealed[1])
    with refused("COPY_LOST"):
        await files.custodian.opens(filed.document.identity_document_id)
    changed = bytearray(sealed[1])
    changed[-1] ^= 1
    store.path_of(key_of(files.organisation_id, filed.release.release_id)).write_bytes(changed)
    with refused("COPY_LOST"):
        await files.reviewer.opens_release(filed.release.release_id)
    store.path_of(key_of(files.organisation_id, filed.release.release_id)).unlink()
    with refused("COPY_LOST"):
        await files.reviewer.opens_release(filed.release.release_id)


async def test_no_name_and_no_day_of_birth_is_kept_in_clear(files: Files) -> None:
    performer = await files.performer("Zebedee Quux", other_names=["Xyzzy Star"])
    add = performers_service_pb2.AddPerformerNamesRequest(performer_id=performer.performer_id, other_names=["Plugh"])
    await files.creator.performers.AddPerformerNames(add)
    get = performers_service_pb2.GetPerformerRequest(performer_id=performer.performer_id)
    shown = (await files.reviewer.performers.GetPerformer(get)).performer
    assert (shown.legal_name, list(shown.other_names)) == ("Zebedee Quux", ["Xyzzy Star", "Plugh"])
    with refused("PERMISSION_MISSING"):
        await files.creator.performers.GetPerformer(get)
    async with files.database.transaction() as tx:
        tables = (
            await tx.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        ).scalars()
        for table in tables.all():
            for row in await tx.exec_driver_sql(f'SELECT t::text AS row, to_jsonb(t)::text AS json FROM "{table}" t'):
                for secret in ("Quux", "Xyzzy", "Plugh", b"Quux".hex(), b"Xyzzy".hex()):
                    assert secret not in row.row, table
    assert all(b"Quux" not in data for data in files.bus.said())


async def test_a_repeat_gets_the_first_answer_without_what_is_personal(files: Files) -> None:
    request = performers_service_pb2.CreatePerformerRequest(
        request_id=new_id("req"), legal_name="Ada Lovelace", date_of_birth=BORN
    )
    first = (await files.creator.performers.CreatePerformer(request)).performer
    again = (await files.creator.performers.CreatePerformer(request)).performer
    assert again.performer_id == first.performer_id
    assert (first.legal_name, again.legal_name, again.date_of_birth) == ("Ada Lovelace", "", "")
    submit = performers_service_pb2.SubmitIdentityDocumentRequest(
        request_id=new_id("req"),
        performer_id=first.performer_id,
        kind=records_pb2.IDENTITY_DOCUMENT_KIND_PASSPORT,
        issuer="GB",
        copy=PASSPORT,
    )
    answers = [await files.creator.performers.SubmitIdentityDocument(submit) for _ in range(2)]
    assert answers[0] == answers[1]


async def test_a_change_of_a_production_has_to_be_reviewed_anew(files: Files) -> None:
    filed = await files.complete()
    await files.consent(filed.asset_id, MISSING, COMPLETE)
    other = await files.performer("Bob")
    content = productions_service_pb2.ProductionContent(
        production_id=filed.production.production_id,
        title="A film",
        production_date="2026-11-01",
        asset_ids=[filed.asset_id],
        performer_ids=[filed.performer.performer_id, other.performer_id],
    )
    update = productions_service_pb2.UpdateProductionRequest(production=content)
    changed = (await files.creator.productions.UpdateProduction(update)).production
    assert changed.state == records_pb2.RECORD_STATE_SUBMITTED
    assert (await files.creator.productions.UpdateProduction(update)).production.etag == changed.etag
    await files.consent(filed.asset_id, MISSING, COMPLETE, MISSING)
    with refused("ETAG_MISMATCH"):
        await files.reviewer.reviews_production(filed.production)
    # Taking somebody out is a change too, and so is taking the asset out: what was recorded once needs records for good.
    del update.production.performer_ids[:]
    update.production.performer_ids.append(filed.performer.performer_id)
    back = (await files.creator.productions.UpdateProduction(update)).production
    await files.reviewer.reviews_production(back)
    await files.consent(filed.asset_id, MISSING, COMPLETE, MISSING, COMPLETE)
    del update.production.asset_ids[:]
    await files.creator.productions.UpdateProduction(update)
    await files.consent(filed.asset_id, MISSING, COMPLETE, MISSING, COMPLETE, MISSING)


async def test_the_performer_takes_the_consent_back_by_a_token(files: Files) -> None:
    filed = await files.complete()
    create = productions_service_pb2.CreateWithdrawalTokenRequest(
        request_id=new_id("req"), release_id=filed.release.release_id
    )
    made = await files.creator.productions.CreateWithdrawalToken(create)
    token = made.token
    assert made.withdrawal_url == f"{files.settings.public_url}/withdraw#token={token}"
    assert not (await files.creator.productions.CreateWithdrawalToken(create)).token
    with refused("WITHDRAWAL_TOKEN_INVALID"):
        await files.nobody.productions.WithdrawConsentByToken(
            productions_service_pb2.WithdrawConsentByTokenRequest(token=token + "x")
        )
    request = productions_service_pb2.WithdrawConsentByTokenRequest(token=token)
    first = await files.nobody.productions.WithdrawConsentByToken(request)
    assert await files.nobody.productions.WithdrawConsentByToken(request) == first
    await files.consent(filed.asset_id, MISSING, COMPLETE, WITHDRAWN)
    assert await files.gaps(filed.production.production_id) == ["RELEASE_WITHDRAWN"]

    async def told() -> bool:
        heard = [one for one in files.bus.heard(events_pb2.RecordChanged) if one.record_id == filed.release.release_id]
        return (heard[-1].change, heard[-1].actor) == (events_pb2.RECORD_CHANGE_WITHDRAWN, "performer")

    await until(told)
    # A new release, found good, is a new consent.
    new = await files.release(filed.production.production_id, filed.performer.performer_id)
    await files.reviewer.opens_release(new.release_id)
    await files.reviewer.reviews_release(new.release_id)
    await files.consent(filed.asset_id, MISSING, COMPLETE, WITHDRAWN, COMPLETE)


async def test_the_custodian_takes_the_consent_back_on_the_performers_behalf(files: Files) -> None:
    filed = await files.complete()
    request = productions_service_pb2.WithdrawReleaseRequest(release_id=filed.release.release_id)
    for name in ("creator", "reviewer", "viewer"):
        with refused("PERMISSION_MISSING"):
            await getattr(files, name).productions.WithdrawRelease(request)
    withdrawn = (await files.custodian.productions.WithdrawRelease(request)).release
    assert withdrawn.state == records_pb2.RECORD_STATE_WITHDRAWN
    await files.consent(filed.asset_id, MISSING, COMPLETE, WITHDRAWN)


async def test_only_ones_own_assets_and_performers_are_named(files: Files) -> None:
    performer = await files.performer()
    with refused("RECORDED_ASSET_UNKNOWN"):
        await files.production([performer.performer_id], [new_id("ast")])
    with refused("PERFORMER_NOT_FOUND"):
        await files.production([new_id("pfm")], [])
    asset_id = await files.asset()
    content = productions_service_pb2.ProductionContent(title="A", production_date="2026-11-01", asset_ids=[asset_id])
    theirs = productions_service_pb2.CreateProductionRequest(request_id=new_id("req"), production=content)
    with refused("RECORDED_ASSET_UNKNOWN"):
        await files.stranger.productions.CreateProduction(theirs)
    production = await files.production([], [])
    with refused("PERFORMER_NOT_DEPICTED"):
        await files.release(production.production_id, performer.performer_id)
    with refused("COPY_UNREADABLE"):
        await files.document(performer.performer_id, copy=b"MZ a program")
    with refused("RECORD_EXPIRED"):
        await files.document(performer.performer_id, expire_date="2026-11-27")
    await files.document(performer.performer_id, expire_date="2026-11-28")


async def test_anybody_reads_the_statement_once_the_production_is_approved(files: Files) -> None:
    filed = await files.submitted()
    request = records_service_pb2.GetRecordsStatementRequest(asset_id=filed.asset_id)
    with refused("RECORDS_STATEMENT_NOT_FOUND"):
        await files.nobody.records.GetRecordsStatement(request)
    await files.reviewer.reviews_production(filed.production)
    (said,) = (await files.nobody.records.GetRecordsStatement(request)).statements
    assert (said.title, said.production_date, said.custodian) == ("A film", "2026-11-01", "Grace Hopper")
    for part in (
        "A film",
        "2026-11-01",
        "Grace Hopper",
        "Custodian of records",
        "1 Main Street, Arlington, VA",
        "2257",
    ):
        assert part in said.text
    create = productions_service_pb2.CreateProductionRequest(
        request_id=new_id("req"),
        production=productions_service_pb2.ProductionContent(title="A", production_date="2026-11-01"),
    )
    theirs = (await files.stranger.productions.CreateProduction(create)).production
    with refused("CUSTODIAN_NOT_SET"):
        await files.other_stranger.reviews_production(theirs)


async def test_an_inspector_is_shown_the_index_by_every_name_and_by_title(files: Files) -> None:
    filed = await files.complete()
    odd = await files.performer("=HYPERLINK(1)", other_names=["Зоя", "王小明"])
    await files.production([odd.performer_id, filed.performer.performer_id], [], title="Два")
    got = {}
    for kind in (records_service_pb2.RECORDS_FORMAT_CSV, records_service_pb2.RECORDS_FORMAT_PDF):
        request = records_service_pb2.ExportRecordsRequest(format=kind, purpose="inspection by the authority")
        got[kind] = b"".join([part.part async for part in files.custodian.records.ExportRecords(request)])
    table = got[records_service_pb2.RECORDS_FORMAT_CSV].decode()
    for line in (
        "legal_name,'=HYPERLINK(1),",
        "other_name,Зоя,",
        "other_name,王小明,",
        "title,Два,",
        "legal_name,Ada Lovelace,",
    ):
        assert line in table
    assert filed.document.sha256 in table
    assert filed.release.sha256 in table
    pages = got[records_service_pb2.RECORDS_FORMAT_PDF]
    assert pages.startswith(b"%PDF-")
    assert pages.rstrip().endswith(b"%%EOF")

    async def told() -> bool:
        return [one.format for one in files.bus.heard(events_pb2.RecordsExported)] == ["csv", "pdf"]

    await until(told)
    with refused("PERMISSION_MISSING"):
        request = records_service_pb2.ExportRecordsRequest(
            format=records_service_pb2.RECORDS_FORMAT_CSV, purpose="curious"
        )
        await anext(aiter(files.reviewer.records.ExportRecords(request)))


async def test_lists_come_in_pages(files: Files) -> None:
    made = [(await files.performer(f"Performer {number}")).performer_id for number in range(3)]
    seen: list[str] = []
    request = performers_service_pb2.ListPerformersRequest(page_size=2)
    while True:
        answer = await files.custodian.performers.ListPerformers(request)
        seen += [one.performer_id for one in answer.performers]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert seen[:3] == list(reversed(made))
    assert len(seen) == len(set(seen))
    asset_id = await files.asset()
    production = await files.production([], [asset_id])
    found = await files.reviewer.productions.ListProductions(
        productions_service_pb2.ListProductionsRequest(asset_id=asset_id)
    )
    assert [one.production_id for one in found.productions] == [production.production_id]


async def test_assets_are_withheld_while_an_organisation_requires_records_of_all(files: Files) -> None:
    before = await files.asset()
    named = await files.complete()
    await files.custodian_named(required=True)
    await files.consent(before, MISSING)
    after = await files.asset()
    await files.consent(after, MISSING)
    await files.custodian_named()
    await files.consent(before, MISSING, NOT_REQUIRED)
    await files.consent(after, MISSING, NOT_REQUIRED)
    await files.consent(named.asset_id, MISSING, COMPLETE)
    untouched = await files.asset()
    await files.consent(untouched)


async def test_that_records_are_required_is_announced_when_it_changes(files: Files) -> None:
    await files.custodian_named(required=True)
    await files.custodian_named(required=True)
    await files.custodian_named()

    async def told() -> bool:
        heard = files.bus.heard(events_pb2.RecordsRequirementChanged)
        return [one.required for one in heard if one.organisation_id == files.organisation_id][-2:] == [True, False]

    await until(told)
    shown = await files.officer.records.GetRecordsSettings(records_service_pb2.GetRecordsSettingsRequest())
    assert shown.settings.street_address == "1 Main Street\nArlington, VA"
