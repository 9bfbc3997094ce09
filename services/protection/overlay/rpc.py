"""OverlaysService: the contract, put in terms of the domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from reelmesh.protection.v1 import events_pb2, overlays_pb2, overlays_service_pb2_grpc
from reelmesh.protection.v1 import overlays_service_pb2 as api

from services.kit import idempotency
from services.kit.clock import Clock, duration, timestamp
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.events import announce, enqueue
from services.kit.ids import new_id
from services.kit.server import Call, current_call
from services.kit.storage import ObjectStore
from services.protection.overlay import store
from services.protection.overlay.domain import CopyState, Motion, ReviewCopy, Template
from services.protection.overlay.refusals import film_not_found, overlay_off, review_copy_not_ready
from services.protection.overlay.working import QUEUE
from services.protection.store import master_of

Context = grpc.aio.ServicerContext[Any, Any]

_PAUSE: Final = 0.5
"""Seconds between two looks at a copy that is watched."""
_PART: Final = 256 * 1024


class OverlaysRpc(overlays_service_pb2_grpc.OverlaysServiceServicer):
    """Serves `reelmesh.protection.v1.OverlaysService`."""

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock

    async def GetOverlay(self, request: api.GetOverlayRequest, context: Context) -> api.GetOverlayResponse:
        """The organisation's template."""
        async with self._database.transaction() as tx:
            template = await store.template_of(tx, current_call().organisation_id)
        return api.GetOverlayResponse(template=message_of(template))

    async def SetOverlay(self, request: api.SetOverlayRequest, context: Context) -> api.SetOverlayResponse:
        """Sets it."""
        call, asked = current_call(), request.template
        template = Template(
            enabled=asked.enabled,
            text=asked.text.replace("\0", ""),
            opacity=asked.opacity,
            size=asked.size,
            motion=Motion(asked.motion),
            seconds=asked.interval.ToTimedelta().total_seconds(),
            contrast_aware=asked.contrast_aware,
        ).checked()
        async with self._database.transaction() as tx:
            await store.put_template(tx, call.organisation_id, template)
            event = events_pb2.OverlayChanged(
                organisation_id=call.organisation_id,
                template=message_of(template),
                actor=_name(call),
                change_time=timestamp(self._clock.now()),
            )
            await announce(tx, event)
        return api.SetOverlayResponse(template=message_of(template))

    async def CreateReviewCopy(
        self, request: api.CreateReviewCopyRequest, context: Context
    ) -> api.CreateReviewCopyResponse:
        """Puts a copy into the queue."""
        call, now = current_call(), self._clock.now()
        async with self._database.transaction() as tx:
            earlier = await idempotency.first_answer(tx, call.organisation_id, request, api.CreateReviewCopyResponse)
            if earlier is not None:
                return earlier
            try:
                master = await master_of(tx, call.organisation_id, request.asset_id, title=True)
            except Refusal:
                raise film_not_found(request.asset_id) from None
            if not (await store.template_of(tx, call.organisation_id)).enabled:
                raise overlay_off()
            copy = ReviewCopy(
                review_copy_id=new_id("rvc"),
                organisation_id=call.organisation_id,
                asset_id=request.asset_id,
                recipient=request.recipient.replace("\0", ""),
                object_key=master.object_key,
                create_time=now,
                ask_time=now,
            )
            await store.add_copy(tx, copy)
            event = events_pb2.ReviewCopyCreated(
                review_copy_id=copy.review_copy_id,
                organisation_id=copy.organisation_id,
                asset_id=copy.asset_id,
                actor=_name(call),
                create_time=timestamp(now),
            )
            await announce(tx, event)
            await enqueue(tx, QUEUE.subject, copy.review_copy_id.encode())
            answer = api.CreateReviewCopyResponse(review_copy=resource(copy))
            await idempotency.remember(tx, call.organisation_id, request, answer)
        return answer

    async def GetReviewCopy(self, request: api.GetReviewCopyRequest, context: Context) -> api.GetReviewCopyResponse:
        """One copy."""
        return api.GetReviewCopyResponse(review_copy=resource(await self._own(request.review_copy_id)))

    async def WatchReviewCopy(
        self, request: api.WatchReviewCopyRequest, context: Context
    ) -> AsyncIterator[api.WatchReviewCopyResponse]:
        """Sends the copy now and at each change, until it is ready or failed."""
        told: ReviewCopy | None = None
        while told is None or not told.ended:
            copy = await self._own(request.review_copy_id)
            if copy != told:
                told = copy
                yield api.WatchReviewCopyResponse(review_copy=resource(copy))
            if not copy.ended:
                await asyncio.sleep(_PAUSE)

    async def GetReviewCopyFile(
        self, request: api.GetReviewCopyFileRequest, context: Context
    ) -> AsyncIterator[api.GetReviewCopyFileResponse]:
        """The file, part by part."""
        copy = await self._own(request.review_copy_id)
        if copy.state is not CopyState.READY:
            raise review_copy_not_ready(copy.state.name)
        async with self._objects.local_copy(copy.file_key) as path:
            file = await asyncio.to_thread(path.open, "rb")
            with file:
                while part := await asyncio.to_thread(file.read, _PART):
                    yield api.GetReviewCopyFileResponse(part=part)

    async def _own(self, review_copy_id: str) -> ReviewCopy:
        async with self._database.transaction() as tx:
            return await store.copy_of(tx, current_call().organisation_id, review_copy_id)


def _name(call: Call) -> str:
    return call.principal.name if call.principal else ""


def message_of(template: Template) -> overlays_pb2.OverlayTemplate:
    """A template as the contract shows it."""
    return overlays_pb2.OverlayTemplate(
        enabled=template.enabled,
        text=template.text,
        opacity=template.opacity,
        size=template.size,
        motion=overlays_pb2.OverlayMotion.ValueType(template.motion),
        interval=duration(template.seconds),
        contrast_aware=template.contrast_aware,
    )


def resource(copy: ReviewCopy) -> overlays_pb2.ReviewCopy:
    """A review copy as the contract shows it."""
    return overlays_pb2.ReviewCopy(
        review_copy_id=copy.review_copy_id,
        organisation_id=copy.organisation_id,
        asset_id=copy.asset_id,
        recipient=copy.recipient,
        state=overlays_pb2.ReviewCopyState.ValueType(copy.state),
        fraction=copy.fraction,
        size_bytes=copy.size_bytes,
        sha256=copy.sha256,
        failure_message=copy.failure_message,
        create_time=timestamp(copy.create_time),
        end_time=timestamp(copy.end_time),
        expire_time=timestamp(copy.expire_time),
    )
