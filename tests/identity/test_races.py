"""Roles that change while tokens are being made of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from reelmesh.identity.v1 import accounts_service_pb2, accounts_service_pb2_grpc, identity_pb2
from reelmesh.identity.v1 import organisations_service_pb2 as api
from reelmesh.rpc.v1 import trust_service_pb2_grpc

from services.identity.__main__ import IdentitySettings, wire
from services.kit.clock import FixedClock, SystemClock
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.identity.organisation import Home, bearing
from tests.identity.scene import CHEAP, Person, Scene
from tests.support.bus import on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running


@pytest.fixture
async def home(mesh: ProcessSettings) -> AsyncIterator[Home]:
    """The home organisation by a clock that goes, unlike that of other tests: it is about what comes before what."""
    settings = IdentitySettings(**{**mesh.model_dump(), **CHEAP})
    async with (
        on_the_bus(settings) as bus,
        running("identity", settings, wire),
        connected(settings, "identity", key="") as channel,
    ):
        accounts = accounts_service_pb2_grpc.AccountsServiceStub(channel)
        trust = trust_service_pb2_grpc.TrustServiceStub(channel)
        unused = FixedClock(SystemClock().now())
        scene = Scene(settings, channel, accounts, trust, bus, unused, organisation_of_operator(settings))
        yield Home(scene)


class Refreshing:
    """A client that takes new tokens as quickly as it can, and keeps all that it is given."""

    def __init__(self, home: Home, person: Person) -> None:
        self._home = home
        self._person = person
        self.got: list[identity_pb2.Tokens] = []
        self.count = 0
        self.refused: list[Refusal] = []

    async def run(self) -> None:
        tokens = await self._logged_in()
        while True:
            request = accounts_service_pb2.RefreshSessionRequest(
                request_id=new_id("req"), refresh_token=tokens.refresh_token
            )
            try:
                tokens = (await self._home.scene.accounts.RefreshSession(request)).tokens
            except grpc.aio.AioRpcError as error:
                self.refused.append(Refusal.from_rpc_error(error))
                tokens = await self._logged_in()
            self.got.append(tokens)
            self.count += 1

    async def _logged_in(self) -> identity_pb2.Tokens:
        while True:
            try:
                return await self._home.scene.log_in(self._person.email)
            except grpc.aio.AioRpcError as error:
                refusal = Refusal.from_rpc_error(error)
                # Several at once look like guessing.
                if refusal.reason != "TOO_MANY_ATTEMPTS":
                    raise
            await asyncio.sleep(0.1)


async def _still_good(home: Home, tokens: identity_pb2.Tokens) -> bool:
    try:
        request = accounts_service_pb2.GetAccountRequest()
        await home.scene.accounts.GetAccount(request, metadata=bearing(tokens.access_token))
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.UNAUTHENTICATED:
            raise
        return False
    return True


async def test_no_token_with_lost_permissions_outlives_the_change(home: Home) -> None:
    person = await home.scene.register()
    clients = [Refreshing(home, person) for _ in range(2)]
    tasks = [asyncio.create_task(one.run()) for one in clients]
    roles = ["creator", "viewer", "reviewer", "support"]
    try:
        for turn in range(16):
            # Each change comes among tokens that are being made.
            while sum(one.count for one in clients) <= turn:
                await asyncio.sleep(0.02)
            role = roles[turn % len(roles)]
            if turn % 5 == 4:
                await home.remove(person)
                await home.add(person.email, role)
            else:
                await home.set_roles(person, role)
            may = set(permissions_of(await _roles(home), role))
            for one in clients:
                # What was refused once stays so. More comes in while what there is now is looked at.
                seen = list(one.got)
                good = [tokens for tokens in seen if await _still_good(home, tokens)]
                assert all(set(tokens.permissions) in (may, set()) for tokens in good), role
                one.got = good + one.got[len(seen) :]
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end for end in ended if not isinstance(end, asyncio.CancelledError)] == []
    assert sum(one.count for one in clients) >= 16
    assert {refusal.reason for one in clients for refusal in one.refused} <= {"REFRESH_TOKEN_INVALID"}


async def _roles(home: Home) -> list[identity_pb2.Role]:
    return list((await home.calls.ListRoles(api.ListRolesRequest(), metadata=home.scene.operator)).roles)


def permissions_of(roles: list[identity_pb2.Role], role_id: str) -> list[str]:
    """What a role permits."""
    return next(list(role.permissions) for role in roles if role.role_id == role_id)
