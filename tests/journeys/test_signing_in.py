"""How people come in through the pages: they register, stay signed in, and come back by password and by passkey."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from playwright.async_api import Browser, BrowserContext, CDPSession, Page, Route, expect

from tests.journeys.pages import AXE, RULES
from tests.support.counted_films import film
from tests.support.mailbox import newest_code, newest_letter
from tests.support.mesh import Mesh

PASSWORD = "seven lanterns over Aarhus"  # of nobody
BEGIN = "**/BeginPasskeySignIn"
OTHER_PASSWORD = "nine quiet herons by the mill"  # as above


def named(mesh: Mesh) -> str:
    """The install by its name: passkeys do not work at an IP address."""
    return mesh.url.replace("127.0.0.1", "localhost")


@asynccontextmanager
async def somebody(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Somebody new, with a browser of their own that may have several tabs."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(30_000)
    try:
        yield context
    finally:
        await context.close()


async def registered(page: Page, mesh: Mesh, *, name: str = "Ada Lovelace", path: str = "/register") -> str:
    """Registers through the pages and returns the address."""
    address = f"{secrets.token_hex(6)}@example.com"
    await page.goto(named(mesh) + path)
    await page.get_by_test_id("name").fill(name)
    await page.get_by_test_id("email").fill(address)
    await page.get_by_test_id("password").fill(PASSWORD)
    await page.get_by_test_id("register-submit").click()
    await expect(page.get_by_test_id("verify")).to_contain_text(address)
    code = await newest_code(mesh, address, "verify-email")
    await page.get_by_test_id("code").fill(f"{code[:4]} {code[4:]}")
    await page.get_by_test_id("verify-submit").click()
    return address


async def signed_in(page: Page, name: str = "Ada Lovelace") -> None:
    """Waits until the page knows who is there."""
    await expect(page.get_by_test_id("who")).to_contain_text(name)


async def log_in(page: Page, address: str, password: str = PASSWORD) -> None:
    await page.get_by_test_id("email").fill(address)
    await page.get_by_test_id("password").fill(password)
    await page.get_by_test_id("log-in").click()


@dataclass(frozen=True)
class Device:
    """What holds passkeys of a page, a virtual authenticator."""

    session: CDPSession
    authenticator_id: str

    async def owner_agrees(self, *, agrees: bool) -> None:
        """Whether its owner says yes to every question, or says nothing."""
        presence = {"authenticatorId": self.authenticator_id, "enabled": agrees}
        await self.session.send("WebAuthn.setAutomaticPresenceSimulation", presence)


async def with_authenticator(page: Page) -> Device:
    """Gives the page a device, whose owner says yes to every question."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable", {"enableUI": False})
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    answer = await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return Device(session, str(answer["authenticatorId"]))


async def signed_out(page: Page, device: Device) -> None:
    """Signs out. The page offers passkeys by itself then, among the addresses that the browser fills in: the owner says nothing to that."""
    await device.owner_agrees(agrees=False)
    async with page.expect_request(BEGIN):
        await page.get_by_test_id("account-sign-out").click()
    await expect(page.get_by_test_id("sign-in")).to_be_visible()


async def passkey_chosen(page: Page, device: Device) -> None:
    """Asks to sign in by passkey. The owner says yes, which a virtual authenticator must know before it is asked."""

    async def agree(route: Route) -> None:
        await device.owner_agrees(agrees=True)
        await route.continue_()

    await page.route(BEGIN, agree)
    async with page.expect_request("**/FinishPasskeySignIn"):
        await page.get_by_test_id("passkey-sign-in").click()
    await page.unroute(BEGIN)


