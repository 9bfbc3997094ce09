"""`python -m tools.stand_in_processor`: runs the stand-in, at the URL that `REELMESH_PAYMENTS_STAND_IN_URL` says."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Final
from urllib.parse import urlsplit

import uvicorn

from services.kit import telemetry
from services.payments.wiring import PaymentsSettings
from tools.stand_in_processor.app import StandInProcessor
from tools.stand_in_processor.books import Books
from tools.stand_in_processor.keys import api_key, webhook_secret

NAME: Final = "stand-in"
_DEFAULT_PORT: Final = 8095


async def serve(settings: PaymentsSettings) -> None:
    """Serves until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    books = Books(settings.data_dir / "stand-in" / "books.sqlite")
    processor = StandInProcessor(
        books,
        url=settings.payments_stand_in_url,
        api_key=api_key(settings.secrets_dir),
        webhook_secret=webhook_secret(settings.secrets_dir),
    )
    at = urlsplit(settings.payments_stand_in_url)
    config = uvicorn.Config(
        processor.app,
        host=at.hostname or "127.0.0.1",
        port=at.port or _DEFAULT_PORT,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
    )
    server = uvicorn.Server(config)
    async with telemetry.serving_metrics(settings.metrics_address(NAME)):
        delivering = asyncio.create_task(processor.deliver())
        # `serve` would take the signal handlers over.
        serving = asyncio.create_task(server._serve())  # noqa: SLF001
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([delivering, serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        delivering.cancel()
        await asyncio.gather(delivering, serving, return_exceptions=True)
        stopping.cancel()
    books.close()


def main() -> None:
    """Runs until told to stop."""
    settings = PaymentsSettings()
    telemetry.set_up_logging(NAME, settings.log_level)
    for talkative in ("httpx", "uvicorn.error"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
