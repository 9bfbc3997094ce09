"""By what a webhook is known to be authentic: digests, addresses, moments."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from services.payments import refusals
from services.payments.processors.contract import REPLAY_WINDOW

Networks = tuple[IPv4Network | IPv6Network, ...]

UNSIGNED_PAST: Final = timedelta(days=60)
"""How old a notice may be whose moment nothing signs: longer than anybody sends again, so that only what was dug out is refused."""
UNSIGNED_FUTURE: Final = timedelta(days=1)
"""How far ahead such a moment may be: some processors write their own local time."""


def same(expected: str | bytes, given: str) -> bool:
    """Whether two texts are the same, in a time that says nothing of where they differ."""
    left = expected if isinstance(expected, bytes) else expected.encode()
    return hmac.compare_digest(left, given.encode(errors="replace"))


def any_same(expected: Iterable[str], given: str) -> bool:
    """Whether a text is one of several, in a time that says nothing of which."""
    return sum(same(one, given) for one in expected) > 0


def networks_of(settings: Mapping[str, str], otherwise: Iterable[IPv4Network | IPv6Network] = ()) -> Networks:
    """Where an account's webhooks come from: its setting `source_networks`, else what the processor says.

    Raises:
        ValueError: the setting is no list of networks.
    """
    text = settings.get("source_networks", "")
    if not text.strip():
        return tuple(otherwise)
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def check_source(processor: str, address: str, networks: Networks) -> None:
    """Refuses what comes from elsewhere. No networks: anywhere is fine.

    Raises:
        Refusal: `WEBHOOK_NOT_AUTHENTIC`.
    """
    if not networks:
        return
    try:
        source = ip_address(address.partition("%")[0])
    except ValueError:
        raise refusals.webhook_not_authentic(processor, "comes from no address") from None
    plain = getattr(source, "ipv4_mapped", None) or source
    if not any(plain in network for network in networks):
        raise refusals.webhook_not_authentic(processor, "comes from where this processor does not send from")


def check_moment(
    processor: str,
    moment: datetime | None,
    now: datetime,
    past: timedelta = REPLAY_WINDOW,
    future: timedelta = REPLAY_WINDOW,
) -> None:
    """Refuses what is older than `past`, or further ahead than `future`; nothing is said of what has no moment.

    Raises:
        Refusal: `WEBHOOK_OUT_OF_TIME`.
    """
    if moment is not None and not -past <= moment - now <= future:
        raise refusals.webhook_out_of_time(processor)
