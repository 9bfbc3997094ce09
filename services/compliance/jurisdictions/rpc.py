"""JurisdictionsService: the contract, put in terms of rows and versions."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.compliance.v1 import events_pb2, jurisdictions_pb2, jurisdictions_service_pb2_grpc
from reelmesh.compliance.v1 import jurisdictions_service_pb2 as api

from services.compliance.jurisdictions import refusals, store
from services.compliance.jurisdictions.rules import checked, classified
from services.compliance.jurisdictions.shipped import shipped_rules
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]


class JurisdictionsRpc(jurisdictions_service_pb2_grpc.JurisdictionsServiceServicer):
    """Serves `reelmesh.compliance.v1.JurisdictionsService`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self) -> None:
        """Announces the table that ships with the software, unless that was done."""
        now, rules = self._clock.now(), shipped_rules()
        async with self._database.transaction() as tx:
            if await store.put_shipped(tx, rules, now):
                await announce(tx, events_pb2.JurisdictionsChanged(rules=rules, change_time=timestamp(now)))

    async def PutJurisdictionTable(
        self, request: api.PutJurisdictionTableRequest, context: Context
    ) -> api.PutJurisdictionTableResponse:
        """Puts a new version in force."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        rules = checked(request.rules)
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.PutJurisdictionTableResponse):
                return earlier
            table = await store.add_table(tx, organisation_id, rules, request.comment, now)
            changed = events_pb2.JurisdictionsChanged(
                organisation_id=organisation_id, version=table.version, rules=rules, change_time=timestamp(now)
            )
            await announce(tx, changed)
            answer = api.PutJurisdictionTableResponse(table=table)
            await remember(tx, organisation_id, request, answer)
        return answer

    async def GetJurisdictionTable(
        self, request: api.GetJurisdictionTableRequest, context: Context
    ) -> api.GetJurisdictionTableResponse:
        """One version."""
        organisation_id = store.SHIPPED if request.shipped else current_call().organisation_id
        async with self._database.transaction() as tx:
            found = await store.find_table(tx, organisation_id, request.version)
        if found is None:
            raise refusals.jurisdiction_table_not_found(request.version)
        return api.GetJurisdictionTableResponse(table=found)

    async def ListJurisdictionTables(
        self, request: api.ListJurisdictionTablesRequest, context: Context
    ) -> api.ListJurisdictionTablesResponse:
        """The organisation's versions."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.tables_page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListJurisdictionTablesResponse(
            tables=shown,
            next_page_token=part.next_token(str(shown[-1].version)) if len(found) > part.size else "",
        )

    async def SetTitleClassification(
        self, request: api.SetTitleClassificationRequest, context: Context
    ) -> api.SetTitleClassificationResponse:
        """Classifies a title."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        wanted = classified(request.classification)
        async with self._database.transaction() as tx:
            await store.lock_classification(tx, organisation_id, wanted.asset_id)
            before = await store.find_classification(tx, organisation_id, wanted.asset_id)
            version = before.version if before is not None else 0
            if wanted.version not in {0, version}:
                raise _changed(version)
            if before is not None and _same(before, wanted):
                return api.SetTitleClassificationResponse(classification=before)
            kept = await store.add_classification(tx, organisation_id, wanted, version + 1, now)
            await announce(tx, _announcement(organisation_id, kept))
        return api.SetTitleClassificationResponse(classification=kept)

    async def GetTitleClassification(
        self, request: api.GetTitleClassificationRequest, context: Context
    ) -> api.GetTitleClassificationResponse:
        """How a title is classified."""
        async with self._database.transaction() as tx:
            found = await store.find_classification(
                tx, current_call().organisation_id, request.asset_id, request.version
            )
        if found is None and request.version:
            raise refusals.classification_not_found(request.asset_id, request.version)
        empty = jurisdictions_pb2.TitleClassification(asset_id=request.asset_id)
        return api.GetTitleClassificationResponse(classification=found or empty)

    async def asset_deleted(self, tx: Tx, data: bytes) -> None:
        """Of a title that is gone nothing is kept."""
        event = assets.AssetDeleted.FromString(data)
        await store.forget_title(tx, event.asset_id, event.organisation_id)


def _announcement(
    organisation_id: str, classification: jurisdictions_pb2.TitleClassification
) -> events_pb2.TitleClassified:
    return events_pb2.TitleClassified(
        asset_id=classification.asset_id,
        organisation_id=organisation_id,
        classification=classification,
        change_time=classification.change_time,
    )


def _same(before: jurisdictions_pb2.TitleClassification, wanted: jurisdictions_pb2.TitleClassification) -> bool:
    return (
        list(before.ratings) == list(wanted.ratings)
        and list(before.tags) == list(wanted.tags)
        and list(before.blocks) == list(wanted.blocks)
    )


def _changed(version: int) -> Refusal:
    return Refusal(
        grpc.StatusCode.ABORTED,
        "ETAG_MISMATCH",
        "the classification changed since you read it; read it again",
        domain=RPC_DOMAIN,
        metadata={"etag": str(version)},
    )
