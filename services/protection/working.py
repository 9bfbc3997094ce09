"""Does the detections that are asked for, one after the other.

A detection only reads, so one that was begun by a process that died is begun again, and two that are done at once come to the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import structlog
from google.protobuf.json_format import MessageToDict
from reelmesh.protection.v1 import protection_pb2

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.server import as_refusal
from services.kit.storage import ObjectStore
from services.kit.work import TryAgain, WorkQueue
from services.protection import store
from services.protection.domain import Detection
from services.protection.fingerprints.keeping import Keeping
from services.protection.refusals import DOMAIN

if TYPE_CHECKING:
    from services.protection.detection.detecting import Detection as Found

log = structlog.stdlib.get_logger()

QUEUE: Final = WorkQueue("protection")
_SMALLEST: Final = 1e-300
"""A bound that is smaller is told as this one: zero would be left out of what is kept, and no bound is a certainty."""
_TOLD_EVERY: Final = 1.0
_PASSING: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
_SHARES: Final = {"name": (0.0, 0.2), "find": (0.2, 0.1), "read": (0.3, 0.65), "accuse": (0.95, 0.05)}
"""Where each stage begins, and how much of the whole it is."""


class Working:
    """Does detections.

    Args:
        root: the install's secret, `services.kit.codewords.KEY_FILE`.
        keeping: the index of titles, by which the one that a copy shows is found.
        on_end: told of each detection that ended, in the transaction that keeps it.
    """

    def __init__(  # all that detections need
        self,
        database: Database,
        objects: ObjectStore,
        clock: Clock,
        root: bytes,
        keeping: Keeping,
        *,
        on_end: Callable[[Tx, Detection], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._root = root
        self._on_end = on_end
        self._keeping = keeping

    async def work(self, task: bytes) -> None:
        """Does one detection; `task` is its id.

        Raises:
            TryAgain: it has to be tried again later.
        """
        async with self._database.transaction() as tx:
            detection = await store.locked_detection(tx, task.decode())
            if detection is None or detection.ended:
                return
            detection = detection.running()
            await store.put_detection(tx, detection)
        log.info("detecting", detection_id=detection.detection_id)
        try:
            finding = await self._found(detection)
        except Exception as error:
            refusal = as_refusal(error)
            if refusal is not None and refusal.domain != DOMAIN and refusal.code in _PASSING:
                raise TryAgain(refusal.message, delay=2) from error
            if refusal is None or refusal.domain != DOMAIN:
                log.exception("detection failed", detection_id=detection.detection_id)
            reason, message = ("DETECTION_FAILED", "the detection failed; the server's log tells more, try once more")
            if refusal is not None and refusal.domain == DOMAIN:
                reason, message = refusal.reason, refusal.message
            await self._end(detection.failed(reason, message, self._clock.now()))
        else:
            await self._end(detection.completed(finding, self._clock.now()))

    async def _end(self, detection: Detection) -> None:
        async with self._database.transaction() as tx:
            now = await store.locked_detection(tx, detection.detection_id)
            if now is not None and not now.ended:
                await store.put_detection(tx, detection)
                if self._on_end is not None:
                    await self._on_end(tx, detection)

    async def _found(self, detection: Detection) -> dict[str, Any]:
        """Detects, and keeps the picture. Returns the finding in the contract's JSON form."""
        from services.protection.detection.detecting import Detector  # an idle service does without numpy
        from services.protection.detection.picture import drawn
        from services.protection.fingerprints.naming import titles_shown

        share = [0.0]

        def on_stage(stage: str, done: float) -> None:
            start, part = _SHARES[stage]
            share[0] = start + part * done

        async with self._database.transaction() as tx:
            titles = await store.marked_titles(tx, detection.title_asset_id, organisation_id=detection.organisation_id)
        detector = Detector(self._root, self._objects, self._viewings, on_stage=on_stage)
        telling = asyncio.create_task(self._tell(detection.detection_id, share))
        try:
            async with self._objects.local_copy(detection.object_key) as copy:
                if not detection.title_asset_id:
                    titles = await titles_shown(
                        copy,
                        titles,
                        self._database,
                        self._objects,
                        self._keeping.library,
                        on_fraction=lambda done: on_stage("name", done),
                    )
                found = await detector.detect(copy, titles)
        finally:
            telling.cancel()
        picture = await asyncio.to_thread(drawn, found)
        with tempfile.TemporaryDirectory(prefix="reelmesh-detection-") as folder:
            file = Path(folder) / "evidence.png"
            await asyncio.to_thread(file.write_bytes, picture)
            await self._objects.put_file(file, detection.picture_key)
        return _finding(found)

    async def _viewings(self, asset_id: str) -> Sequence[store.Viewing]:
        async with self._database.transaction() as tx:
            return await store.viewings(tx, asset_id)

    async def _tell(self, detection_id: str, share: list[float]) -> None:
        """Notes every second how far it is, until cancelled."""
        told = 0.0
        while True:
            await asyncio.sleep(_TOLD_EVERY)
            if share[0] > told:
                told = share[0]
                with contextlib.suppress(Exception):  # the database may be away for a moment; the next one tells
                    async with self._database.transaction() as tx:
                        await store.note_fraction(tx, detection_id, told)


def _finding(found: Found) -> dict[str, Any]:
    told = protection_pb2.Finding(
        outcome=protection_pb2.Outcome.Value(f"OUTCOME_{found.outcome}"), sessions=found.sessions
    )
    if found.title and found.alignment:
        told.title_asset_id = found.title.asset_id
        told.likeness, told.speed = found.alignment.likeness, found.alignment.speed
        told.offset_seconds, told.mirrored = found.alignment.offset, found.alignment.mirrored
    if found.reading and found.verdict and len(found.reading.bits):
        told.segments_read, told.attainable = len(found.reading.bits), found.verdict.attainable
        told.threshold = min(found.verdict.threshold, 1e9)
    for one in found.suspects:
        told.suspects.add(
            session_id=one.session_id,
            viewer_id=one.viewer_id,
            open_time=timestamp(one.create_time),
            score=one.score,
            false_positive=max(one.false_positive, _SMALLEST),
        )
    return MessageToDict(told, preserving_proto_field_name=True)
