"""Organisations and their own roles."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2, identity_pb2
from reelmesh.identity.v1 import organisations_service_pb2 as api

from services.identity.organisations.roles import built_in, methods_by_permission
from services.kit.ids import new_id
from tests.identity.organisation import Home, Shown, bearing
from tests.identity.scene import Scene, refused


@pytest.fixture
def home(scene: Scene) -> Home:
    return Home(scene)


async def made(home: Home, by: Shown, **fields: str) -> identity_pb2.Organisation:
    request = api.CreateOrganisationRequest(**{"request_id": new_id("req"), "display_name": "Theirs", **fields})
    return (await home.calls.CreateOrganisation(request, metadata=by)).organisation


async def test_who_makes_an_organisation_is_its_first_admin(home: Home) -> None:
    ada = await home.somebody("admin")
    theirs = await made(home, ada.shown)
    assert (theirs.display_name, theirs.tier, theirs.etag) == ("Theirs", "standard", "1")
    mine = await home.calls.ListOrganisations(api.ListOrganisationsRequest(), metadata=ada.shown)
    assert [one.organisation_id for one in mine.organisations] == [home.scene.home, theirs.organisation_id]
    first = await home.calls.ListOrganisations(api.ListOrganisationsRequest(page_size=1), metadata=ada.shown)
    rest = api.ListOrganisationsRequest(page_size=1, page_token=first.next_page_token)
    assert list((await home.calls.ListOrganisations(rest, metadata=ada.shown)).organisations) == [theirs]
    told = await home.scene.bus.hears(events_pb2.OrganisationCreated)
    assert (told.organisation_id, told.actor) == (theirs.organisation_id, f"user/{ada.account.account_id}")


async def test_the_operator_makes_one_for_a_person(home: Home) -> None:
    nobody = await refused(made(home, home.scene.operator))
    assert (nobody.reason, nobody.fields[0][0]) == ("REQUEST_INVALID", "admin_email")
    assert (await refused(made(home, home.scene.operator, admin_email="x@example.com"))).reason == "EMAIL_UNKNOWN"
    person = await home.scene.register()
    request_id = new_id("req")
    theirs = await made(home, home.scene.operator, admin_email=person.email, request_id=request_id)
    assert await made(home, home.scene.operator, admin_email=person.email, request_id=request_id) == theirs


async def test_an_organisation_is_renamed_by_whoever_saw_it_last(home: Home) -> None:
    async def renamed(name: str, etag: str = "", path: str = "display_name") -> identity_pb2.Organisation:
        request = api.UpdateOrganisationRequest(
            request_id=new_id("req"),
            organisation=identity_pb2.Organisation(display_name=name, etag=etag),
            update_mask=FieldMask(paths=[path]),
        )
        return (await home.calls.UpdateOrganisation(request, metadata=home.scene.operator)).organisation

    before = (await home.calls.GetOrganisation(api.GetOrganisationRequest(), metadata=home.scene.operator)).organisation
    after = await renamed("Lanterns", before.etag)
    assert (after.display_name, after.etag) == ("Lanterns", "2")
    assert (await refused(renamed("Herons", before.etag))).reason == "ETAG_MISMATCH"
    assert (await refused(renamed("", after.etag))).fields[0][0] == "organisation.display_name"
    assert (await refused(renamed("x", path="tier"))).reason == "FIELD_NOT_UPDATABLE"


async def test_an_organisation_that_is_only_in_the_file_of_keys_is_not_known(
    home: Home, other_organisation_key: str
) -> None:
    refusal = await refused(
        home.calls.GetOrganisation(api.GetOrganisationRequest(), metadata=bearing(other_organisation_key))
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "ORGANISATION_NOT_FOUND")


async def test_roles_are_made_changed_and_removed(home: Home) -> None:
    role = await home.role("uploads.write", "assets.read")
    assert list(role.permissions) == ["assets.read", "uploads.write"]
    person = await home.somebody(role.role_id)
    assert list(person.tokens.permissions) == ["assets.read", "uploads.write"]

    async def updated(paths: list[str], **fields: Any) -> identity_pb2.Role:
        wanted = identity_pb2.Role(**{"role_id": role.role_id, **fields})
        request = api.UpdateRoleRequest(request_id=new_id("req"), role=wanted, update_mask=FieldMask(paths=paths))
        return (await home.calls.UpdateRole(request, metadata=home.scene.operator)).role

    named = await updated(["display_name"], display_name="Ingest", etag=role.etag)
    assert (named.display_name, list(named.permissions)) == ("Ingest", list(role.permissions))
    mine = api.ListOrganisationsRequest()
    await home.calls.ListOrganisations(mine, metadata=person.shown)
    narrowed = await updated(["permissions"], permissions=["assets.read"], etag=named.etag)
    assert list(narrowed.permissions) == ["assets.read"]
    stale = await refused(home.calls.ListOrganisations(mine, metadata=person.shown))
    assert stale.reason == "CREDENTIAL_INVALID"
    assert list((await home.again(person)).tokens.permissions) == ["assets.read"]
    assert (await refused(updated(["permissions"], permissions=["no.such"]))).reason == "PERMISSION_UNKNOWN"
    assert (await refused(updated(["permissions"]))).reason == "REQUEST_INVALID"
    assert (await refused(updated(["etag"]))).reason == "FIELD_NOT_UPDATABLE"
    assert (await refused(updated(["display_name"], display_name="x", etag="1"))).reason == "ETAG_MISMATCH"
    assert (await refused(updated(["display_name"], role_id="admin"))).reason == "ROLE_BUILT_IN"
    assert (await refused(updated(["display_name"], role_id=new_id("rol")))).reason == "ROLE_NOT_FOUND"

    remove = api.DeleteRoleRequest(role_id=role.role_id)
    assert (await refused(home.calls.DeleteRole(remove, metadata=home.scene.operator))).reason == "ROLE_IN_USE"
    await home.set_roles(person, "viewer")
    await home.calls.DeleteRole(remove, metadata=home.scene.operator)
    await home.calls.DeleteRole(remove, metadata=home.scene.operator)
    assert (await refused(home.set_roles(person, role.role_id))).reason == "ROLE_NOT_FOUND"
    told = await home.scene.bus.hears(events_pb2.RoleChanged, count=4)
    assert (told.role_id, list(told.permissions)) == (role.role_id, [])
    built = api.DeleteRoleRequest(role_id="viewer")
    assert (await refused(home.calls.DeleteRole(built, metadata=home.scene.operator))).reason == "ROLE_BUILT_IN"


async def test_nobody_puts_into_a_role_what_they_do_not_hold_nor_takes_it_out(home: Home) -> None:
    keeper = await home.role("roles.manage", "roles.read", "assets.read")
    person = await home.somebody(keeper.role_id)
    refusal = await refused(home.role("assets.read", "assets.write", by=person.shown))
    assert (refusal.reason, refusal.metadata["permission"]) == ("PERMISSION_NOT_HELD", "assets.write")
    assert (await refused(home.role("no.such", by=person.shown))).reason == "PERMISSION_UNKNOWN"
    rich = await home.role("assets.read", "assets.write")
    request = api.UpdateRoleRequest(
        request_id=new_id("req"),
        role=identity_pb2.Role(role_id=rich.role_id, permissions=["assets.read"]),
        update_mask=FieldMask(paths=["permissions"]),
    )
    assert (await refused(home.calls.UpdateRole(request, metadata=person.shown))).reason == "PERMISSION_NOT_HELD"
    assert (await home.role("assets.read", by=person.shown)).organisation_id == home.scene.home


async def test_a_role_of_another_organisation_cannot_be_given(home: Home) -> None:
    ada = await home.somebody("admin")
    theirs = await made(home, ada.shown)
    tokens = await home.scene.log_in(ada.email)
    switch = accounts_service_pb2.SwitchOrganisationRequest(organisation_id=theirs.organisation_id)
    moved = (await home.scene.accounts.SwitchOrganisation(switch, metadata=bearing(tokens.access_token))).tokens
    role = await home.role("assets.read", by=bearing(moved.access_token))
    assert role.organisation_id == theirs.organisation_id
    assert (await refused(home.set_roles(ada, "admin", role.role_id))).reason == "ROLE_NOT_FOUND"


async def test_the_staff_of_one_organisation_does_not_see_where_else_a_person_belongs(home: Home) -> None:
    person = await home.scene.register()
    listing = accounts_service_pb2.ListAccountsRequest(email=person.email)
    await made(home, home.scene.operator, admin_email=person.email)
    (seen,) = (await home.scene.accounts.ListAccounts(listing, metadata=home.scene.operator)).accounts
    assert [one.organisation_id for one in seen.memberships] == [home.scene.home]
    own = await home.scene.accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=person.shown)
    assert len(own.account.memberships) == 2


async def test_roles_and_permissions_are_listed_in_pages(home: Home) -> None:
    own = [(await home.role("assets.read")).role_id for _ in range(3)]
    found, token = [], ""
    while True:
        request = api.ListRolesRequest(page_size=4, page_token=token)
        page = await home.calls.ListRoles(request, metadata=home.scene.operator)
        found += [role.role_id for role in page.roles]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted([*built_in(), *own])
    names, token = [], ""
    while True:
        listing = api.ListPermissionsRequest(page_size=7, page_token=token)
        part = await home.calls.ListPermissions(listing, metadata=home.scene.operator)
        names += [(one.permission, tuple(one.methods)) for one in part.permissions]
        token = part.next_page_token
        if not token:
            break
    assert names == list(methods_by_permission().items())
    assert all(
        permission in methods_by_permission()
        for role in built_in().values()
        for permission in role.permissions
        if permission != "*"
    )
