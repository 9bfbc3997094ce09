"""Records of performers on the running service, with a creator who brings papers in, two custodians and a reviewer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.compliance.v1 import (
    events_pb2,
    performers_service_pb2,
    performers_service_pb2_grpc,
    productions_service_pb2,
    productions_service_pb2_grpc,
    records_pb2,
    records_service_pb2,
    records_service_pb2_grpc,
)

from services.compliance.__main__ import CONTRACTS, ComplianceSettings, wire
from services.compliance.performers.store import assets_of
from services.identity.organisations.roles import built_in
from services.kit.clock import FixedClock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import with_api_key
from tests.support.running import connected, running

if TYPE_CHECKING:
    Performers = performers_service_pb2_grpc.PerformersServiceAsyncStub
    Productions = productions_service_pb2_grpc.ProductionsServiceAsyncStub
    Records = records_service_pb2_grpc.RecordsServiceAsyncStub

T0 = datetime(2026, 11, 28, 12, tzinfo=UTC)
PASSPORT = b"%PDF-1.7 passport of Ada"
RELEASE = b"\xff\xd8\xff a signed release"
BORN = "1996-02-29"
FILMED = "2026-11-01"


@contextlib.contextmanager
def refused(reason: str) -> Iterator[list[Refusal]]:
    """The call inside is refused for this reason."""
    caught: list[Refusal] = []
    with pytest.raises(grpc.aio.AioRpcError) as error:
        yield caught
    caught.append(Refusal.from_rpc_error(error.value))
    assert caught[0].reason == reason, caught[0]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(60):
        while not await holds():
            await asyncio.sleep(0.02)


@dataclass
class Somebody:
    """Who calls, in one role."""

    name: str
    channel: grpc.aio.Channel

    @property
    def performers(self) -> Performers:
        return performers_service_pb2_grpc.PerformersServiceStub(self.channel)

    @property
    def productions(self) -> Productions:
        return productions_service_pb2_grpc.ProductionsServiceStub(self.channel)

    @property
    def records(self) -> Records:
        return records_service_pb2_grpc.RecordsServiceStub(self.channel)

    async def opens(self, document_id: str, purpose: str = "to review it") -> bytes:
        request = performers_service_pb2.OpenIdentityDocumentRequest(identity_document_id=document_id, purpose=purpose)
        return (await self.performers.OpenIdentityDocument(request)).copy

    async def opens_release(self, release_id: str) -> bytes:
        request = productions_service_pb2.OpenReleaseRequest(release_id=release_id, purpose="to review it")
        return (await self.productions.OpenRelease(request)).copy

    def reviews(
        self, document_id: str, *, approved: bool = True, born: str = BORN
    ) -> Awaitable[performers_service_pb2.ReviewIdentityDocumentResponse]:
        return self.performers.ReviewIdentityDocument(
            performers_service_pb2.ReviewIdentityDocumentRequest(
                identity_document_id=document_id, approved=approved, date_of_birth=born
            )
        )

    def reviews_release(
        self, release_id: str, *, approved: bool = True
    ) -> Awaitable[productions_service_pb2.ReviewReleaseResponse]:
        return self.productions.ReviewRelease(
            productions_service_pb2.ReviewReleaseRequest(release_id=release_id, approved=approved)
        )

    def reviews_production(
        self, production: records_pb2.Production, *, approved: bool = True
    ) -> Awaitable[productions_service_pb2.ReviewProductionResponse]:
        return self.productions.ReviewProduction(
            productions_service_pb2.ReviewProductionRequest(
                production_id=production.production_id, approved=approved, etag=production.etag
            )
        )


@dataclass
class Filed:
    """A film of one performer, with all its papers."""

    asset_id: str
    performer: records_pb2.Performer
    document: records_pb2.IdentityDocument
    production: records_pb2.Production
    release: records_pb2.Release


@dataclass
class Files:
    """The running service and its callers, all of one organisation that no other test uses."""

    settings: ProcessSettings
    clock: FixedClock
    database: Database
    bus: Bus
    organisation_id: str
    channels: dict[str, grpc.aio.Channel]

    def __getattr__(self, name: str) -> Somebody:
        return Somebody(name, self.channels[name])

    async def asset(self) -> str:
        """An asset of the organisation's, known to the service."""
        asset_id = new_id("ast")
        await self.bus.publish(assets.AssetCreated(asset_id=asset_id, organisation_id=self.organisation_id, title="A"))
        await self.knows(asset_id)
        return asset_id

    async def known(self, *asset_ids: str) -> set[str]:
        """Those of some assets that the service knows."""
        async with self.database.transaction() as tx:
            return set(await assets_of(tx, self.organisation_id, asset_ids))

    async def knows(self, asset_id: str) -> None:
        """Waits until the service knows an asset of the organisation's."""

        async def known() -> bool:
            return bool(await self.known(asset_id))

        await until(known)

    async def performer(self, legal_name: str = "Ada Lovelace", **changes: Any) -> records_pb2.Performer:
        usual: dict[str, Any] = {"date_of_birth": BORN, "other_names": ["Countess"]}
        request = performers_service_pb2.CreatePerformerRequest(
            request_id=new_id("req"), legal_name=legal_name, **(usual | changes)
        )
        return (await self.creator.performers.CreatePerformer(request)).performer

    async def document(self, performer_id: str, **changes: Any) -> records_pb2.IdentityDocument:
        usual: dict[str, Any] = {
            "kind": records_pb2.IDENTITY_DOCUMENT_KIND_PASSPORT,
            "issuer": "GB",
            "expire_date": "2031-05-01",
            "copy": PASSPORT,
        }
        request = performers_service_pb2.SubmitIdentityDocumentRequest(
            request_id=new_id("req"), performer_id=performer_id, **(usual | changes)
        )
        return (await self.creator.performers.SubmitIdentityDocument(request)).identity_document

    async def production(
        self, performer_ids: list[str], asset_ids: list[str], **changes: Any
    ) -> records_pb2.Production:
        usual = {"title": "A film", "production_date": FILMED}
        content = productions_service_pb2.ProductionContent(
            performer_ids=performer_ids, asset_ids=asset_ids, **(usual | changes)
        )
        request = productions_service_pb2.CreateProductionRequest(request_id=new_id("req"), production=content)
        return (await self.creator.productions.CreateProduction(request)).production

    async def release(self, production_id: str, performer_id: str, **changes: Any) -> records_pb2.Release:
        usual: dict[str, Any] = {"sign_date": FILMED, "copy": RELEASE}
        request = productions_service_pb2.SubmitReleaseRequest(
            request_id=new_id("req"), production_id=production_id, performer_id=performer_id, **(usual | changes)
        )
        return (await self.creator.productions.SubmitRelease(request)).release

    async def custodian_named(self, *, required: bool = False) -> None:
        await self.custodian.records.SetRecordsSettings(
            records_service_pb2.SetRecordsSettingsRequest(
                records_required=required,
                custodian="Grace Hopper",
                custodian_title="Custodian of records",
                street_address="1 Main Street\nArlington, VA",
            )
        )

    async def submitted(self, asset_id: str = "", **release: Any) -> Filed:
        """A film with all its papers, at which nobody looked; a new one unless one is named."""
        await self.custodian_named()
        asset_id = asset_id or await self.asset()
        performer = await self.performer()
        document = await self.document(performer.performer_id)
        production = await self.production([performer.performer_id], [asset_id])
        given = await self.release(production.production_id, performer.performer_id, **release)
        return Filed(asset_id, performer, document, production, given)

    async def complete(self, asset_id: str = "", **release: Any) -> Filed:
        """A film whose papers a second person found good."""
        filed = await self.submitted(asset_id, **release)
        await self.custodian.opens(filed.document.identity_document_id)
        await self.custodian.reviews(filed.document.identity_document_id)
        await self.reviewer.opens_release(filed.release.release_id)
        await self.reviewer.reviews_release(filed.release.release_id)
        await self.reviewer.reviews_production(filed.production)
        return filed

    async def shown(self, production_id: str) -> records_pb2.Production:
        request = productions_service_pb2.GetProductionRequest(production_id=production_id)
        return (await self.reviewer.productions.GetProduction(request)).production

    async def gaps(self, production_id: str) -> list[str]:
        """What keeps a production's assets from being played."""
        kinds = [gap.kind for gap in (await self.shown(production_id)).gaps]
        return [records_pb2.RecordGapKind.Name(kind).removeprefix("RECORD_GAP_KIND_") for kind in kinds]

    async def consent(self, asset_id: str, *states: events_pb2.ConsentState.ValueType) -> None:
        """Waits until these are the states that were announced of an asset, in this order."""

        async def announced() -> bool:
            told = [one for one in self.bus.heard(events_pb2.ConsentChanged) if one.asset_id == asset_id]
            assert all(one.organisation_id == self.organisation_id for one in told)
            moments = [one.change_time.ToNanoseconds() for one in told]
            assert moments == sorted(set(moments))
            return [one.state for one in told] == list(states)

        await until(announced)


