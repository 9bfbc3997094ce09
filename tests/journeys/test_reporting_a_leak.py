"""Somebody who found a copy reports it on the page, with the film itself."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Browser, Page, expect

from tests.journeys.test_pages import signed_in
from tests.support.chromium import opened_page
from tests.support.counted_films import film
from tests.support.mesh import Mesh


async def report(page: Page, copy: Path) -> None:
    await page.get_by_test_id("leak-url").fill("https://pirate.example/film")
    await page.get_by_test_id("leak-film").set_input_files(copy)
    await page.get_by_test_id("report").click()


async def test_a_film_that_was_found_is_kept_as_evidence_of_its_case(whole_mesh: Mesh, browser: Browser) -> None:
    async with opened_page(browser, 390, 844) as page:
        await signed_in(page, whole_mesh, "/report-leak")
        await report(page, film(seconds=2, height=144))
        told = page.get_by_test_id("leak-reported")
        await expect(told).to_be_visible(timeout=60_000)
        case_id = await told.get_attribute("data-case-id")
    async with whole_mesh.http() as http:
        case = (await http.get(f"/v1/leak-cases/{case_id}")).json()["case"]
        params = {"state": "ASSET_STATE_KEPT", "page_size": "200"}
        kept = (await http.get("/v1/assets", params=params)).json()["assets"]
    assert case["evidence"][0]["sha256"] in {one["master"]["sha256"] for one in kept}


async def test_the_same_file_can_be_uploaded_as_a_title_after_a_report_broke_off(
    whole_mesh: Mesh, browser: Browser, tmp_path: Path
) -> None:
    copy = tmp_path / "found.mp4"
    copy.write_bytes(film(seconds=2, height=144).read_bytes())
    async with opened_page(browser, 1280, 800) as page:
        await signed_in(page, whole_mesh, "/report-leak")
        await page.route("**/files/upl_*", lambda route: route.abort())
        async with page.expect_response(lambda answer: answer.url.endswith("/files/") and answer.status == 201):
            await report(page, copy)
        await page.unroute("**/files/upl_*")
        await page.goto(f"{whole_mesh.url}/upload")
        await page.get_by_test_id("file-input").set_input_files(copy)
        await expect(page.get_by_test_id("title-input")).to_have_value("found")
        await expect(page.get_by_test_id("continues")).to_have_count(0)
