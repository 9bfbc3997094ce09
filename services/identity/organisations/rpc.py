"""The organisations contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from reelmesh.identity.v1 import events_pb2, identity_pb2, organisations_service_pb2_grpc
from reelmesh.identity.v1 import organisations_service_pb2 as api

from services.identity.accounts import store as accounts
from services.identity.organisations import members, store
from services.identity.organisations.authority import Authority, authority_of
from services.identity.organisations.domain import (
    FIRST_TIER,
    Organisation,
    check_not_built_in,
    role_in_use,
    role_not_found,
)
from services.identity.organisations.members import Member, Members
from services.identity.organisations.roles import ADMIN, Role, check_known, methods_by_permission
from services.identity.refusals import invalid_field, organisation_not_found
from services.identity.trust.feed import TrustFeed
from services.kit.access import Principal
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]


class OrganisationsServicer(organisations_service_pb2_grpc.OrganisationsServiceServicer):
    """Serves `reelmesh.identity.v1.OrganisationsService`."""

    def __init__(self, database: Database, clock: Clock, members_: Members, feed: TrustFeed) -> None:
        self._database = database
        self._clock = clock
        self._members = members_
        self._feed = feed

    async def CreateOrganisation(
        self, request: api.CreateOrganisationRequest, context: Context
    ) -> api.CreateOrganisationResponse:
        """Makes an organisation with one admin."""
        caller, now = _caller(), self._clock.now()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, caller.organisation_id, request, api.CreateOrganisationResponse):
                return earlier
            if request.admin_email:
                admin = await self._members.account_with(tx, request.admin_email)
            elif found := await accounts.find(tx, caller.account_id):
                admin = found
            else:
                raise invalid_field("admin_email", "an API key is nobody; say who is to be the first admin")
            made = Organisation(new_id("org"), 1, request.display_name, FIRST_TIER, now)
            await store.ensure(tx, made)
            await announce(
                tx,
                events_pb2.OrganisationCreated(
                    organisation_id=made.organisation_id, actor=caller.name, create_time=timestamp(now)
                ),
            )
            await self._members.joined(tx, made.organisation_id, admin, [ADMIN], caller.name)
            answer = api.CreateOrganisationResponse(organisation=_organisation(made))
            await remember(tx, caller.organisation_id, request, answer)
        return answer

    async def GetOrganisation(
        self, request: api.GetOrganisationRequest, context: Context
    ) -> api.GetOrganisationResponse:
        """The caller's organisation."""
        organisation_id = _caller().organisation_id
        async with self._database.transaction() as tx:
            found = await store.find(tx, organisation_id)
        if found is None:
            raise organisation_not_found(organisation_id)
        return api.GetOrganisationResponse(organisation=_organisation(found))

    async def ListOrganisations(
        self, request: api.ListOrganisationsRequest, context: Context
    ) -> api.ListOrganisationsResponse:
        """Where the calling person belongs."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page_of(tx, _caller().account_id, part)
        shown = found[: part.size]
        return api.ListOrganisationsResponse(
            organisations=[_organisation(one) for one, _ in shown],
            next_page_token=part.next_token(shown[-1][1]) if len(found) > part.size else "",
        )

    async def UpdateOrganisation(
        self, request: api.UpdateOrganisationRequest, context: Context
    ) -> api.UpdateOrganisationResponse:
        """Changes the organisation's name."""
        async with self._changing("organisations.manage") as (tx, before, authority):
            caller = authority.caller
            if earlier := await first_answer(tx, caller.organisation_id, request, api.UpdateOrganisationResponse):
                return earlier
            wanted = request.organisation
            after = before.changed(request.update_mask.paths, wanted.etag, wanted.display_name)
            await store.put(tx, after)
            answer = api.UpdateOrganisationResponse(organisation=_organisation(after))
            await remember(tx, caller.organisation_id, request, answer)
        return answer

    async def ListMembers(self, request: api.ListMembersRequest, context: Context) -> api.ListMembersResponse:
        """The organisation's members."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await members.page(tx, _caller().organisation_id, request.role_id, part)
        shown = found[: part.size]
        return api.ListMembersResponse(
            members=[_member(one) for one in shown],
            next_page_token=part.next_token(shown[-1].key) if len(found) > part.size else "",
        )

    async def AddMember(self, request: api.AddMemberRequest, context: Context) -> api.AddMemberResponse:
        """Lets a person in."""
        async with self._changing("members.manage") as (tx, _, authority):
            caller = authority.caller
            if earlier := await first_answer(tx, caller.organisation_id, request, api.AddMemberResponse):
                return earlier
            account = await self._members.account_with(tx, request.email)
            await self._members.check_gives(tx, request.role_ids, authority)
            joined = await self._members.joined(tx, caller.organisation_id, account, request.role_ids, caller.name)
            answer = api.AddMemberResponse(member=_member(joined))
            await remember(tx, caller.organisation_id, request, answer)
        return answer

    async def SetMemberRoles(self, request: api.SetMemberRolesRequest, context: Context) -> api.SetMemberRolesResponse:
        """Gives and takes roles."""
        async with self._changing("members.manage") as (tx, _, authority):
            changed = await self._members.changed(tx, request.account_id, request.role_ids, authority)
        return api.SetMemberRolesResponse(member=_member(changed))

    async def RemoveMember(self, request: api.RemoveMemberRequest, context: Context) -> api.RemoveMemberResponse:
        """Lets a person go."""
        async with self._changing("members.manage") as (tx, _, authority):
            await self._members.left(tx, request.account_id, authority)
        return api.RemoveMemberResponse()

    async def ListRoles(self, request: api.ListRolesRequest, context: Context) -> api.ListRolesResponse:
        """Roles that the organisation can give."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page_of_roles(tx, _caller().organisation_id, part)
        shown = found[: part.size]
        return api.ListRolesResponse(
            roles=[_role(role) for role in shown],
            next_page_token=part.next_token(shown[-1].role_id) if len(found) > part.size else "",
        )

    async def CreateRole(self, request: api.CreateRoleRequest, context: Context) -> api.CreateRoleResponse:
        """Makes a role of the organisation's own."""
        check_known(request.permissions)
        async with self._changing("roles.manage") as (tx, organisation, authority):
            caller = authority.caller
            if earlier := await first_answer(tx, caller.organisation_id, request, api.CreateRoleResponse):
                return earlier
            authority.check(request.permissions)
            permissions = tuple(sorted(request.permissions))
            role = Role(new_id("rol"), organisation.organisation_id, request.display_name, permissions, version=1)
            await store.add_role(tx, role)
            await self._announce(tx, caller, role, role.permissions)
            answer = api.CreateRoleResponse(role=_role(role))
            await remember(tx, caller.organisation_id, request, answer)
        return answer

    async def UpdateRole(self, request: api.UpdateRoleRequest, context: Context) -> api.UpdateRoleResponse:
        """Changes a role, and what its holders may do from now on."""
        async with self._changing("roles.manage") as (tx, organisation, authority):
            caller = authority.caller
            if earlier := await first_answer(tx, caller.organisation_id, request, api.UpdateRoleResponse):
                return earlier
            wanted = request.role
            before = await self._own_role(tx, organisation, wanted.role_id)
            after = before.changed(
                request.update_mask.paths, wanted.etag, wanted.display_name, list(wanted.permissions)
            )
            if after.permissions != before.permissions:
                # A permission that no contract declares any more is nobody's to hold, and goes without asking.
                authority.check((set(before.permissions) & methods_by_permission().keys()) | set(after.permissions))
                for account_id in await store.holders(tx, organisation.organisation_id, before.role_id):
                    await self._feed.revoke(tx, account_id)
            await store.put_role(tx, after)
            await self._announce(tx, caller, after, after.permissions)
            answer = api.UpdateRoleResponse(role=_role(after))
            await remember(tx, caller.organisation_id, request, answer)
        return answer

    async def DeleteRole(self, request: api.DeleteRoleRequest, context: Context) -> api.DeleteRoleResponse:
        """Removes a role that nobody has; one that is not there is removed already."""
        check_not_built_in(request.role_id)
        async with self._changing("roles.manage") as (tx, organisation, authority):
            role = await store.own_role(tx, organisation.organisation_id, request.role_id)
            if role is not None:
                if await store.holders(tx, organisation.organisation_id, role.role_id):
                    raise role_in_use(role.role_id)
                await store.remove_role(tx, role.role_id)
                await self._announce(tx, authority.caller, role, ())
        return api.DeleteRoleResponse()

    async def ListPermissions(
        self, request: api.ListPermissionsRequest, context: Context
    ) -> api.ListPermissionsResponse:
        """Every permission, and what it lets one call."""
        part = page_of(request)
        found = [item for item in methods_by_permission().items() if item[0] > part.after][: part.size + 1]
        shown = found[: part.size]
        return api.ListPermissionsResponse(
            permissions=[identity_pb2.Permission(permission=name, methods=methods) for name, methods in shown],
            next_page_token=part.next_token(shown[-1][0]) if len(found) > part.size else "",
        )

    @asynccontextmanager
    async def _changing(self, permission: str) -> AsyncIterator[tuple[Tx, Organisation, Authority]]:
        """A transaction that holds the lock of the caller's organisation, with what the caller holds at this moment."""
        caller = _caller()
        async with self._database.transaction() as tx:
            organisation = await store.locked(tx, caller.organisation_id)
            if organisation is None:
                raise organisation_not_found(caller.organisation_id)
            yield tx, organisation, await authority_of(tx, caller, permission)

    async def _own_role(self, tx: Tx, organisation: Organisation, role_id: str) -> Role:
        check_not_built_in(role_id)
        role = await store.own_role(tx, organisation.organisation_id, role_id)
        if role is None:
            raise role_not_found(role_id)
        return role

    async def _announce(self, tx: Tx, caller: Principal, role: Role, permissions: tuple[str, ...]) -> None:
        await announce(
            tx,
            events_pb2.RoleChanged(
                organisation_id=role.organisation_id,
                role_id=role.role_id,
                permissions=permissions,
                actor=caller.name,
                change_time=timestamp(self._clock.now()),
            ),
        )


def _caller() -> Principal:
    """Who calls; the contract lets nobody in without a credential."""
    principal = current_call().principal
    assert principal is not None
    return principal


def _organisation(organisation: Organisation) -> identity_pb2.Organisation:
    return identity_pb2.Organisation(
        organisation_id=organisation.organisation_id,
        display_name=organisation.display_name,
        tier=organisation.tier,
        create_time=timestamp(organisation.create_time),
        etag=organisation.etag,
    )


def _member(member: Member) -> identity_pb2.Membership:
    return identity_pb2.Membership(
        organisation_id=member.membership.organisation_id,
        account_id=member.membership.account_id,
        role_ids=member.membership.role_ids,
        create_time=timestamp(member.membership.create_time),
        email=member.email,
        display_name=member.display_name,
    )


def _role(role: Role) -> identity_pb2.Role:
    return identity_pb2.Role(
        role_id=role.role_id,
        organisation_id=role.organisation_id,
        display_name=role.display_name,
        permissions=role.permissions,
        etag=role.etag,
    )
