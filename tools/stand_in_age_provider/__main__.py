"""`python -m tools.stand_in_age_provider`: runs the stand-in, at the URL that `REELMESH_COMPLIANCE_AGE_STAND_IN_URL` says."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Final
from urllib.parse import urlsplit

import httpx
import uvicorn

from services.compliance.age.providers import STAND_IN_KEY_FILE, AgeSettings, stand_in_secret
from services.kit import telemetry
from tools.stand_in_age_provider.app import StandInAgeProvider

NAME: Final = "stand-in-age"
_DEFAULT_PORT: Final = 8096
_PATIENCE: Final = 10.0


async def serve(settings: AgeSettings) -> None:
    """Serves until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    key, url = settings.secret(STAND_IN_KEY_FILE), settings.compliance_age_stand_in_url
    async with (
        httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as http,
        telemetry.serving_metrics(settings.metrics_address(NAME)),
    ):
        secrets = {"api_key": stand_in_secret(key, b"api"), "webhook_secret": stand_in_secret(key, b"webhooks")}
        provider = StandInAgeProvider(http, url=url, **secrets)
        at = urlsplit(url)
        config = uvicorn.Config(
            provider.app,
            host=at.hostname or "127.0.0.1",
            port=at.port or _DEFAULT_PORT,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
        )
        server = uvicorn.Server(config)
        # `serve` would take the signal handlers over.
        serving = asyncio.create_task(server._serve())  # noqa: SLF001
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        stopping.cancel()


def main() -> None:
    """Runs until told to stop."""
    settings = AgeSettings()
    telemetry.set_up_logging(NAME, settings.log_level)
    for talkative in ("httpx", "uvicorn.error"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
