"""What goes wrong: what a server refuses, that nobody answers, that an asset failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import grpc
import grpc.aio
from reelmesh.assets.v1 import assets_pb2

from services.kit.errors import STATUS_METADATA_KEY, Refusal

_BREAKS = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}
)


class Unreachable(Exception):
    """Nobody answers at the address, or no longer."""


class AssetFailed(Exception):
    """The pipeline gave an asset up, or holds it for review. `asset.failure` has stage, reason and message of what was given up."""

    def __init__(self, asset: assets_pb2.Asset) -> None:
        held = asset.state == assets_pb2.ASSET_STATE_HELD
        super().__init__("held for review" if held else f"{asset.failure.reason}: {asset.failure.message}")
        self.asset = asset


def raised_by(error: grpc.aio.AioRpcError, url: str) -> Refusal | Unreachable:
    """The typed refusal in an error; an error of the transport itself, in which no server spoke, is `Unreachable`."""
    refusal = Refusal.from_rpc_error(error)
    spoken = any(
        key == STATUS_METADATA_KEY
        for key, _ in cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    )
    if not spoken and refusal.code in _BREAKS:
        return Unreachable(f"no answer from {url} ({(error.details() or refusal.reason).rsplit(': ')[-1]})")
    return refusal


def limited_for(error: Refusal | Unreachable) -> float:
    """Seconds after which a call that was one too many may be made again; 0 for any other error."""
    if isinstance(error, Refusal) and error.reason == "RATE_LIMITED" and error.retry_after is not None:
        return max(error.retry_after.total_seconds(), 0.05)
    return 0.0
