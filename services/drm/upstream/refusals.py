"""What players are told where a licence server of the operator's is involved."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

import grpc

from services.drm.domain import DOMAIN
from services.kit.errors import Refusal

_STATUS: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_NAMES: Final = {"widevine": "Widevine", "playready": "PlayReady", "fairplay": "FairPlay"}


def not_offered(key_system: str) -> Refusal:
    """The operator has named no licence server for the key system."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "KEY_SYSTEM_NOT_OFFERED",
        f"this installation has no licence server for {key_system}; use another key system, or ask its operator to name one",
        domain=DOMAIN,
        metadata={"key_system": key_system},
    )


def unavailable(upstream: str, why: str, retry_after: timedelta | None) -> Refusal:
    """The licence server gives no answer that is of use, or is left alone because it gave none."""
    return Refusal(
        grpc.StatusCode.UNAVAILABLE,
        "UPSTREAM_UNAVAILABLE",
        f"the {_NAMES[upstream]} licence server does not answer as it should ({why}); try again in a moment",
        domain=DOMAIN,
        metadata={"upstream": upstream, "why": why},
        retry_after=retry_after or timedelta(seconds=2),
    )


def refused_us(upstream: str, status: str) -> Refusal:
    """The licence server does not take our requests: the way in which we are set up is not the one that it knows."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "UPSTREAM_REFUSED_US",
        f"the {_NAMES[upstream]} licence server refuses this installation; its operator must compare provider, keys and address with it",
        domain=DOMAIN,
        metadata={"upstream": upstream, "status": plain(status)},
    )


def refused_player(upstream: str, status: str) -> Refusal:
    """The licence server does not give a licence to this player."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "UPSTREAM_REFUSED_PLAYER",
        f"the {_NAMES[upstream]} licence server gives no licence to this player ({plain(status)}); update it, or use another one",
        domain=DOMAIN,
        metadata={"upstream": upstream, "status": plain(status)},
    )


def contradicted(upstream: str, what: str) -> Refusal:
    """The licence server's answer is not what was ordered; the licence is withheld."""
    return Refusal(
        grpc.StatusCode.UNAVAILABLE,
        "UPSTREAM_CONTRADICTED",
        f"the {_NAMES[upstream]} licence server's answer is not what was ordered of it ({what}), so it is withheld; tell the operator",
        domain=DOMAIN,
        metadata={"upstream": upstream, "what": what},
    )


def plain(status: str) -> str:
    """A status of somebody else's, if it is one word."""
    return status if _STATUS.fullmatch(status) else "UNKNOWN"
