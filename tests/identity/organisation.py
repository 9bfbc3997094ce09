"""The home organisation with people in it who have roles, and the calls by which they get them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.identity.v1 import (
    api_keys_service_pb2,
    api_keys_service_pb2_grpc,
    identity_pb2,
    organisations_service_pb2_grpc,
)
from reelmesh.identity.v1 import organisations_service_pb2 as api

from services.kit.ids import new_id
from tests.identity.scene import Person, Scene

if TYPE_CHECKING:
    Organisations = organisations_service_pb2_grpc.OrganisationsServiceAsyncStub
    ApiKeys = api_keys_service_pb2_grpc.ApiKeysServiceAsyncStub

Shown = tuple[tuple[str, str], ...]


def bearing(credential: str) -> Shown:
    """Metadata that shows a credential."""
    return (("authorization", f"Bearer {credential}"),)


class Home:
    """The home organisation of a scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.calls: Organisations = organisations_service_pb2_grpc.OrganisationsServiceStub(scene.channel)
        self.keys: ApiKeys = api_keys_service_pb2_grpc.ApiKeysServiceStub(scene.channel)

    async def somebody(self, *role_ids: str, email: str = "") -> Person:
        """Registers, is given roles by the operator, and signs in with them."""
        person = await self.scene.register(email)
        await self.set_roles(person, *role_ids)
        return await self.again(person)

    async def again(self, person: Person) -> Person:
        """The same person, signed in anew: tokens of the very moment of a change count as older than it."""
        self.scene.clock.advance(timedelta(milliseconds=2))
        tokens = await self.scene.log_in(person.email)
        return Person(person.email, person.password, person.account, tokens)

    async def set_roles(self, person: Person, *role_ids: str, by: Shown | None = None) -> identity_pb2.Membership:
        """Sets a member's roles, as the operator or as somebody else."""
        request = api.SetMemberRolesRequest(account_id=person.account.account_id, role_ids=role_ids)
        return (await self.calls.SetMemberRoles(request, metadata=by or self.scene.operator)).member

    async def remove(self, person: Person, *, by: Shown | None = None) -> None:
        """Ends a membership."""
        request = api.RemoveMemberRequest(account_id=person.account.account_id)
        await self.calls.RemoveMember(request, metadata=by or self.scene.operator)

    async def add(self, email: str, *role_ids: str, by: Shown | None = None) -> identity_pb2.Membership:
        """Lets somebody in."""
        request = api.AddMemberRequest(request_id=new_id("req"), email=email, role_ids=role_ids)
        return (await self.calls.AddMember(request, metadata=by or self.scene.operator)).member

    async def role(self, *permissions: str, by: Shown | None = None) -> identity_pb2.Role:
        """Makes a role."""
        request = api.CreateRoleRequest(request_id=new_id("req"), display_name="A role", permissions=permissions)
        return (await self.calls.CreateRole(request, metadata=by or self.scene.operator)).role

    async def key(
        self, *permissions: str, by: Shown | None = None, expire_time: Timestamp | None = None
    ) -> api_keys_service_pb2.CreateApiKeyResponse:
        """Makes an API key."""
        request = api_keys_service_pb2.CreateApiKeyRequest(
            request_id=new_id("req"), display_name="A key", permissions=permissions, expire_time=expire_time
        )
        return await self.keys.CreateApiKey(request, metadata=by or self.scene.operator)
