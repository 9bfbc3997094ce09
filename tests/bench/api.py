"""The interface: authenticated `GetAsset` calls by gRPC through Envoy, beside the same handlers without the kit's interceptors, and how
long calls take when two hundred people are at it.

Both servers have the same database, mutual TLS and Envoy, which counts each call by asking `limits`, as shipped. The caller is a person
with an access token.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import grpc
from reelmesh.assets.v1 import assets_service_pb2, assets_service_pb2_grpc

from tests.bench.edge_lanes import cpu_seconds
from tests.bench.harness import ROOT, SCRATCH, Measurement, median, percentile, take_turns
from tests.bench.load import Load, load
from tests.bench.people import access_token, registered, unlimited
from tests.bench.screening import Screening, screening
from tests.bench.upload_peers import started
from tests.support.ports import free_port
from tools.envoy_config import command, render
from tools.reelmesh_cli.supervisor import envoy_server
from tools.reelmesh_cli.supervisor.environment import MeshAddresses, of_service

_ROUNDS: Final = 7
_SECONDS: Final = 4
_CONNECTIONS: Final = 16
_USERS: Final = 200
_PER_USER: Final = 1
"""Calls a second of one of them: somebody who clicks without a pause."""
_GROUPS: Final = 25
_METHOD: Final = "/reelmesh.assets.v1.AssetsService/GetAsset"


@dataclass(frozen=True, slots=True)
class _Lane:
    """One server behind one Envoy."""

    address: str
    server_pid: int


@dataclass(frozen=True, slots=True)
class _Turn:
    """What came of one turn; `cpu` is microseconds of the server's processor time a call."""

    load: Load
    cpu: float


async def measure() -> list[Measurement]:
    """Takes about three minutes."""
    SCRATCH.mkdir(exist_ok=True)
    with unlimited() as environment:
        async with screening(environment=environment) as ours:
            organisation_id = (await ours.playback()).session.organisation_id
            token = await access_token(ours.mesh, await registered(ours.mesh, roles=("admin",)), organisation_id)
            request = assets_service_pb2.GetAssetRequest(asset_id=ours.asset_id)
            async with _lanes(ours, organisation_id, Path(environment["REELMESH_LIMITS_FILE"])) as lanes:
                for lane in lanes.values():
                    await _once(lane.address, request, token)
                turns = {name: partial(_turn, lane, request, token) for name, lane in lanes.items()}
                await take_turns(turns, 1)
                seen = await take_turns(turns, _ROUNDS)
                users = await _many(lanes["kit"].address, request, token)
    return [_overhead(seen), _users(users)]


def _overhead(seen: Mapping[str, list[_Turn]]) -> Measurement:
    per_second = {name: median(turn.load.per_second for turn in turns) for name, turns in seen.items()}
    cpu = {name: median(turn.cpu for turn in turns) for name, turns in seen.items()}
    return Measurement(
        "api.kit_overhead_pct",
        100 * (1 - per_second["kit"] / per_second["bare"]),
        "%",
        "the same handlers in a bare grpc.aio server",
        f"GetAsset by gRPC with a person's access token, {_CONNECTIONS} connections through Envoy, median of {_ROUNDS} alternating rounds of "
        f"{_SECONDS} s: {per_second['kit']:.0f}/s beside {per_second['bare']:.0f}/s without interceptors (recognising, access rule, "
        f"validation, telemetry, log line, deadline); processor time of the service {cpu['kit']:.0f} µs a call beside {cpu['bare']:.0f} µs",
    )


def _users(seen: Load) -> Measurement:
    late = {percent: percentile(seen.milliseconds, percent) for percent in (50, 95, 99)}
    return Measurement(
        "api.p95_ms_200_users",
        late[95],
        "ms",
        "",
        f"{_USERS} connections through Envoy, each {_PER_USER} GetAsset a second with a person's access token, {seen.per_second:.0f}/s in all; "
        f"p50 {late[50]:.1f}, p95 {late[95]:.1f}, p99 {late[99]:.1f} ms",
    )


async def _turn(lane: _Lane, request: assets_service_pb2.GetAssetRequest, token: str) -> _Turn:
    before = cpu_seconds(lane.server_pid)
    seen = await _asked(lane.address, request, token, _CONNECTIONS)
    return _Turn(seen, (cpu_seconds(lane.server_pid) - before) / len(seen.milliseconds) * 1e6)


