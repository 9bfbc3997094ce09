"""Refusals of this service, as `protection.proto` lists them."""

from __future__ import annotations

from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "protection.reelmesh"


def copy_not_found(asset_id: str) -> Refusal:
    """There is no such suspicious file."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "COPY_NOT_FOUND",
        "there is no such suspicious file, or it has not passed the checks of uploads; upload it first, and name the asset that the upload tells",
        domain=DOMAIN,
        metadata={"asset_id": asset_id},
    )


def undecodable() -> Refusal:
    """A suspicious file is no film that can be decoded."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "COPY_UNDECODABLE",
        "no moving picture could be decoded from the file; send a film, such as MP4, Matroska, MPEG-TS or AVI",
        domain=DOMAIN,
    )


def detection_not_found(detection_id: str) -> Refusal:
    """There is no such detection in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "DETECTION_NOT_FOUND",
        "there is no such detection; it belongs to another organisation, or was forgotten after its time",
        domain=DOMAIN,
        metadata={"detection_id": detection_id},
    )


def detection_unfinished(state: str) -> Refusal:
    """A detection has no picture."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "DETECTION_UNFINISHED",
        f"the detection is {state.lower()} and has no picture; watch it until it is completed",
        domain=DOMAIN,
        metadata={"state": state},
    )


def title_not_marked(asset_id: str) -> Refusal:
    """The title that was named cannot be looked for."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "TITLE_NOT_MARKED",
        "that title is not watermarked, or is not yours; name another, or none to have all tried",
        domain=DOMAIN,
        metadata={"asset_id": asset_id},
    )


def match_not_found(match_id: str) -> Refusal:
    """There is no such match in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "MATCH_NOT_FOUND",
        "there is no such match; it belongs to another organisation, or was forgotten after its time",
        domain=DOMAIN,
        metadata={"match_id": match_id},
    )
