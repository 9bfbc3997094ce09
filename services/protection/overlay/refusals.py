"""Refusals about overlays and review copies, as `protection.proto` lists them."""

from __future__ import annotations

import grpc

from services.kit.errors import Refusal
from services.kit.overlay_text import PLACEHOLDERS
from services.protection.refusals import DOMAIN


def text_invalid(placeholder: str | None) -> Refusal:
    """A template's text cannot be shown."""
    known = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
    if placeholder is None:
        message = f"an overlay that is enabled needs a text; {known} can stand in it"
    else:
        message = f"nothing is known by the name {placeholder!r}; {known} can stand in the text"
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "OVERLAY_TEXT_INVALID",
        message,
        domain=DOMAIN,
        metadata={} if placeholder is None else {"placeholder": placeholder},
        fields=[("template.text", message)],
    )


def film_not_found(asset_id: str) -> Refusal:
    """There is no such film to be copied."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "FILM_NOT_FOUND",
        "there is no such film, or its upload has not passed the checks yet; wait for that, or name another",
        domain=DOMAIN,
        metadata={"asset_id": asset_id},
    )


def review_copy_not_found(review_copy_id: str) -> Refusal:
    """There is no such review copy in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "REVIEW_COPY_NOT_FOUND",
        "there is no such review copy; it belongs to another organisation, or its time is over. Ask for a new one",
        domain=DOMAIN,
        metadata={"review_copy_id": review_copy_id},
    )


def review_copy_not_ready(state: str) -> Refusal:
    """A review copy cannot be fetched."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "REVIEW_COPY_NOT_READY",
        f"the review copy is {state.lower()}; watch it until it is ready",
        domain=DOMAIN,
        metadata={"state": state},
    )


def overlay_off() -> Refusal:
    """There is nothing to burn in."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "OVERLAY_OFF",
        "the organisation has no overlay that could be burned in; set one and enable it",
        domain=DOMAIN,
    )
