"""DetectionsService: the contract, put in terms of the domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import ParseDict
from reelmesh.protection.v1 import detections_service_pb2 as api
from reelmesh.protection.v1 import detections_service_pb2_grpc, protection_pb2

from services.kit import idempotency, pagination
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.events import enqueue
from services.kit.ids import new_id
from services.kit.server import current_call
from services.kit.storage import ObjectStore
from services.protection import store
from services.protection.domain import Detection, State
from services.protection.refusals import detection_unfinished, title_not_marked
from services.protection.working import QUEUE

Context = grpc.aio.ServicerContext[Any, Any]

_PAUSE: Final = 0.5
"""Seconds between two looks at a detection that is watched."""


class DetectionsRpc(detections_service_pb2_grpc.DetectionsServiceServicer):
    """Serves `reelmesh.protection.v1.DetectionsService`."""

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock

    async def CreateDetection(
        self, request: api.CreateDetectionRequest, context: Context
    ) -> api.CreateDetectionResponse:
        """Puts a detection into the queue."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            earlier = await idempotency.first_answer(tx, organisation_id, request, api.CreateDetectionResponse)
            if earlier is not None:
                return earlier
            master = await store.master_of(tx, organisation_id, request.asset_id)
            title = request.title_asset_id
            if title and not await store.marked_titles(tx, title, organisation_id=organisation_id):
                raise title_not_marked(title)
            detection = Detection(
                detection_id=new_id("dtc"),
                organisation_id=organisation_id,
                asset_id=master.asset_id,
                title_asset_id=title,
                object_key=master.object_key,
                filename=master.filename,
                create_time=now,
                ask_time=now,
            )
            await store.add_detection(tx, detection)
            await enqueue(tx, QUEUE.subject, detection.detection_id.encode())
            answer = api.CreateDetectionResponse(detection=resource(detection))
            await idempotency.remember(tx, organisation_id, request, answer)
        return answer

    async def GetDetection(self, request: api.GetDetectionRequest, context: Context) -> api.GetDetectionResponse:
        """One detection."""
        return api.GetDetectionResponse(detection=resource(await self._own(request.detection_id)))

    async def ListDetections(self, request: api.ListDetectionsRequest, context: Context) -> api.ListDetectionsResponse:
        """The organisation's detections, newest first."""
        part = pagination.page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListDetectionsResponse(
            detections=[resource(detection) for detection in shown],
            next_page_token=part.next_token(shown[-1].detection_id) if len(found) > part.size else "",
        )

    async def WatchDetection(
        self, request: api.WatchDetectionRequest, context: Context
    ) -> AsyncIterator[api.WatchDetectionResponse]:
        """Sends the detection now and at each change, until it ended."""
        told: Detection | None = None
        while told is None or not told.ended:
            detection = await self._own(request.detection_id)
            if detection != told:
                told = detection
                yield api.WatchDetectionResponse(detection=resource(detection))
            if not detection.ended:
                await asyncio.sleep(_PAUSE)

    async def GetDetectionPicture(
        self, request: api.GetDetectionPictureRequest, context: Context
    ) -> api.GetDetectionPictureResponse:
        """The evidence as a PNG."""
        detection = await self._own(request.detection_id)
        if detection.state is not State.COMPLETED:
            raise detection_unfinished(detection.state.name)
        async with self._objects.local_copy(detection.picture_key) as file:
            data = await asyncio.to_thread(file.read_bytes)
        return api.GetDetectionPictureResponse(picture=HttpBody(content_type="image/png", data=data))

    async def _own(self, detection_id: str) -> Detection:
        async with self._database.transaction() as tx:
            return await store.detection_of(tx, current_call().organisation_id, detection_id)


def resource(detection: Detection) -> protection_pb2.Detection:
    """A detection as the contract shows it."""
    return protection_pb2.Detection(
        detection_id=detection.detection_id,
        organisation_id=detection.organisation_id,
        asset_id=detection.asset_id,
        filename=detection.filename,
        state=protection_pb2.DetectionState.ValueType(detection.state),
        fraction=detection.fraction,
        finding=ParseDict(detection.finding, protection_pb2.Finding()) if detection.finding else None,
        failure_reason=detection.failure_reason,
        failure_message=detection.failure_message,
        create_time=timestamp(detection.create_time),
        end_time=timestamp(detection.end_time),
    )
