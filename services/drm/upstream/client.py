"""Asks a licence server by HTTPS: never for longer than is set, never again where that could do harm, never while it is down.

A request that the server has certainly not taken is sent a second time. One of which that is not known is sent again only where its sender
says that two of it are as good as one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import httpx
import structlog
from prometheus_client import Histogram

from services.drm.upstream import refusals
from services.kit.breaker import Breaker, Open
from services.kit.clock import Clock
from services.kit.errors import Refusal

log = structlog.stdlib.get_logger()
Answer = TypeVar("Answer")

SECONDS: Final = Histogram(
    "reelmesh_licence_upstream_seconds",
    "Duration of what licence servers of others were asked, both tries together.",
    ["upstream", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TRIES: Final = 2
_LONGEST_PAUSE: Final = timedelta(minutes=5)
_OF_THE_REQUEST: Final = frozenset({"failing", "unusable"})
"""Failures that may lie in what was asked: the server did answer."""
_MOST_BLAMED: Final = 1000


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said.

    Attributes:
        headers: by lower-case name.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server may cost.

    Attributes:
        connect: seconds until the connection stands.
        whole: seconds for a request, with everything in it: both tries, and an answer that drips.
        bytes: of an answer.
        connections: at the same time; who finds none free is refused when `connect` is over.
        before_again: seconds before the second try.
    """

    connect: float = 2.0
    whole: float = 5.0
    bytes: int = 256 * 1024
    connections: int = 64
    before_again: float = 0.1


class Troubled(Exception):
    """The server is in trouble, or cannot be understood. `taken`: whether it may have done what it was asked for."""

    def __init__(self, why: str, *, taken: bool = True, retry_after: timedelta | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.taken = taken
        self.retry_after = retry_after


class Upstream:
    """One licence server.

    Args:
        name: `widevine` or `playready`.
        url: where it takes requests.
        ca_file: authorities that may vouch for it; None: the system's.
    """

    def __init__(
        self, name: str, url: str, clock: Clock, *, limits: Limits = Limits(), ca_file: Path | None = None
    ) -> None:
        self.name = name
        self.url = url
        self._limits = limits
        self._breaker = Breaker(clock)
        self._blamed: set[str] = set()
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(limits.whole, connect=limits.connect, pool=limits.connect),
            limits=httpx.Limits(max_connections=limits.connections, max_keepalive_connections=limits.connections),
            # Not followed: what is sent holds keys, and goes to the address that the operator named.
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(cafile=ca_file),
        )

    async def ask(
        self,
        body: bytes,
        headers: Mapping[str, str],
        read: Callable[[Reply], Answer],
        *,
        whose: str = "",
        repeatable: bool = False,
    ) -> Answer:
        """Posts, and returns what `read` makes of the reply.

        Args:
            body: of the request.
            headers: likewise.
            read: raises `Troubled` for a reply that says the server is in trouble, or that is of no use, and a Refusal for an answer
                that refuses.
            whose: player whose message goes along; empty when it is our own. One player cannot make the
                server look as if it were down: in a row, what it answers badly to the same player counts once.
            repeatable: whether the request may be sent again though the server may have taken it.

        Raises:
            Refusal: UPSTREAM_UNAVAILABLE, or what `read` raises.
        """
        if self._breaker.open and whose in self._blamed:  # somebody else tries whether it is well again
            raise refusals.unavailable(self.name, "paused", None)
        try:
            self._breaker.check()
        except Open as left_alone:
            raise refusals.unavailable(self.name, "paused", left_alone.retry_after) from None
        started = asyncio.get_running_loop().time()
        outcome = "cancelled"
        try:
            async with asyncio.timeout(self._limits.whole):
                answer = await self._tried(body, headers, read, repeatable=repeatable)
            outcome = "answered"
        except TimeoutError:
            outcome = "timeout"
            raise self._failed("timeout", None, whose) from None
        except Troubled as trouble:
            outcome = trouble.why
            raise self._failed(trouble.why, trouble.retry_after, whose) from None
        except Refusal:
            outcome = "refused"
            self._worked()
            raise
        finally:
            SECONDS.labels(self.name, outcome).observe(asyncio.get_running_loop().time() - started)
        self._worked()
        return answer

    async def close(self) -> None:
        """Lets go of connections."""
        await self._http.aclose()

    def _worked(self) -> None:
        self._breaker.worked()
        self._blamed.clear()

    def _failed(self, why: str, retry_after: timedelta | None, whose: str) -> Refusal:
        blamed = bool(whose) and why in _OF_THE_REQUEST
        if not (blamed and whose in self._blamed):
            self._breaker.failed(retry_after)
        if blamed and len(self._blamed) < _MOST_BLAMED:
            self._blamed.add(whose)
        log.warning("licence server failed", upstream=self.name, why=why)
        return refusals.unavailable(self.name, why, retry_after)

    async def _tried(
        self, body: bytes, headers: Mapping[str, str], read: Callable[[Reply], Answer], *, repeatable: bool
    ) -> Answer:
        for last in [False] * (TRIES - 1) + [True]:
            try:
                return read(await self._posted(body, headers))
            except Troubled as trouble:
                if last or trouble.retry_after is not None or (trouble.taken and not repeatable):
                    raise
                await asyncio.sleep(self._limits.before_again)
        raise AssertionError

    async def _posted(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        # Uncompressed: a few bytes could unfold into any number.
        fields = {**headers, "accept-encoding": "identity"}
        try:
            async with self._http.stream("POST", self.url, content=body, headers=fields) as response:
                received = await self._received(response)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Troubled("unreachable", taken=False) from None
        except httpx.PoolTimeout:
            raise Troubled("busy", taken=False) from None
        except httpx.TimeoutException:
            raise Troubled("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise Troubled("unreachable") from None
        reply = Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, received)
        if reply.status in {429, 503}:
            raise Troubled("busy", taken=False, retry_after=_pause(reply))
        return reply

    async def _received(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Troubled("unusable")
        received = bytearray()
        async for part in response.aiter_raw():
            received += part
            if len(received) > self._limits.bytes:
                raise Troubled("unusable")
        return bytes(received)


def _pause(reply: Reply) -> timedelta | None:
    """`Retry-After` in seconds (RFC 9110 §10.2.3); None where it is absent or a date."""
    text = reply.headers.get("retry-after", "")
    return min(timedelta(seconds=int(text[:6])), _LONGEST_PAUSE) if text.isascii() and text.isdecimal() else None
