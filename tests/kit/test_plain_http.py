"""The small HTTP server: what its own protocol promises beyond what `tests/policy/test_authorizer.py` shows of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from services.kit.callers import Callers
from services.kit.peers import Peers
from services.kit.plain_http import Answer, PlainHttpServer, Request
from tests.support.certificates import certificates_of

FLOOD = 300


async def test_a_flood_of_connections_finds_room(tmp_path: Path) -> None:
    """All at once, before the server can take the first: on a unix socket, one more than may wait is refused at once."""

    async def answer(_request: Request) -> Answer:
        return Answer(200)

    shown = certificates_of("policy")
    server = PlainHttpServer(answer, shown, Peers(shown, Callers(frozenset({"envoy"}))))
    await server.start(f"unix:{tmp_path}/plain.sock")
    with contextlib.ExitStack() as open_until_the_end:
        for _ in range(FLOOD):
            connection = open_until_the_end.enter_context(socket.socket(socket.AF_UNIX))
            connection.setblocking(False)
            connection.connect(f"{tmp_path}/plain.sock")
    await asyncio.sleep(0)
    await server.drain(0)


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x=y", "a\nb", "a\rb", "a\0b"])
def test_no_header_can_end_before_it_should(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        Answer(200, [("x-reelmesh-path", value)]).encoded("GET")
