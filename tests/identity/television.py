"""A device with a key, and what a person does on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reelmesh.identity.v1 import accounts_service_pb2, devices_service_pb2_grpc, identity_pb2
from reelmesh.identity.v1 import devices_service_pb2 as api

from services.kit.ids import new_id
from tests.identity.scene import Person, Scene
from tests.support.dpop import KeyHolder

if TYPE_CHECKING:
    Stub = devices_service_pb2_grpc.DevicesServiceAsyncStub

DEVICES: Final = "/reelmesh.identity.v1.DevicesService/"
ACCOUNTS: Final = "/reelmesh.identity.v1.AccountsService/"


@dataclass
class Television:
    """A device with a key, and a session on it."""

    scene: Scene
    tokens: identity_pb2.Tokens
    holder: KeyHolder = field(default_factory=KeyHolder)
    bound: bool = False

    @property
    def stub(self) -> Stub:
        return devices_service_pb2_grpc.DevicesServiceStub(self.scene.channel)

    def shown(self, method: str, *, scheme: str = "", **changed: Any) -> tuple[tuple[str, str], ...]:
        """Metadata of one call, with a new proof."""
        token = self.tokens.access_token
        url = self.scene.settings.public_url + method
        proof = self.holder.proof(self.scene.clock.now(), "POST", url, token, **changed)
        return (("authorization", f"{scheme or ('DPoP' if self.bound else 'Bearer')} {token}"), ("dpop", proof))

    async def register(self, name: str = "Living room") -> api.RegisterDeviceResponse:
        request = api.RegisterDeviceRequest(
            request_id=new_id("req"), display_name=name, platform="android-tv", model="Acme 55"
        )
        answer = await self.stub.RegisterDevice(request, metadata=self.shown(DEVICES + "RegisterDevice"))
        self.tokens.access_token, self.bound = answer.tokens.access_token, True
        return answer

    async def revoke(self, device_id: str) -> None:
        """Revokes a device of the same person."""
        request = api.RevokeDeviceRequest(device_id=device_id)
        await self.stub.RevokeDevice(request, metadata=self.shown(DEVICES + "RevokeDevice"))

    async def account(self, **changed: Any) -> identity_pb2.Account:
        request = accounts_service_pb2.GetAccountRequest()
        shown = self.shown(ACCOUNTS + "GetAccount", **changed)
        return (await self.scene.accounts.GetAccount(request, metadata=shown)).account

    async def refresh(self, proof: str | None = None) -> identity_pb2.Tokens:
        request = accounts_service_pb2.RefreshSessionRequest(
            request_id=new_id("req"), refresh_token=self.tokens.refresh_token
        )
        url = self.scene.settings.public_url + ACCOUNTS + "RefreshSession"
        shown = self.holder.proof(self.scene.clock.now(), "POST", url) if proof is None else proof
        metadata = (("dpop", shown),) if shown else ()
        self.tokens = (await self.scene.accounts.RefreshSession(request, metadata=metadata)).tokens
        return self.tokens


async def a_television(scene: Scene, person: Person, holder: KeyHolder | None = None) -> Television:
    """Another session of a person, on a device of its own."""
    return Television(scene, await scene.log_in(person.email), holder or KeyHolder())
