"""How the edge limits calls: by nets of its own, and by asking `limits`, which counts over all edges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.limits.domain import MICROSECONDS, Limit
from services.limits.rules import Quota, Written, WrongLimits, read
from tools.envoy_config.templates import Block, filled

# Microseconds; Envoy fills no bucket more often.
_SHORTEST_FILL: Final = 50_000
_ADDRESS: Final = {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}
UNCOUNTED: Final = Limit(count=1_000_000, seconds=1, burst=1_000_000)


def limits_in(file: Path | None) -> Written:
    """The limits of an install as they are now. A file that is wrong is not heeded, as by `limits`, whose log says why: that is no reason
    to be without an edge."""
    try:
        return read(file)
    except WrongLimits:
        return read()


@dataclass(frozen=True, slots=True)
class Net:
    """What an edge counts by itself, per address.

    Attributes:
        name: in Envoy's statistics.
        status: HTTP status by which its answers are told from all others.
        quota: how much passes.
    """

    name: str
    status: int
    quota: Quota

    @property
    def limit(self) -> Limit:
        """How much passes, as numbers."""
        return self.quota.limit() or UNCOUNTED

    @property
    def wait_seconds(self) -> int:
        """Seconds after which a call that was refused may pass, at most, if no other does before."""
        return -(-self.limit.interval // MICROSECONDS)

    def filter(self) -> Block:
        """Configuration of a local rate limit."""
        tokens = -(-_SHORTEST_FILL // self.limit.interval)
        bucket = {
            "max_tokens": self.limit.burst,
            "tokens_per_fill": tokens,
            "fill_interval": f"{tokens * self.limit.interval / MICROSECONDS:.6f}s",
        }
        return filled(
            "limits_local", name=self.name, status=self.status, bucket=bucket, wait_seconds=str(self.wait_seconds)
        )


def flood(written: Written) -> Net:
    """The net for all calls."""
    return Net("flood", 428, written.edge.every_call)


def guesses(written: Written) -> Net:
    """The net for one method with which secrets can be tried."""
    return Net("guesses", 423, written.edge.guessing)


def asked(method: str) -> list[dict[str, object]]:
    """What `limits` is told of a call, as `rate_limits` of its route.

    Args:
        method: `package.Service/Method`, or a name in that form for what is not a method.
    """
    said = [
        {"generic_key": {"descriptor_key": "method", "descriptor_value": method}},
        _ADDRESS,
        _header("authorization", "authorization"),
        _header("x-correlation-id", "correlation_id"),
        {
            "metadata": {
                "descriptor_key": "form",
                "metadata_key": {"key": "edge", "path": [{"key": "form"}]},
                "default_value": "http",
            }
        },
    ]
    return [{"actions": said}]


def _header(name: str, key: str) -> dict[str, object]:
    return {"request_headers": {"header_name": name, "descriptor_key": key, "skip_if_absent": True}}
