"""Stands between an edge and the policy service and hands every call on; what the control plane says can be kept back or spoiled."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse, Resource

from services.kit.tls import Certificates, channel_credentials, host_name, server_credentials
from services.policy.control_plane import ADMISSION, STREAM
from tests.support import certificates

Context = grpc.aio.ServicerContext[Any, Any]
_UNUSABLE: Final = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


@dataclass
class Relay:
    """What it does with the control plane's words, and what it overheard.

    Attributes:
        address: where edges find it.
        mute: keeps the control plane's streams from beginning.
        spoil: makes the next list of who is barred one that no edge can use.
        garble: makes every script one that does not compile.
        deaf: loses what edges answer to what they could not use.
        refused: what edges answered to what they could not use.
        calls: streams of the control plane that are open.
        hung_up: those that were ended here.
    """

    address: str
    mute: bool = False
    spoil: bool = False
    garble: bool = False
    deaf: bool = False
    refused: list[str] = field(default_factory=list)
    calls: set[grpc.aio.StreamStreamCall[bytes, bytes]] = field(default_factory=set)

    hung_up: set[grpc.aio.StreamStreamCall[bytes, bytes]] = field(default_factory=set)

    def hang_up(self) -> None:
        """Ends the control plane's streams; edges open others."""
        self.hung_up |= self.calls
        for call in self.calls:
            call.cancel()

    async def heard(self, request: bytes) -> bytes:
        """Notes what an edge answers."""
        said = DiscoveryRequest.FromString(request)
        if said.HasField("error_detail"):
            self.refused.append(said.error_detail.message)
            if self.deaf:
                said.ClearField("error_detail")
                return bytes(said.SerializeToString())
        return request

    def told(self, response: bytes) -> bytes:
        """What an edge is told in place of what the control plane said."""
        said = DiscoveryResponse.FromString(response)
        resource, config = Resource(), TypedExtensionConfig()
        if not (self.spoil or self.garble) or not said.resources[0].Unpack(resource) or resource.name != ADMISSION:
            return response
        resource.resource.Unpack(config)
        if self.spoil:
            self.spoil = False
            config.typed_config.type_url = _UNUSABLE
        else:
            script = Lua()
            config.typed_config.Unpack(script)
            if script.HasField("default_source_code"):
                script.default_source_code.inline_string += "\nif"
                config.typed_config.Pack(script)
        resource.resource.Pack(config)
        said.resources[0].Pack(resource)
        return bytes(said.SerializeToString())


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs only, not when it runs
    """Hands calls on as the bytes they are: on the wire a call of one message is a stream of one."""

    def __init__(self, relay: Relay, channel: grpc.aio.Channel) -> None:
        self._relay = relay
        self._channel = channel

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = str(details.method)
        serve = self._streams if method == STREAM else self._calls(method)
        return grpc.stream_stream_rpc_method_handler(serve)

    def _calls(self, method: str) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
        async def serve(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            call = self._channel.stream_stream(method, None, None)(requests)
            async for response in _ended_alike(call, context):
                yield response

        return serve

    async def _streams(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        if self._relay.mute:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "nobody is here")

        async def overheard() -> AsyncIterator[bytes]:
            async for request in requests:
                yield await self._relay.heard(request)

        call = self._channel.stream_stream(STREAM, None, None)(overheard())
        self._relay.calls.add(call)
        try:
            async for response in _ended_alike(call, context):
                yield self._relay.told(response)
        except asyncio.CancelledError:
            if call not in self._relay.hung_up:
                raise
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the line was cut")
        finally:
            self._relay.calls.discard(call)


async def _ended_alike(call: grpc.aio.StreamStreamCall[bytes, bytes], context: Context) -> AsyncIterator[bytes]:
    try:
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as error:
        await context.abort(error.code(), error.details() or "")
    finally:
        call.cancel()


@contextlib.asynccontextmanager
async def a_relay(policy: str, secrets: Path) -> AsyncIterator[Relay]:
    """A relay before a policy service; it shows the service's own certificate to edges, and an edge's to the service."""
    shown = Certificates(certificates.folder_of("envoy", secrets)).current()
    options = [("grpc.ssl_target_name_override", host_name(certificates.domain(secrets), "policy"))]
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        relay = Relay(f"unix:{folder}/policy.sock")
        async with grpc.aio.secure_channel(policy, channel_credentials(shown), options=options) as channel:
            server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
            server.add_generic_rpc_handlers([_Handler(relay, channel)])
            server.add_secure_port(relay.address, server_credentials(certificates.certificates_of("policy", secrets)))
            await server.start()
            try:
                yield relay
            finally:
                await server.stop(None)
                await asyncio.sleep(0)
