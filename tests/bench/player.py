"""The player: from opening the watch page in Chromium to the first picture on the screen."""

from __future__ import annotations

from typing import Any, Final

from playwright.async_api import Browser

from tests.bench.harness import Measurement, median
from tests.bench.screening import screening
from tests.support.chromium import opened_page, running_chromium

ROUNDS: Final = 7
# Media events do not bubble; they can be caught on their way down.
_WATCH: Final = """
    document.addEventListener("loadedmetadata", event => {
        event.target.requestVideoFrameCallback(now => { window.firstPicture ??= now; });
    }, true);
"""
_TIMES: Final = """() => ({
    picture: window.firstPicture,
    manifest: Math.min(...performance.getEntriesByType("resource")
        .filter(entry => /\\.(mpd|m3u8)$/.test(new URL(entry.name).pathname)).map(entry => entry.startTime)),
})"""


async def measure() -> list[Measurement]:
    """Takes about a minute."""
    async with screening() as ours, running_chromium() as browser:
        await _opened(browser, (await ours.playback()).watch_url)
        seen = [await _opened(browser, (await ours.playback()).watch_url) for _ in range(ROUNDS)]
    shown = [one["picture"] for one in seen]
    loaded = [one["picture"] - one["manifest"] for one in seen]
    how = f"Chromium without a GPU, empty cache, loopback, DASH cbcs with Clear Key, median of {ROUNDS}"
    times = ", ".join(f"{one:.0f}" for one in shown)
    return [
        Measurement(
            "player.start_ms",
            median(shown),
            "ms",
            "",
            f"opening the watch page to the first picture; {how}: {times}",
        ),
        Measurement("player.load_ms", median(loaded), "ms", "", f"asking for the manifest to the first picture; {how}"),
    ]


async def _opened(browser: Browser, url: str) -> dict[str, float]:
    """Milliseconds since the navigation began."""
    async with opened_page(browser, 1280, 800) as page:
        await page.add_init_script(_WATCH)
        await page.goto(url)
        await page.wait_for_function("() => window.firstPicture !== undefined", timeout=30_000)
        times: dict[str, Any] = await page.evaluate(_TIMES)
        return times
