"""Three players of other people on one page: Shaka Player, hls.js and dash.js, set up as their own documentation says.

They are dev dependencies, and reach the browser by the test alone: the mesh serves none of them but its own. The page lies
on the mesh's own origin, as a page of an operator's would.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page, Route

from tests.support.chromium import opened_page

PLAYERS: Final = ("shaka", "hls", "dash")
_MODULES: Final = Path(__file__).resolve().parents[2] / "web/node_modules"
_FILES: Final = {
    "shaka.js": _MODULES / "shaka-player/dist/shaka-player.compiled.js",
    "hls.js": _MODULES / "hls.js/dist/hls.min.js",
    "dash.js": _MODULES / "dashjs/dist/modern/umd/dash.all.min.js",
    "players.js": Path(__file__).with_name("players.js"),
}
_FOLDER: Final = "/players-under-test"
_PAGE: Final = (
    "<!doctype html><meta charset=utf-8><title>Players</title>"
    + "".join(f"<video id={name} width=320 height=180 muted></video>" for name in PLAYERS)
    + "".join(f"<script src={_FOLDER}/{file}></script>" for file in _FILES)
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a player is told: both manifests and where licences are asked for."""

    hls_url: str
    dash_url: str
    licence_url: str

    def manifest(self, player: str) -> str:
        """The manifest that a player is given."""
        return self.hls_url if player == "hls" else self.dash_url


@dataclass(frozen=True, slots=True)
class ThreePlayers:
    """The page."""

    page: Page

    async def start(self, player: str, addresses: Addresses, manifest: str = "") -> None:
        """Loads and begins to play, without waiting for anything to be shown."""
        told = [player, manifest or addresses.manifest(player), addresses.licence_url]
        await self.page.evaluate("told => { window.players.start(...told); }", told)

    async def stop(self, player: str) -> None:
        """Ends a player, so that another film can be started."""
        await self.page.evaluate("player => window.players.stop(player)", player)

    async def errors(self, player: str) -> list[dict[str, Any]]:
        """The errors that the player gave, each in its own words: `code`, and the refusal's `body` if it can be read."""
        found: list[dict[str, Any]] = await self.page.evaluate("player => window.players.errors[player]", player)
        return found

    async def first_error(self, player: str) -> dict[str, Any]:
        """The first error that the player calls fatal, as soon as there is one."""
        await self.page.wait_for_function(
            "player => window.players.errors[player].some(error => error.fatal)", arg=player, timeout=60_000
        )
        return next(error for error in await self.errors(player) if error["fatal"])

    async def frames(self, player: str) -> int:
        """How many pictures the player has shown."""
        shown: int = await self.page.eval_on_selector(
            f"#{player}", "video => video.getVideoPlaybackQuality().totalVideoFrames"
        )
        return shown

    async def licences(self, player: str) -> list[dict[str, Any]]:
        """What the player's decryption module was given: the key ids and the licence's id of each licence."""
        found: list[dict[str, Any]] = await self.page.evaluate("player => window.players.licences[player]", player)
        return found

    async def renew(self, player: str) -> list[str]:
        """Asks for every licence of a player again, and gives the answers to its decryption module. Returns their ids."""
        renewed: list[str] = await self.page.evaluate("player => window.players.renew(player)", player)
        return renewed


@asynccontextmanager
async def three_players(browser: Browser, mesh_url: str) -> AsyncIterator[ThreePlayers]:
    """The page, opened."""

    async def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name in _FILES:
            await route.fulfill(path=_FILES[name], content_type="text/javascript")
        else:
            await route.fulfill(body=_PAGE, content_type="text/html")

    async with opened_page(browser, 1000, 200) as page:
        await page.route(f"{mesh_url}{_FOLDER}/*", answer)
        await page.goto(f"{mesh_url}{_FOLDER}/index")
        await page.wait_for_function("window.players !== undefined")
        yield ThreePlayers(page)
