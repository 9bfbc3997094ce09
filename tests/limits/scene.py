"""The limits service on the real stores, and an edge that asks it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
from envoy.service.ratelimit.v3 import rls_pb2_grpc
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from google.rpc.status_pb2 import Status

from services.kit.clock import Clock, FixedClock, SystemClock
from services.kit.errors import STATUS_METADATA_KEY, Refusal
from services.kit.settings import ProcessSettings
from services.limits.__main__ import LimitsSettings, wire
from tests.support.running import connected, running

METHOD = "reelmesh.assets.v1.AssetsService/GetAsset"
GUESS = "reelmesh.identity.v1.AccountsService/LogIn"
PATIENCE = 20.0
"""Seconds; a busy machine must not make a test count by other rules."""
ADDRESS = "203.0.113.7/32"


@dataclass(frozen=True)
class Said:
    """What the edge was told to do with a call."""

    answer: RateLimitResponse

    @property
    def allowed(self) -> bool:
        return bool(self.answer.overall_code == RateLimitResponse.Code.OK)

    @property
    def headers(self) -> dict[str, str]:
        return {header.key: header.value for header in self.answer.response_headers_to_add}

    @property
    def refusal(self) -> Refusal:
        """What a caller by gRPC reads."""
        assert not self.allowed
        return refusal_in(self.headers[STATUS_METADATA_KEY])


def refusal_in(details: str) -> Refusal:
    """The refusal in a `grpc-status-details-bin` header."""
    return Refusal.from_status(Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4))))


def request(*descriptors: Mapping[str, str]) -> RateLimitRequest:
    """A question as Envoy asks it."""
    return RateLimitRequest(
        domain="edge",
        descriptors=[
            RateLimitDescriptor(
                entries=[RateLimitDescriptor.Entry(key=key, value=value) for key, value in entries.items()]
            )
            for entries in descriptors
        ],
    )


class Edge:
    """Asks as Envoy does."""

    def __init__(self, stub: rls_pb2_grpc.RateLimitServiceStub) -> None:
        self.stub = stub

    async def ask(self, method: str = METHOD, address: str = ADDRESS, **more: str) -> Said:
        entries = {"method": method, "masked_remote_address": address, **more}
        return Said(await self.stub.ShouldRateLimit(request({key: value for key, value in entries.items() if value})))

    async def passed(self, calls: int, **said: str) -> int:
        """How many of so many calls may pass, one after the other."""
        return sum([(await self.ask(**said)).allowed for _ in range(calls)])


@dataclass(frozen=True)
class Scene:
    """Everything a test of this service needs."""

    settings: LimitsSettings
    edge: Edge
    clock: Clock
    file: Path

    def write(self, changes: object) -> None:
        """Writes the install's file of limits, as an editor does."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(changes if isinstance(changes, str) else yaml.safe_dump(changes), encoding="utf-8")
        fresh.replace(self.file)

    async def until_known(self, token: str) -> None:
        """Waits until the service has heard of the keys that access tokens are signed with."""
        async with asyncio.timeout(30):
            while (
                '"per-caller";q=1;'
                in (await self.edge.ask(authorization=f"Bearer {token}")).headers["ratelimit-policy"]
            ):
                await asyncio.sleep(0.1)

    def pass_time(self, seconds: float) -> None:
        assert isinstance(self.clock, FixedClock)
        self.clock.advance(timedelta(seconds=seconds))


@contextlib.asynccontextmanager
async def an_edge(settings: ProcessSettings, caller: str = "envoy") -> AsyncIterator[Edge]:
    """An edge that shows Envoy's own certificate, or another's."""
    async with connected(settings, "limits", key="", caller=caller) as channel:
        yield Edge(rls_pb2_grpc.RateLimitServiceStub(channel))


@contextlib.asynccontextmanager
async def a_scene(
    mesh: ProcessSettings,
    changes: object = None,
    *,
    clock: Clock | None = None,
    file: Path | None = None,
    **changed: Any,
) -> AsyncIterator[Scene]:
    """The running service. `changes` are the install's limits, `changed` settings that are not the default."""
    with tempfile.TemporaryDirectory() as folder:
        file = file or Path(folder) / "limits.yaml"
        if changes is not None:
            file.write_text(yaml.safe_dump(changes), encoding="utf-8")
        settings = LimitsSettings(
            **{**mesh.model_dump(), "limits_file": file, "limits_store_patience_seconds": PATIENCE, **changed}
        )
        clock = clock or FixedClock(SystemClock().now())
        async with running("limits", settings, wire, clock=clock), an_edge(settings) as edge:
            yield Scene(settings, edge, clock, file)


def of_address(rate: str, burst: int) -> dict[str, object]:
    """Limits that have one for addresses and those for guesses only."""
    return {"limits": {"per-address": {"rate": rate, "burst": burst}, "per-caller": None, "uploads-per-caller": None}}
