"""What a worker has before it when it does a task: the master, a folder, and what earlier tasks left."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.kit.database import Database
from services.kit.storage import ObjectStore
from services.transcode import store
from services.transcode.domain import Job, Task, TaskKind
from services.transcode.ladder import Profile
from services.transcode.probe import MasterLimits

_MOST_MASTERS: Final = 2


class Masters:
    """Masters as local files. Where the object store is elsewhere, the last few are kept, because a worker is likely to do
    many tasks of one job."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._kept: OrderedDict[str, Path] = OrderedDict()
        self._in_use: dict[str, int] = {}
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def local(self, key: str) -> AsyncIterator[Path]:
        """The master as a file to read, while the block runs."""
        if self._objects.is_local:
            yield self._objects.path_of(key)
            return
        self._in_use[key] = self._in_use.get(key, 0) + 1
        try:
            yield await self._fetched(key)
        finally:
            self._in_use[key] -= 1

    async def _fetched(self, key: str) -> Path:
        async with self._turn:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            for old in [old for old in self._kept if not self._in_use.get(old)][: len(self._kept) + 1 - _MOST_MASTERS]:
                self._kept.pop(old).unlink(missing_ok=True)
            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="reelmesh-masters-")
            path = Path(self._folder.name) / key.replace("/", "-")
            async with self._objects.local_copy(key) as copy:
                await asyncio.to_thread(shutil.move, copy, path)
            self._kept[key] = path
            return path


@dataclass(frozen=True, slots=True)
class Making:
    """What is made of masters, and of which.

    Attributes:
        profile: codecs, sizes, speed.
        limits: which masters are refused.
        chunk_seconds: about how long a chunk is.
        watermark_key: the install's secret of watermarks.
    """

    profile: Profile
    limits: MasterLimits
    chunk_seconds: float
    watermark_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Workbench:
    """One attempt at one task.

    Attributes:
        job: the job, with its plan once there is one.
        task: the task.
        folder: an empty folder to work in; it is removed afterwards.
        making: what is made of masters.
        advance: to be told, now and then, how many seconds of film this attempt has encoded.
    """

    job: Job
    task: Task
    folder: Path
    making: Making
    advance: Callable[[float], None]
    _database: Database
    _objects: ObjectStore
    _masters: Masters

    def film(self, key: str) -> AbstractAsyncContextManager[Path]:
        """The master, or what stands in for it, as a file to read while the block runs."""
        return self._masters.local(key)

    async def results(self, kind: TaskKind) -> Sequence[dict[str, Any]]:
        """What the job's done tasks of a kind left, by position."""
        async with self._database.transaction() as tx:
            return await store.results(tx, self.job.job_id, kind)

    @asynccontextmanager
    async def files(self, keys: Sequence[str]) -> AsyncIterator[list[Path]]:
        """Objects as files to read, while the block runs, in the order of the keys."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self._objects.local_copy(key)) for key in keys]
