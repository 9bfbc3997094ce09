"""Widevine's licence service, asked as the operator's provider account. Of its answers the licence goes on, and nothing else is kept or logged:
`session_state` among them holds a signing key."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from services.drm.licences.granting import Grant
from services.drm.licences.policy import SecurityLevel
from services.drm.upstream import refusals
from services.drm.upstream.acquiring import Made, whose
from services.drm.upstream.client import Reply, Troubled, Upstream
from services.drm.widevine import message
from services.drm.widevine.challenge import Challenge, Kind, kind_of
from services.drm.widevine.signing import Signer
from services.kit.clock import Clock
from services.kit.errors import Refusal

NAME: Final = "widevine"
CERTIFICATE_FRESH: Final = timedelta(hours=1)
_HEADERS: Final = {"content-type": "application/json"}
# Of the service's statuses those that say something about us, and those that say that it is in trouble. All others are about the player.
_OURS: Final = frozenset(
    {
        "SIGNATURE_FAILED",
        "INVALID_SIGNATURE",
        "ACCESS_DENIED",
        "PROVIDER_ID_MISMATCH",
        "PROVIDER_UNKNOWN",
        "UNKNOWN_PROVIDER",
        "INVALID_PROVIDER",
        "INVALID_CONTENT_KEY_SPECS",
        "POLICY_UNKNOWN",
    }
)
_TROUBLE: Final = frozenset({"INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED", "TRY_AGAIN"})
_L1: Final = 1


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the service says with status OK."""

    licence: bytes = field(repr=False)
    security_level: SecurityLevel


class Widevine:
    """The licence service.

    Args:
        upstream: where it is, such as `https://license.widevine.com/cenc/getlicense/<provider>`.
        signer: signs as the provider.
    """

    def __init__(self, upstream: Upstream, signer: Signer, clock: Clock) -> None:
        self._upstream = upstream
        self._signer = signer
        self._clock = clock
        self._certificate: tuple[bytes, datetime] | None = None
        self._fetching = asyncio.Lock()

    async def service_certificate(self, challenge: Challenge) -> bytes:
        """The certificate to which players encrypt what tells them apart. It is the same for all, and asked for once an hour.

        Raises:
            Refusal: as `_Challenged.licensed`.
        """
        async with self._fetching:
            now = self._clock.now()
            if self._certificate is None or self._certificate[1] <= now:
                answer = await self._ask(message.asking_for_certificate(challenge), repeatable=True)
                if kind_of(answer.licence) != Kind.SERVICE_CERTIFICATE:
                    raise refusals.contradicted(NAME, "no service certificate")
                self._certificate = (answer.licence, now + CERTIFICATE_FRESH)
            return self._certificate[0]

    def about(self, challenge: Challenge) -> _Challenged:
        """The service, asked about one challenge."""
        return _Challenged(self, challenge)

    async def inspected(self, challenge: Challenge, grant: Grant) -> SecurityLevel:
        """What the service reads from a challenge. It is told nothing of what is granted."""
        asked = message.asking_what_it_is(challenge, self._signer.provider)
        return (await self._ask(asked, whose=whose(grant), repeatable=True)).security_level

    async def licensed(self, challenge: Challenge, grant: Grant) -> Made:
        """A licence."""
        asked = message.asking_for_licence(challenge, self._signer.provider, grant)
        answer = await self._ask(asked, whose=whose(grant))
        if kind_of(answer.licence) != Kind.LICENCE:
            raise refusals.contradicted(NAME, "no licence")
        return Made(answer.licence, answer.security_level)

    async def _ask(self, asked: bytes, *, whose: str = "", repeatable: bool = False) -> _Answer:
        signed = self._signer.signed(asked)
        return await self._upstream.ask(signed, _HEADERS, _read, whose=whose, repeatable=repeatable)


@dataclass(frozen=True, slots=True)
class _Challenged:
    """A `LicenceServer` for one challenge; see `services.drm.upstream.acquiring`."""

    service: Widevine
    challenge: Challenge

    @property
    def name(self) -> str:
        """`widevine`."""
        return NAME

    async def inspected(self, grant: Grant) -> SecurityLevel:
        """What the player is."""
        return await self.service.inspected(self.challenge, grant)

    async def licensed(self, grant: Grant) -> Made:
        """A licence."""
        return await self.service.licensed(self.challenge, grant)


def _read(reply: Reply) -> _Answer:
    """Reads an answer.

    Raises:
        Troubled: the service is in trouble, or this is no answer of its.
        Refusal: UPSTREAM_REFUSED_US, UPSTREAM_REFUSED_PLAYER.
    """
    if reply.status >= 500:
        raise Troubled("failing")
    if reply.status != 200:
        raise refusals.refused_us(NAME, f"HTTP_{reply.status}")
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise Troubled("unusable") from None
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, str):
        raise Troubled("unusable")
    if status != "OK":
        raise _refusal(status)
    return _Answer(_bytes(answer.get("license", "")), _level(answer.get("security_level")))


def _refusal(status: str) -> Troubled | Refusal:
    if status in _TROUBLE:
        return Troubled("failing", taken=False)
    return refusals.refused_us(NAME, status) if status in _OURS else refusals.refused_player(NAME, status)


def _level(said: Any) -> SecurityLevel:
    """L1 is hardware; L2 and L3, and what is not said, are not."""
    return SecurityLevel.HARDWARE if said == _L1 and type(said) is int else SecurityLevel.SOFTWARE


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise Troubled("unusable") from None
