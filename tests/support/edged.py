"""A real Envoy in front of services that run inside the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx

from gateway.oauth.__main__ import OAuthGatewaySettings
from gateway.oauth.__main__ import wire as wire_oauth
from gateway.speke.__main__ import SpekeSettings
from gateway.speke.__main__ import wire as wire_speke
from gateway.webhooks.__main__ import WebhooksSettings
from gateway.webhooks.__main__ import wire as wire_webhooks
from services.kit.settings import ProcessSettings
from tests.envoy.edge import settings_in
from tests.support.ports import free_port
from tests.support.running import running
from tools.envoy_config import command, render, write_certificate_sources


@contextlib.asynccontextmanager
async def running_edge(settings: ProcessSettings) -> AsyncIterator[str]:
    """Runs the gateways and Envoy, and yields the URL for people once every part is well. Services must run already."""
    folder = settings.run_dir.resolve()
    edge = replace(settings_in(folder, free_port(), settings.secrets_dir), objects=settings.data_dir / "objects")
    write_certificate_sources(edge)
    config, log = folder / "envoy.yaml", folder / "envoy.log"
    config.write_text(render(edge), encoding="utf-8")
    async with (
        running("oauth", OAuthGatewaySettings(**settings.model_dump()), wire_oauth),
        running("speke", SpekeSettings(**settings.model_dump()), wire_speke),
        running("webhooks", WebhooksSettings(**settings.model_dump()), wire_webhooks),
    ):
        with log.open("wb") as out:
            envoy = await asyncio.create_subprocess_exec(*command(config, edge), stdout=out, stderr=out)
        try:
            url = f"http://{edge.listen}"
            await _until_ready(url)
            yield url
        finally:
            envoy.terminate()
            await envoy.wait()


async def _until_ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as http, asyncio.timeout(60):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
