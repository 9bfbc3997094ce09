"""Whatever is sent to any method by anybody is answered, or refused in the words of the contract, and nothing breaks.

Methods are found in the contracts and services in `services/`: new ones are covered by themselves. The ordinary run takes few examples,
always the same; `make fuzz` takes many, and new ones each time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.identity.v1 import accounts_service_pb2, accounts_service_pb2_grpc

from services.kit.settings import ProcessSettings
from tests.support import hostile
from tests.support.examples import fuzzed
from tests.support.furnished import furnish
from tests.support.generated import Memory, encoded_requests
from tests.support.stores import Emptying
from tests.support.whole import Whole, access_of, all_running, every_contract, every_method, path_of, way
from tools.openapi.contracts import Contracts
from tools.openapi.refusals import statuses_named

pytestmark = pytest.mark.timeout(300)

LAST: Final = ("Delete", "Remove", "Revoke", "Cancel")  # what they take away is missed by the others
METHODS: Final = {
    path_of(method): method for method in sorted(every_method(), key=lambda method: method.name.startswith(LAST))
}
CALLERS: Final = st.sampled_from(["permitted", "permitted", "permitted", "operator", "person", "nobody", "odd"])
ODD: Final = st.sampled_from(hostile.CREDENTIALS)
PATIENCE: Final = 60.0
MEMORY: Final = Memory()
HEARD: Final[list[Message]] = []
"""Answers that are to be remembered when the next test begins: what is drawn must not depend on what was answered to the draws before."""
# The stores are up all the time: a refusal that says otherwise hides a defect.
ALWAYS_THERE: Final = ("the database", "the event bus", "a dependency", "the service", "the identity service")


def paths(*, client_streaming: bool, server_streaming: bool) -> list[str]:
    """Methods of one kind."""
    return [
        path
        for path, method in METHODS.items()
        if (method.client_streaming, method.server_streaming) == (client_streaming, server_streaming)
    ]


@pytest.fixture(scope="module")
async def whole(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[Whole]:
    """All services, for all tests of this module: what one example leaves behind is there for the next."""
    async with all_running(session_stores) as whole:
        await furnish(whole, MEMORY)
        yield whole
    await emptied()


@pytest.fixture(scope="module")
def documented(contracts: Contracts) -> dict[tuple[str, str], frozenset[str]]:
    """Statuses that the contracts name, by domain and reason."""
    return {
        (f"{name.split('.')[1]}.reelmesh", value.removeprefix("ERROR_REASON_")): statuses_named(comment)
        for name, enum in contracts.enums.items()
        if name.endswith(".ErrorReason")
        for value, comment in enum.values
    }


@dataclass(frozen=True)
class Scene:
    """The services, one method, and everybody who may call it."""

    whole: Whole
    method: MethodDescriptor
    person: str
    documented: dict[tuple[str, str], frozenset[str]]

    @property
    def contract(self) -> str:
        """Full name of the method's service."""
        return str(self.method.containing_service.full_name)

    def peer(self, caller: str) -> str:
        """Whose certificate somebody's call comes with: a permitted service's own, or that of Envoy, through which people come."""
        callers = access_of(self.method).internal.callers
        return str(callers[0]) if caller == "permitted" and callers else "envoy"

    def shown(self, caller: str, odd: str) -> list[tuple[str, str]]:
        """Metadata with which somebody calls."""
        access = access_of(self.method)
        if caller == "permitted":
            caller = "nobody" if access.internal.callers else "person" if access.person else "operator"
        match caller:
            case "nobody":
                credential = None
            case "odd":
                credential = odd
            case "operator":
                credential = self.whole.operator
            case _:
                credential = self.person
        return [("x-forwarded-for", "198.51.100.7")] + (
            [("authorization", credential)] if credential is not None else []
        )

    def call(self, channel: grpc.aio.Channel, kind: str) -> Any:
        """Calls with bytes as they are, and gets answers as messages."""
        answer = message_factory.GetMessageClass(self.method.output_type)
        return getattr(channel, kind)(path_of(self.method), response_deserializer=answer.FromString)

    def check(self, error: Any) -> None:
        """A refusal is one of the contract's, and nobody complained."""
        complaints = self.whole.heard.take()
        assert not complaints, "\n\n".join(complaints)
        if error is None:
            return
        status = rpc_status.from_call(error)
        assert status is not None, f"not a typed refusal: {error!r}"
        assert status.details, f"no details: {error!r}"
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info), f"no ErrorInfo: {error!r}"
        code = error.code().name
        assert code not in {"INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"}, f"{error!r}"
        assert (info.domain, info.reason) in self.documented, f"no contract knows {info}"
        assert code in self.documented[info.domain, info.reason], (
            f"{code} is not what the contract says of {info.reason}"
        )
        assert info.metadata.get("correlation_id"), f"no correlation id: {error!r}"
        assert status.message
        assert info.metadata.get("dependency") not in ALWAYS_THERE, f"{error!r}"


