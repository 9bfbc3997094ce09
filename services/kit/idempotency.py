"""`request_id`: a repeated mutation gets the first answer (AIP-155)."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TypeVar

import grpc
import sqlalchemy as sa
from google.protobuf.message import Message

from services.kit.database import Tx, replies
from services.kit.errors import RPC_DOMAIN, Refusal

KEPT_FOR = timedelta(days=7)
"""How long first answers are kept. A repeat that comes later is a new request."""


Answer = TypeVar("Answer", bound=Message)


async def first_answer(tx: Tx, organisation_id: str, request: Message, answer_type: type[Answer]) -> Answer | None:
    """The answer that this request got before; None when it is new.

    Two calls with one id at the same time are put in a row: the second waits here until the first has ended.

    Raises:
        Refusal: FAILED_PRECONDITION `REQUEST_ID_REUSED` when the id was used with another body.
    """
    method, request_id = request.DESCRIPTOR.full_name, _request_id(request)
    lock = hashlib.sha256(f"{organisation_id}\0{method}\0{request_id}".encode()).digest()[:8]
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(int.from_bytes(lock, "big", signed=True))))
    found = (
        await tx.execute(
            sa.select(replies.c.request_sha256, replies.c.response).where(
                replies.c.organisation_id == organisation_id,
                replies.c.method == method,
                replies.c.request_id == request_id,
            )
        )
    ).one_or_none()
    if found is None:
        return None
    if found.request_sha256 != _digest(request):
        raise Refusal(
            grpc.StatusCode.FAILED_PRECONDITION,
            "REQUEST_ID_REUSED",
            "this request_id was used before with another body; take a new one for a new request",
            domain=RPC_DOMAIN,
            metadata={"request_id": request_id},
        )
    return answer_type.FromString(found.response)


async def remember(tx: Tx, organisation_id: str, request: Message, answer: Message) -> None:
    """Keeps the answer for a repeat of the request, in the transaction that did the work. An answer that carries secrets is
    cleared of them by the caller first."""
    await tx.execute(
        sa.insert(replies).values(
            organisation_id=organisation_id,
            method=request.DESCRIPTOR.full_name,
            request_id=_request_id(request),
            request_sha256=_digest(request),
            response=answer.SerializeToString(),
        )
    )


async def forget_old(tx: Tx) -> None:
    """Removes answers that are older than `KEPT_FOR`."""
    await tx.execute(sa.delete(replies).where(replies.c.create_time < sa.func.now() - KEPT_FOR))


def _request_id(request: Message) -> str:
    value = getattr(request, "request_id", "")
    if not isinstance(value, str) or not value:
        raise TypeError(f"{request.DESCRIPTOR.full_name} carries no request_id")
    if not value.isprintable():  # Postgres keeps no NUL, and nobody can quote a control character
        message = "send a request_id of printable characters"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_INVALID",
            message,
            domain=RPC_DOMAIN,
            fields=[("request_id", message)],
        )
    return value


def _digest(request: Message) -> bytes:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
