"""How people take their data home and leave for good, on the pages of a whole mesh; and what is left of them in its files."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from pathlib import Path

import asyncpg
from playwright.async_api import Browser, expect

from tests.journeys.test_signing_in import log_in, named, registered, signed_in, somebody
from tests.support.leaks import files_below
from tests.support.mesh import Mesh
from tests.support.opened_keys import dump

NAME = "Zebulon Quastenflosser"


async def erased(mesh: Mesh, data_request_id: str) -> dict[str, object]:
    """Waits until every service has answered, as the operator sees it."""
    async with asyncio.timeout(120):
        while True:
            shown = await asyncio.to_thread(mesh.command, "rights", "show", data_request_id)
            found: dict[str, object] = shown["data_request"]
            if found["state"] == "DATA_REQUEST_STATE_COMPLETED":
                return found
            await asyncio.sleep(0.3)


async def test_a_person_takes_their_data_home_and_leaves_for_good(
    whole_mesh: Mesh, browser: Browser, tmp_path: Path
) -> None:
    """By the account page: a ZIP file, then deletion, which the person is told of; afterwards nothing of them stands in a table, a log or a file."""
    async with somebody(browser) as context:
        page = await context.new_page()
        address = await registered(page, whole_mesh, name=NAME)
        await signed_in(page, NAME)
        await page.get_by_test_id("who").click()
        async with page.expect_download() as downloading:
            await page.get_by_test_id("download-data").click()
        archive = tmp_path / "my-data.zip"
        await (await downloading.value).save_as(archive)
        with zipfile.ZipFile(archive) as opened:
            account = json.loads(opened.read("identity/accounts.json"))[0]
            assert json.loads(opened.read("manifest.json"))["subject"]["name"] == account["account_id"]
        assert (account["email"], account["display_name"]) == (address, NAME)
        await expect(page.get_by_test_id("data-request")).to_have_attribute("data-state", "COMPLETED")

        listed = await asyncio.to_thread(whole_mesh.command, "rights", "list", "--all")
        access = next(one for one in listed["requests"] if one["kind"] == "DATA_REQUEST_KIND_ACCESS")
        async with whole_mesh.http() as http:
            by_rest = await http.get(f"/v1/dataRequests/{access['data_request_id']}/data")
        assert by_rest.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(by_rest.content)) as opened:
            assert json.loads(opened.read("identity/accounts.json"))[0]["email"] == address

        await page.get_by_test_id("delete-account").click()
        await page.get_by_test_id("delete-account-sure").click()
        await expect(page.get_by_test_id("data-request")).to_have_count(2)

        listed = await asyncio.to_thread(whole_mesh.command, "rights", "list", "--all")
        asked = next(one for one in listed["requests"] if one["kind"] == "DATA_REQUEST_KIND_ERASURE")
        done = await erased(whole_mesh, asked["data_request_id"])
        assert "subject" not in done
        await page.goto(named(whole_mesh) + "/sign-in")
        await log_in(page, address)
        await expect(page.get_by_test_id("refusal")).to_be_visible()

    told = (address, NAME, account["account_id"])
    await asyncio.to_thread(not_in_files, whole_mesh, told)
    connection = await asyncpg.connect(
        host=str(whole_mesh.installation.layout.postgres_socket), user="postgres", database="reelmesh"
    )
    tables = await dump(connection)
    await connection.close()
    found = {name for name, held in tables.items() if any(text.encode() in held for text in told)}
    # For a quarter of an hour it has to be known whose tokens are refused.
    assert found <= {"database identity.revocations"}


def not_in_files(mesh: Mesh, told: tuple[str, ...]) -> None:
    """Searches the files of the install: logs, events, objects, journals. What the stand-in for a mail server wrote is the person's own mail."""
    for file, held in files_below(mesh.data, but=("messages", "postgres")):
        assert not [text for text in told if text.encode() in held], file
