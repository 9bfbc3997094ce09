"""Somebody may not watch a film, rents it on the processor's page, watches it, and has it taken back."""

from __future__ import annotations

import asyncio
import secrets

from playwright.async_api import Browser, Page, expect

from tests.journeys.pages import AXE, RULES
from tests.journeys.test_signing_in import PASSWORD, signed_in, somebody
from tests.support import till
from tests.support.chromium import played_until
from tests.support.mailbox import newest_code
from tests.support.mesh import Mesh


async def registers(page: Page, mesh: Mesh) -> None:
    """Somebody new, at the address to which the processor sends people back."""
    address = f"{secrets.token_hex(6)}@example.com"
    await page.goto(f"{mesh.url}/register")
    await page.get_by_test_id("name").fill("Ada Lovelace")
    await page.get_by_test_id("email").fill(address)
    await page.get_by_test_id("password").fill(PASSWORD)
    await page.get_by_test_id("register-submit").click()
    await page.get_by_test_id("code").fill(await newest_code(mesh, address, "verify-email"))
    await page.get_by_test_id("verify-submit").click()
    await signed_in(page)


async def judged(page: Page) -> None:
    """WCAG 2.2 AA as far as axe-core can tell, and nothing to be scrolled sideways on a phone. The page may run no script of its own."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    for width in (1280, 390):
        await page.set_viewport_size({"width": width, "height": 800})
        found = await page.evaluate(
            f"axe.run(document, {{runOnly: {RULES}}}).then(result => result.violations.map("
            "rule => [rule.id, ...rule.nodes.map(node => node.html)]))"
        )
        assert found == [], width
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


async def test_a_rental_is_bought_on_the_processors_page_and_ends_with_its_refund(
    whole_mesh: Mesh, browser: Browser, long_asset_id: str
) -> None:
    await till.opened(whole_mesh)
    await till.for_rent(whole_mesh, long_asset_id)
    try:
        await _rents(whole_mesh, browser, long_asset_id)
    finally:
        async with whole_mesh.http() as http:
            await till.done(http, "PUT", f"/v1/assets/{long_asset_id}/terms", {"terms": {}})


async def _rents(mesh: Mesh, browser: Browser, asset_id: str) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        await registers(page, mesh)
        await page.goto(f"{mesh.url}/watch/{asset_id}")
        await page.get_by_test_id("start-playback").click()
        refusal = page.get_by_test_id("refusal")
        await expect(refusal).to_have_attribute("data-reason", "ENTITLEMENT_REQUIRED")
        buy = page.get_by_test_id("buy")
        await expect(buy).to_have_text("Rent for €4.99")
        await buy.click()

        await expect(page.get_by_role("button", name="Pay 4.99 EUR")).to_be_visible()
        receipt = page.url
        await judged(page)
        await page.set_viewport_size({"width": 1280, "height": 800})
        await page.get_by_role("button", name="Let it be declined").click()
        await expect(page.get_by_role("alert")).to_contain_text("declined")
        await page.get_by_role("button", name="Pay 4.99 EUR").click()
        await page.wait_for_url(f"**/watch/{asset_id}")

        await page.get_by_test_id("start-playback").click()
        await played_until(page, 1.0)
        shop = await context.new_page()
        await shop.goto(receipt)
        await judged(shop)
        await shop.get_by_role("button", name="Refund it").click()
        await expect(shop.get_by_role("status")).to_contain_text("Refunded")
        await page.bring_to_front()
        await asyncio.sleep(1)
        # Farther than it has buffered, unless it was told already.
        await page.evaluate(
            "() => { const video = document.querySelector('video'); if (video) video.currentTime = 50; }"
        )
        await expect(refusal).to_have_attribute("data-reason", "SESSION_REVOKED")
        await page.goto(f"{mesh.url}/watch/{asset_id}")
        await page.get_by_test_id("start-playback").click()
        await expect(refusal).to_have_attribute("data-reason", "ENTITLEMENT_REQUIRED")
        await expect(buy).to_be_visible()
