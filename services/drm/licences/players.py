"""Where our own edge hands in what players ask by HTTP: the same licences that the contracts' `Acquire…` methods make, without the price of gRPC
and of transcoding it, which together cost more than the licence (DECISIONS.md). Other people's edges ask by gRPC.

    POST /p/{ticket}/{package_id}/licence/{system}        the body is the decryption module's message
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc

from services.drm.licences import answers
from services.drm.licences.asked import Proof, Sent
from services.kit import telemetry
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.ids import is_id
from services.kit.plain_http import Answer, Request
from services.kit.server import Client

SERVER: Final = "drm.licences"
"""Its name in `services/callers.toml`, and of its socket."""
LARGEST: Final = 1024 * 1024
"""Bytes of a message: what the edge lets through. Each key system says how much of that it takes."""
_LONGEST_TICKET: Final = 4096
_PATH: Final = re.compile(r"/p/([A-Za-z0-9_.-]+)/([^/]+)/licence/([a-z]+)")


@dataclass(frozen=True, slots=True)
class KeySystem:
    """A key system, as players ask for it.

    Attributes:
        method: full path of the contract's method for it.
        acquire: answers a player; never raises.
    """

    method: str
    acquire: Callable[[Sent], Awaitable[answers.Reply]]


class Players:
    """Answers players.

    Args:
        systems: by the last part of the path.
    """

    def __init__(self, systems: Mapping[str, KeySystem]) -> None:
        self._systems = systems
        self._seconds = {name: telemetry.RPC_SECONDS.labels(one.method, "OK") for name, one in systems.items()}

    async def answer(self, request: Request) -> Answer:
        """Answers one request."""
        with telemetry.correlated(request.headers.get(telemetry.CORRELATION_HEADER)):
            found = _PATH.fullmatch(request.target.partition("?")[0])
            system = self._systems.get(found[3]) if found else None
            if found is None or system is None:
                return answers.problem(_unknown(sorted(self._systems))).plain()
            if not is_id("pkg", found[2]) or len(found[1]) > _LONGEST_TICKET:
                return answers.problem(_malformed()).plain()
            if request.body is None:
                return answers.problem(_too_large()).plain()
            began = time.monotonic()
            headers = request.headers
            sent = Sent(
                ticket=found[1],
                package_id=found[2],
                challenge=request.body,
                content_type=headers.get("content-type", ""),
                client=Client.of(headers),
                proof=Proof(headers, system.method),
            )
            with telemetry.traced(system.method.removeprefix("/"), headers, served=True):
                reply = await system.acquire(sent)
            self._seconds[found[3]].observe(time.monotonic() - began)
            return reply.plain()


def _unknown(systems: list[str]) -> Refusal:
    message = f"there is no such key system; there are {', '.join(systems)}"
    return Refusal(grpc.StatusCode.NOT_FOUND, "REQUEST_INVALID", message, domain=RPC_DOMAIN)


def _malformed() -> Refusal:
    message = "the path names no package and ticket; take the URL as the playback's answer gives it"
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        message,
        domain=RPC_DOMAIN,
        fields=[("package_id", message)],
    )


def _too_large() -> Refusal:
    message = f"the message is larger than {LARGEST} bytes"
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN)
