"""`reelmesh account`, `member`, `role`, `organisation` and `api-key`, run as a person would run them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from services.kit.settings import ProcessSettings
from tests.identity.scene import Scene, a_scene
from tests.support import one_command
from tests.support.one_command import edge_of


@dataclass(frozen=True)
class Command(one_command.Command):
    """The command before the identity service."""

    scene: Scene


@pytest.fixture
async def command(mesh: ProcessSettings) -> AsyncIterator[Command]:
    async with a_scene(mesh) as scene, edge_of(mesh, "identity") as port:
        yield Command(mesh, f"http://127.0.0.1:{port}", scene)


async def test_the_first_human_admin_comes_to_be(command: Command) -> None:
    person = await command.scene.register("ada@example.com", display_name="Ada")
    told = await command.told("member", "roles", "ada@example.com", "admin")
    assert told["member"]["role_ids"] == ["admin"]
    assert told["member"]["account_id"] == person.account.account_id
    members = (await command.told("member", "list", "--role", "admin"))["members"]
    assert [member["email"] for member in members] == ["ada@example.com"]
    shown = await command.run("member", "list")
    assert ("ada@example.com" in shown.out, "Ada" in shown.out, shown.status) == (True, True, 0)
    last = await command.run("member", "remove", "ada@example.com")
    assert (last.status, last.out) == (3, "")
    assert "LAST_ADMIN" in last.err
    assert "make somebody else an admin first" in last.err


async def test_members_come_and_go(command: Command) -> None:
    await command.scene.register("ada@example.com")
    assert (await command.told("member", "remove", "ada@example.com"))["removed"] is True
    unknown = await command.run("member", "roles", "ada@example.com", "creator")
    assert unknown.status == 1
    assert "reelmesh member add" in unknown.err
    told = await command.told("member", "add", "ada@example.com", "creator", "reviewer")
    assert told["member"]["role_ids"] == ["creator", "reviewer"]
    nobody = (await command.run("member", "add", "nobody@example.com", "viewer", "--json")).json["error"]
    assert (nobody["reason"], nobody["metadata"]) == ("EMAIL_UNKNOWN", {"email": "nobody@example.com"})
    roles = (await command.told("role", "list"))["roles"]
    assert {
        "role_id": "viewer",
        "display_name": "Viewer",
        "permissions": ["playback.create", "subscriptions.use"],
    } in roles
    assert "compliance-officer" in (await command.run("role", "list")).out


async def test_accounts_are_locked_unlocked_and_put_in_a_tier(command: Command) -> None:
    person = await command.scene.register("ada@example.com")
    locked = await command.run("account", "lock", "ada@example.com")
    assert "signed out everywhere" in locked.out
    assert "locked" in (await command.run("account", "list")).out
    assert "lock_time" in (await command.told("account", "list"))["accounts"][0]
    unlocked = await command.told("account", "unlock", person.account.account_id)
    assert "lock_time" not in unlocked["account"]
    assert (await command.told("account", "tier", "ada@example.com", "premium"))["account"]["tier"] == "premium"
    assert (await command.told("account", "list", "--email", "x@example.com"))["accounts"] == []


async def test_api_keys_are_made_listed_and_revoked(command: Command) -> None:
    made = await command.told("api-key", "create", "ingest", "organisations.read", "uploads.write", "--days", "30")
    assert made["secret"].startswith(made["api_key"]["prefix"])
    shown = await command.run("organisation", "show", key=made["secret"])
    assert (shown.status, "Home" in shown.out) == (0, True)
    denied = await command.run("api-key", "list", key=made["secret"])
    assert (denied.status, "PERMISSION_MISSING" in denied.err) == (3, True)
    listed = await command.run("api-key", "list")
    assert made["api_key"]["prefix"] in listed.out
    assert made["secret"] not in listed.out
    revoked = await command.told("api-key", "revoke", made["api_key"]["key_id"])
    assert "revoke_time" in revoked["api_key"]
    refused = await command.run("organisation", "show", key=made["secret"])
    assert (refused.status, "CREDENTIAL_INVALID" in refused.err) == (3, True)
    assert "revoked" in (await command.run("api-key", "list")).out


async def test_an_organisation_is_made_for_somebody(command: Command) -> None:
    await command.scene.register("ada@example.com")
    made = await command.told("organisation", "create", "Lanterns", "--admin", "ada@example.com")
    assert made["organisation"]["display_name"] == "Lanterns"
    assert (await command.run("organisation", "create", "Herons")).status == 2
