"""The contract of performers and their identity documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import grpc
from reelmesh.compliance.v1 import events_pb2, performers_service_pb2_grpc
from reelmesh.compliance.v1 import performers_service_pb2 as api

from services.compliance.performers import copies, messages, refusals, store
from services.compliance.performers.announcements import changed
from services.compliance.performers.domain import (
    IdentityDocument,
    Performer,
    Person,
    Reviewed,
    State,
    day_of,
    is_expired,
    last_day_of,
)
from services.compliance.performers.office import Office, caller, copies_of, one_line
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]
_OPEN: Final = "records.open"
"""Asked for by that name: `*`, which is everything else, is not it."""


class PerformersRpc(performers_service_pb2_grpc.PerformersServiceServicer):
    """Keeps performers of the caller's organisation."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def CreatePerformer(
        self, request: api.CreatePerformerRequest, context: Context
    ) -> api.CreatePerformerResponse:
        """Adds a performer."""
        whose, who = caller()
        now, performer_id = self._office.clock.now(), new_id("pfm")
        born = day_of(request.date_of_birth, "date_of_birth")
        if born > now.date():
            raise refusals.request_invalid("date_of_birth", "must not be in the future")
        names = [one_line(name, "other_names") for name in request.other_names]
        person = Person(one_line(request.legal_name, "legal_name"), born).with_names(performer_id, names)
        performer = Performer(performer_id, whose, person, now)
        async with self._office.database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.CreatePerformerResponse):
                return earlier
            await self._office.persons.add(tx, performer)
            await announce(tx, changed(performer, events_pb2.RECORD_CHANGE_SUBMITTED, who, now))
            answer = api.CreatePerformerResponse(performer=messages.performer(performer, (), {}))
            # First answers are kept for some days as they are; what is personal is kept sealed, or not at all.
            bare = api.CreatePerformerResponse()
            bare.CopyFrom(answer)
            for field in ("legal_name", "date_of_birth", "other_names"):
                bare.performer.ClearField(field)
            await remember(tx, whose, request, bare)
        return answer

    async def AddPerformerNames(
        self, request: api.AddPerformerNamesRequest, context: Context
    ) -> api.AddPerformerNamesResponse:
        """Adds names."""
        whose, who = caller()
        names = [one_line(name, "other_names") for name in request.other_names]
        async with self._office.database.transaction() as tx:
            await store.lock(tx, whose)
            before = await self._office.performer(tx, whose, request.performer_id)
            after = replace(before, person=before.person.with_names(before.performer_id, names))
            if after != before:
                await self._office.persons.put(tx, after)
                now = self._office.clock.now()
                await announce(tx, changed(after, events_pb2.RECORD_CHANGE_SUBMITTED, who, now))
        return api.AddPerformerNamesResponse()

    async def GetPerformer(self, request: api.GetPerformerRequest, context: Context) -> api.GetPerformerResponse:
        """Returns one performer."""
        async with self._office.database.transaction() as tx:
            performer = await self._office.performer(tx, caller()[0], request.performer_id)
            documents = await store.documents_of(tx, [performer.performer_id])
            known = await copies_of(tx, documents)
        return api.GetPerformerResponse(performer=messages.performer(performer, documents, known))

    async def ListPerformers(self, request: api.ListPerformersRequest, context: Context) -> api.ListPerformersResponse:
        """Returns a page of performers, newest first."""
        part = page_of(request)
        async with self._office.database.transaction() as tx:
            found = await self._office.persons.page(tx, caller()[0], part)
            shown = found[: part.size]
            documents = await store.documents_of(tx, [one.performer_id for one in shown])
            known = await copies_of(tx, documents)
        return api.ListPerformersResponse(
            performers=[messages.performer(one, documents, known) for one in shown],
            next_page_token=part.next_token(shown[-1].performer_id) if len(found) > part.size else "",
        )

    async def SubmitIdentityDocument(
        self, request: api.SubmitIdentityDocumentRequest, context: Context
    ) -> api.SubmitIdentityDocumentResponse:
        """Takes a copy of an identity document in."""
        whose, who = caller()
        now, document_id = self._office.clock.now(), new_id("idd")
        expire_date = last_day_of(request.expire_date, "expire_date")
        if expire_date is not None and is_expired(expire_date, now):
            raise refusals.record_expired(document_id, request.expire_date)
        async with self._office.database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.SubmitIdentityDocumentResponse):
                return earlier
            await self._office.performer(tx, whose, request.performer_id)
        copy = await self._office.copies.put(document_id, whose, request.copy, now)
        document = IdentityDocument(
            document_id,
            request.performer_id,
            whose,
            request.kind,
            request.issuer,
            expire_date,
            Reviewed(State.SUBMITTED, who, now),
        )
        async with self._office.database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.SubmitIdentityDocumentResponse):
                return earlier
            await store.add_document(tx, document)
            await copies.name(tx, document_id)
            await announce(tx, changed(document, events_pb2.RECORD_CHANGE_SUBMITTED, who, now))
            answer = api.SubmitIdentityDocumentResponse(identity_document=messages.identity_document(document, copy))
            await remember(tx, whose, request, answer)
        return answer

    async def OpenIdentityDocument(
        self, request: api.OpenIdentityDocumentRequest, context: Context
    ) -> api.OpenIdentityDocumentResponse:
        """Shows a copy to the custodian."""
        whose, _ = caller()
        principal = current_call().principal
        if principal is None or _OPEN not in principal.permissions:
            raise refusals.custodian_only()
        async with self._office.database.transaction() as tx:
            document = await store.find_document(tx, whose, request.identity_document_id)
            content = await self._office.opened(tx, document, request.purpose)
            known = await copies_of(tx, [document])
        return api.OpenIdentityDocumentResponse(
            identity_document=messages.identity_document(document, known.get(document.identity_document_id)),
            copy=content,
        )

    async def ReviewIdentityDocument(
        self, request: api.ReviewIdentityDocumentRequest, context: Context
    ) -> api.ReviewIdentityDocumentResponse:
        """Says whether a document is good."""
        whose, _ = caller()
        born = last_day_of(request.date_of_birth, "date_of_birth") if request.approved else None
        if request.approved and born is None:
            raise refusals.request_invalid("date_of_birth", "give the day of birth as it stands on the document")
        async with self._office.database.transaction() as tx:
            await store.lock(tx, whose)
            document = await store.find_document(tx, whose, request.identity_document_id)
            performer = await self._office.performer(tx, whose, document.performer_id)
            after = await self._office.reviewed(tx, document, approved=request.approved, comment=request.comment)
            if request.approved and born != performer.person.date_of_birth:
                raise refusals.birth_date_differs(performer.performer_id)
            now = self._office.clock.now()
            await self._office.consents.settle_performer(tx, whose, document.performer_id, now)
            known = await copies_of(tx, [after])
        return api.ReviewIdentityDocumentResponse(
            identity_document=messages.identity_document(after, known.get(after.identity_document_id))
        )
