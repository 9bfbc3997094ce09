"""The contract of productions: who is seen in what, and whether it may be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc
from reelmesh.compliance.v1 import events_pb2, productions_service_pb2_grpc
from reelmesh.compliance.v1 import productions_service_pb2 as api

from services.compliance.performers import messages, refusals, store
from services.compliance.performers.announcements import changed
from services.compliance.performers.domain import Production, Reviewed, State, day_of, is_adult
from services.compliance.performers.office import Office, caller, copies_of, one_line
from services.compliance.performers.productions.releases import Releases
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of

Context = grpc.aio.ServicerContext[Any, Any]


class ProductionsRpc(productions_service_pb2_grpc.ProductionsServiceServicer):
    """Keeps productions of the caller's organisation, and the releases for them."""

    def __init__(self, office: Office, releases: Releases) -> None:
        self._office = office
        self._releases = releases

    async def CreateProduction(
        self, request: api.CreateProductionRequest, context: Context
    ) -> api.CreateProductionResponse:
        """Adds a production."""
        whose, who = caller()
        now = self._office.clock.now()
        if request.production.production_id:
            raise refusals.request_invalid("production.production_id", "must be empty when a production is made")
        made = _said(request.production, Reviewed(State.SUBMITTED, who, now), new_id("prd"), whose, 1)
        async with self._office.database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.CreateProductionResponse):
                return earlier
            await store.lock(tx, whose)
            await self._keep(tx, made)
            gaps = (await self._office.consents.gaps(tx, whose, [made], now))[made.production_id]
            answer = api.CreateProductionResponse(production=messages.production(made, gaps))
            await remember(tx, whose, request, answer)
        return answer

    async def UpdateProduction(
        self, request: api.UpdateProductionRequest, context: Context
    ) -> api.UpdateProductionResponse:
        """Changes a production; the same once more changes nothing."""
        whose, who = caller()
        now, wanted = self._office.clock.now(), request.production
        async with self._office.database.transaction() as tx:
            await store.lock(tx, whose)
            before = await store.find_production(tx, whose, wanted.production_id)
            if wanted.etag and wanted.etag != before.etag:
                raise refusals.etag_mismatch(before.etag)
            fresh = Reviewed(State.SUBMITTED, who, now)
            after = _said(wanted, fresh, before.production_id, whose, before.version + 1)
            if after.says == before.says:
                after = before
            else:
                await self._keep(tx, after, before.asset_ids)
            gaps = (await self._office.consents.gaps(tx, whose, [after], now))[after.production_id]
        return api.UpdateProductionResponse(production=messages.production(after, gaps))

    async def _keep(self, tx: Tx, production: Production, before: Sequence[str] = ()) -> None:
        """Keeps what is said of a production, if all that it names is there and of age; `before` are the assets that it named."""
        whose = production.organisation_id
        performers = await self._office.persons.of(tx, whose, production.performer_ids)
        for performer_id in production.performer_ids:
            if performer_id not in performers:
                raise refusals.performer_not_found(performer_id)
            if not is_adult(performers[performer_id].person.date_of_birth, production.production_date):
                raise refusals.under_age(performer_id, production.production_date.isoformat())
        # An asset that was deleted since may stay: it was published, and the record of it is kept.
        new = [asset_id for asset_id in production.asset_ids if asset_id not in before]
        found = await store.assets_of(tx, whose, new)
        for asset_id in new:
            if found.get(asset_id, True):
                raise refusals.asset_unknown(asset_id)
        await store.put_production(tx, production)
        submitted = production.reviewed
        said = events_pb2.RECORD_CHANGE_SUBMITTED
        await announce(tx, changed(production, said, submitted.submitter, submitted.submit_time))
        await self._office.consents.settle(tx, whose, {*before, *production.asset_ids}, submitted.submit_time)

    async def GetProduction(self, request: api.GetProductionRequest, context: Context) -> api.GetProductionResponse:
        """Returns one production with its releases."""
        whose, _ = caller()
        async with self._office.database.transaction() as tx:
            production = await store.find_production(tx, whose, request.production_id)
            gaps = await self._office.consents.gaps(tx, whose, [production], self._office.clock.now())
            releases = await store.releases_of(tx, [production.production_id])
            known = await copies_of(tx, releases)
        return api.GetProductionResponse(
            production=messages.production(production, gaps[production.production_id], releases, known)
        )

    async def ListProductions(
        self, request: api.ListProductionsRequest, context: Context
    ) -> api.ListProductionsResponse:
        """Returns a page of productions, newest first."""
        whose, _ = caller()
        part = page_of(request)
        async with self._office.database.transaction() as tx:
            found = await store.productions_page(tx, whose, part, request.asset_id)
            shown = found[: part.size]
            gaps = await self._office.consents.gaps(tx, whose, shown, self._office.clock.now())
        return api.ListProductionsResponse(
            productions=[messages.production(one, gaps[one.production_id]) for one in shown],
            next_page_token=part.next_token(shown[-1].production_id) if len(found) > part.size else "",
        )

    async def ReviewProduction(
        self, request: api.ReviewProductionRequest, context: Context
    ) -> api.ReviewProductionResponse:
        """Says whether a production is good."""
        whose, who = caller()
        now = self._office.clock.now()
        async with self._office.database.transaction() as tx:
            await store.lock(tx, whose)
            before = await store.find_production(tx, whose, request.production_id)
            if request.etag != before.etag:
                raise refusals.etag_mismatch(before.etag)
            decided = before.reviewed.decided(
                before.production_id, approved=request.approved, reviewer=who, now=now, comment=request.comment
            )
            after = replace(before, reviewed=decided)
            if decided is not before.reviewed:
                # What is published has a statement beside it, which names somebody.
                if request.approved and not (await store.settings_of(tx, whose)).custodian:
                    raise refusals.custodian_not_set()
                await store.put_production(tx, after)
                said = events_pb2.RECORD_CHANGE_APPROVED if request.approved else events_pb2.RECORD_CHANGE_REJECTED
                await announce(tx, changed(after, said, who, now))
                await self._office.consents.settle(tx, whose, after.asset_ids, now)
            gaps = await self._office.consents.gaps(tx, whose, [after], now)
        return api.ReviewProductionResponse(production=messages.production(after, gaps[after.production_id]))

    # Releases.

    async def SubmitRelease(self, request: api.SubmitReleaseRequest, context: Context) -> api.SubmitReleaseResponse:
        """Takes a copy of a release in."""
        return await self._releases.submit(request)

    async def OpenRelease(self, request: api.OpenReleaseRequest, context: Context) -> api.OpenReleaseResponse:
        """Shows a copy to somebody who reviews."""
        return await self._releases.open(request)

    async def ReviewRelease(self, request: api.ReviewReleaseRequest, context: Context) -> api.ReviewReleaseResponse:
        """Says whether a release is good."""
        return await self._releases.review(request)

    async def CreateWithdrawalToken(
        self, request: api.CreateWithdrawalTokenRequest, context: Context
    ) -> api.CreateWithdrawalTokenResponse:
        """Makes a token for the performer."""
        return await self._releases.token(request)

    async def WithdrawRelease(
        self, request: api.WithdrawReleaseRequest, context: Context
    ) -> api.WithdrawReleaseResponse:
        """Takes consent back on the performer's behalf."""
        return await self._releases.withdraw(request)

    async def WithdrawConsentByToken(
        self, request: api.WithdrawConsentByTokenRequest, context: Context
    ) -> api.WithdrawConsentByTokenResponse:
        """Takes consent back by the performer."""
        return await self._releases.withdraw_by_token(request)


def _said(
    content: api.ProductionContent, reviewed: Reviewed, production_id: str, organisation_id: str, version: int
) -> Production:
    """A production as a request has it."""
    return Production(
        production_id,
        organisation_id,
        version,
        one_line(content.title, "production.title"),
        day_of(content.production_date, "production.production_date"),
        tuple(sorted(content.asset_ids)),
        tuple(sorted(content.performer_ids)),
        tuple(one_line(url, "production.urls") for url in content.urls),
        reviewed,
    )
