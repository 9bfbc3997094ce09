"""From the call by which a performer takes the consent back until two edges refuse the next segment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from reelmesh.compliance.v1 import performers_service_pb2 as performers
from reelmesh.compliance.v1 import productions_service_pb2 as productions
from reelmesh.compliance.v1 import records_pb2
from reelmesh.compliance.v1 import records_service_pb2 as records
from reelmesh.identity.v1.api_keys_service_pb2 import CreateApiKeyRequest

from services.kit.errors import Refusal
from services.kit.ids import new_id
from tests.bench.edge_lanes import another_edge
from tests.bench.harness import SCRATCH, Measurement, percentile
from tests.bench.screening import Screening, screening
from tests.support.films import film
from tests.support.http1 import Connections
from tools.reelmesh_sdk import Client

SAMPLES: Final = 60
_COPY: Final = b"%PDF-1.7 of somebody who was made up"
_LOOK_AGAIN: Final = 0.002
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Office:
    """Who brings papers in and who finds them good, and the production they are for."""

    submitter: Client
    custodian: Client
    performer_id: str
    production_id: str

    async def released(self) -> str:
        """A new release that is found good."""
        submit = productions.SubmitReleaseRequest(
            request_id=new_id("req"),
            production_id=self.production_id,
            performer_id=self.performer_id,
            sign_date="2026-11-01",
            copy=_COPY,
        )
        release_id = (await self.submitter.call(self.submitter.productions.SubmitRelease, submit)).release.release_id
        look = productions.OpenReleaseRequest(release_id=release_id, purpose="a measurement")
        await self.custodian.call(self.custodian.productions.OpenRelease, look)
        good = productions.ReviewReleaseRequest(release_id=release_id, approved=True)
        await self.custodian.call(self.custodian.productions.ReviewRelease, good)
        return release_id


async def measure(samples: int = SAMPLES) -> list[Measurement]:
    """Takes about a minute."""
    SCRATCH.mkdir(exist_ok=True)
    async with screening(film()) as ours, _office(ours) as office, AsyncExitStack() as stack:
        address, _ = await stack.enter_async_context(another_edge(ours, strict=False))
        own = f"127.0.0.1:{ours.mesh.installation.port}"
        edges = [await stack.enter_async_context(Connections(one, 4)) for one in (own, address)]
        seen = [await _withdrawn(ours, office, edges) for _ in range(samples)]
    last = [max(times) for times in seen]
    note = (
        f"WithdrawRelease called through one edge until the last of 2 edges, which both let the segment through by themselves before, answers 403; "
        f"through the outbox of compliance, the event bus, policy's review and the edges' control plane; {samples} samples, each with a new release and a "
        f"new session, polled every {_LOOK_AGAIN * 1000:.0f} ms; p50 {percentile(last, 50):.0f}, p95 {percentile(last, 95):.0f}, greatest {max(last):.0f} ms"
    )
    return [Measurement("consent.withdraw_to_403_p99_ms", percentile(last, 99), "ms", "", note)]


@asynccontextmanager
async def _office(ours: Screening) -> AsyncIterator[_Office]:
    """A production of the film with one performer, all whose papers but the release are good."""
    async with _with(ours, "records.write") as submitter, _with(ours, *_CUSTODIAN) as custodian:
        name = records.SetRecordsSettingsRequest(custodian="Grace Hopper", street_address="1 Main Street")
        await ours.client.call(ours.client.records.SetRecordsSettings, name)
        add = performers.CreatePerformerRequest(
            request_id=new_id("req"), legal_name="Ada Lovelace", date_of_birth="1996-02-29"
        )
        performer_id = (await submitter.call(submitter.performers.CreatePerformer, add)).performer.performer_id
        await _identified(submitter, custodian, performer_id)
        content = productions.ProductionContent(
            title="A film", production_date="2026-11-01", asset_ids=[ours.asset_id], performer_ids=[performer_id]
        )
        create = productions.CreateProductionRequest(request_id=new_id("req"), production=content)
        production = (await submitter.call(submitter.productions.CreateProduction, create)).production
        good = productions.ReviewProductionRequest(
            production_id=production.production_id, approved=True, etag=production.etag
        )
        await custodian.call(custodian.productions.ReviewProduction, good)
        yield _Office(submitter, custodian, performer_id, production.production_id)


_CUSTODIAN: Final = ("records.open", "records.review", "records.withdraw")


async def _identified(submitter: Client, custodian: Client, performer_id: str) -> None:
    submit = performers.SubmitIdentityDocumentRequest(
        request_id=new_id("req"),
        performer_id=performer_id,
        kind=records_pb2.IDENTITY_DOCUMENT_KIND_PASSPORT,
        issuer="GB",
        copy=_COPY,
    )
    answer = await submitter.call(submitter.performers.SubmitIdentityDocument, submit)
    document_id = answer.identity_document.identity_document_id
    look = performers.OpenIdentityDocumentRequest(identity_document_id=document_id, purpose="a measurement")
    await custodian.call(custodian.performers.OpenIdentityDocument, look)
    good = performers.ReviewIdentityDocumentRequest(
        identity_document_id=document_id, approved=True, date_of_birth="1996-02-29"
    )
    await custodian.call(custodian.performers.ReviewIdentityDocument, good)


@asynccontextmanager
async def _with(ours: Screening, *permissions: str) -> AsyncIterator[Client]:
    """A client with an API key that holds these permissions."""
    create = CreateApiKeyRequest(request_id=new_id("req"), display_name="A measurement", permissions=permissions)
    secret = (await ours.client.call(ours.client.api_keys.CreateApiKey, create)).secret
    async with Client(ours.mesh.url, secret) as client:
        yield client


async def _withdrawn(ours: Screening, office: _Office, edges: list[Connections]) -> list[float]:
    """One sample: milliseconds until each edge refuses, from when the call began."""
    release_id = await office.released()
    path = await _segment(ours)
    for edge in edges:
        await _becomes(edge, path, 200)
    began = time.perf_counter()

    async def until_refused(edge: Connections) -> float:
        await _becomes(edge, path, 403)
        return (time.perf_counter() - began) * 1000

    request = productions.WithdrawReleaseRequest(release_id=release_id)
    call = office.custodian.productions.WithdrawRelease(request, metadata=office.custodian.metadata)
    times = await asyncio.gather(*(until_refused(edge) for edge in edges))
    await call
    return times


async def _segment(ours: Screening) -> str:
    """Path of a segment of a new session, as soon as one can be opened."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            created = await ours.playback()
        except Refusal:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(0.05)
            continue
        package = ours.published / created.playback.package_id
        file = min(package.glob("video/*/[0-9]*.m4s")).relative_to(package)
        return f"{urlsplit(created.playback.dash_url).path.rpartition('/')[0]}/{file}"


async def _becomes(edge: Connections, path: str, status: int) -> None:
    give_up = time.monotonic() + _PATIENCE
    while (await edge.ask("HEAD", path)).status != status:
        if time.monotonic() > give_up:
            raise AssertionError(f"it never became {status}")
        await asyncio.sleep(_LOOK_AGAIN)
