"""The page of the interface in a real browser, under the rules that the edge sends with it."""

from __future__ import annotations

import os

import pytest

from tests.envoy.edge import running_edge
from tests.support.chromium import opened_page, running_chromium
from tools.envoy_config.settings import REPOSITORY

BUILT = REPOSITORY / "web/dist"


async def test_the_interface_can_be_browsed_and_nothing_is_asked_of_another_host() -> None:
    if not (BUILT / "docs.html").exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("the web app is not built: make setup")
    async with running_edge(web=BUILT) as edge, running_chromium() as browser, opened_page(browser, 1280, 800) as page:
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.goto(f"http://{edge.address}/docs")
        service = page.locator("#operations-tag-UploadService")
        await service.wait_for()
        assert await page.locator(".opblock-tag").count() >= 20
        await service.click()
        operation = page.locator("#operations-UploadService-UploadService_CreateUpload")
        await operation.locator(".opblock-summary").click()
        await operation.get_by_text("Needs a credential with the permission").wait_for()
        assert await page.locator(".opblock").count() >= 5
        assert said == []
        assert [url for url in asked if not url.startswith((f"http://{edge.address}/", "data:", "blob:"))] == []
