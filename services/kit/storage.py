"""The object store: a local folder by default, S3 and its like by setting (`obstore`).

Media never passes through Python where it can be avoided: a local object is handed out as its path, and files are put in by
renaming.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.store import LocalStore, S3Store


class ObjectStore:
    """Objects by key, such as `masters/<sha256>`."""

    def __init__(self, store: LocalStore | S3Store, root: Path | None) -> None:
        self._store = store
        self._root = root

    @classmethod
    def at(cls, url: str) -> ObjectStore:
        """Opens `file:///folder`, made if need be, or `s3://bucket/prefix` with credentials and endpoint from the usual AWS variables."""
        parts = urlsplit(url)
        match parts.scheme:
            case "file":
                root = Path(parts.path)
                root.mkdir(parents=True, exist_ok=True)
                return cls(LocalStore(prefix=root), root)
            case "s3":
                return cls(S3Store(parts.netloc, prefix=parts.path.strip("/") or None), None)
            case _:
                raise ValueError(f"storage must be file:// or s3://, not {url!r}")

    @property
    def is_local(self) -> bool:
        """Whether objects are files that can be read in place."""
        return self._root is not None

    def path_of(self, key: str) -> Path:
        """Where a local object lies.

        Raises:
            ValueError: the store is not local, or the key points outside of it.
        """
        if self._root is None:
            raise ValueError("the object store is not local")
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root.resolve()):
            raise ValueError(f"{key!r} points outside of the object store")
        return path

    @asynccontextmanager
    async def local_copy(self, key: str) -> AsyncIterator[Path]:
        """The object as a file to read, while the block runs: in place when the store is local, else a temporary download."""
        if self.is_local:
            yield self.path_of(key)
            return
        with tempfile.TemporaryDirectory(prefix="reelmesh-") as folder:
            target = Path(folder) / Path(key).name
            answer = await obstore.get_async(self._store, key)
            with target.open("wb") as file:
                async for chunk in answer.stream(min_chunk_size=8 * 1024 * 1024):
                    await asyncio.to_thread(file.write, chunk)
            yield target

    async def put_file(self, source: Path, key: str) -> None:
        """Moves a file into the store. The object is there whole or not at all; one that is there already is replaced."""
        if self.is_local:
            await asyncio.to_thread(_move, source, self.path_of(key))
            return
        await obstore.put_async(self._store, key, source)
        source.unlink()

    async def add_file(self, source: Path, key: str) -> None:
        """Adds a file to the store and leaves the source where it is. The object is immutable from then on: one that is there already
        is kept, because its key says what it holds."""
        if self.is_local:
            await asyncio.to_thread(_link, source, self.path_of(key))
            return
        if await self.size_of(key) is None:
            await obstore.put_async(self._store, key, source)

    async def put_tree(self, source: Path, prefix: str) -> int:
        """Moves a folder with all its files into the store below `prefix`, replacing what was there. Returns bytes moved."""
        files = [path for path in source.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        if self.is_local:
            await asyncio.to_thread(_replace_tree, source, self.path_of(prefix))
            return size
        keys = {f"{prefix.rstrip('/')}/{path.relative_to(source).as_posix()}": path for path in files}
        limit = asyncio.Semaphore(8)

        async def put(key: str, path: Path) -> None:
            async with limit:
                await obstore.put_async(self._store, key, path)

        await asyncio.gather(*(put(key, path) for key, path in keys.items()))
        async for batch in obstore.list(self._store, prefix=prefix.rstrip("/") + "/"):
            stale = [entry["path"] for entry in batch if entry["path"] not in keys]
            if stale:
                await obstore.delete_async(self._store, stale)
        await asyncio.to_thread(shutil.rmtree, source)
        return size

    async def size_of(self, key: str) -> int | None:
        """Size of an object in bytes; None when there is none."""
        try:
            return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError:
            return None

    async def delete(self, key: str) -> None:
        """Removes an object; one that is not there is fine."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return

    async def delete_prefix(self, prefix: str) -> None:
        """Removes every object below `prefix`."""
        if self.is_local:
            await asyncio.to_thread(shutil.rmtree, self.path_of(prefix), ignore_errors=True)
            return
        async for batch in obstore.list(self._store, prefix=prefix.rstrip("/") + "/"):
            await obstore.delete_async(self._store, [entry["path"] for entry in batch])

    async def presigned_put(self, key: str, lifetime: timedelta) -> str | None:
        """A URL to which an object can be PUT without credentials; None when the store cannot make one."""
        if isinstance(self._store, LocalStore):
            return None
        return await obstore.sign_async(self._store, "PUT", key, lifetime)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except OSError:  # another file system: copy beside the target first, so that the object still appears whole
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, beside)
        os.replace(beside, target)
        source.unlink()
    _sync_folder(target.parent)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            beside = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(source, beside)
            os.replace(beside, target)
    target.chmod(0o444)
    _sync_folder(target.parent)


def _replace_tree(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    shutil.move(source, target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
