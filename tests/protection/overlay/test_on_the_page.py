"""The overlay of the watch page in a real browser: it is seen, moves, goes fullscreen with its stage, and notices what is done to it."""

from __future__ import annotations

import asyncio
import io
import subprocess
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import Browser, Page

from tests.support.chromium import opened_page, running_chromium

WEB = Path(__file__).resolve().parents[3] / "web"
NODE = WEB.parent / ".venv/bin/node"
PAGE = """<!doctype html><meta charset=utf-8><title>Overlay</title>
<style>
  body { margin: 0; background: #444 }
  #stage { position: relative; isolation: isolate; overflow: hidden; width: 640px; height: 360px; background: #000 }
  #stage:fullscreen { width: 100vw; height: 100vh }
  #video { width: 100%; height: 100%; background: linear-gradient(90deg, #000, #808080 50%, #fff) }
</style>
<div id=stage><video id=video></video></div><button id=whole>whole</button><button id=bare>bare</button>
<script>
  window.told = [];
  whole.onclick = () => stage.requestFullscreen();
  bare.onclick = () => video.requestFullscreen();
</script>"""
START = """look => {
  window.laid = overlay.Overlay.over({ stage, look, tampered: what => window.told.push(what) });
}"""
Picture: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.int16]]
LOOK = {
    "text": "ada 12345678",
    "opacity": 0.6,
    "size": 0.08,
    "drifts": True,
    "seconds": 2,
    "contrastAware": True,
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page's own module, as one script."""
    target = tmp_path_factory.mktemp("overlay") / "overlay.js"
    bundle = [NODE, WEB / "node_modules/rolldown/bin/cli.mjs", WEB / "src/watch/overlay.ts"]
    subprocess.run(
        [*bundle, "--format", "iife", "--name", "overlay", "--file", target], check=True, capture_output=True
    )
    return target.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with running_chromium() as browser:
        yield browser


async def laid_over(page: Page, script: str, **changes: object) -> None:
    await page.set_content(PAGE)
    await page.evaluate(script + "\n;window.overlay = overlay;")
    await page.evaluate(START, {**LOOK, **changes})


async def picture(page: Page) -> Picture:
    """What the stage shows."""
    with Image.open(io.BytesIO(await page.screenshot())) as shown:
        return np.asarray(shown.convert("L"), np.int16)[:360, :640]


async def looks(page: Page, so: Callable[[Picture], bool]) -> Picture:
    """Waits until the stage looks so, and returns what it shows then."""
    async with asyncio.timeout(30):
        while not so(shown := await picture(page)):
            await asyncio.sleep(0.05)
    return shown


async def test_it_is_seen_on_dark_bright_and_grey_and_moves(chromium: Browser, script: str) -> None:
    async with opened_page(chromium) as page:
        await page.set_content(PAGE)
        without = await picture(page)

        def seen(shown: Picture) -> bool:
            columns = (slice(0, 160), slice(240, 400), slice(480, 640))
            return all(np.abs(shown - without)[:, column].max() > 50 for column in columns)

        def moved(shown: Picture, before: Picture) -> bool:
            return bool(np.abs(shown - before).max() > 50) and seen(shown)

        for contrast_aware in (True, False):
            await laid_over(page, script, contrastAware=contrast_aware, seconds=1, drifts=False, text="#" * 40)
            first = await looks(page, seen)
            await looks(page, partial(moved, before=first))
            assert await page.evaluate("window.told") == []


async def test_it_goes_fullscreen_with_its_stage(chromium: Browser, script: str) -> None:
    async with opened_page(chromium) as page:
        await laid_over(page, script, text="#" * 30)
        await page.click("#whole")
        await page.wait_for_function("document.fullscreenElement === stage")
        await page.wait_for_timeout(1200)
        assert await page.evaluate(
            "document.fullscreenElement.contains(document.querySelector('[data-testid=overlay]'))"
        )
        assert await page.evaluate("window.told") == []
        await page.evaluate("document.exitFullscreen()")
        await page.wait_for_function("document.fullscreenElement === null")
        await page.click("#bare")
        await page.wait_for_function("window.told.length === 1")
        assert await page.evaluate("window.told") == ["left behind"]
        await page.wait_for_function("document.fullscreenElement === null")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("host.remove()", "removed"),
        ("document.body.append(host)", "removed"),
        ("host.style.display = 'none'", "changed"),
        ("host.hidden = true", "changed"),
        ("host.className = 'gone'", "changed"),
        ("sheet('[data-testid=overlay] { opacity: 0.01 !important }')", "hidden"),
        ("sheet('[data-testid=overlay] { clip-path: inset(50%) !important }')", "hidden"),
        ("sheet('#stage > div { transform: translateY(-999px) !important }')", "hidden"),
        ("stage.innerHTML = ''", "removed"),
    ],
)
async def test_whatever_removes_or_hides_it_is_noticed_once(
    chromium: Browser, script: str, what: str, told: str
) -> None:
    async with opened_page(chromium) as page:
        await laid_over(page, script)
        await page.wait_for_timeout(50)
        await page.evaluate(
            f"""() => {{
              const host = document.querySelector('[data-testid=overlay]');
              const sheet = text => {{ document.head.append(Object.assign(document.createElement('style'), {{ textContent: text }})); }};
              {what};
            }}"""
        )
        await page.wait_for_function("window.told.length > 0", timeout=30_000)
        await page.wait_for_timeout(100)
        assert await page.evaluate("window.told") == [told]


async def test_who_takes_it_away_rightly_is_not_told_of(chromium: Browser, script: str) -> None:
    async with opened_page(chromium) as page:
        await laid_over(page, script)
        await page.evaluate("window.laid.destroy()")
        await page.wait_for_timeout(700)
        assert await page.evaluate("window.told") == []
