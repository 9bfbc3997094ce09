"""A real browser for tests: Debian's Chromium, driven by Playwright.

It plays H.264, AAC, AV1, VP9 and Opus, and ClearKey with cenc and cbcs; no HEVC, no Widevine, no PlayReady. Encrypted
video cannot be read back from a canvas, but a screenshot shows it.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

# What Playwright turns off, whose own list ours takes the place of; and two pages of suggestions that each new window would load and nobody sees.
_FEATURES_OFF: Final = """
    AvoidUnnecessaryBeforeUnloadCheckSync DestroyProfileOnBrowserClose HttpsUpgrades HttpsFirstBalancedModeAutoEnable LensOverlay MediaRouter PaintHolding
    ThirdPartyStoragePartitioning AvoidCorsURLLoaderRestartOnRedirect OptimizationHints NetworkTimeServiceQuerying AimEnabled PreconnectToSearch
    WebUIOmniboxPopup WebUIOmniboxAimPopup
""".split()
EXECUTABLE: Final = Path("/usr/bin/chromium")
_FLAGS: Final = (
    "--no-sandbox",  # the tests may run as root, where Chromium's own sandbox does not start
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    f"--disable-features={','.join(_FEATURES_OFF)}",
)


def require_chromium() -> Path:
    """The browser's path. Where it is missing the test is skipped, and in CI it fails."""
    found = EXECUTABLE if EXECUTABLE.exists() else shutil.which("chromium")
    if found is None:
        reason = "Chromium is missing: apt-get install chromium fonts-dejavu-core, or make setup as root"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found)


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """A headless browser, closed at the end together with all its pages. What is expected of them may take longer than Playwright's five seconds: a
    machine may be busy."""
    expect.set_options(timeout=30_000)
    executable = require_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, headless=True, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened_page(browser: Browser, width: int = 640, height: int = 360) -> AsyncIterator[Page]:
    """A page of this size in a context of its own, so that no cookie or cache of another test shows."""
    context = await browser.new_context(viewport={"width": width, "height": height})
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def video_position(page: Page, selector: str = "video") -> float:
    """Seconds that the first such video has played."""
    position: float = await page.eval_on_selector(selector, "video => video.currentTime")
    return position


async def played_until(page: Page, seconds: float, *, selector: str = "video", within: float = 60) -> float:
    """Waits until the video has come so far and shows frames; returns where it is then.

    `video.play()` may never settle when keys are missing, so nothing here waits for it.

    Raises:
        TimeoutError: when it has not within so many seconds (Playwright's own class).
    """
    await page.wait_for_function(
        """([selector, seconds]) => {
            const video = document.querySelector(selector);
            return video && video.currentTime >= seconds && video.getVideoPlaybackQuality().totalVideoFrames > 0;
        }""",
        arg=[selector, seconds],
        timeout=within * 1000,
        polling=100,  # by default the page is drawn anew for each look
    )
    return await video_position(page, selector)


async def paused_picture(page: Page, selector: str = "video") -> bytes:
    """Stops the video and returns a PNG of what it shows, decrypted."""
    await page.eval_on_selector(selector, "video => video.pause()")
    # A frame that is already on its way is still shown after pause(): wait for two refreshes of the screen.
    await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    picture = await page.locator(selector).screenshot(type="png")
    width, height = await page.eval_on_selector(selector, "video => [video.videoWidth, video.videoHeight]")
    return _without_bars(picture, width / height)


def _without_bars(picture: bytes, aspect: float) -> bytes:
    """The picture of a video element without the bars that fill it up where its shape is not that of the film."""
    with Image.open(io.BytesIO(picture)) as whole:
        width, height = min(whole.width, whole.height * aspect), min(whole.height, whole.width / aspect)
        left, top = (whole.width - width) / 2, (whole.height - height) / 2
        out = io.BytesIO()
        whole.crop((round(left), round(top), round(left + width), round(top + height))).save(out, "PNG")
    return out.getvalue()
