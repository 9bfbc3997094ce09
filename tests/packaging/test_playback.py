"""Finished sets in a real browser: Chromium with Shaka Player, decrypting with ClearKey, read by the burned-in counter."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Final

import pytest
from playwright.async_api import Browser

from services.packaging.tracks import Scheme
from tests.packaging.conftest import Finished
from tests.packaging.sets import KEYS, SCHEMES
from tests.packaging.sources import FRAME_RATE
from tests.support.chromium import opened_page, paused_picture, played_until, running_chromium
from tests.support.counter import read_counter

PLAYER: Final = Path(__file__).parents[2] / "web/node_modules/shaka-player/dist/shaka-player.compiled.js"
PAGE: Final = """<!doctype html><style>body{margin:0}</style><video width=640 height=360 muted></video>
<script src="/shaka.js"></script>"""
PLAY: Final = """async ([manifest, licence]) => {
    shaka.polyfill.installAll();
    window.errors = [];
    window.player = new shaka.Player();
    const video = document.querySelector("video");
    await player.attach(video);
    player.addEventListener("error", event => errors.push([event.detail.code, event.detail.data]));
    player.configure({abr: {enabled: false}, drm: {servers: {"org.w3.clearkey": licence}}});
    await player.load(manifest);
    video.playbackRate = 2;
    video.play().catch(() => {});
}"""


class Viewer(BaseHTTPRequestHandler):
    """What stands behind `/p/<ticket>/<package>/…` in the mesh: files, one key by its id, licences."""

    root: ClassVar[Path]
    asked: ClassVar[list[dict[str, object]]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.removeprefix("/p/TICKET/pkg/")
        if self.path == "/watch/film":
            self._answer(PAGE.encode(), "text/html")
        elif self.path == "/shaka.js":
            self._answer(PLAYER.read_bytes(), "text/javascript")
        elif path.startswith("key/"):
            self._answer(next(key.key for key in KEYS.values() if key.key_id.hex() == path[4:]))
        elif path != self.path and (self.root / path).is_file():
            self._answer((self.root / path).read_bytes())
        else:
            self._answer(b"", status=404)

    def do_POST(self) -> None:
        if self.path != "/p/TICKET/pkg/licence/clearkey":
            self._answer(b"", status=404)
            return
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(request)
        keys = [
            {"kty": "oct", "kid": _base64url(key.key_id), "k": _base64url(key.key)}
            for key in KEYS.values()
            if _base64url(key.key_id) in request["kids"]
        ]
        self._answer(json.dumps({"keys": keys, "type": request["type"]}).encode(), "application/json")

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _answer(self, body: bytes, content_type: str = "application/octet-stream", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    if not PLAYER.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{PLAYER} is missing: make setup")
        pytest.skip("Shaka Player is not installed: make setup")
    async with running_chromium() as running:
        yield running


@pytest.mark.parametrize("manifest", ["manifest.mpd", "master.m3u8"])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_an_encrypted_set_plays_and_shows_its_own_frames(
    scheme: Scheme, manifest: str, browser: Browser, finished: Finished
) -> None:
    """The page lies elsewhere than the package, as it does in the mesh, so only relative URIs lead to keys."""
    made = await finished(scheme)
    with _served(made.root) as (address, asked):
        async with opened_page(browser) as page:
            await page.goto(f"{address}/watch/film")
            root = f"{address}/p/TICKET/pkg"
            await page.evaluate(PLAY, [f"{root}/{manifest}", f"{root}/licence/clearkey"])
            await played_until(page, 2.2)  # beyond the first segment, which a clear lead would have shown
            picture = await paused_picture(page)
            position = await page.eval_on_selector("video", "video => video.currentTime")
            assert await page.evaluate("errors") == []
            tracks = await page.evaluate("player.getVariantTracks().map(track => [track.height, track.language])")
            texts = await page.evaluate("player.getTextTracks().map(track => [track.language, track.forced])")
            thumbnail = await page.evaluate("player.getThumbnails(player.getImageTracks()[0].id, 5)")
    # On a busy machine Chromium says where it stands some frames before or after what it shows.
    assert read_counter(picture) == pytest.approx(position * FRAME_RATE, abs=5)
    assert sorted(tracks) == sorted([height, language] for height in (360, 180) for language in ("en", "en", "fr"))
    assert sorted(texts) == [["en", False], ["fr", True]]
    assert (thumbnail["uris"], thumbnail["positionX"]) == ([f"{root}/thumbnails/2.jpg"], 160)
    if manifest.endswith(".mpd"):
        # EME §9.1.3: what a ClearKey decryption module asks for.
        wanted = {kid for request in asked for kid in request["kids"]}  # type: ignore[attr-defined]
        assert {_base64url(KEYS["HD"].key_id), _base64url(KEYS["AUDIO"].key_id)} <= wanted
        assert {request["type"] for request in asked} == {"temporary"}
    else:
        assert asked == []  # HLS players fetch keys themselves


@contextmanager
def _served(root: Path) -> Iterator[tuple[str, list[dict[str, object]]]]:
    asked: list[dict[str, object]] = []
    handler = type("ViewerOfOnePackage", (Viewer,), {"root": root, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