async def test_a_person_registers_stays_signed_in_and_comes_back_by_passkey(whole_mesh: Mesh, browser: Browser) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        address = await registered(page, whole_mesh)
        await signed_in(page)
        await expect(page.get_by_test_id("no-library")).to_be_visible()  # viewers watch; the library is for others
        await page.reload()
        await signed_in(page)

        device = await with_authenticator(page)
        await page.get_by_test_id("who").click()
        await page.get_by_test_id("add-passkey").click()
        passkey = page.get_by_test_id("passkey")
        await expect(passkey).to_have_count(1)
        await passkey.get_by_test_id("rename-passkey").click()
        await page.get_by_test_id("passkey-name").fill("My laptop")
        await page.get_by_test_id("save-passkey-name").click()
        await expect(passkey).to_contain_text("My laptop")

        await signed_out(page, device)
        assert await page.evaluate("localStorage.getItem('reelmesh.session')") is None
        await passkey_chosen(page, device)
        await signed_in(page)
        await expect(page.get_by_test_id("session").filter(has_text="by passkey")).to_have_count(1)
        await expect(page.get_by_test_id("passkey")).to_contain_text("used just now")

        await page.get_by_test_id("remove-passkey").click()
        await page.get_by_test_id("remove-passkey-sure").click()
        await expect(page.get_by_test_id("passkey")).to_have_count(0)
        await signed_out(page, device)
        await passkey_chosen(page, device)
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", "PASSKEY_REFUSED")
        assert address not in await page.content()


async def test_tabs_share_a_session_refresh_it_one_after_the_other_and_sign_out_together(
    whole_mesh: Mesh, browser: Browser
) -> None:
    async with somebody(browser) as context:
        first = await context.new_page()
        await registered(first, whole_mesh)
        await signed_in(first)
        tokens = {await _refresh_token(first)}
        second = await context.new_page()
        for _ in range(3):  # each load is an exchange, and both tabs load at once
            await second.goto(f"{named(whole_mesh)}/account", wait_until="commit")
            await first.goto(f"{named(whole_mesh)}/account", wait_until="commit")
            for page in (first, second):
                await expect(page.get_by_test_id("session")).to_have_count(1)
                await signed_in(page)
            tokens.add(await _refresh_token(first))
        assert len(tokens) == 4
        await second.get_by_test_id("sign-out").click()
        await expect(first.get_by_test_id("sign-in")).to_be_visible()
        await expect(second.get_by_test_id("sign-in")).to_be_visible()


async def _refresh_token(page: Page) -> str:
    kept: dict[str, Any] = json.loads(await page.evaluate("localStorage.getItem('reelmesh.session')"))
    return str(kept["refreshToken"])


async def test_a_page_that_is_reloaded_before_it_is_there_stays_signed_in(whole_mesh: Mesh, browser: Browser) -> None:
    """Each load exchanges the refresh token, and the answer gets lost when the next load comes too early."""
    async with somebody(browser) as context:
        page = await context.new_page()
        await registered(page, whole_mesh)
        await signed_in(page)
        for _ in range(6):
            async with page.expect_request("**/RefreshSession"):
                await page.goto(f"{named(whole_mesh)}/account", wait_until="commit")
        await signed_in(page)
        await expect(page.get_by_test_id("session")).to_have_count(1)
        await page.reload()
        await signed_in(page)


async def test_a_stolen_session_is_ended_and_the_person_is_told(whole_mesh: Mesh, browser: Browser) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        await registered(page, whole_mesh)
        await signed_in(page)
        async with whole_mesh.http() as http:
            stolen = {"request_id": "a-thief-asks", "refresh_token": await _refresh_token(page)}
            assert (await http.post("/v1/sessions:refresh", json=stolen)).status_code == 200
        await page.reload()
        refusal = page.get_by_test_id("refusal")
        await expect(refusal).to_have_attribute("data-reason", "REFRESH_TOKEN_REUSED")
        await expect(page.get_by_test_id("sign-in")).to_be_visible()


async def test_after_signing_in_a_person_is_where_they_wanted_to_be_and_nowhere_else(
    whole_mesh: Mesh, browser: Browser, asset_id: str
) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        await page.goto(f"{named(whole_mesh)}/watch/{asset_id}")
        await page.get_by_test_id("to-sign-in").click()
        await page.get_by_test_id("to-register").click()
        address = await registered(page, whole_mesh, path=f"/register{await page.evaluate('location.hash')}")
        await page.wait_for_url(f"{named(whole_mesh)}/watch/{asset_id}")
        await expect(page.get_by_test_id("start-playback")).to_be_visible()
        await page.get_by_test_id("sign-out").click()
        await page.goto(f"{named(whole_mesh)}/sign-in#next=%2F%2Fevil.example%2F")
        await log_in(page, address)
        await page.wait_for_url(f"{named(whole_mesh)}/")
        await signed_in(page)