ROLES = {
    "creator": "creator",
    "reviewer": "reviewer",
    "custodian": "custodian",
    "other_custodian": "custodian",
    "admin": "admin",
    "viewer": "viewer",
    "officer": "compliance-officer",
}


@contextlib.asynccontextmanager
async def filing(settings: ProcessSettings, organisation_id: str = "") -> AsyncIterator[Files]:
    """Runs the service for the length of the block; people are of a new organisation unless one is named."""
    made = ComplianceSettings(**(settings.model_dump() | {"compliance_records_seconds": 0.05}))
    clock, database, organisation_id = FixedClock(T0), Database.of("compliance", made), organisation_id or new_id("org")
    async with (
        on_the_bus(made) as bus,
        running("compliance", made, wire, clock=clock),
        contextlib.AsyncExitStack() as stack,
    ):
        stack.push_async_callback(database.close)
        channels = {"nobody": await stack.enter_async_context(connected(made, "compliance", *CONTRACTS, key=""))}
        for name, role in ROLES.items():
            key = stack.enter_context(
                with_api_key(
                    made, organisation_id=organisation_id, permissions=sorted(built_in()[role].permissions), name=name
                )
            )
            channel = connected(made, "compliance", *CONTRACTS, key=key)
            channels[name] = await stack.enter_async_context(channel)
        other_id = new_id("org")
        for name in ("stranger", "other_stranger"):
            key = stack.enter_context(with_api_key(made, organisation_id=other_id, permissions=["*"], name=name))
            channels[name] = await stack.enter_async_context(connected(made, "compliance", *CONTRACTS, key=key))
        yield Files(made, clock, database, bus, organisation_id, channels)
