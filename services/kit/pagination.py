"""Pages of a list (AIP-158): a token is opaque, and good only for the filter that it was made with."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

import grpc
from google.protobuf.message import Message

from services.kit.errors import RPC_DOMAIN, Refusal

DEFAULT_SIZE = 50


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for.

    Attributes:
        size: most rows to return.
        after: key of the last row of the page before; empty for the first page.
        filter: digest of everything in the request but the paging, to which tokens are bound.
    """

    size: int
    after: str
    filter: str

    def next_token(self, last_key: str) -> str:
        """The token of the page that begins after the row with this key."""
        return base64.urlsafe_b64encode(json.dumps([self.filter, last_key]).encode()).decode().rstrip("=")


def page_of(request: Message) -> Page:
    """Reads `page_size` and `page_token` of a List request.

    Raises:
        Refusal: INVALID_ARGUMENT `PAGE_TOKEN_INVALID`.
    """
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("page_size")
    bare.ClearField("page_token")
    text = bare.DESCRIPTOR.full_name.encode() + bare.SerializeToString(deterministic=True)
    digest = hashlib.sha256(text).hexdigest()[:16]
    size: int = getattr(request, "page_size") or DEFAULT_SIZE  # noqa: B009  # the field exists on every List request, not on Message
    token: str = getattr(request, "page_token")  # noqa: B009
    if not token:
        return Page(size, "", digest)
    try:
        bound_to, after = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, TypeError) as error:
        raise _invalid("the page token is not one that was issued here; start again without it") from error
    if bound_to != digest or not isinstance(after, str) or not after.isprintable():
        raise _invalid("the page token belongs to another list or filter; start again without it")
    return Page(size, after, digest)


def moment_and_id(after: str) -> tuple[datetime, str]:
    """Takes apart the key of a list that is ordered by a moment and then by id: `<ISO 8601> <id>`.

    Raises:
        Refusal: INVALID_ARGUMENT `PAGE_TOKEN_INVALID`.
    """
    moment, _, row_id = after.partition(" ")
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError as error:
        raise _invalid("the page token is not one that was issued here; start again without it") from error
    if parsed.tzinfo is None:
        raise _invalid("the page token is not one that was issued here; start again without it")
    return parsed, row_id


def number_of(after: str) -> int:
    """Reads the key of a list that is ordered by a number.

    Raises:
        Refusal: INVALID_ARGUMENT `PAGE_TOKEN_INVALID`.
    """
    # Eighteen digits fit into a bigint; those of other scripts are none here.
    if not (after.isascii() and after.isdecimal() and len(after) <= 18):
        raise _invalid("the page token is not one that was issued here; start again without it")
    return int(after)


def _invalid(message: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", message, domain=RPC_DOMAIN)
