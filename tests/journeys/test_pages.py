"""The pages as people meet them: interrupted uploads, refusals in words, menus, keyboards, phones, and no other host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.async_api import Browser, CDPSession, Page, Route, expect

from tests.journeys.pages import AXE, RULES
from tests.support.chromium import played_until
from tests.support.counted_films import large_file
from tests.support.mesh import Mesh

SCHEMES: Final[tuple[Literal["dark", "light"], ...]] = ("dark", "light")
COLOURS_CHANGED: Final = """Promise.allSettled(
    document.getAnimations().filter(one => one instanceof CSSTransition).map(one => one.finished)).then(() => null)"""
"""Colours that go over into others are judged once they are there."""

BEGINS_BY_HAND: Final = """
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = () => Promise.reject(new DOMException("nobody touched the page", "NotAllowedError"));
    addEventListener("pointerdown", () => { HTMLMediaElement.prototype.play = play; }, { capture: true, once: true });
"""
"""A browser's policy against films that begin by themselves. Chromium's own is off once Playwright has asked a page something: that counts as a touch."""


@asynccontextmanager
async def visitor(
    browser: Browser, *, width: int = 1280, height: int = 800, touch: bool = False
) -> AsyncIterator[Page]:
    """Somebody new, who keeps an eye on what the page asks for and says to the console."""
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark", has_touch=touch
    )
    page = await context.new_page()
    page.set_default_timeout(30_000)
    try:
        yield page
    finally:
        await context.close()


async def signed_in(page: Page, mesh: Mesh, path: str = "/") -> None:
    """Opens a page as the operator, by the link that carries the key."""
    await page.goto(f"{mesh.url}{path}#key={mesh.key}")
    await expect(page.get_by_test_id("sign-out")).to_be_visible()


async def watch_url(mesh: Mesh, asset_id: str) -> str:
    async with mesh.client() as client:
        return (await client.create_playback(asset_id)).watch_url


@dataclass(frozen=True)
class Line:
    """The network between a page and the mesh."""

    session: CDPSession

    async def carries(self, bytes_per_second: int) -> None:
        """So much goes up it from now on; -1: as much as loopback carries."""
        told = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
        await self.session.send("Network.emulateNetworkConditions", told)


async def begin_upload(page: Page, mesh: Mesh, file: Path) -> Line:
    """Starts to upload a file slowly and waits until a good part of it is on its way."""
    await signed_in(page, mesh, "/upload")
    line = Line(await page.context.new_cdp_session(page))
    await line.session.send("Network.enable")
    await line.carries(2_000_000)
    await page.get_by_test_id("file-input").set_input_files(file)
    await page.get_by_test_id("start-upload").click()
    await expect(page.get_by_test_id("transfer-line")).to_contain_text("left")
    return line


async def test_a_key_that_is_not_accepted_is_told_and_forgotten(whole_mesh: Mesh, browser: Browser) -> None:
    async with visitor(browser) as page:
        await page.goto(whole_mesh.url)
        await page.get_by_test_id("use-api-key").click()
        await page.get_by_test_id("api-key").fill("rmk_wrong")
        await page.get_by_test_id("sign-in-submit").click()
        refusal = page.get_by_test_id("refusal")
        await expect(refusal).to_have_attribute("data-reason", "CREDENTIAL_INVALID")
        await expect(page.get_by_test_id("sign-in")).to_contain_text("reelmesh key")
        assert await page.evaluate("sessionStorage.length") == 0


async def test_a_key_in_the_fragment_signs_in_and_leaves_the_address_bar(whole_mesh: Mesh, browser: Browser) -> None:
    async with visitor(browser) as page:
        await signed_in(page, whole_mesh, "/upload")
        assert page.url == f"{whole_mesh.url}/upload"


async def test_an_upload_goes_on_after_a_reload_and_a_file_that_is_no_film_is_refused_in_words(
    whole_mesh: Mesh, browser: Browser
) -> None:
    async with visitor(browser) as page:
        page.on("dialog", lambda dialog: dialog.accept())
        line = await begin_upload(page, whole_mesh, large_file(24))
        await page.reload()
        await line.carries(-1)
        unfinished = page.get_by_test_id("unfinished")
        await expect(unfinished).to_contain_text(large_file(24).name)
        # The page asks once, and the server counts what arrived when it sees that the old stream is gone.
        async with asyncio.timeout(60):
            while int(await unfinished.get_attribute("data-received") or 0) == 0:
                await page.reload()
                await expect(unfinished).to_contain_text(large_file(24).name)
        await page.get_by_test_id("file-input").set_input_files(large_file(24))
        await expect(page.get_by_test_id("continues")).to_be_visible()
        await expect(unfinished).to_have_count(0)
        await page.get_by_test_id("start-upload").click()
        refusal = page.get_by_test_id("upload").get_by_test_id("refusal")
        await expect(refusal).to_have_attribute("data-reason", "MASTER_NOT_MEDIA", timeout=120_000)
        await expect(refusal.get_by_test_id("correlation-id")).not_to_be_empty()
        await expect(page.locator('[data-stage="PROBE"]')).to_have_attribute("data-state", "FAILED")


async def test_an_upload_that_is_paused_goes_on_and_one_that_is_cancelled_is_gone(
    whole_mesh: Mesh, browser: Browser
) -> None:
    async with visitor(browser) as page:
        await begin_upload(page, whole_mesh, large_file(24))
        upload = page.get_by_test_id("upload")
        await page.get_by_test_id("pause").click()
        await expect(upload).to_have_attribute("data-state", "paused")
        await page.get_by_test_id("resume").click()
        await expect(upload).to_have_attribute("data-state", "uploading")
        await page.get_by_test_id("cancel").click()
        await expect(upload).to_have_count(0)
        await page.reload()
        await expect(page.get_by_test_id("drop-zone")).to_be_visible()
        await expect(page.get_by_test_id("unfinished")).to_have_count(0)


async def test_an_upload_outlives_the_edge(whole_mesh: Mesh, browser: Browser) -> None:
    async with visitor(browser) as page:
        line = await begin_upload(page, whole_mesh, large_file(24))
        pid = whole_mesh.installation.pid("envoy")
        upload = page.get_by_test_id("upload")
        # It waits for a moment only, which nobody need see who looks now and then.
        await upload.evaluate(
            "upload => { window.seen = []; new MutationObserver(() => window.seen.push(upload.dataset.state))"
            ".observe(upload, { attributeFilter: ['data-state'] }); }"
        )
        whole_mesh.kill("envoy")
        await page.wait_for_function("() => window.seen.includes('waiting')")
        await line.carries(-1)
        await whole_mesh.repaired("envoy", pid)
        refusal = upload.get_by_test_id("refusal")
        await expect(refusal).to_have_attribute("data-reason", "MASTER_NOT_MEDIA", timeout=120_000)


async def test_an_empty_file_is_refused_before_it_is_sent(whole_mesh: Mesh, browser: Browser) -> None:
    async with visitor(browser) as page:
        await signed_in(page, whole_mesh, "/upload")
        await page.get_by_test_id("file-input").set_input_files(
            {"name": "empty.mp4", "mimeType": "video/mp4", "buffer": b""}
        )
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", "MASTER_EMPTY")
        await expect(page.get_by_test_id("start-upload")).to_have_count(0)


async def test_the_watch_page_goes_on_after_a_reload_where_it_was(
    whole_mesh: Mesh, browser: Browser, asset_id: str
) -> None:
    async with visitor(browser) as page:
        await page.goto(await watch_url(whole_mesh, asset_id))
        await played_until(page, 2.0)
        await page.reload()
        await page.wait_for_selector("video")
        await expect(page.get_by_test_id("player")).to_have_attribute("data-state", "playing")
        assert await page.eval_on_selector("video", "video => video.currentTime") >= 1.5


async def test_quality_sound_and_subtitles_can_be_chosen_and_the_keyboard_works(
    whole_mesh: Mesh, browser: Browser, asset_id: str
) -> None:
    async with visitor(browser) as page:
        await page.goto(await watch_url(whole_mesh, asset_id))
        await played_until(page, 0.5)
        await page.keyboard.press("k")
        await expect(page.get_by_test_id("player")).to_have_attribute("data-state", "paused")
        await page.keyboard.press("c")
        await expect(page.locator(".shaka-text-container")).to_contain_text("A caption that can be read.")
        for menu, choice in (("Language", "Deutsch"), ("Resolution", "144p")):
            await page.mouse.move(400, 300)
            await page.get_by_role("button", name=menu, exact=True).click()
            await page.locator(".shaka-settings-menu:visible").get_by_text(choice, exact=True).click()
            await page.keyboard.press("Escape")
        await page.keyboard.press("k")
        await page.wait_for_function("() => document.querySelector('video').videoHeight === 144")
        await page.keyboard.press("f")
        await page.wait_for_function("() => document.fullscreenElement?.dataset.testid === 'player'")


async def test_a_browser_that_lets_no_film_begin_by_itself_has_the_button_that_begins_it(
    whole_mesh: Mesh, browser: Browser, asset_id: str
) -> None:
    async with visitor(browser) as page:
        await page.add_init_script(BEGINS_BY_HAND)
        await page.goto(await watch_url(whole_mesh, asset_id))
        await expect(page.get_by_test_id("player")).to_have_attribute("data-state", "paused")
        await page.mouse.move(400, 300)
        await page.get_by_role("button", name="Play", exact=True).first.click()
        await played_until(page, 0.5)


async def test_an_operator_starts_a_playback_on_the_watch_page_and_ends_it_there(
    whole_mesh: Mesh, browser: Browser, asset_id: str
) -> None:
    async with visitor(browser) as page:
        await signed_in(page, whole_mesh, f"/watch/{asset_id}")
        await page.get_by_test_id("start-playback").click()
        await played_until(page, 0.5)
        await page.get_by_text("Session", exact=True).click()
        await page.get_by_test_id("revoke").click()
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", "SESSION_REVOKED")


async def test_without_a_code_a_viewer_is_told_what_is_needed(
    whole_mesh: Mesh, browser: Browser, asset_id: str
) -> None:
    async with visitor(browser) as page:
        await page.goto(f"{whole_mesh.url}/watch/{asset_id}")
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", "PLAYBACK_NEEDED")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 200, "body": "garbage"}, "LICENCE_UNREADABLE"),
        ({"status": 500, "body": ""}, "INTERNAL"),
        ({"status": 503, "body": "upstream connect error"}, "EDGE_UNAVAILABLE"),
        ({"status": 403, "headers": {"x-reelmesh-reason": "KEY_NOT_ENTITLED"}}, "KEY_NOT_ENTITLED"),
    ],
)
async def test_a_licence_that_does_not_come_is_told(
    whole_mesh: Mesh, browser: Browser, asset_id: str, answer: dict[str, object], reason: str
) -> None:
    """The player itself goes on as if nothing had happened: `load()` resolves, and nothing is ever shown."""

    async def fulfil(route: Route) -> None:
        await route.fulfill(**answer)  # type: ignore[arg-type]

    async with visitor(browser) as page:
        await page.route("**/licence/clearkey", fulfil)
        await page.goto(await watch_url(whole_mesh, asset_id))
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", reason)
        await expect(page.get_by_test_id("player")).to_have_attribute("data-state", "refused")


async def test_a_key_that_does_not_fit_is_told(whole_mesh: Mesh, browser: Browser, asset_id: str) -> None:
    async def wrong_keys(route: Route) -> None:
        answer = await route.fetch()
        licence = await answer.json()
        for key in licence["keys"]:
            key["k"] = "AAAAAAAAAAAAAAAAAAAAAA"
        await route.fulfill(response=answer, json=licence)

    async with visitor(browser) as page:
        await page.route("**/licence/clearkey", wrong_keys)
        await page.goto(await watch_url(whole_mesh, asset_id))
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", "KEY_WRONG")


async def test_no_other_host_is_asked_and_the_console_tells_no_secret(
    whole_mesh: Mesh, browser: Browser, asset_id: str
) -> None:
    async with visitor(browser) as page:
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        await signed_in(page, whole_mesh, "/upload")
        await page.goto(await watch_url(whole_mesh, asset_id))
        await played_until(page, 1.0)
        assert [url for url in asked if not url.startswith((whole_mesh.url, "blob:", "data:"))] == []
        assert said == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)], ids=["phone", "desktop"])
async def test_every_page_is_accessible(
    whole_mesh: Mesh, browser: Browser, asset_id: str, width: int, height: int
) -> None:
    """WCAG 2.2 AA as far as axe-core can tell, contrast in the dark and in the light included, and nothing that has to be scrolled sideways."""
    code_url = await watch_url(whole_mesh, asset_id)
    async with visitor(browser, width=width, height=height, touch=width < 600) as page:

        async def judge(name: str) -> None:
            await page.evaluate(AXE.read_text(encoding="utf-8"))
            colours = set()
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                await page.evaluate(COLOURS_CHANGED)
                found = await page.evaluate(
                    f"axe.run(document, {{runOnly: {RULES}}}).then(result => result.violations.map("
                    "rule => [rule.id, ...rule.nodes.map(node => node.html)]))"
                )
                assert found == [], (name, scheme)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, scheme)
                colours.add(await page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
            assert len(colours) == len(SCHEMES), name

        await page.goto(whole_mesh.url)
        await expect(page.get_by_test_id("sign-in")).to_be_visible()
        await judge("sign in")
        await page.goto(f"{whole_mesh.url}/watch/{asset_id}")
        await expect(page.get_by_test_id("refusal")).to_be_visible()
        await judge("refused")
        await signed_in(page, whole_mesh)
        await expect(page.get_by_test_id("asset").first).to_be_visible()
        await judge("library")
        await page.goto(f"{whole_mesh.url}/upload")
        await page.get_by_test_id("file-input").set_input_files(large_file(1))
        await expect(page.get_by_test_id("title-input")).to_be_visible()
        await judge("upload")
        await page.goto(code_url)
        await played_until(page, 0.5)
        await judge("watch")
        await page.goto(f"{whole_mesh.url}/watch/nothing")
        await expect(page.get_by_test_id("missing")).to_be_visible()
        await judge("missing")
