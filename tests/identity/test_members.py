"""Who belongs to an organisation, and who may say so."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2, identity_pb2
from reelmesh.identity.v1 import organisations_service_pb2 as api

from services.kit.ids import new_id
from tests.identity.organisation import Home, bearing
from tests.identity.scene import Scene, claims, refused


@pytest.fixture
def home(scene: Scene) -> Home:
    return Home(scene)


async def test_the_operator_makes_the_first_admin_who_may_do_everything(home: Home) -> None:
    ada = await home.somebody("admin", email="ada@example.com")
    may = set(claims(ada.tokens.access_token)["scope"].split())
    every = (
        await home.calls.ListPermissions(api.ListPermissionsRequest(page_size=200), metadata=ada.shown)
    ).permissions
    assert may == {one.permission for one in every}
    told = await home.scene.bus.hears(events_pb2.MemberRolesChanged)
    assert (told.account_id, list(told.role_ids), told.actor) == (ada.account.account_id, ["admin"], "operator")


async def test_new_roles_count_from_the_next_refresh_on_and_old_tokens_are_refused(home: Home) -> None:
    person = await home.scene.register()
    await home.set_roles(person, "creator")
    stale = await refused(home.calls.GetOrganisation(api.GetOrganisationRequest(), metadata=person.shown))
    assert stale.reason == "CREDENTIAL_INVALID"
    request = accounts_service_pb2.RefreshSessionRequest(
        request_id=new_id("req"), refresh_token=person.tokens.refresh_token
    )
    fresh = (await home.scene.accounts.RefreshSession(request)).tokens
    assert "uploads.write" in fresh.permissions


async def test_setting_the_roles_that_somebody_has_changes_nothing(home: Home) -> None:
    person = await home.somebody("creator", "reviewer")
    again = await home.set_roles(person, "reviewer", "creator")
    assert list(again.role_ids) == ["creator", "reviewer"]
    await home.calls.GetOrganisation(api.GetOrganisationRequest(), metadata=person.shown)


async def test_nobody_gives_more_than_they_hold(home: Home) -> None:
    lead = await home.role("members.manage", "members.read", "playback.create", "subscriptions.use", "uploads.read")
    leader, viewer = await home.somebody(lead.role_id), await home.scene.register()
    refusal = await refused(home.set_roles(viewer, "creator", by=leader.shown))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_NOT_HELD")
    assert refusal.metadata["permission"] == "assets.read"
    refusal = await refused(home.add(viewer.email, "admin", by=leader.shown))
    assert refusal.reason == "PERMISSION_NOT_HELD"
    given = await home.set_roles(viewer, "viewer", lead.role_id, by=leader.shown)
    assert list(given.role_ids) == sorted(["viewer", lead.role_id])


async def test_nobody_takes_from_somebody_who_holds_more(home: Home) -> None:
    lead = await home.role("members.manage", "playback.create", "subscriptions.use")
    leader, admin = await home.somebody(lead.role_id), await home.somebody("admin")
    await home.somebody("admin")
    assert (await refused(home.set_roles(admin, "viewer", by=leader.shown))).reason == "PERMISSION_NOT_HELD"
    assert (await refused(home.remove(admin, by=leader.shown))).reason == "PERMISSION_NOT_HELD"
    lock = accounts_service_pb2.SetAccountLockRequest(account_id=admin.account.account_id, locked=True)
    support = await home.somebody("support")
    refusal = await refused(home.scene.accounts.SetAccountLock(lock, metadata=support.shown))
    assert refusal.reason == "PERMISSION_NOT_HELD"
    await home.calls.GetOrganisation(api.GetOrganisationRequest(), metadata=admin.shown)
    lock.account_id = (await home.somebody("creator")).account.account_id
    assert (await home.scene.accounts.SetAccountLock(lock, metadata=support.shown)).account.HasField("lock_time")


async def test_the_last_admin_stays(home: Home) -> None:
    ada = await home.somebody("admin")
    refusal = await refused(home.set_roles(ada, "viewer", by=ada.shown))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMIN")
    assert (await refused(home.remove(ada))).reason == "LAST_ADMIN"
    grace = await home.somebody("admin", "viewer")
    await home.set_roles(ada, "viewer", by=grace.shown)
    lock = accounts_service_pb2.SetAccountLockRequest(account_id=ada.account.account_id, locked=True)
    await home.set_roles(ada, "admin", by=grace.shown)
    await home.scene.accounts.SetAccountLock(lock, metadata=home.scene.operator)
    # Who is locked out cannot look after anything.
    assert (await refused(home.remove(grace))).reason == "LAST_ADMIN"


@pytest.mark.parametrize("turn", range(3))
async def test_two_admins_who_remove_each_other_at_once_leave_one(home: Home, turn: int) -> None:
    ada, grace = await home.somebody("admin"), await home.somebody("admin")
    ends = await asyncio.gather(
        home.remove(ada, by=grace.shown), home.remove(grace, by=ada.shown), return_exceptions=True
    )
    assert [end is None for end in ends].count(True) == 1, turn
    listed = api.ListMembersRequest(role_id="admin")
    left = (await home.calls.ListMembers(listed, metadata=home.scene.operator)).members
    assert len(left) == 1


async def test_who_is_removed_loses_the_sessions_there_and_keeps_those_elsewhere(home: Home) -> None:
    person = await home.somebody("creator")
    made = await home.calls.CreateOrganisation(
        api.CreateOrganisationRequest(
            request_id=new_id("req"), display_name="Theirs", admin_email=person.email.upper()
        ),
        metadata=home.scene.operator,
    )
    theirs = made.organisation.organisation_id
    other = await home.scene.log_in(person.email)
    switch = accounts_service_pb2.SwitchOrganisationRequest(organisation_id=theirs)
    switched = (await home.scene.accounts.SwitchOrganisation(switch, metadata=bearing(other.access_token))).tokens
    await home.remove(person)
    # The session that switched still had a token for the organisation that it left.
    for token in (person.tokens.access_token, other.access_token, switched.access_token):
        refusal = await refused(home.calls.ListOrganisations(api.ListOrganisationsRequest(), metadata=bearing(token)))
        assert refusal.reason == "CREDENTIAL_INVALID"
    ended = await home.scene.bus.hears(events_pb2.SessionEnded)
    assert ended.cause == events_pb2.SESSION_END_MEMBERSHIP_ENDED

    async def refreshed(token: str) -> identity_pb2.Tokens:
        request = accounts_service_pb2.RefreshSessionRequest(request_id=new_id("req"), refresh_token=token)
        return (await home.scene.accounts.RefreshSession(request)).tokens

    assert (await refused(refreshed(person.tokens.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    assert (await refreshed(other.refresh_token)).organisation_id == theirs
    told = await home.scene.bus.hears(events_pb2.MemberRolesChanged, count=3)
    assert (told.organisation_id, list(told.role_ids)) == (home.scene.home, [])
    await home.remove(person)
    assert (await refused(home.set_roles(person, "viewer"))).reason == "MEMBER_NOT_FOUND"
    assert (await home.again(person)).tokens.organisation_id == theirs


async def test_a_member_is_let_in_by_address(home: Home) -> None:
    person = await home.somebody("viewer")
    await home.remove(person)
    assert (await refused(home.add("nobody@example.com", "viewer"))).metadata["email"] == "nobody@example.com"
    assert (await refused(home.add("nonsense", "viewer"))).reason == "EMAIL_INVALID"
    assert (await refused(home.add(person.email, "cook"))).metadata["role_id"] == "cook"
    member = await home.add(person.email.upper(), "creator")
    assert (member.email, list(member.role_ids)) == (person.email, ["creator"])
    refusal = await refused(home.add(person.email, "viewer"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "MEMBER_EXISTS")


async def test_members_are_listed_in_the_order_of_joining_in_pages(home: Home) -> None:
    people = [await home.somebody("creator" if number % 2 else "viewer") for number in range(5)]
    joined = [person.account.account_id for person in people]
    found, token = [], ""
    while True:
        request = api.ListMembersRequest(page_size=2, page_token=token)
        page = await home.calls.ListMembers(request, metadata=home.scene.operator)
        found += [(member.account_id, member.email) for member in page.members]
        token = page.next_page_token
        if not token:
            break
    assert found == [(person.account.account_id, person.email) for person in people]
    creators = await home.calls.ListMembers(api.ListMembersRequest(role_id="creator"), metadata=home.scene.operator)
    assert [member.account_id for member in creators.members] == joined[1::2]


async def test_who_lost_a_permission_a_moment_ago_cannot_use_it_any_more(home: Home) -> None:
    """Between the check of the token and the lock of the organisation."""
    ada, grace, joan = [await home.somebody("admin") for _ in range(3)]
    ends = await asyncio.gather(
        home.set_roles(ada, "viewer", by=grace.shown),
        home.set_roles(joan, "viewer", by=ada.shown),
        home.set_roles(grace, "viewer", by=joan.shown),
        return_exceptions=True,
    )
    done = [end for end in ends if not isinstance(end, BaseException)]
    # Whoever came first took a role away; the one who had lost theirs by then took none.
    assert 1 <= len(done) <= 2
