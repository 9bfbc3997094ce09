"""The identity service on real stores, a person or two, and what they were sent."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from reelmesh.identity.v1 import accounts_service_pb2 as api
from reelmesh.identity.v1 import accounts_service_pb2_grpc, identity_pb2
from reelmesh.rpc.v1 import trust_service_pb2_grpc

from services.identity.__main__ import IdentitySettings, wire
from services.identity.messages import OutgoingMessage
from services.identity.trust.signing import IDENTITY_KEY_FILE
from services.kit.clock import FixedClock, SystemClock
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.mail import sent_to
from tests.support.running import connected, running
from tests.support.stores import operator_key

if TYPE_CHECKING:
    Accounts = accounts_service_pb2_grpc.AccountsServiceAsyncStub
    Trust = trust_service_pb2_grpc.TrustServiceAsyncStub

PASSWORD = "seven lanterns over Aarhus"  # of nobody
ADDRESS = "203.0.113.7"
CHEAP = {"identity_argon2_memory_kib": 64, "identity_argon2_passes": 1}
"""Hashes that cost nothing, for tests that are about something else."""


async def refused(call: Awaitable[object]) -> Refusal:
    """The refusal that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Refusal.from_rpc_error(caught.value)


def claims(token: str) -> dict[str, Any]:
    """What an access token says; its signature is checked elsewhere."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


@dataclass(frozen=True)
class Person:
    """Somebody who registered."""

    email: str
    password: str
    account: identity_pb2.Account
    tokens: identity_pb2.Tokens

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        """Metadata that shows who it is."""
        return (("authorization", f"Bearer {self.tokens.access_token}"), ("x-forwarded-for", ADDRESS))


@dataclass(frozen=True)
class Scene:
    """Everything a test of this service needs."""

    settings: IdentitySettings
    channel: grpc.aio.Channel
    accounts: Accounts
    trust: Trust
    bus: Bus
    clock: FixedClock
    home: str

    @property
    def seal(self) -> Seal:
        return Seal(self.settings.secret(IDENTITY_KEY_FILE), "identity")

    @property
    def operator(self) -> tuple[tuple[str, str], ...]:
        """Metadata that shows the operator's key."""
        return (("authorization", f"Bearer {operator_key(self.settings)}"),)

    @property
    def outside(self) -> tuple[tuple[str, str], ...]:
        """Metadata of somebody who is not signed in, as the edge passes it on."""
        return (("x-forwarded-for", ADDRESS), ("user-agent", "a browser"))

    async def begin_registration(self, email: str) -> api.RegisterResponse:
        """Somebody registers."""
        return await self.accounts.Register(api.RegisterRequest(email=email, password=PASSWORD), metadata=self.outside)

    async def register(self, email: str = "", password: str = PASSWORD, **fields: str) -> Person:
        """Somebody registers, reads the mail and types the code."""
        address = email or f"{secrets.token_hex(6)}@example.com"
        begun = await self.accounts.Register(
            api.RegisterRequest(email=address, password=password, **fields), metadata=self.outside
        )
        message = (await self.messages(address))[-1]
        answer = await self.accounts.VerifyEmail(
            api.VerifyEmailRequest(
                request_id=new_id("req"),
                registration_id=begun.registration_id,
                code=message.parameters["code"],
            ),
            metadata=self.outside,
        )
        return Person(address, password, answer.account, answer.tokens)

    async def log_in(self, email: str, password: str = PASSWORD) -> identity_pb2.Tokens:
        """Somebody logs in."""
        request = api.LogInRequest(email=email, password=password)
        return (await self.accounts.LogIn(request, metadata=self.outside)).tokens

    async def messages(self, to: str) -> list[OutgoingMessage]:
        """What is on its way to somebody, in the order of writing."""
        return await sent_to(self.settings, to)


@contextlib.asynccontextmanager
async def a_scene(mesh: ProcessSettings, **changed: Any) -> AsyncIterator[Scene]:
    """The running service; `changed` are settings that are not the default."""
    settings = IdentitySettings(**{**mesh.model_dump(), **CHEAP, **changed})
    clock = FixedClock(SystemClock().now())
    async with (
        on_the_bus(settings) as bus,
        running("identity", settings, wire, clock=clock),
        connected(settings, "identity", key="") as channel,
        connected(settings, "identity", key="", caller="policy") as trusted,
    ):
        yield Scene(
            settings,
            channel,
            accounts_service_pb2_grpc.AccountsServiceStub(channel),
            trust_service_pb2_grpc.TrustServiceStub(trusted),
            bus,
            clock,
            organisation_of_operator(settings),
        )
