"""The policy service with a published film, an operator, and an edge that asks it; the other services are played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import pytest
from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2, external_auth_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.packaging.v1 import packaging_pb2
from reelmesh.policy.v1 import (
    decisions_pb2,
    decisions_service_pb2,
    decisions_service_pb2_grpc,
    policy_service_pb2_grpc,
    revocations_service_pb2_grpc,
    signals_service_pb2_grpc,
    ticket_keys_service_pb2_grpc,
)
from reelmesh.policy.v1 import policy_service_pb2 as api

from services.kit.access import OUTSIDE_HEADER
from services.kit.clock import FixedClock, SystemClock, timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.__main__ import CONTRACT, PolicySettings, wire
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running

if TYPE_CHECKING:
    Stub = policy_service_pb2_grpc.PolicyServiceAsyncStub
    Decisions = decisions_service_pb2_grpc.DecisionsServiceAsyncStub
    Revocations = revocations_service_pb2_grpc.RevocationsServiceAsyncStub
    Signals = signals_service_pb2_grpc.SignalsServiceAsyncStub
    TicketKeys = ticket_keys_service_pb2_grpc.TicketKeysServiceAsyncStub

AUDIO, HD = "a" * 32, "d" * 32


@dataclass(frozen=True)
class Verdict:
    """What the edge was told to do with a request."""

    answer: Any

    @property
    def allowed(self) -> bool:
        return bool(self.answer.WhichOneof("http_response") == "ok_response" and self.answer.status.code == 0)

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go on to what is behind the edge, or back to the client when the request is refused."""
        side = self.answer.ok_response if self.allowed else self.answer.denied_response
        return {option.header.key: option.header.value for option in side.headers}

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.answer.denied_response.body))

    @property
    def reason(self) -> str:
        """Reason of a refusal; empty when the request may go on."""
        return "" if self.allowed else str(self.body["details"][0]["reason"])

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.body["details"][0]["metadata"])


