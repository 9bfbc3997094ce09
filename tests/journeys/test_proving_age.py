"""Somebody may not watch a film before they have proved their age, proves it on the provider's page, and watches it."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from tests.journeys.test_buying import judged, registers
from tests.journeys.test_signing_in import somebody
from tests.support import till
from tests.support.chromium import played_until
from tests.support.mesh import Mesh


async def test_an_age_is_proved_on_the_providers_page(whole_mesh: Mesh, browser: Browser, asset_id: str) -> None:
    async with whole_mesh.http() as http:
        await till.done(http, "PUT", f"/v1/assets/{asset_id}/terms", {"terms": {"least_age": 18}})
        try:
            await _proves(whole_mesh, browser, asset_id)
        finally:
            await till.done(http, "PUT", f"/v1/assets/{asset_id}/terms", {"terms": {}})


async def _proves(mesh: Mesh, browser: Browser, asset_id: str) -> None:
    async with somebody(browser) as context:
        page = await context.new_page()
        await registers(page, mesh)
        await page.goto(f"{mesh.url}/watch/{asset_id}")
        await page.get_by_test_id("start-playback").click()
        refusal = page.get_by_test_id("refusal")
        await expect(refusal).to_have_attribute("data-reason", "AGE_PROOF_REQUIRED")
        # Nobody knows where this is: only what every law accepts is offered.
        ways = page.get_by_test_id("prove-age")
        await expect(ways).to_have_count(1)
        await judged(page)
        await ways.click()

        await page.get_by_role("button", name="I am younger").click()
        await expect(page.get_by_role("heading", name="Not proved")).to_be_visible()
        await judged(page)
        await page.get_by_role("link", name="Back to where you came from").click()
        await page.get_by_test_id("start-playback").click()
        await ways.click()
        await expect(page.get_by_role("heading", name="at least 18")).to_be_visible()
        await judged(page)
        await page.get_by_role("button", name="I am 18 or older").click()
        await page.wait_for_url(f"**/watch/{asset_id}")
        await page.get_by_test_id("start-playback").click()
        await played_until(page, 1.0)
