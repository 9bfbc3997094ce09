"""The promotions contract."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.message import Message
from reelmesh.payments.v1 import promotions_service_pb2 as api
from reelmesh.payments.v1 import promotions_service_pb2_grpc

from services.kit import attempts
from services.kit.clock import Clock, duration, timestamp
from services.kit.database import Database, Tx
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments.entitlements.messages import own_entitlement
from services.payments.promotions import refusals, store
from services.payments.promotions.domain import Promotion, guess_of, new_code
from services.payments.promotions.redeeming import redeem
from services.payments.requests import moment, storable

Context = grpc.aio.ServicerContext[Any, Any]


class PromotionsRpc(promotions_service_pb2_grpc.PromotionsServiceServicer):
    """Keeps the promotions of the caller's organisation, and redeems their codes.

    Args:
        writers: how many may redeem at a time. All others wait for their turn without a connection in hand: those who redeem one code wait for
            each other anyway.
    """

    def __init__(self, database: Database, clock: Clock, writers: int) -> None:
        self._database = database
        self._clock = clock
        self._room = asyncio.Semaphore(writers)

    async def CreatePromotion(
        self, request: api.CreatePromotionRequest, context: Context
    ) -> api.CreatePromotionResponse:
        """Makes a promotion."""
        organisation_id, wanted = current_call().organisation_id, request.promotion
        storable("promotion.comment", wanted.comment)
        promotion = Promotion(
            promotion_id=new_id("prm"),
            organisation_id=organisation_id,
            code=wanted.code.upper() or new_code(),
            asset_id=wanted.asset_id,
            lasts=_span(wanted, "lasts"),
            max_plays=wanted.max_plays,
            watch=_span(wanted, "watch_duration"),
            territories=tuple(dict.fromkeys(wanted.territories)),
            start_time=moment(wanted, "start_time"),
            end_time=moment(wanted, "end_time"),
            max_uses=wanted.max_uses,
            uses_per_viewer=wanted.uses_per_viewer or 1,
            comment=wanted.comment,
            create_time=self._clock.now(),
        ).checked()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreatePromotionResponse):
                return earlier
            if not await store.add(tx, promotion):
                raise refusals.promotion_code_taken()
            answer = api.CreatePromotionResponse(promotion=_resource(promotion))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def EndPromotion(self, request: api.EndPromotionRequest, context: Context) -> api.EndPromotionResponse:
        """Ends a promotion."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            await _found(tx, organisation_id, request.promotion_id)
            await store.stop(tx, request.promotion_id, self._clock.now())
            ended = await _found(tx, organisation_id, request.promotion_id)
        return api.EndPromotionResponse(promotion=_resource(ended))

    async def ListPromotions(self, request: api.ListPromotionsRequest, context: Context) -> api.ListPromotionsResponse:
        """The organisation's promotions, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListPromotionsResponse(
            promotions=[_resource(promotion) for promotion in shown],
            next_page_token=part.next_token(shown[-1].promotion_id) if len(found) > part.size else "",
        )

    async def RedeemPromotion(
        self, request: api.RedeemPromotionRequest, context: Context
    ) -> api.RedeemPromotionResponse:
        """Redeems a code for the caller."""
        call = current_call()
        viewer_id = call.principal.account_id if call.principal else ""
        guess, now = guess_of(viewer_id), self._clock.now()
        async with self._room:
            # Counted by itself first: a wrong code is refused, and what is refused is undone.
            async with self._database.transaction() as tx:
                wait = await attempts.begin(tx, guess, now)
            if wait:
                raise refusals.too_many_attempts(wait)
            async with self._database.transaction() as tx:
                if earlier := await first_answer(tx, f"{call.organisation_id} {viewer_id}", request, _ANSWER):
                    await attempts.forget(tx, guess)
                    return earlier
                entitlement = await redeem(tx, call.organisation_id, viewer_id, request.code.upper(), now)
                answer = api.RedeemPromotionResponse(entitlement=own_entitlement(entitlement, now))
                await remember(tx, f"{call.organisation_id} {viewer_id}", request, answer)
                await attempts.forget(tx, guess)
                return answer


_ANSWER = api.RedeemPromotionResponse


async def _found(tx: Tx, organisation_id: str, promotion_id: str) -> Promotion:
    found = await store.find(tx, organisation_id, promotion_id)
    if found is None:
        raise refusals.promotion_not_found(promotion_id)
    return found


def _span(message: Message, field: str) -> timedelta | None:
    return getattr(message, field).ToTimedelta() if message.HasField(field) else None


def _resource(promotion: Promotion) -> api.Promotion:
    return api.Promotion(
        promotion_id=promotion.promotion_id,
        organisation_id=promotion.organisation_id,
        code=promotion.code,
        asset_id=promotion.asset_id,
        lasts=duration(promotion.lasts.total_seconds()) if promotion.lasts else None,
        max_plays=promotion.max_plays,
        watch_duration=duration(promotion.watch.total_seconds()) if promotion.watch else None,
        territories=promotion.territories,
        start_time=timestamp(promotion.start_time),
        end_time=timestamp(promotion.end_time),
        max_uses=promotion.max_uses,
        uses_per_viewer=promotion.uses_per_viewer,
        comment=promotion.comment,
        uses=promotion.uses,
        stop_time=timestamp(promotion.stop_time),
        create_time=timestamp(promotion.create_time),
    )
