"""A gRPC channel that outlives its certificate: whenever that is renewed, new calls go over a connection that shows the new one.

gRPC's own channels show what they were made with until they end; its clients cannot be told of a renewal as its servers can. Calls
that are under way stay where they began, and the connection of old goes once the last of them has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

import grpc

from services.kit.tls import Certificates, Identity, channel_credentials

Options: TypeAlias = Sequence[tuple[str, Any]]
Call: TypeAlias = Any
"""An RPC of any of the four kinds."""


class _Connected:
    """A channel with one certificate, and the calls that run over it."""

    def __init__(self, identity: Identity, channel: grpc.aio.Channel) -> None:
        self.identity = identity
        self.channel = channel
        self.methods: dict[_Method, Callable[..., Call]] = {}
        self.calls = 0
        self.retired = False


class _Method:
    """One method; looks for the right channel at each call."""

    def __init__(self, channel: RenewedChannel, kind: str, arguments: Any, named: Any) -> None:
        self._channel = channel
        self._kind = kind
        self._arguments = arguments
        self._named = named

    def of(self, channel: grpc.aio.Channel) -> Callable[..., Call]:
        made: Callable[..., Call] = getattr(channel, self._kind)(*self._arguments, **self._named)
        return made

    def __call__(self, *arguments: Any, **named: Any) -> Call:
        return self._channel.call(self, arguments, named)


class RenewedChannel(grpc.aio.Channel):
    """Stands where any other channel may."""

    def __init__(self, target: str, certificates: Certificates, options: Options, interceptors: Any) -> None:
        """Args are those of `grpc.aio.secure_channel`, but for the credentials: they are made of the certificate of the moment."""
        self._target = target
        self._certificates = certificates
        self._options = options
        self._interceptors = interceptors
        self._closing: set[asyncio.Task[None]] = set()
        self._now = self._connected(certificates.current())

    def call(self, method: _Method, arguments: Any, named: Any) -> Call:
        """Begins a call."""
        connected = self._current()
        begin = connected.methods.get(method)
        if begin is None:
            begin = connected.methods[method] = method.of(connected.channel)
        call = begin(*arguments, **named)
        connected.calls += 1
        call.add_done_callback(lambda _: self._ended(connected))
        return call

    def _current(self) -> _Connected:
        identity = self._certificates.current()
        if identity is not self._now.identity:
            before, self._now = self._now, self._connected(identity)
            before.retired = True
            if before.calls == 0:
                self._close(before)
        return self._now

    def _connected(self, identity: Identity) -> _Connected:
        channel = grpc.aio.secure_channel(
            self._target, channel_credentials(identity), options=self._options, interceptors=self._interceptors
        )
        return _Connected(identity, channel)

    def _ended(self, connected: _Connected) -> None:
        connected.calls -= 1
        if connected.retired and connected.calls == 0:
            self._close(connected)

    def _close(self, connected: _Connected) -> None:
        task = asyncio.get_running_loop().create_task(connected.channel.close(None))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close(None)

    async def close(self, grace: float | None = None) -> None:
        await self._now.channel.close(grace)
        await asyncio.gather(*self._closing)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current().channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current().channel.channel_ready()

    def unary_unary(self, *arguments: Any, **named: Any) -> Any:
        return _Method(self, "unary_unary", arguments, named)

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        return _Method(self, "unary_stream", arguments, named)

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        return _Method(self, "stream_unary", arguments, named)

    def stream_stream(self, *arguments: Any, **named: Any) -> Any:
        return _Method(self, "stream_stream", arguments, named)
