"""The ways to a segment that are measured beside each other: edges of a running install, an Envoy that asks nobody for a ticket, and
nginx with `secure_link`."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx
import psutil
import yaml

from envoy import get_envoy_path  # type: ignore[attr-defined] # mypy takes the folder envoy/ for it
from tests.bench.harness import SCRATCH
from tests.bench.load import Load, load
from tests.bench.screening import Screening
from tests.bench.upload_peers import nginx_program, started
from tests.support.ports import free_port
from tools.envoy_config import command, render
from tools.reelmesh_cli.supervisor import envoy_server

_JUDGING: Final = {
    "envoy.filters.http.ext_authz",
    "reelmesh.playback-tickets",
    "reelmesh.admission",
    "reelmesh.authorizer",
}
_UNJUDGED: Final = """
function envoy_on_request(handle)
  local headers = handle:headers()
  headers:replace("x-correlation-id", (headers:get("x-request-id"):gsub("-", "")))
  headers:replace("x-reelmesh-asked", headers:get(":path"):sub(12))
end
"""
"""What is left of `edge.lua`: the correlation id, and the path for the access log."""
_DECISIONS: Final = re.compile(r"^reelmesh_edge_decisions_total\{.*\} ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lane:
    """One way.

    Attributes:
        url: of the file.
        processes: ids of those that do the work, by name; their children count with them.
        asks: whether `policy` is meant to be asked about each request.
    """

    url: str
    processes: Mapping[str, int]
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a lane.

    Attributes:
        cpu: seconds of processor time by name of process.
        asked: how many requests `policy` judged meanwhile.
    """

    load: Load
    cpu: Mapping[str, float]
    asked: float


async def taken(ours: Screening, lane: Lane, *, connections: int, seconds: float) -> Turn:
    """Puts a load on a lane.

    Raises:
        AssertionError: `policy` was asked where it should not be, or the other way round.
    """
    asked, before = await decisions(ours), {name: cpu_seconds(pid) for name, pid in lane.processes.items()}
    seen = await load(lane.url, connections=connections, seconds=seconds)
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in lane.processes.items()}
    asked = await decisions(ours) - asked
    if (asked > len(seen.milliseconds) / 2) != lane.asks:
        raise AssertionError(f"policy judged {asked:.0f} of {len(seen.milliseconds)} requests: {lane.url}")
    return Turn(seen, cpu, asked)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its children have taken so far."""
    process = psutil.Process(pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total


async def decisions(ours: Screening) -> float:
    """How many requests `policy` has judged so far."""
    socket = ours.mesh.installation.layout.sockets / "policy.metrics.sock"
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(socket))) as metrics:
        told = (await metrics.get("http://policy/metrics")).text
    return sum(float(value) for value in _DECISIONS.findall(told))


@asynccontextmanager
async def another_edge(ours: Screening, *, strict: bool) -> AsyncIterator[tuple[str, int]]:
    """One more edge of the same install; yields its `host:port` and process id. A strict one asks about everything."""
    port = free_port()
    layout = ours.mesh.installation.layout
    with tempfile.TemporaryDirectory(prefix="edge-", dir=SCRATCH) as folder:
        settings = replace(
            envoy_server.edge_settings(layout, port),
            strict=strict,
            admin=f"unix:{folder}/admin.sock",
            access_log=f"{folder}/access.log",
        )
        path = Path(folder) / "envoy.yaml"
        path.write_text(render(settings), encoding="utf-8")
        async with started(*command(path, settings), port=port) as pid:
            yield f"127.0.0.1:{port}", pid


@asynccontextmanager
async def open_edge(ours: Screening) -> AsyncIterator[tuple[str, int]]:
    """One more edge of the same install, with the same limits, answer headers and access log, that serves the published files to everybody:
    what judges a request is taken out. Yields its `host:port` and process id."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="edge-", dir=SCRATCH) as folder:
        settings = replace(
            envoy_server.edge_settings(ours.mesh.installation.layout, port),
            strict=False,
            admin=f"unix:{folder}/admin.sock",
            access_log=f"{folder}/access.log",
        )
        config = yaml.safe_load(render(settings))
        manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"] = [one for one in manager["http_filters"] if one["name"] not in _JUDGING]
        first = next(one for one in manager["http_filters"] if one["name"] == "envoy.filters.http.lua")
        first["typed_config"]["default_source_code"]["inline_string"] = _UNJUDGED
        (host,) = manager["route_config"]["virtual_hosts"]
        (playback,) = (route for route in host["routes"] if route["name"] == "playback")
        playback["match"] = {"prefix": "/published/"}
        host["routes"] = [playback]
        path = Path(folder) / "envoy.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")
        async with started(*command(path, settings), port=port) as pid:
            yield f"127.0.0.1:{port}", pid


@asynccontextmanager
async def plain_edge(ours: Screening) -> AsyncIterator[tuple[str, int]]:
    """An Envoy with as many workers and file threads that serves the published files to everybody; yields `host:port` and process id."""
    config = (ours.mesh.installation.layout.run / "envoy.yaml").read_text(encoding="utf-8")
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
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}]
    manager = {
        "@type": f"{of}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {"virtual_hosts": [{"name": "plain", "domains": ["*"], "routes": routes}]},
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
        words = ("--concurrency", workers_of(ours), "--disable-hot-restart", "--log-level", "off")
        async with started(str(get_envoy_path()), "-c", str(path), *words, port=port) as pid:
            yield f"127.0.0.1:{port}", pid


@asynccontextmanager
async def nginx_secure_link(ours: Screening, file: Path) -> AsyncIterator[tuple[str, int]]:
    """nginx with as many workers, which serves the published files to whoever shows an MD5 over path, time and a secret
    (`ngx_http_secure_link_module`); yields the URL of a file and the process id."""
    program, port, secret = nginx_program(), free_port(), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="nginx-", dir=SCRATCH) as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(f"""
            {"user root;" if os.geteuid() == 0 else ""}
            worker_processes {workers_of(ours)}; daemon off; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 4096; }}
            http {{
              access_log {folder}/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
              types {{ video/iso.segment m4s; }}
              server {{
                listen 127.0.0.1:{port};
                location /published/ {{
                  secure_link $arg_md5,$arg_expires;
                  secure_link_md5 "$secure_link_expires$uri {secret}";
                  if ($secure_link = "") {{ return 403; }}
                  if ($secure_link = "0") {{ return 410; }}
                  alias {ours.published}/;
                }}
              }}
            }}
        """)
        path, expires = f"/published/{file.relative_to(ours.published)}", int(time.time()) + 86_400
        digest = hashlib.md5(f"{expires}{path} {secret}".encode(), usedforsecurity=False).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        async with started(program, "-e", f"{folder}/error.log", "-c", str(config), port=port) as pid:
            yield f"http://127.0.0.1:{port}{path}?md5={proof}&expires={expires}", pid


def workers_of(ours: Screening) -> str:
    """Workers of the install's own Envoy."""
    words = Path(f"/proc/{ours.mesh.installation.pid('envoy')}/cmdline").read_text(encoding="utf-8").split("\0")
    return words[words.index("--concurrency") + 1]
