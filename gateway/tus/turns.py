"""Who writes to which upload through this gateway, and who waits for its completion."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from gateway.tus.body import Body
from gateway.tus.refusals import Reason, refused
from gateway.tus.uploads import Upload
from services.kit.errors import Refusal

_PATIENCE_SECONDS: Final = 5.0


class Turns:
    """At most one body goes into an upload at a time, and the newest request wins.

    A client whose connection broke comes back long before the old connection is seen to be dead. Until then the service counts only
    part of what the old one brought, so it is ended first and the offset is exact.

    Args:
        most: bodies received at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._writing: dict[str, tuple[Body, asyncio.Event]] = {}
        self._bodies: set[Body] = set()
        self._completing: dict[str, asyncio.Task[Upload]] = {}
        self._draining: Refusal | None = None

    @contextlib.contextmanager
    def receiving(self, body: Body) -> Iterator[None]:
        """Counts a body in for the length of the block.

        Raises:
            Refusal: OVERLOADED or DRAINING.
        """
        if self._draining is not None:
            raise self._draining
        if len(self._bodies) >= self._most:
            raise refused(
                Reason.OVERLOADED, f"{self._most} uploads are running here; try again in a moment", retry=True
            )
        self._bodies.add(body)
        try:
            yield
        finally:
            self._bodies.discard(body)

    @contextlib.contextmanager
    def writing(self, upload_id: str, body: Body) -> Iterator[None]:
        """Is the one that writes to the upload for the length of the block."""
        mine = (body, asyncio.Event())
        self._writing[upload_id] = mine
        try:
            yield
        finally:
            mine[1].set()
            if self._writing.get(upload_id) is mine:
                del self._writing[upload_id]

    def is_written_to(self, upload_id: str) -> bool:
        """Whether a request writes to the upload now."""
        return upload_id in self._writing

    async def end_other(self, upload_id: str) -> bool:
        """Ends the request that writes to the upload and waits until what it brought is counted. False when there is none."""
        other = self._writing.get(upload_id)
        if other is None:
            return False
        body, ended = other
        body.stop(refused(Reason.SUPERSEDED, "another request goes on with this upload; what this one brought is kept"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await ended.wait()
        return True

    async def completed(self, upload_id: str, complete: Callable[[], Awaitable[Upload]]) -> Upload:
        """The completed upload. It goes on when the one who asked goes away, and whoever asks meanwhile waits for the same."""
        task = self._completing.get(upload_id)
        if task is None:
            task = asyncio.ensure_future(complete())
            self._completing[upload_id] = task
            task.add_done_callback(lambda _: self._completing.pop(upload_id, None))
        return await asyncio.shield(task)

    def drain(self) -> None:
        """Takes no more bodies and ends those that are being received; what they brought is kept."""
        self._draining = refused(
            Reason.DRAINING, "the server is about to restart; what arrived is kept, so go on in a moment", retry=True
        )
        for body in self._bodies:
            body.stop(self._draining)