class Edge:
    """Asks as Envoy does."""

    def __init__(self, channel: grpc.aio.Channel, *, outside: bool = False) -> None:
        self._stub = external_auth_pb2_grpc.AuthorizationStub(channel)
        self._marks = {OUTSIDE_HEADER: "1"} if outside else {}

    async def check(
        self,
        url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        *,
        address: str = "203.0.113.7",
        extensions: dict[str, str] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Verdict:
        parts = urlsplit(url)
        path = url.removeprefix(f"{parts.scheme}://{parts.netloc}") if parts.scheme else url
        http = attribute_context_pb2.AttributeContext.HttpRequest(
            method=method, path=path, scheme=parts.scheme, host=parts.netloc, headers=headers or {}
        )
        request = attribute_context_pb2.AttributeContext.Request(http=http)
        attributes = attribute_context_pb2.AttributeContext(request=request, context_extensions=extensions or {})
        attributes.source.address.socket_address.address = address
        asked = external_auth_pb2.CheckRequest(attributes=attributes)
        return Verdict(await self._stub.Check(asked, metadata=tuple((self._marks | (metadata or {})).items())))


@dataclass(frozen=True)
class Scene:
    """Everything a test of this service needs."""

    settings: PolicySettings
    stub: Stub
    decisions: Decisions
    edge: Edge
    bus: Bus
    clock: FixedClock
    organisation_id: str
    channel: grpc.aio.Channel
    drm_channel: grpc.aio.Channel

    @property
    def revocations(self) -> Revocations:
        return revocations_service_pb2_grpc.RevocationsServiceStub(self.channel)

    @property
    def signals(self) -> Signals:
        return signals_service_pb2_grpc.SignalsServiceStub(self.channel)

    @property
    def ticket_keys(self) -> TicketKeys:
        return ticket_keys_service_pb2_grpc.TicketKeysServiceStub(self.channel)

    @property
    def as_drm(self) -> Stub:
        """Calls as the service that gives keys out."""
        return policy_service_pb2_grpc.PolicyServiceStub(self.drm_channel)

    async def publish(
        self,
        asset_id: str = "",
        *,
        package_id: str = "",
        organisation_id: str = "",
        title: str = "A film",
        key_ids: Sequence[str] = (AUDIO, HD),
        watermark: packaging_pb2.Watermark | None = None,
    ) -> packaging.PackagePublished:
        """A package is published, for a new asset when none is named."""
        tracks = [packaging_pb2.TrackKey(label=f"T{number}", key_id=key_id) for number, key_id in enumerate(key_ids)]
        event = packaging.PackagePublished(
            package_id=package_id or new_id("pkg"),
            asset_id=asset_id or new_id("ast"),
            organisation_id=organisation_id or self.organisation_id,
            track_keys=tracks,
            dash_path="manifest.mpd",
            hls_path="master.m3u8",
            poster_path="poster.jpg",
            thumbnails_path="thumbnails/index.vtt",
            publish_time=timestamp(self.clock.now()),
            watermark=watermark,
        )
        if not asset_id:
            await self.bus.publish(self.created(event.asset_id, title, event.organisation_id))
        await self.bus.publish(event)
        return event

    def created(self, asset_id: str, title: str, organisation_id: str = "") -> assets.AssetCreated:
        return assets.AssetCreated(
            asset_id=asset_id,
            organisation_id=organisation_id or self.organisation_id,
            title=title,
            create_time=timestamp(self.clock.now()),
        )

    async def delete(self, asset_id: str) -> None:
        """The asset's owner deletes it."""
        await self.bus.publish(
            assets.AssetDeleted(
                asset_id=asset_id, organisation_id=self.organisation_id, delete_time=timestamp(self.clock.now())
            )
        )

    async def terms(self, asset_id: str, **terms: Any) -> decisions_pb2.AssetTerms:
        """Sets the conditions on which an asset may be watched."""
        wanted = decisions_pb2.AssetTerms(asset_id=asset_id, **terms)
        request = decisions_service_pb2.SetAssetTermsRequest(terms=wanted)
        return (await self.decisions.SetAssetTerms(request)).terms

    async def rules(self, *rules: decisions_pb2.Rule, activate: bool = True) -> int:
        """A new set of rules, STANDING and those named; in force unless it is only a draft."""
        standing = decisions_pb2.Rule(kind=decisions_pb2.RULE_KIND_STANDING)
        request = decisions_service_pb2.CreateRuleSetRequest(request_id=new_id("req"), rules=[standing, *rules])
        made = (await self.decisions.CreateRuleSet(request)).rule_set
        if activate:
            await self.decisions.ActivateRuleSet(decisions_service_pb2.ActivateRuleSetRequest(version=made.version))
        return made.version

    async def play(
        self, asset_id: str = "", *, lifetime: timedelta | None = None, **fields: Any
    ) -> api.CreatePlaybackResponse:
        """Opens a playback, of a film of its own when none is named."""
        asset_id = asset_id or (await self.publish()).asset_id
        span = None
        if lifetime is not None:
            span = Duration()
            span.FromTimedelta(lifetime)
        request = api.CreatePlaybackRequest(
            request_id=fields.pop("request_id", new_id("req")), asset_id=asset_id, lifetime=span, **fields
        )
        return await self.stub.CreatePlayback(request, timeout=50)

    async def revoke(self, session_id: str, comment: str = "") -> api.RevokePlaybackSessionResponse:
        return await self.stub.RevokePlaybackSession(
            api.RevokePlaybackSessionRequest(session_id=session_id, comment=comment)
        )


async def refused(call: Awaitable[object]) -> Refusal:
    """The refusal that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Refusal.from_rpc_error(caught.value)


async def eventually(edge: Edge, url: str, reason: str, within: float = 30) -> None:
    """Waits until the edge gives this reason for refusing a request; empty: until it allows it."""
    async with asyncio.timeout(within):
        while (await edge.check(url)).reason != reason:
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def an_edge(
    settings: ProcessSettings, *, caller: str = "envoy", key: str = "", outside: bool = False
) -> AsyncIterator[Edge]:
    """An edge that shows Envoy's own certificate, or another's; and a bearer credential besides, if one is given."""
    async with connected(settings, "policy", key=key, caller=caller) as channel:
        yield Edge(channel, outside=outside)


@contextlib.asynccontextmanager
async def hasty(scene: Scene, key: str | None = None) -> AsyncIterator[Scene]:
    """A second process of the service beside the first, which does not wait for word of what it does not know; the operator calls it, or
    whoever has the key."""
    address = f"unix:{scene.settings.run_dir}/policy-hasty.sock"
    changed = {"listen": address, "peers": {"policy": address}, "policy_event_grace_seconds": 0}
    settings = PolicySettings(**{**scene.settings.model_dump(), **changed})
    async with (
        running("policy", settings, wire, clock=scene.clock),
        connected(settings, "policy", CONTRACT, key=key) as channel,
    ):
        stub = policy_service_pb2_grpc.PolicyServiceStub(channel)
        yield replace(scene, stub=stub, decisions=decisions_service_pb2_grpc.DecisionsServiceStub(channel))


@contextlib.asynccontextmanager
async def a_scene(mesh: ProcessSettings, *, clock: FixedClock | None = None, **changed: Any) -> AsyncIterator[Scene]:
    """The running service, by a clock that stands still unless another is given; `changed` are settings that are not the default. On a busy machine
    events take their time."""
    settings = PolicySettings(**{**mesh.model_dump(), "policy_event_grace_seconds": 20, **changed})
    clock = clock or FixedClock(SystemClock().now())
    async with (
        on_the_bus(settings) as bus,
        running("policy", settings, wire, clock=clock),
        connected(settings, "policy", CONTRACT) as channel,
        connected(settings, "policy", CONTRACT, key="", caller="drm") as drm,
        an_edge(settings) as edge,
    ):
        stub = policy_service_pb2_grpc.PolicyServiceStub(channel)
        decisions = decisions_service_pb2_grpc.DecisionsServiceStub(channel)
        yield Scene(settings, stub, decisions, edge, bus, clock, organisation_of_operator(settings), channel, drm)