async def test_a_wrong_password_is_told_and_a_forgotten_one_is_set_anew(whole_mesh: Mesh, browser: Browser) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        address = await registered(page, whole_mesh)
        await signed_in(page)
        await page.get_by_test_id("sign-out").click()
        await log_in(page, address, "not the password")
        refusal = page.get_by_test_id("refusal")
        await expect(refusal).to_have_attribute("data-reason", "SIGN_IN_REFUSED")
        await expect(refusal).to_contain_text("do not belong together")
        await page.get_by_role("link", name="Forgot your password?").click()
        await page.get_by_test_id("email").fill(address)
        await page.get_by_test_id("reset-request").click()
        await page.get_by_test_id("code").fill(await newest_code(whole_mesh, address, "reset-password"))
        await page.get_by_test_id("new-password").fill("password1234")
        await page.get_by_test_id("reset-submit").click()
        await expect(page.get_by_test_id("reset").get_by_role("alert")).to_contain_text("Choose another password")
        await page.get_by_test_id("new-password").fill(OTHER_PASSWORD)
        await page.get_by_test_id("reset-submit").click()
        await signed_in(page)


async def test_a_person_comes_back_by_a_code(whole_mesh: Mesh, browser: Browser) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        address = await registered(page, whole_mesh)
        await signed_in(page)
        await page.get_by_test_id("sign-out").click()
        await page.get_by_test_id("send-code").click()
        await expect(page.get_by_test_id("sign-in").get_by_role("alert")).to_contain_text("e-mail address first")
        await page.get_by_test_id("email").fill(address)
        await page.get_by_test_id("send-code").click()
        code = await newest_code(whole_mesh, address, "sign-in-code")
        await page.get_by_test_id("code").fill(f"{(int(code) + 1) % 10**8:08}")
        await page.get_by_test_id("code-submit").click()
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", "CODE_INVALID")
        await page.get_by_test_id("code").fill(code)
        await page.get_by_test_id("code-submit").click()
        await signed_in(page)


async def test_a_person_sees_to_their_account(whole_mesh: Mesh, browser: Browser) -> None:
    async with somebody(browser) as context, somebody(browser) as elsewhere:
        page, other = await context.new_page(), await elsewhere.new_page()
        address = await registered(page, whole_mesh)
        await signed_in(page)
        await other.goto(f"{named(whole_mesh)}/account")
        await log_in(other, address)
        await signed_in(other)
        await page.goto(f"{named(whole_mesh)}/account")
        await page.get_by_test_id("display-name").fill("Countess Lovelace")
        await page.get_by_test_id("language").select_option("fr")
        await page.get_by_test_id("save-profile").click()
        await signed_in(page, "Countess Lovelace")
        sessions = page.get_by_test_id("session")
        await expect(sessions).to_have_count(2)
        await expect(sessions.first).to_contain_text("Chrome on Linux")
        await expect(page.locator('[data-testid="session"][data-current="true"]')).to_contain_text("This one")
        await page.get_by_test_id("end-session").click()
        await expect(sessions).to_have_count(1)
        await other.get_by_test_id("save-profile").click()
        await expect(other.get_by_test_id("sign-in")).to_be_visible()

        await page.get_by_test_id("old-password").fill("wrong")
        await page.get_by_test_id("new-password").fill(OTHER_PASSWORD)
        await page.get_by_test_id("change-password").click()
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", "SIGN_IN_REFUSED")
        await page.get_by_test_id("old-password").fill(PASSWORD)
        await page.get_by_test_id("change-password").click()
        await expect(page.get_by_text("Changed", exact=True)).to_be_visible()
        await newest_letter(whole_mesh, address, "password-changed")
        await page.reload()
        await expect(page.get_by_test_id("language")).to_have_value("fr")


