"""Why a master is not taken, or an encode given up: the `ErrorReason`s of the contract that the engine raises."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "transcode.reelmesh"
_LONGEST_DETAIL: Final = 400


class Reason(StrEnum):
    """Names of `reelmesh.transcode.v1.ErrorReason` without their prefix."""

    EMPTY = "MASTER_EMPTY"
    NOT_MEDIA = "MASTER_NOT_MEDIA"
    PLAYLIST = "MASTER_PLAYLIST"
    TRUNCATED = "MASTER_TRUNCATED"
    TOO_MANY_STREAMS = "MASTER_TOO_MANY_STREAMS"
    DIMENSIONS = "MASTER_DIMENSIONS"
    TOO_LONG = "MASTER_TOO_LONG"
    NO_VIDEO = "MASTER_NO_VIDEO"
    UNDECODABLE = "MASTER_UNDECODABLE"
    ENCODE_FAILED = "ENCODE_FAILED"


def refused(reason: Reason, message: str, **metadata: object) -> Refusal:
    """A master that cannot be taken; the metadata are those that the contract names for the reason."""
    code = grpc.StatusCode.INTERNAL if reason is Reason.ENCODE_FAILED else grpc.StatusCode.INVALID_ARGUMENT
    facts = {name: str(value) for name, value in metadata.items()}
    return Refusal(code, reason.value, message, domain=DOMAIN, metadata=facts)


def truncated(what: str = "it ends before its content does") -> Refusal:
    """The file stops short."""
    return refused(Reason.TRUNCATED, f"the file is incomplete: {what}; upload the whole file again")


def undecodable(detail: str) -> Refusal:
    """It looks like media, but there is nothing to be seen in it."""
    text = detail.strip()[-_LONGEST_DETAIL:] or "no picture could be decoded"
    message = "the file cannot be decoded; export it again, for example as H.264 in MP4"
    return refused(Reason.UNDECODABLE, message, detail=text)


def encode_failed(detail: str) -> Refusal:
    """An encode that went beyond its limits, or whose result did not stand the check."""
    text = detail.strip()[-_LONGEST_DETAIL:]
    return refused(Reason.ENCODE_FAILED, f"encoding failed: {text}", detail=text)
