"""Reads of requests what their contract cannot hold them to."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.payments.v1 import payments_pb2

from services.kit.errors import RPC_DOMAIN, Refusal
from services.payments import refusals


def moment(request: Message, field: str) -> datetime | None:
    """A moment of a request; None when it is absent.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID` for what is no moment.
    """
    if not request.HasField(field):
        return None
    stamp: Timestamp = getattr(request, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        message = "this is not a moment between the years 1 and 9999"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_INVALID",
            f"{field}: {message}",
            domain=RPC_DOMAIN,
            fields=[(field, message)],
        ) from error


def amount(request: Message, field: str, *, least: int = 1) -> int | None:
    """Minor units of an amount; None when it is absent.

    Raises:
        Refusal: INVALID_ARGUMENT `AMOUNT_INVALID` when it is less than the least.
    """
    if not request.HasField(field):
        return None
    money: payments_pb2.Money = getattr(request, field)
    if money.minor_units < least:
        raise refusals.amount_invalid(field, "must be above zero" if least else "must not be below zero")
    return money.minor_units


def content_of(request: Message) -> bytes:
    """SHA-256 of what is asked for: of the request without its `request_id`, so that the same fact told twice is known for the same."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    text = bare.DESCRIPTOR.full_name.encode() + b"\0" + bare.SerializeToString(deterministic=True)
    return hashlib.sha256(text).digest()
