"""The operator's PlayReady licence server. The challenge goes to it as it came, with the statement that says what it may license.

What it has to do is little: check the statement, ask its SDK for a licence for each key in it, and say in a header which security level the
client's certificate has. `docs/drm.md` describes it for whoever writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.drm.licences.granting import Grant
from services.drm.licences.policy import SecurityLevel
from services.drm.playready import faults, restrictions, soap, statement
from services.drm.playready.challenge import Challenge
from services.drm.playready.statement import Stater
from services.drm.upstream import refusals
from services.drm.upstream.acquiring import Made, whose
from services.drm.upstream.client import Reply, Troubled, Upstream
from services.kit.clock import Clock

NAME: Final = "playready"
MOST_LICENCES: Final = 64
_HEADERS: Final = {"content-type": faults.CONTENT_TYPE, "soapaction": f'"{soap.PROTOCOLS}/AcquireLicense"'}
_INTERNAL: Final = f"0x{faults.INTERNAL:08X}"


class PlayReady:
    """The licence server."""

    def __init__(self, upstream: Upstream, stater: Stater, clock: Clock) -> None:
        self._upstream = upstream
        self._stater = stater
        self._clock = clock

    def about(self, challenge: Challenge) -> _Challenged:
        """The server, asked about one challenge."""
        return _Challenged(self, challenge)

    async def inspected(self, challenge: Challenge, grant: Grant) -> SecurityLevel:
        """What the player is. The server is told nothing of what is granted."""
        stated = self._stater.inspecting(challenge, self._clock.now())
        headers = {**_HEADERS, statement.HEADER: stated}
        return await self._upstream.ask(challenge.document, headers, _inspection, whose=whose(grant), repeatable=True)

    async def licensed(self, challenge: Challenge, grant: Grant) -> Made:
        """A licence."""
        stated = self._stater.licensing(challenge, grant, self._clock.now())
        headers = {**_HEADERS, statement.HEADER: stated}
        made = await self._upstream.ask(challenge.document, headers, _licence, whose=whose(grant))
        if made is None:
            raise refusals.contradicted(NAME, "no licence")
        return made


@dataclass(frozen=True, slots=True)
class _Challenged:
    """A `LicenceServer` for one challenge; see `services.drm.upstream.acquiring`."""

    server: PlayReady
    challenge: Challenge

    @property
    def name(self) -> str:
        """`playready`."""
        return NAME

    async def inspected(self, grant: Grant) -> SecurityLevel:
        """What the player is."""
        return await self.server.inspected(self.challenge, grant)

    async def licensed(self, grant: Grant) -> Made:
        """A licence."""
        return await self.server.licensed(self.challenge, grant)


def _inspection(reply: Reply) -> SecurityLevel:
    _good(reply)
    return _level(reply)


def _licence(reply: Reply) -> Made | None:
    """The answer as it came, once it is seen to be one: `AcquireLicenseResponse` with licences in it."""
    _good(reply)
    try:
        root = soap.parsed(reply.body)
        soap.only(root, "AcquireLicenseResponse")
        count = len(soap.named(root, "License"))
    except soap.NotSoap:
        raise Troubled("unusable") from None
    return Made(reply.body, _level(reply)) if 0 < count <= MOST_LICENCES else None


def _good(reply: Reply) -> None:
    """Lets only good replies pass.

    Raises:
        Troubled: the server is in trouble.
        Refusal: UPSTREAM_REFUSED_US, UPSTREAM_REFUSED_PLAYER.
    """
    if reply.status in {200, 204}:
        return
    code = faults.status_code(reply.body) if reply.status == 500 else None
    if code is not None and code != _INTERNAL:
        raise refusals.refused_player(NAME, code)
    if reply.status >= 500:
        raise Troubled("failing")
    raise refusals.refused_us(NAME, f"HTTP_{reply.status}")


def _level(reply: Reply) -> SecurityLevel:
    return restrictions.level_of(reply.headers.get(statement.LEVEL_HEADER, ""))
