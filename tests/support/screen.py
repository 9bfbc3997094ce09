"""Films a browser's screen as a screen recorder does: what is really shown, when it is really shown."""

from __future__ import annotations

import asyncio
import binascii
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from playwright.async_api import Browser, CDPSession, Error, Page

from services.transcode import binaries
from tests.support.chromium import opened_page

_QUALITY: Final = 90
_MOST_A_SECOND: Final = 30
_PAGE: Final = """<!doctype html><title>A film</title><body style="margin: 0; background: black">
<video src="{name}" muted style="display: block; width: 100vw; height: 100vh"></video>"""


@dataclass(slots=True)
class Recording:
    """JPEGs of a screen, one after the other in one file, with the moments from which they were shown.

    Attributes:
        file: all JPEGs.
        shots: (moment, offset, length): seconds by the browser's clock, and where in the file.
    """

    file: Path
    shots: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it was recorded."""
        return self.shots[-1][0] - self.shots[0][0] if self.shots else 0.0

    def told(self) -> str:
        """How evenly it was recorded, for people."""
        gaps = [later[0] - earlier[0] for earlier, later in zip(self.shots, self.shots[1:], strict=False)]
        return f"{len(self.shots)} pictures in {self.seconds:.1f} s, the longest for {max(gaps, default=0):.2f} s"

    def film(self, target: Path, *, rate: int = _MOST_A_SECOND, crf: int = 20) -> Path:
        """Writes it as a film of so many frames a second: each shows what was on the screen at its moment."""
        reading = ("-f", "image2pipe", "-c:v", "mjpeg", "-framerate", str(rate), "-i", "pipe:0")
        # A screen may have an odd number of pixels.
        coding = ("-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2,format=yuv420p", "-c:v", "libx264", "-preset", "veryfast")
        command = [str(binaries.ffmpeg()), "-v", "error", "-y", *reading, *coding, "-crf", str(crf), str(target)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
            assert running.stdin is not None
            for picture in self._frames(rate):
                running.stdin.write(picture)
        assert running.returncode == 0
        return target

    def _frames(self, rate: int) -> Iterator[bytes]:
        with self.file.open("rb") as opened:
            for number, (moment, offset, length) in enumerate(self.shots[:-1]):
                until = self.shots[number + 1][0]
                first, last = (round((when - self.shots[0][0]) * rate) for when in (moment, until))
                opened.seek(offset)
                picture = opened.read(length)
                yield from (picture for _ in range(last - first))


@asynccontextmanager
async def recorded(page: Page, file: Path) -> AsyncIterator[Recording]:
    """Records a page for as long as the context is open.

    The browser sends a picture when the screen has changed (Chrome DevTools Protocol, `Page.startScreencast`), and the next one not before
    the last one was taken: a machine that is busy has fewer, never late ones.
    """
    recording = Recording(file)
    session = await page.context.new_cdp_session(page)
    with file.open("wb") as opened:
        recorder = _Recorder(session, recording, opened)
        session.on("Page.screencastFrame", recorder.take)
        await session.send("Page.startScreencast", {"format": "jpeg", "quality": _QUALITY})
        try:
            yield recording
        finally:
            await session.send("Page.stopScreencast")
            await recorder.end()
            await session.detach()


class _Recorder:
    """Takes pictures as they come."""

    def __init__(self, session: CDPSession, recording: Recording, opened: BinaryIO) -> None:
        self._session = session
        self._recording = recording
        self._opened = opened
        self._answers: set[asyncio.Task[None]] = set()

    def take(self, event: dict[str, Any]) -> None:
        """Keeps a picture, and lets the next one come."""
        picture = binascii.a2b_base64(event["data"])
        moment = float(event["metadata"]["timestamp"])
        # The last frames may come after one another in the wrong order when the page is resized.
        if not self._recording.shots or moment > self._recording.shots[-1][0]:
            self._recording.shots.append((moment, self._opened.tell(), len(picture)))
            self._opened.write(picture)
        answer = asyncio.get_running_loop().create_task(self._acknowledge(event["sessionId"], moment))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    async def _acknowledge(self, number: int, moment: float) -> None:
        with suppress(Error):  # the page was closed meanwhile
            await self._session.send("Page.screencastFrameAck", {"sessionId": number})

    async def end(self) -> None:
        """Waits for what is still being said."""
        await asyncio.gather(*self._answers)


async def filmed(browser: Browser, played: Path, target: Path, size: tuple[int, int]) -> Recording:
    """Plays a file from beginning to end in a window that it fills, and films the screen meanwhile."""
    host = played.with_suffix(".html")
    host.write_text(_PAGE.format(name=played.name), encoding="utf-8")
    async with opened_page(browser, *size) as page:
        await page.goto(host.as_uri())
        async with recorded(page, target.with_suffix(".mjpeg")) as recording:
            await page.eval_on_selector("video", "video => video.play()")
            await page.wait_for_function("document.querySelector('video').ended", timeout=0)
    await asyncio.to_thread(recording.film, target)
    return recording
