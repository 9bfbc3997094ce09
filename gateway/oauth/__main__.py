"""The gateway's process."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from pydantic import Field

from gateway.oauth.app import OAuthGateway
from gateway.oauth.identity import CONTRACT, Identity
from gateway.oauth.sign_in import OutsideSignIn
from services.kit.callers import callers_of
from services.kit.http_server import HttpServer
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings


class OAuthGatewaySettings(ProcessSettings):
    """What can be set about the gateway."""

    oauth_threads: int = Field(default=32, ge=1, le=256, description="OAuth requests worked on at a time.")
    sso_networks: Literal["public", "private", "loopback"] = Field(
        default="public",
        description="Where outside providers may be: at public addresses only, in private networks too, or also on this machine by http.",
    )


async def wire(process: Process, settings: OAuthGatewaySettings) -> None:
    """Puts the gateway together and starts it."""
    # They would write tokens and addresses with codes into the log.
    for talkative in ("authlib", "httpx", "httpcore"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    public_url = settings.public_url.rstrip("/")
    identity = Identity(process.peer("identity", CONTRACT))
    sign_in = OutsideSignIn(identity, process.clock, public_url, settings.sso_networks)
    gateway = OAuthGateway(identity, public_url, sign_in, threads=settings.oauth_threads)
    server = HttpServer(gateway.app, process.certificates, callers_of("oauth"))
    await server.start(settings.listen_address("oauth"))
    begun = asyncio.Event()

    async def until_stopped() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await server.drain(settings.drain_timeout.total_seconds())
            await sign_in.close()
            gateway.close()

    process.in_background(until_stopped(), "http")
    # A task that is cancelled before its first step never comes to its `finally`.
    await begun.wait()


def main() -> None:
    """Runs until told to stop."""
    run("oauth", OAuthGatewaySettings, wire)


if __name__ == "__main__":
    main()
