"""The compliance service with providers of proofs of age, the gateway before it, and the stand-in: all by HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import sqlalchemy as sa
from reelmesh.compliance.v1 import age_service_pb2 as api
from reelmesh.compliance.v1 import age_service_pb2_grpc, jurisdictions_service_pb2_grpc
from starlette.applications import Starlette
from starlette.routing import Mount

from gateway.webhooks.age import AgeGateway
from services.compliance.__main__ import CONTRACTS, ComplianceSettings, wire
from services.compliance.age.providers import STAND_IN_KEY_FILE, stand_in_secret
from services.kit.clock import FixedClock
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.compliance.holder import verifier_pem
from tests.support import databases
from tests.support.bus import Bus, on_the_bus
from tests.support.http_server import serving
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running
from tools.stand_in_age_provider.app import StandInAgeProvider

if TYPE_CHECKING:
    Ages = age_service_pb2_grpc.AgeServiceAsyncStub
    Jurisdictions = jurisdictions_service_pb2_grpc.JurisdictionsServiceAsyncStub

DEVICE_ID = new_id("dev")


@dataclass
class Desk:
    """The running service, and its callers."""

    settings: ComplianceSettings
    clock: FixedClock
    database: Database
    bus: Bus
    channel: grpc.aio.Channel
    http: httpx.AsyncClient

    @property
    def ages(self) -> Ages:
        return age_service_pb2_grpc.AgeServiceStub(self.channel)

    @property
    def jurisdictions(self) -> Jurisdictions:
        return jurisdictions_service_pb2_grpc.JurisdictionsServiceStub(self.channel)

    @property
    def organisation_id(self) -> str:
        return organisation_of_operator(self.settings)

    async def start(self, provider: str, method: str, **changes: Any) -> api.AgeCheck:
        """Begins a check of somebody's age."""
        usual = {
            "request_id": new_id("req"),
            "viewer_id": new_id("usr"),
            "device_id": DEVICE_ID,
            "return_path": "/watch/x",
        }
        request = api.StartAgeCheckRequest(provider=provider, method=method, **(usual | changes))
        return (await self.ages.StartAgeCheck(request)).check

    async def check(self, check: api.AgeCheck) -> api.AgeCheck:
        return (await self.ages.GetAgeCheck(api.GetAgeCheckRequest(age_check_id=check.age_check_id))).check

    async def proofs(self, viewer_id: str) -> list[api.AgeProof]:
        return list((await self.ages.ListAgeProofs(api.ListAgeProofsRequest(viewer_id=viewer_id))).proofs)

    async def row(self, check: api.AgeCheck) -> Any:
        async with self.database.transaction() as tx:
            query = sa.text("SELECT * FROM age_checks WHERE check_id = :id")
            return (await tx.execute(query, {"id": check.age_check_id})).one()


def reason_of(response: httpx.Response) -> tuple[int, str]:
    """How a request was refused."""
    return response.status_code, str(json.loads(response.content)["details"][0]["reason"])


@contextlib.asynccontextmanager
async def a_desk(
    mesh: ProcessSettings, folder: Path, now: datetime, issuers: list[bytes], **wallet: Any
) -> AsyncIterator[Desk]:
    """Runs everything for the length of the block. `issuers`: PEM of who is believed; `wallet`: its other settings."""
    secrets = mesh.secrets_dir
    key, certificate = verifier_pem(now)
    (secrets / "verifier.key").write_bytes(key)
    (secrets / "verifier.crt").write_bytes(certificate)
    trust = folder / "trust.pem"
    trust.write_bytes(b"".join(issuers))
    shared = (secrets / STAND_IN_KEY_FILE).read_bytes()
    stand_in_secrets = {
        "api_key": stand_in_secret(shared, b"api"),
        "webhook_secret": stand_in_secret(shared, b"webhooks"),
    }
    at_gateway, at_stand_in = Starlette(), Starlette()
    clock = FixedClock(now)
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        serving(at_gateway) as public_url,
        serving(at_stand_in) as stand_in_url,
        on_the_bus(mesh) as bus,
    ):
        settings = ComplianceSettings(
            **(
                mesh.model_dump()
                | {
                    "public_url": public_url,
                    "compliance_audit_origin": "log.example/audit",
                    "compliance_age_stand_in_url": stand_in_url,
                    "compliance_age_providers": {
                        "eu": {
                            "kind": "eu-wallet",
                            "key_file": "verifier.key",
                            "certificate_file": "verifier.crt",
                            "trust_file": trust,
                            **wallet,
                        }
                    },
                }
            )
        )
        provider = StandInAgeProvider(http, url=stand_in_url, **stand_in_secrets)
        at_stand_in.mount("/", provider.app)
        database = databases.lent("compliance", settings)
        async with (
            running("compliance", settings, wire, clock=clock),
            connected(settings, "compliance", *CONTRACTS) as channel,
            connected(settings, "compliance", *CONTRACTS, key="", caller="webhooks") as gateway,
        ):
            stub = age_service_pb2_grpc.AgeServiceStub(gateway)
            at_gateway.router.routes.append(Mount("/", AgeGateway(stub, Starlette())))
            yield Desk(settings, clock, database, bus, channel, http)
        await database.close()