async def test_a_creator_brings_a_film_in_with_tokens_that_are_renewed_on_the_way(
    whole_mesh: Mesh, browser: Browser
) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        await registered(page, whole_mesh)
        await signed_in(page)
        await page.goto(f"{named(whole_mesh)}/upload")
        await expect(page.get_by_test_id("no-uploads")).to_be_visible()
        account_id = str(json.loads(await page.evaluate("localStorage.getItem('reelmesh.session')"))["accountId"])
        await made_creator(whole_mesh, account_id)
        # All access tokens of an account are taken back when its tier changes, so the page has to get another one, and learns of the role.
        await tier_set(whole_mesh, account_id, "standard")
        await page.get_by_role("navigation").get_by_text("Library").click()
        await expect(page.get_by_role("navigation").get_by_text("Upload")).to_be_visible()
        await page.get_by_role("navigation").get_by_text("Upload").click()
        await page.get_by_test_id("file-input").set_input_files(film())
        await tier_set(whole_mesh, account_id, "premium")
        await page.get_by_test_id("start-upload").click()
        await page.get_by_test_id("upload").get_by_test_id("watch").click(timeout=120_000)
        await expect(page.get_by_test_id("player")).to_have_attribute("data-state", "playing")
        await page.goto(f"{named(whole_mesh)}/")
        await expect(page.get_by_test_id("asset").first).to_be_visible()


async def made_creator(mesh: Mesh, account_id: str) -> None:
    """Gives a person a creator's roles, as an administrator does."""
    layout = mesh.installation.layout
    connection = await asyncpg.connect(host=str(layout.postgres_socket), user="identity", database="reelmesh")
    try:
        await connection.execute(
            "UPDATE identity.memberships SET role_ids = '{creator}' WHERE account_id = $1", account_id
        )
    finally:
        await connection.close()


async def tier_set(mesh: Mesh, account_id: str, tier: str) -> None:
    async with mesh.http() as http:
        answer = await http.post(f"/v1/accounts/{account_id}:setTier", json={"tier": tier})
        assert answer.status_code == 200, answer.text


async def test_passkeys_at_an_ip_address_lead_to_the_name(whole_mesh: Mesh, browser: Browser) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        await page.goto(f"{whole_mesh.url}/sign-in")
        await page.get_by_test_id("passkey-sign-in").click()
        refusal = page.get_by_test_id("refusal")
        await expect(refusal).to_have_attribute("data-reason", "PASSKEY_ELSEWHERE")
        await expect(refusal).to_contain_text(f"{named(whole_mesh)}/sign-in")


async def test_the_pages_of_signing_in_are_accessible(whole_mesh: Mesh, browser: Browser) -> None:
    """WCAG 2.2 AA as far as axe-core can tell, and nothing that has to be scrolled sideways, on a phone and on a screen."""
    async with somebody(browser) as context:
        page = await context.new_page()

        async def judge(name: str) -> None:
            await page.evaluate(AXE.read_text(encoding="utf-8"))
            for width in (390, 1280):
                await page.set_viewport_size({"width": width, "height": 800})
                found = await page.evaluate(
                    f"axe.run(document, {{runOnly: {RULES}}}).then(result => result.violations.map("
                    "rule => [rule.id, ...rule.nodes.map(node => node.html)]))"
                )
                assert found == [], (name, width)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)

        for path in ("sign-in", "register", "forgot-password"):
            await page.goto(f"{named(whole_mesh)}/{path}")
            await expect(page.get_by_test_id(path)).to_be_visible()
            await judge(path)
        await registered(page, whole_mesh, name="A person with a name that is rather long, as names go")
        await expect(page.get_by_test_id("no-library")).to_be_visible()
        await judge("library of a viewer")
        await with_authenticator(page)
        # Until all lists are there, what stands below them moves, and a click may miss it.
        await page.goto(f"{named(whole_mesh)}/account", wait_until="networkidle")
        await page.get_by_test_id("add-passkey").click()
        await expect(page.get_by_test_id("passkey")).to_be_visible()
        await expect(page.get_by_test_id("session")).to_be_visible()
        await judge("account")
