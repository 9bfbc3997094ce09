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


def checked_grant(request: Message) -> payments_pb2.Grant:
    """The `grant` of a request.

    Raises:
        Refusal: INVALID_ARGUMENT `GRANT_INVALID` for one that ends before it begins, or could never be used.
    """
    grant: payments_pb2.Grant = getattr(request, "grant")  # noqa: B009  # the field exists on these requests, not on Message
    start, end, begin_by = (moment(grant, field) for field in ("start_time", "end_time", "begin_by_time"))
    if start and end and end <= start:
        raise refusals.grant_invalid("grant.end_time", "what is granted must end after it begins")
    if start and begin_by and begin_by <= start:
        raise refusals.grant_invalid("grant.begin_by_time", "the first play must be possible after it begins")
    return grant


def storable(field: str, text: str) -> None:
    """Goes on with a text that the database can keep.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID` for the one character that it cannot.
    """
    if "\0" in text:
        message = "send text without NUL characters"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN, fields=[(field, message)]
        )


def content_of(request: Message) -> bytes:
    """SHA-256 of what is asked for: of the request without its `request_id`, so that the same fact told twice is known for the same."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    text = bare.DESCRIPTOR.full_name.encode() + b"\0" + bare.SerializeToString(deterministic=True)
    return hashlib.sha256(text).digest()
