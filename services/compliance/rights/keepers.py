"""Whoever keeps personal data: other services by one contract, this one by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import grpc
from reelmesh.rpc.v1 import personal_data_service_pb2 as api
from reelmesh.rpc.v1 import personal_data_service_pb2_grpc

from services.kit.personal import DataSubject
from services.kit.personal_data import CONTRACT, PersonalData
from services.kit.process import Process

if TYPE_CHECKING:
    Stub = personal_data_service_pb2_grpc.PersonalDataServiceAsyncStub

OWN: Final = "compliance"
_DEADLINE: Final = 300.0
"""Seconds for one service: somebody may have watched for years."""


class Keeper(Protocol):
    """One service's personal data."""

    def export(self, subject: DataSubject, tables: Sequence[str] = ()) -> AsyncIterator[api.GetPersonalDataResponse]:
        """Everything about a person, table by table."""
        ...

    async def erase(self, subject: DataSubject) -> api.ErasePersonalDataResponse:
        """Removes a person."""
        ...

    async def limit(self, subject: DataSubject, limits: frozenset[int]) -> frozenset[int]:
        """Heeds limits in place of those before. Returns those that mean something there."""
        ...


class Remote:
    """Another service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Stub = personal_data_service_pb2_grpc.PersonalDataServiceStub(channel)

    async def export(
        self, subject: DataSubject, tables: Sequence[str] = ()
    ) -> AsyncIterator[api.GetPersonalDataResponse]:
        """As it answers."""
        request = api.GetPersonalDataRequest(subject=subject.message(), tables=tables)
        async for part in self._stub.GetPersonalData(request, timeout=_DEADLINE):
            yield part

    async def erase(self, subject: DataSubject) -> api.ErasePersonalDataResponse:
        """As it answers."""
        request = api.ErasePersonalDataRequest(subject=subject.message())
        return await self._stub.ErasePersonalData(request, timeout=_DEADLINE)

    async def limit(self, subject: DataSubject, limits: frozenset[int]) -> frozenset[int]:
        """As it answers."""
        asked = [api.ProcessingLimit.ValueType(one) for one in sorted(limits)]
        request = api.LimitPersonalDataRequest(subject=subject.message(), limits=asked)
        return frozenset((await self._stub.LimitPersonalData(request, timeout=_DEADLINE)).heeded)


def all_keepers(process: Process, own: PersonalData) -> Mapping[str, Keeper]:
    """All of them, in the order in which a person is erased: first whoever lets them in, so that nothing new comes; last, this one."""
    return {
        "identity": Remote(process.peer("identity", CONTRACT)),
        "policy": Remote(process.peer("policy", CONTRACT)),
        "drm": Remote(process.peer("drm", CONTRACT)),
        "payments": Remote(process.peer("payments", CONTRACT)),
        "protection": Remote(process.peer("protection", CONTRACT)),
        "upload": Remote(process.peer("upload", CONTRACT)),
        OWN: own,
    }