@pytest.fixture(scope="module")
def people() -> list[str]:
    """What those showed who were somebody so far; the last one is it still, as far as one knows."""
    return []


async def somebody(whole: Whole, people: list[str]) -> str:
    """A person who is signed in: the last one, unless they signed out by chance, or were locked out."""
    if people:
        with contextlib.suppress(grpc.aio.AioRpcError):
            stub: Any = accounts_service_pb2_grpc.AccountsServiceStub(
                whole.channels["reelmesh.identity.v1.AccountsService"]
            )
            request = accounts_service_pb2.GetAccountRequest()
            await stub.GetAccount(request, metadata=(("authorization", people[-1]),))
            return people[-1]
    people.append(await whole.person())
    return people[-1]


@pytest.fixture
async def scene(
    whole: Whole, documented: dict[tuple[str, str], frozenset[str]], people: list[str], path: str
) -> AsyncIterator[Scene]:
    """One method."""
    person = await somebody(whole, people)
    whole.heard.take()
    while HEARD:
        MEMORY.learn(HEARD.pop(0))
    yield Scene(whole, METHODS[path], person, documented)
    assert [name for name, process in whole.processes.items() if process.failed.is_set()] == []


def test_every_contract_is_served_and_tried(whole: Whole) -> None:
    written = {str(contract.full_name) for contract in every_contract()}
    assert written == set(whole.channels)
    assert {method.containing_service.full_name for method in METHODS.values()} == set(whole.channels)


async def outcome(call: Any) -> grpc.aio.AioRpcError | None:
    """What a call was refused with; None when it was answered. Answers are remembered for the requests of later tests."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error
    if isinstance(answer, Message):  # a stream may end without one
        HEARD.append(answer)
    return None


@pytest.mark.parametrize("path", paths(client_streaming=False, server_streaming=False))
@fuzzed(5)
@given(data=st.data())
async def test_any_request_gets_an_answer_or_a_typed_refusal(scene: Scene, path: str, data: st.DataObject) -> None:
    request = data.draw(encoded_requests(scene.method.input_type, MEMORY))
    caller = data.draw(CALLERS)
    shown = scene.shown(caller, data.draw(ODD))
    call = scene.call(scene.whole.called_by(scene.contract, scene.peer(caller)), "unary_unary")
    scene.check(await outcome(call(request, metadata=shown, timeout=PATIENCE)))


@pytest.mark.parametrize("path", paths(client_streaming=False, server_streaming=True))
@fuzzed(5)
@given(data=st.data())
async def test_any_request_for_a_stream_gets_one_or_a_typed_refusal(
    scene: Scene, path: str, data: st.DataObject
) -> None:
    request = data.draw(encoded_requests(scene.method.input_type, MEMORY))
    caller = data.draw(CALLERS)
    shown = scene.shown(caller, data.draw(ODD))
    channel = scene.whole.called_by(scene.contract, scene.peer(caller))
    stream = scene.call(channel, "unary_stream")(request, metadata=shown)
    first = asyncio.ensure_future(outcome(stream.read()))
    done, _ = await asyncio.wait([first], timeout=0.2)
    stream.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    scene.check(first.result() if done else None)


@pytest.mark.parametrize("path", paths(client_streaming=True, server_streaming=False))
@fuzzed(10)
@given(data=st.data())
async def test_any_stream_of_requests_gets_an_answer_or_a_typed_refusal(
    scene: Scene, path: str, data: st.DataObject
) -> None:
    requests = data.draw(st.lists(encoded_requests(scene.method.input_type, MEMORY), max_size=4))
    caller = data.draw(CALLERS)
    shown = scene.shown(caller, data.draw(ODD))
    scene.check(await asyncio.to_thread(streamed, scene, scene.peer(caller), requests, shown))


def streamed(scene: Scene, peer: str, requests: list[bytes], shown: list[tuple[str, str]]) -> grpc.RpcError | None:
    """What a stream of requests was refused with. By the client that blocks: the other one forgets the refusal of a stream that it still
    writes to."""
    target, credentials, options = way(scene.whole.settings, scene.whole.servers[scene.contract], peer)
    with grpc.secure_channel(target, credentials, options) as channel:
        connected: Any = channel
        call = connected.stream_unary(path_of(scene.method))
        try:
            call(iter(requests), metadata=shown, timeout=PATIENCE)
        except grpc.RpcError as error:
            return error
    return None


async def test_the_services_are_well_after_all_that(whole: Whole) -> None:
    for contract, channel in whole.channels.items():
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=contract))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, contract
