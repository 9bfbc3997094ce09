"""The contract of the records as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from reelmesh.compliance.v1 import events_pb2, records_pb2, records_service_pb2_grpc
from reelmesh.compliance.v1 import records_service_pb2 as api

from services.compliance.performers import refusals, store
from services.compliance.performers.domain import State
from services.compliance.performers.inspection.index import Records, as_csv
from services.compliance.performers.inspection.index_pages import as_pdf
from services.compliance.performers.inspection.statement import statement
from services.compliance.performers.office import Office, caller, copies_of, one_line
from services.compliance.performers.store import Settings
from services.kit.clock import timestamp
from services.kit.database import Tx
from services.kit.events import announce

Context = grpc.aio.ServicerContext[Any, Any]
_PART: Final = 1024 * 1024


class RecordsRpc(records_service_pb2_grpc.RecordsServiceServicer):
    """Shows the records of the caller's organisation as a whole."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def GetRecordsSettings(
        self, request: api.GetRecordsSettingsRequest, context: Context
    ) -> api.GetRecordsSettingsResponse:
        """Who keeps the records."""
        async with self._office.database.transaction() as tx:
            found = await store.settings_of(tx, caller()[0])
        return api.GetRecordsSettingsResponse(settings=_settings(found))

    async def SetRecordsSettings(
        self, request: api.SetRecordsSettingsRequest, context: Context
    ) -> api.SetRecordsSettingsResponse:
        """Says who keeps the records."""
        whose, who = caller()
        wanted = Settings(
            request.records_required,
            one_line(request.custodian, "custodian"),
            one_line(request.custodian_title, "custodian_title") if request.custodian_title else "",
            "\n".join(one_line(line, "street_address") for line in request.street_address.strip().split("\n")),
        )
        now = self._office.clock.now()
        async with self._office.database.transaction() as tx:
            await store.lock(tx, whose)
            before = await store.settings_of(tx, whose)
            await store.keep_settings(tx, whose, wanted, now)
            if wanted.records_required != before.records_required:
                await announce(
                    tx,
                    events_pb2.RecordsRequirementChanged(
                        organisation_id=whose, required=wanted.records_required, actor=who, change_time=timestamp(now)
                    ),
                )
        return api.SetRecordsSettingsResponse(settings=_settings(wanted))

    async def GetRecordsStatement(
        self, request: api.GetRecordsStatementRequest, context: Context
    ) -> api.GetRecordsStatementResponse:
        """What has to stand beside an asset."""
        async with self._office.database.transaction() as tx:
            showing = await store.productions_showing(tx, [request.asset_id])
            approved = [one for one in showing if one.reviewed.state is State.APPROVED]
            if not approved:
                raise refusals.statement_not_found(request.asset_id)
            settings = await store.settings_of(tx, approved[0].organisation_id)
        return api.GetRecordsStatementResponse(statements=[statement(one, settings) for one in approved])

    async def ExportRecords(
        self, request: api.ExportRecordsRequest, context: Context
    ) -> AsyncIterator[api.ExportRecordsResponse]:
        """The index of all records."""
        whose, who = caller()
        now, pdf = self._office.clock.now(), request.format == api.RECORDS_FORMAT_PDF
        purpose = one_line(request.purpose, "purpose")
        async with self._office.database.transaction() as tx:
            records = await self._all(tx, whose)
            settings = await store.settings_of(tx, whose)
            await announce(
                tx,
                events_pb2.RecordsExported(
                    organisation_id=whose,
                    format="pdf" if pdf else "csv",
                    actor=who,
                    purpose=purpose,
                    export_time=timestamp(now),
                ),
            )
        content = await (
            asyncio.to_thread(as_pdf, records, settings, now) if pdf else asyncio.to_thread(as_csv, records)
        )
        for at in range(0, len(content), _PART):
            yield api.ExportRecordsResponse(part=content[at : at + _PART])

    async def _all(self, tx: Tx, organisation_id: str) -> Records:
        performers = await self._office.persons.all(tx, organisation_id)
        productions = await store.productions_all(tx, organisation_id)
        documents = await store.documents_of(tx, [one.performer_id for one in performers])
        releases = await store.releases_of(tx, [one.production_id for one in productions])
        return Records(performers, productions, documents, releases, await copies_of(tx, [*documents, *releases]))


def _settings(found: Settings) -> records_pb2.RecordsSettings:
    return records_pb2.RecordsSettings(
        records_required=found.records_required,
        custodian=found.custodian,
        custodian_title=found.custodian_title,
        street_address=found.street_address,
    )
