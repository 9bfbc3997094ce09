"""Who may call what is as `docs/permissions.md` says: every method of every contract, called on the real servers as everybody.

Methods and services are found by reflection, so those that come later are in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from google.protobuf.descriptor import MethodDescriptor
from reelmesh.identity.v1 import accounts_service_pb2_grpc
from reelmesh.rpc.v1 import access_pb2, trust_service_pb2_grpc

from services.identity.__main__ import IdentitySettings
from services.identity.organisations.roles import built_in, methods_by_permission
from services.kit.callers import everyone
from services.kit.clock import FixedClock, SystemClock
from services.kit.settings import ProcessSettings
from tests.contracts.whole_interface import (
    Everything,
    Outcome,
    Row,
    Shown,
    contracts,
    everything,
    methods,
    table,
)
from tests.identity.organisation import Home, bearing
from tests.identity.scene import CHEAP, Person, Scene
from tests.support.bus import on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.running import connected
from tests.support.stores import Emptying

pytestmark = pytest.mark.timeout(300)

METHODS = methods()
TABLE = table()
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.full_name))


@dataclass
class World:
    """All services, a person in each role, and API keys as they are needed."""

    home: Home
    all: Everything
    people: dict[str, Person] = field(default_factory=dict)
    keys: dict[frozenset[str], Shown] = field(default_factory=dict)

    async def as_role(self, role: str, method: MethodDescriptor) -> Outcome:
        """Calls a method as a person in a role."""
        if role not in self.people:
            self.people[role] = await self.home.somebody(role)
        outcome = await self.all.outcome(method, self.people[role].shown)
        if outcome is Outcome.NOT_RECOGNISED:  # a method that was called before ends sessions
            self.people[role] = await self.home.again(self.people[role])
            outcome = await self.all.outcome(method, self.people[role].shown)
        return outcome

    async def as_key(self, permissions: frozenset[str], method: MethodDescriptor) -> Outcome:
        """Calls a method with an API key that holds exactly these permissions."""
        if permissions not in self.keys:
            self.keys[permissions] = bearing((await self.home.key(*permissions)).secret)
        return await self.all.outcome(method, self.keys[permissions])

    async def as_service(self, service: str, method: MethodDescriptor) -> Outcome:
        """Calls a method as another service of the mesh."""
        return await self.all.outcome(method, (), caller=service)


@pytest.fixture(scope="module")
async def world(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[World]:
    settings = IdentitySettings(**{**session_stores.model_dump(), **CHEAP})
    clock = FixedClock(SystemClock().now())
    async with (
        on_the_bus(settings) as bus,
        everything(session_stores, clock) as running,
        connected(settings, "identity", key="") as channel,
    ):
        scene = Scene(
            settings,
            channel,
            accounts_service_pb2_grpc.AccountsServiceStub(channel),
            trust_service_pb2_grpc.TrustServiceStub(channel),
            bus,
            clock,
            organisation_of_operator(settings),
        )
        yield World(Home(scene), running)
    await emptied()


def row(method: MethodDescriptor) -> Row:
    """What the table says of a method."""
    return TABLE[method.full_name]


def test_the_table_is_of_all_methods_and_all_roles() -> None:
    assert set(TABLE) == {method.full_name for method in METHODS}
    assert all(list(one.roles) == list(built_in()) for one in TABLE.values())


def test_the_table_says_what_the_contract_says() -> None:
    for method in METHODS:
        rule = method.GetOptions().Extensions[access_pb2.access]
        assert row(method).permission == rule.permission, method.full_name
        assert row(method).callers == sorted(rule.internal.callers), method.full_name
        assert row(method).open == (rule.public or rule.bearer_in_request), method.full_name


async def test_every_contract_is_served(world: World) -> None:
    assert [one.full_name for one in contracts() if not world.all.serves(one.full_name)] == []


@every_method
async def test_nobody_gets_in_without_a_credential(world: World, method: MethodDescriptor) -> None:
    asked = row(method)
    expected = Outcome.LET_IN if asked.open else Outcome.DENIED if asked.callers else Outcome.NOT_RECOGNISED
    assert await world.all.outcome(method, ()) is expected
    # Where none is looked for, anything may stand in the metadata.
    for credential in ("rmk_" + "x" * 43, "no.such.token"):
        assert await world.all.outcome(method, bearing(credential)) is expected, credential


@every_method
async def test_each_role_may_do_what_the_table_says(world: World, method: MethodDescriptor) -> None:
    for role, allowed in row(method).roles.items():
        outcome = await world.as_role(role, method)
        assert outcome is (Outcome.LET_IN if allowed else Outcome.DENIED), role


@every_method
async def test_an_api_key_may_do_what_it_was_given(world: World, method: MethodDescriptor) -> None:
    asked, every = row(method), frozenset(methods_by_permission())
    if asked.permission:
        assert await world.as_key(frozenset({asked.permission}), method) is Outcome.LET_IN
        assert await world.as_key(every - {asked.permission}, method) is Outcome.DENIED
    expected = Outcome.LET_IN if asked.permission or asked.open else Outcome.DENIED
    assert await world.as_key(every, method) is expected
    assert await world.all.outcome(method, world.home.scene.operator) is expected


@every_method
async def test_a_service_may_call_what_is_for_it_only(world: World, method: MethodDescriptor) -> None:
    asked = row(method)
    assert all(world.all.admits(service, method) for service in asked.callers), "services/callers.toml keeps them out"
    for service in everyone():
        expected = Outcome.NOT_RECOGNISED
        if not world.all.admits(service, method) or (asked.callers and service not in asked.callers):
            expected = Outcome.DENIED
        elif asked.callers or asked.open:
            expected = Outcome.LET_IN
        outcome = await world.as_service(service, method)
        # Where the request carries somebody's credential, the empty one that is sent here is not recognised by the method itself.
        assert outcome is expected or (
            asked.callers and expected is Outcome.LET_IN and outcome is not Outcome.DENIED
        ), service