async def _asked(
    address: str,
    request: assets_service_pb2.GetAssetRequest,
    token: str,
    connections: int,
    per_second: float | None = None,
) -> Load:
    message = request.SerializeToString()
    fields = {"content-type": "application/grpc", "te": "trailers", "authorization": f"Bearer {token}"}
    return await load(
        f"http://{address}{_METHOD}",
        connections=connections,
        seconds=_SECONDS,
        per_second=per_second,
        # A gRPC frame: not compressed, length, message.
        body=b"\0" + len(message).to_bytes(4, "big") + message,
        fields=fields,
        grpc=True,
    )


async def _many(address: str, request: assets_service_pb2.GetAssetRequest, token: str) -> Load:
    """Two hundred people who do not click in time with each other: groups of them, begun one after another over a second."""
    each = _USERS // _GROUPS

    async def group(number: int) -> Load:
        await asyncio.sleep(number / _GROUPS / _PER_USER)
        return await _asked(address, request, token, each, per_second=each * _PER_USER)

    seen = await asyncio.gather(*(group(number) for number in range(_GROUPS)))
    return Load(sum(turn.per_second for turn in seen), tuple(late for turn in seen for late in turn.milliseconds))


async def _once(address: str, request: assets_service_pb2.GetAssetRequest, token: str) -> None:
    """One call by a real client: the tool that makes load does not look into answers."""
    async with grpc.aio.insecure_channel(address) as channel:
        assets: assets_service_pb2_grpc.AssetsServiceAsyncStub = assets_service_pb2_grpc.AssetsServiceStub(channel)
        answer = await assets.GetAsset(request, metadata=(("authorization", f"Bearer {token}"),))
    assert answer.asset.asset_id == request.asset_id


@asynccontextmanager
async def _lanes(ours: Screening, organisation_id: str, limits: Path) -> AsyncIterator[dict[str, _Lane]]:
    installation = ours.mesh.installation
    with tempfile.TemporaryDirectory(prefix="api-", dir=SCRATCH) as folder:
        socket = Path(folder) / "assets.sock"
        async with (
            _bare(ours, socket, organisation_id) as bare_pid,
            _edge(ours, Path(folder), socket, limits) as address,
        ):
            yield {
                "kit": _Lane(f"127.0.0.1:{installation.port}", installation.pid("assets")),
                "bare": _Lane(address, bare_pid),
            }


@asynccontextmanager
async def _bare(ours: Screening, socket: Path, organisation_id: str) -> AsyncIterator[int]:
    layout = ours.mesh.installation.layout
    addresses = MeshAddresses(ours.mesh.installation.port, _nats_port(ours))
    environment = os.environ | of_service(layout, addresses, "assets")
    environment |= {
        "REELMESH_LISTEN": f"unix:{socket}",
        "REELMESH_METRICS_LISTEN": f"unix:{socket}.metrics",
        "BENCH_ORGANISATION": organisation_id,
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.bare_assets",
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            if socket.exists():
                break
            await asyncio.sleep(0.05)
        yield child.pid
    finally:
        child.terminate()
        await child.wait()


def _nats_port(ours: Screening) -> int:
    environment = Path(f"/proc/{ours.mesh.installation.pid('assets')}/environ").read_text(encoding="utf-8").split("\0")
    url = next(entry for entry in environment if entry.startswith("REELMESH_NATS_URL="))
    return int(url.rpartition(":")[2])


@asynccontextmanager
async def _edge(ours: Screening, folder: Path, socket: Path, limits: Path) -> AsyncIterator[str]:
    """An Envoy like the install's own that finds the bare server where the assets service would be."""
    port = free_port()
    settings = replace(
        envoy_server.edge_settings(ours.mesh.installation.layout, port),
        assets=f"unix:{socket}",
        admin=f"unix:{folder}/admin.sock",
        access_log=f"{folder}/access.log",
        limits_file=limits,
    )
    path = folder / "envoy.yaml"
    path.write_text(render(settings), encoding="utf-8")
    async with started(*command(path, settings), port=port):
        yield f"127.0.0.1:{port}"
