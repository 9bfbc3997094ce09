"""What one stream brings, from the network to the disk: the same for a call of `WriteUpload` and for the body of a tus request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Protocol

from reelmesh.upload.v1 import upload_pb2

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.uncancelled import stopped, uncancelled
from services.upload import store
from services.upload.domain import Upload
from services.upload.intake import Chunk, GrowingFile, Staging, Writers
from services.upload.messages import message_of
from services.upload.write_behind import WriteBehind


class Blocks(Protocol):
    """Where bytes come from that nobody summed up."""

    async def block(self) -> Sequence[bytes]:
        """The next bytes, in the parts in which they came; none at the end."""


class Receiving:
    """Takes in what streams bring.

    Args:
        patience: how long an unfinished upload is kept after its last chunk.
        checkpoint_bytes: how much may arrive on one stream before it is made durable and counted.

    Attributes:
        writers: who writes to which upload.
    """

    def __init__(
        self, database: Database, staging: Staging, clock: Clock, *, patience: timedelta, checkpoint_bytes: int
    ) -> None:
        self.writers = Writers()
        self._database = database
        self._staging = staging
        self._clock = clock
        self._patience = patience
        self._checkpoint_bytes = checkpoint_bytes

    async def append(self, upload: upload_pb2.Upload, offset: int, blocks: Blocks) -> upload_pb2.Upload:
        """Appends blocks that go to `offset`, for who was already judged by a call of `WriteUpload`. Ends the stream that writes to the upload.

        Raises:
            Refusal: as `WriteUpload` has it.
        """
        async with self.writers.alone(upload.upload_id):
            async with self._database.transaction() as tx:
                current = await store.get(tx, upload.organisation_id, upload.upload_id)
            current.accepting(offset)
            return message_of(await self.received(current, _chunks(blocks)))

    async def received(self, upload: Upload, chunks: AsyncGenerator[Chunk]) -> Upload:
        """Writes what one stream brings, whose writer is alone. However the stream ends, what arrived whole is counted.

        Raises:
            Refusal: what was wrong with a chunk; nothing behind it was kept.
        """
        file = await asyncio.to_thread(self._staging.open, upload.upload_id, upload.received_bytes, upload.size_bytes)
        try:
            try:
                async with aclosing(chunks):
                    await self._pump(upload, file, chunks)
            finally:
                # A stream that is cancelled must still count what it brought before the next one may begin.
                upload = await uncancelled(self._count(upload, file))
        finally:
            file.close()
        return upload

    async def _pump(self, upload: Upload, file: GrowingFile, chunks: AsyncIterator[Chunk]) -> None:
        """Moves chunks from the network to the disk, and counts them now and then; neither holds up the other."""
        behind = WriteBehind(file)
        counting = asyncio.create_task(self._keep_counting(upload, file, behind))
        try:
            async for chunk in chunks:
                await behind.put(chunk)
                if counting.done():  # it only ends when it cannot count, and then there is no use in more bytes
                    counting.result()
        finally:
            try:
                await uncancelled(behind.finish())
            finally:
                await uncancelled(stopped(counting))
                if not counting.cancelled():
                    counting.exception()  # seen: whatever it was, the last count meets it again, or it is over

    async def _keep_counting(self, upload: Upload, file: GrowingFile, behind: WriteBehind) -> None:
        """Counts whenever enough was written, until cancelled."""
        while True:
            await behind.reached(upload.received_bytes + self._checkpoint_bytes)
            upload = await uncancelled(self._count(upload, file))

    async def _count(self, upload: Upload, file: GrowingFile) -> Upload:
        """Makes what was written durable, then counts it: in this order, or a crash between the two would lose counted bytes."""
        durable = await asyncio.to_thread(file.sync)
        async with self._database.transaction() as tx:
            current = await store.get(tx, upload.organisation_id, upload.upload_id, for_update=True)
            current = current.received(durable, self._clock.now(), self._patience)
            await store.put(tx, current)
        return current


async def _chunks(blocks: Blocks) -> AsyncGenerator[Chunk]:
    while block := await blocks.block():
        for part in block:
            yield Chunk(part, None)
