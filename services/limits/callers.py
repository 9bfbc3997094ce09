"""Who a credential belongs to, as far as counting needs to know."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from services.kit.access import ApiKeys, Principal, Trust
from services.kit.errors import Refusal

UNKNOWN: Final = "unknown"
PATIENCE: Final = 0.05
"""Seconds in which a credential is recognised, or counts as unknown."""
_AWAY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose calls are counted together.

    Attributes:
        key: tells the caller from all others. It may be stored, so it is never a credential.
        tier: a name of `limits.yaml`.
        organisation: which one the caller acts for; may be empty.
    """

    key: str
    tier: str
    organisation: str = ""


class Callers(Protocol):
    """Recognises callers."""

    async def of(self, header: str) -> Caller | None:
        """The caller of an `authorization` header; None when it is empty."""
        ...


class CheckedCallers:
    """Callers whose credential was checked: by the install's own file of API keys, or by whoever issued it.

    One that nobody vouches for is counted by its hash: making up another gives another bucket, but the same address. So is one that cannot be
    checked at once, because the issuer is away.

    Args:
        own: the install's API keys.
        trust: recognises people and other API keys.
        patience: seconds that `trust` may take.
        now: a clock that only goes forward; the running loop's if None.
    """

    def __init__(
        self, own: ApiKeys, trust: Trust, *, patience: float = PATIENCE, now: Callable[[], float] | None = None
    ) -> None:
        self._own = own
        self._trust = trust
        self._patience = patience
        self._now = now or asyncio.get_running_loop().time
        self._away_until = 0.0

    async def of(self, header: str) -> Caller | None:
        """The caller of an `authorization` header; None when it is empty."""
        if not header:
            return None
        scheme, _, rest = header.partition(" ")
        credential = rest.strip() if scheme.lower() == "bearer" else ""
        principal = self._own.find(credential) if credential.startswith("rmk_") else None
        if principal is None and credential:
            principal = await self._vouched_for(credential)
        digest = hashlib.sha256((credential or header).encode("utf-8", "surrogatepass")).hexdigest()
        if principal is None:
            return Caller(f"unknown/{digest}", UNKNOWN)
        # Names of keys in the install's own file need not differ.
        issued = principal.name.startswith(("user/", "api_key/"))
        tier = principal.tier or ("staff" if principal.may("*") else "standard")
        return Caller(principal.name if issued else f"own/{digest}", tier, principal.organisation_id)

    async def _vouched_for(self, credential: str) -> Principal | None:
        if self._now() < self._away_until:
            return None
        try:
            async with asyncio.timeout(self._patience):
                if credential.startswith("rmk_"):
                    return await self._trust.api_key(credential)
                return await self._trust.person(credential)
        except Refusal as refusal:
            if refusal.reason != "CREDENTIAL_INVALID":
                self._away_until = self._now() + _AWAY_SECONDS
        except TimeoutError:
            self._away_until = self._now() + _AWAY_SECONDS
        return None
