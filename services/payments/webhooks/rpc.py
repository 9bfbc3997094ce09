"""The contract of webhooks."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.payments.v1 import payments_pb2, webhooks_service_pb2_grpc
from reelmesh.payments.v1 import webhooks_service_pb2 as api

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, after_commit
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.processors.contract import Delivery
from services.payments.webhooks import store
from services.payments.webhooks.queue import Queue
from services.payments.webhooks.receiving import Posted, Receiving
from services.payments.webhooks.store import Event

Context = grpc.aio.ServicerContext[Any, Any]


class WebhooksRpc(webhooks_service_pb2_grpc.WebhooksServiceServicer):
    """Takes webhooks from the gateway, and shows organisations what came of theirs."""

    def __init__(self, database: Database, clock: Clock, receiving: Receiving, queue: Queue) -> None:
        self._database = database
        self._clock = clock
        self._receiving = receiving
        self._queue = queue

    async def ReceiveWebhooks(
        self, request: api.ReceiveWebhooksRequest, context: Context
    ) -> api.ReceiveWebhooksResponse:
        """Takes deliveries."""
        now = self._clock.now()
        posted = [
            Posted(
                one.processor,
                one.processor_account_id,
                Delivery(one.headers, one.query, one.body, one.source_address, now),
            )
            for one in request.deliveries
        ]
        return api.ReceiveWebhooksResponse(
            answers=[
                api.WebhookAnswer(
                    status=answer.acknowledgement.status,
                    content_type=answer.acknowledgement.content_type,
                    body=answer.acknowledgement.body,
                    reason=answer.reason,
                )
                for answer in await self._receiving.received(posted)
            ]
        )

    async def ListWebhookEvents(
        self, request: api.ListWebhookEventsRequest, context: Context
    ) -> api.ListWebhookEventsResponse:
        """What processors told the organisation."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, request.state, part)
        shown = found[: part.size]
        return api.ListWebhookEventsResponse(
            events=[_resource(event) for event in shown],
            next_page_token=part.next_token(shown[-1].event_id) if len(found) > part.size else "",
        )

    async def RetryWebhookEvent(
        self, request: api.RetryWebhookEventRequest, context: Context
    ) -> api.RetryWebhookEventResponse:
        """Works on an event once more."""
        async with self._database.transaction() as tx:
            event = await store.retry(tx, current_call().organisation_id, request.event_id, self._clock.now())
            after_commit(tx, self._queue.wake)
        if event is None:
            raise refusals.webhook_event_not_found(request.event_id)
        return api.RetryWebhookEventResponse(event=_resource(event))


def _resource(event: Event) -> api.WebhookEvent:
    notice = event.told()
    return api.WebhookEvent(
        event_id=event.event_id,
        processor_account_id=event.account_id,
        processor=event.processor,
        kind=api.WebhookEventKind.ValueType(event.kind),
        state=api.WebhookEventState.ValueType(event.state),
        transaction_reference=notice.transaction_reference,
        original_reference=notice.original_reference,
        subscription_reference=notice.subscription_reference,
        checkout_id=notice.checkout_id,
        amount=payments_pb2.Money(minor_units=notice.amount.minor_units, currency=notice.amount.currency)
        if notice.amount
        else None,
        attempts=event.attempts,
        trouble=event.trouble,
        redacted=event.redacted,
        occur_time=timestamp(notice.occur_time),
        receive_time=timestamp(event.receive_time),
        done_time=timestamp(event.done_time),
    )
