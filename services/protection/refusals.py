"""Refusals of this service, as `protection.proto` lists them."""

from __future__ import annotations

from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "protection.reelmesh"


def undecodable() -> Refusal:
    """A suspicious file is no film that can be decoded."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "COPY_UNDECODABLE",
        "no moving picture could be decoded from the file; send a film, such as MP4, Matroska, MPEG-TS or AVI",
        domain=DOMAIN,
    )
