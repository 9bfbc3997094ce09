"""From the records of performers to the edge: a film is served while everybody's consent stands, and to nobody from the moment when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from reelmesh.compliance.v1 import events_pb2, productions_service_pb2
from reelmesh.policy.v1 import decisions_service_pb2

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.compliance.performers.filing import Files, filing
from tests.envoy.lanes import Lanes, let_through, some_lanes
from tests.policy.scene import refused
from tests.support.stores import Emptying


@dataclass(frozen=True)
class Screen:
    """Two edges, and the office that keeps the records of what they serve."""

    lanes: Lanes
    files: Files

    async def film(self) -> str:
        """A film that can be played, as far as nobody asks for records."""
        asset_id = (await self.lanes.film())[0].session.asset_id
        await self.files.knows(asset_id)
        return asset_id

    async def playing(self, asset_id: str) -> str:
        """Path of a segment of a new session, once it may be opened and both edges serve it, one of them without asking."""
        async with asyncio.timeout(60):
            while (await self.reason(asset_id)) != "":
                await asyncio.sleep(0.02)
            _, base = await self.lanes.watching(asset_id)
            segment = f"{base}/video/1.m4s"
            while not all(one.startswith("HTTP/1.1 200") for one in await self.lanes.both(segment)):
                await asyncio.sleep(0.02)
        await let_through(self.lanes, segment)  # the edge may hear a moment later that nobody bars the film any more
        return segment

    async def reason(self, asset_id: str) -> str:
        """Why no playback can be opened; empty when one can."""
        request = decisions_service_pb2.GetAccessRequest(asset_id=asset_id)
        return (await self.lanes.scene.decisions.GetAccess(request)).decision.reason

    async def stops(self, segment: str) -> None:
        """Waits until neither edge serves a segment any more."""
        async with asyncio.timeout(60):
            while not all("CONSENT_MISSING" in one for one in await self.lanes.both(segment)):
                await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
async def screen(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[Screen]:
    """For all tests of this module: each has a film of its own."""
    async with (
        some_lanes(session_stores) as lanes,
        filing(session_stores, lanes.scene.organisation_id) as files,
    ):
        yield Screen(lanes, files)
    await emptied()


async def test_a_performer_takes_the_consent_back_and_segments_stop(screen: Screen) -> None:
    asset_id, other = await screen.film(), await screen.film()
    filed = await screen.files.complete(asset_id)
    segment = await screen.playing(asset_id)
    _, base = await screen.lanes.watching(other)
    create = productions_service_pb2.CreateWithdrawalTokenRequest(
        request_id=new_id("req"), release_id=filed.release.release_id
    )
    token = (await screen.files.creator.productions.CreateWithdrawalToken(create)).token
    withdraw = productions_service_pb2.WithdrawConsentByTokenRequest(token=token)
    await screen.files.nobody.productions.WithdrawConsentByToken(withdraw)
    await screen.stops(segment)
    refusal = await refused(screen.lanes.scene.play(asset_id))
    assert (refusal.reason, refusal.metadata["asset_id"]) == ("CONSENT_MISSING", asset_id)
    assert (await screen.lanes.at(screen.lanes.warm, f"{base}/video/1.m4s")).startswith("HTTP/1.1 200")
    # A new release is a new consent: new sessions are served, and those that were ended are not.
    new = await screen.files.release(filed.production.production_id, filed.performer.performer_id)
    await screen.files.reviewer.opens_release(new.release_id)
    await screen.files.reviewer.reviews_release(new.release_id)
    await screen.playing(asset_id)
    assert "SESSION_REVOKED" in await screen.lanes.at(screen.lanes.warm, segment)


async def test_a_film_whose_records_are_not_complete_cannot_be_played(screen: Screen) -> None:
    asset_id = await screen.film()
    filed = await screen.files.submitted(asset_id)
    await screen.files.consent(asset_id, events_pb2.CONSENT_STATE_MISSING)
    async with asyncio.timeout(60):
        while await screen.reason(asset_id) != "CONSENT_MISSING":
            await asyncio.sleep(0.02)
    assert (await refused(screen.lanes.scene.play(asset_id))).reason == "CONSENT_MISSING"
    await screen.files.custodian.opens(filed.document.identity_document_id)
    await screen.files.custodian.reviews(filed.document.identity_document_id)
    await screen.files.reviewer.opens_release(filed.release.release_id)
    await screen.files.reviewer.reviews_release(filed.release.release_id)
    await screen.files.reviewer.reviews_production(filed.production)
    await screen.playing(asset_id)
