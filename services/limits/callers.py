"""Who a credential belongs to, as far as counting needs to know."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from services.kit.access import ApiKeys
from services.kit.errors import Refusal

UNKNOWN: Final = "unknown"


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
    """Recognises credentials of one kind. What only claims to be someone's is not recognised."""

    def recognised(self, credential: str) -> Caller | None:
        """Whose credential it is; None when that is not certain. The credential stands alone, without `Bearer`."""
        ...


class ApiKeyCallers:
    """API keys, each of which counts by itself."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def recognised(self, credential: str) -> Caller | None:
        """Whose API key it is."""
        if not credential.startswith("rmk_"):
            return None
        try:
            principal = self._keys.check(credential)
        except Refusal:
            return None
        tier = "staff" if principal.may("*") else "standard"
        return Caller(f"key/{_digest(credential)}", tier, principal.organisation_id)


def caller_of(header: str, kinds: Sequence[Callers]) -> Caller | None:
    """The caller of an `authorization` header; None without one.

    A credential that nobody recognises is counted by its hash: making up another gives another bucket, but the same address.
    """
    if not header:
        return None
    scheme, _, rest = header.partition(" ")
    credential = rest.strip() if scheme.lower() == "bearer" else ""
    if credential:
        for kind in kinds:
            caller = kind.recognised(credential)
            if caller is not None:
                return caller
    return Caller(f"unknown/{_digest(credential or header)}", UNKNOWN)


def _digest(credential: str) -> str:
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()
